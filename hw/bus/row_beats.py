"""From finished output rows to the beats of bursts."""

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..arith.select import one_of
from ..memory.rotate import rotate_up

__all__ = ["PlaceLayout", "RowBeatLayout", "RowBeats", "least_rows", "rows_per_burst"]


def least_rows(row_bytes: int, beat_bytes: int) -> int:
    """Rows that a FIFO must hold so that a burst of one beat can be sent out of it."""
    # A row that is longer than a beat stays in the FIFO while a burst ends inside it.
    return -(-beat_bytes // row_bytes) + (row_bytes > beat_bytes)


def rows_per_burst(rows: int, row_bytes: int, beat_bytes: int) -> int:
    """Most rows for which one burst is sent, out of a FIFO that holds ``rows``.

    Half of the FIFO, so that the rows of the next burst gather while this one is sent, but a beat's
    worth at least.

    Raises
    ------
    ValueError
        If the FIFO does not hold that.
    """
    least = least_rows(row_bytes, beat_bytes)
    if rows < least:
        raise ValueError(
            f"rows must be at least {least} to fill a beat of {beat_bytes} bytes with rows of "
            f"{row_bytes} bytes, not {rows!r}"
        )
    return max(rows // 2, least) - (row_bytes > beat_bytes)


class PlaceLayout(data.StructLayout):
    """A burst whose beats have to be sent; whether it is a ``single`` one is needed early."""

    def __init__(self, data_width: int):
        offset = range(data_width // 8)
        super().__init__(
            {
                "length": unsigned(8),
                "single": unsigned(1),
                "start": offset,
                "end": offset,
                "first": unsigned(1),
                "last_of_run": unsigned(1),
            }
        )


class RowBeatLayout(data.StructLayout):
    """A beat of the W channel."""

    def __init__(self, data_width: int):
        super().__init__(
            {"data": unsigned(data_width), "strobe": data_width // 8, "last": unsigned(1)}
        )


class RowBeats(wiring.Component):
    """Makes the beats of bursts from rows: a piece of a row in, at most a beat out per cycle.

    ::

        row -> piece of at most a beat -> rotate up -> held | -> beat

    Rows that are longer than a beat are taken apart. Bytes below ``fill`` of the next beat wait in
    ``held``; the next piece is rotated up by ``fill``: its low part completes the beat, what wraps
    around begins the one after it. A run begins by pretending that the bytes before its start are
    already there. What the last row has beyond the run is dropped.

    Members
    -------
    place : In(stream(PlaceLayout)), bursts
    row : In(stream(8 * row_bytes))
    halt : In(1), deliver what is owed with no byte strobed, and take no row
    o : Out(stream(RowBeatLayout))
    popped : Out(1), a row was taken
    stored : Out(range(W + 1)), bytes sent in this cycle
    """

    place: stream.Interface
    row: stream.Interface
    halt: Signal
    o: stream.Interface
    popped: Signal
    stored: Signal

    def __init__(self, *, data_width: int, row_bytes: int):
        self._data_width = data_width
        self._row_bytes = row_bytes
        super().__init__(
            {
                "place": In(stream.Signature(PlaceLayout(data_width))),
                "row": In(stream.Signature(unsigned(8 * row_bytes))),
                "halt": In(1),
                "o": Out(stream.Signature(RowBeatLayout(data_width))),
                "popped": Out(1),
                "stored": Out(range(data_width // 8 + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        count = self._data_width // 8
        place = self.place.payload

        # The piece of the row that is next.
        pieces = -(-self._row_bytes // count)
        index = Signal(range(pieces))
        ending = Signal()
        piece = Signal(self._data_width)
        size = Signal(range(count + 1))
        tail = self._row_bytes - (pieces - 1) * count
        row = Cat(self.row.payload, C(0, self._data_width * pieces - 8 * self._row_bytes))
        choices = [row.word_select(k, self._data_width) for k in range(pieces)]
        m.d.comb += [
            ending.eq(index == pieces - 1),
            piece.eq(one_of(m, choices, index, "piece") if pieces > 1 else row),
            size.eq(Mux(ending, tail, count)),
        ]

        # The beat that is next: bytes ``low`` to ``high`` of it belong to the run.
        fresh = Signal(init=1)  # it is the first of its burst
        following = Signal(8, reset_less=True)  # else: beats behind it, and whether there are none
        final = Signal(reset_less=True)
        left = Signal.like(following)
        last_beat = Signal()
        opening = Signal()
        closing = Signal()
        low = Signal.like(place.start)
        high = Signal.like(place.end)
        m.d.comb += [
            left.eq(Mux(fresh, place.length, following)),
            last_beat.eq(Mux(fresh, place.single, final)),
            opening.eq(place.first & fresh),
            closing.eq(place.last_of_run & last_beat),
            low.eq(Mux(opening, place.start, 0)),
            high.eq(Mux(closing, place.end, count - 1)),
        ]

        # Join what is held with the piece.
        held = Signal(self._data_width, reset_less=True)
        waiting = Signal.like(place.start, reset_less=True)
        begun = Signal()  # a piece of this beat is held
        fill = Signal.like(place.start)
        m.d.comb += fill.eq(Mux(opening & ~begun, place.start, waiting))
        turned = rotate_up(m, Value.cast(piece), fill, 8, "turned")
        joined = Signal(self._data_width)
        every = C((1 << count) - 1, count)
        from_piece = Signal(count)  # byte n, for n >= fill
        m.d.comb += from_piece.eq(every << fill)
        for n in range(count):
            lane = slice(8 * n, 8 * n + 8)
            m.d.comb += joined[lane].eq(Mux(from_piece[n], turned[lane], held[lane]))

        total = Signal(range(2 * count))
        enough = Signal()  # without the piece
        complete = Signal()  # with it
        used = Signal()
        sent = Signal()
        m.d.comb += [
            total.eq(fill + size),
            # Only the last beat of a run can do with what is held, and not without anything.
            enough.eq(closing & (begun | ~opening) & (waiting > place.end)),
            complete.eq(1 if self._row_bytes % count == 0 else total > high),
            self.o.valid.eq(self.place.valid & (enough | (self.row.valid & complete) | self.halt)),
            sent.eq(self.o.valid & self.o.ready),
            used.eq(self.place.valid & self.row.valid & ~enough & (sent | ~complete) & ~self.halt),
            self.place.ready.eq(sent & last_beat),
        ]
        with m.If(used):
            m.d.sync += [waiting.eq(total), begun.eq(1)]
            for n in range(count):
                with m.If(complete | from_piece[n]):
                    m.d.sync += held[8 * n : 8 * n + 8].eq(turned[8 * n : 8 * n + 8])
        with m.If(sent):
            m.d.sync += [
                fresh.eq(last_beat), following.eq(left - 1), final.eq(left == 1), begun.eq(0)
            ]  # fmt: skip

        # A row ends with its last piece, or with its run.
        m.d.comb += [
            self.popped.eq(Mux(sent & closing & ~self.halt, used | (index != 0), used & ending)),
            self.row.ready.eq(self.popped),
        ]
        with m.If(self.popped | self.halt):
            m.d.sync += index.eq(0)
        with m.Elif(used):
            m.d.sync += index.eq(index + 1)

        strobe = (every << low) & (every >> (count - 1 - high)[: len(high)])
        m.d.comb += [
            self.o.payload.strobe.eq(Mux(self.halt, 0, strobe)),
            self.o.payload.data.eq(joined),
            self.o.payload.last.eq(last_beat),
            self.stored.eq(Mux(sent & ~self.halt, high - low + 1, 0)),
        ]
        return m
