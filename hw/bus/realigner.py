"""From the beats of a bus to the words of a run, whatever byte the run begins at."""

from amaranth.hdl import C, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..memory.rotate import rotate_down

__all__ = ["BeatLayout", "Realigner", "WordLayout"]


class BeatLayout(data.StructLayout):
    """A beat as it came from the bus.

    data : the beat
    start : offset of the run's first byte in its first beat (the same in all beats of a run)
    end : offset of the run's last byte (in the last beat of the run)
    last_of_run, last : last beat of the run, of the descriptor
    """

    def __init__(self, data_width: int):
        offset = range(data_width // 8)
        super().__init__(
            {
                "data": unsigned(data_width),
                "start": offset,
                "end": offset,
                "last_of_run": unsigned(1),
                "last": unsigned(1),
            }
        )


class WordLayout(data.StructLayout):
    """The next bytes of a run.

    data : the bytes, the first one lowest; those from ``bytes`` on are of no value
    bytes : how many, fewer than fit only in the last word of a run
    last_of_run, last : last word of the run, of the descriptor
    """

    def __init__(self, data_width: int):
        super().__init__(
            {
                "data": unsigned(data_width),
                "bytes": range(data_width // 8 + 1),
                "last_of_run": unsigned(1),
                "last": unsigned(1),
            }
        )


class Realigner(wiring.Component):
    """Word k of a run is made of its bytes ``k*W .. k*W + W-1``, W being the bytes of a beat.

    ::

        beat -> rotate down by start -> held -> bytes below W-start from held, the others from the
                                  |             beat that arrives  -> word
                                  +------------------------------------^

    A beat per cycle is accepted, always: what a run leaves in ``held`` goes out while the first
    beat of the next run comes in. Latency 1; a word of two beats leaves when the second arrives.
    ``i.ready`` follows ``o.ready``, and ``o`` follows ``i``, combinationally.

    Parameters
    ----------
    data_width : bits of a beat, a power of two

    Members
    -------
    i : In(stream(BeatLayout))
    o : Out(stream(WordLayout))
    idle : Out(1), nothing is held
    """

    i: stream.Interface
    o: stream.Interface
    idle: Signal

    def __init__(self, *, data_width: int):
        self._data_width = data_width
        super().__init__(
            {
                "i": In(stream.Signature(BeatLayout(data_width))),
                "o": Out(stream.Signature(WordLayout(data_width))),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        count = self._data_width // 8
        beat = self.i.payload
        word = self.o.payload
        turned = rotate_down(m, Value.cast(beat.data), beat.start, 8, "turned")

        occupied = Signal()
        held = Signal(self._data_width, reset_less=True)
        start = Signal.like(beat.start, reset_less=True)
        end = Signal.like(beat.end, reset_less=True)
        last_of_run = Signal(reset_less=True)
        last = Signal(reset_less=True)

        # The held beat is a word by itself if nothing of the run follows, or if it is whole.
        alone = Signal()
        # The arriving beat ends the run within the word that the held one began.
        spent = Signal()
        m.d.comb += [
            alone.eq(last_of_run | (start == 0)),
            spent.eq(occupied & ~last_of_run & beat.last_of_run & (beat.end < start)),
            self.o.valid.eq(occupied & (alone | self.i.valid)),
            self.i.ready.eq(~occupied | self.o.ready),
            self.idle.eq(~occupied),
        ]

        from_held = Signal(count)  # byte n, for n + start < count
        m.d.comb += from_held.eq(Mux(alone, -1, C((1 << count) - 1, count) >> start))
        for n in range(count):
            lane = slice(8 * n, 8 * n + 8)
            m.d.comb += word.data[lane].eq(Mux(from_held[n], held[lane], turned[lane]))
        # Only the last word of a run is not whole; it ends where the last beat does.
        partial = Signal()
        extent = Signal.like(beat.end)
        m.d.comb += [
            partial.eq(last_of_run | spent),
            extent.eq(Mux(last_of_run, end, beat.end) - start),
            word.bytes.eq(Mux(partial, extent + 1, count)),
            word.last_of_run.eq(partial),
            word.last.eq(Mux(last_of_run, last, spent & beat.last)),
        ]

        with m.If(self.i.ready & self.i.valid):
            m.d.sync += [
                occupied.eq(~spent),
                held.eq(turned),
                start.eq(beat.start),
                end.eq(beat.end),
                last_of_run.eq(beat.last_of_run),
                last.eq(beat.last),
            ]
        with m.Elif(self.o.valid & self.o.ready):
            m.d.sync += occupied.eq(0)
        return m
