"""Where the engine's bursts land: from the beats of a read port to NBin, SB and the program."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...bus.axi import Response
from ...bus.streams import Queue
from ...memory.nbin import NbinLanePort
from ...memory.ring import wrapped
from ...memory.rotate import rotate_up
from ...memory.sb import SbLanePort
from ..config import Config
from .rows import Client

__all__ = ["FlightLayout", "Landing", "lane_ports"]


def lane_ports(config: Config) -> tuple[NbinLanePort, SbLanePort]:
    """The ports by which NBin and SB are written in a core with an engine."""
    port = config.nbin_port
    nbin = NbinLanePort(
        elements=config.nbin_elements, width=config.width, banks=config.nbin_banks, lanes=port // 8
    )
    return nbin, SbLanePort(rows=config.sb_rows, row_bits=config.sb_row_bits, port=port)


class FlightLayout(data.StructLayout):
    """A burst in flight, or a mark behind the bursts of a slot.

    client : whose it is
    mark : it is no burst
    start, end : offsets of the burst's first and last byte in their beats
    """

    def __init__(self, data_width: int):
        offset = range(data_width // 8)
        super().__init__({"client": Client, "mark": 1, "start": offset, "end": offset})


class Landing(wiring.Component):
    """Brings what is read to where it belongs, in the order in which it was asked for.

    ::

        flight -> queue ---+
                           v
        R -------------> beats -> rotate -> register -> NBin, SB
                           |
                           +-> program

    Whoever asks has made sure that there is room, so a beat is taken whenever it comes. Bytes are
    turned to the lane in which they are kept, so they need no register between the bursts of a run:
    a beat that goes across a row's or a piece's end is written to both, and half an element waits
    for the rest in its place in NBin.

    Timing: what a beat brings can be read from the second cycle on after it came.

    Parameters
    ----------
    config : core configuration

    Members
    -------
    flight : In(stream(FlightLayout))
    rdata, rresp, rlast, rvalid, rready : of an AXI read port
    skip : In, bytes that NBin skips in this cycle, in which no beat goes to NBin
    pieces : In(range(pieces of a row of SB)), of the rows that come now, less one
    nbin, sb : Out(NbinLanePort), Out(SbLanePort)
    nbin_arrived : Out, elements that can be read from the next cycle on; sb_arrived : Out(1), a row
    program : Out(stream(unsigned(port))), which must be taken
    ended : Out(4), a mark of each client has come
    landed : Out(4), the last beat of a burst of each client has come
    error : Out(4), a beat of each client came with SLVERR or DECERR
    bytes : Out, useful bytes in this cycle; client : Out(Client), whose
    idle : Out(1), nothing is in flight
    """

    flight: stream.Interface
    rdata: Signal
    rresp: Any
    rlast: Signal
    rvalid: Signal
    rready: Signal
    skip: Signal
    pieces: Signal
    nbin: Any
    sb: Any
    nbin_arrived: Signal
    sb_arrived: Signal
    program: stream.Interface
    ended: Signal
    landed: Signal
    error: Signal
    bytes: Signal
    client: Any
    idle: Signal

    def __init__(self, *, config: Config, most_skipped: int):
        self._config = config
        port = config.nbin_port
        nbin, sb = lane_ports(config)
        super().__init__(
            {
                "flight": In(stream.Signature(FlightLayout(port))),
                "rdata": In(port),
                "rresp": In(Response),
                "rlast": In(1),
                "rvalid": In(1),
                "rready": Out(1),
                "skip": In(range(most_skipped + 1)),
                "pieces": In(range(sb.pieces)),
                "nbin": Out(nbin),
                "sb": Out(sb),
                "nbin_arrived": Out(range(config.nbin_elements + 1)),
                "sb_arrived": Out(1),
                "program": Out(stream.Signature(unsigned(port))),
                "ended": Out(4),
                "landed": Out(4),
                "error": Out(4),
                "bytes": Out(range(port // 8 + 1)),
                "client": Out(Client),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self._config
        width = config.nbin_port // 8
        bits = width.bit_length() - 1
        m.submodules.queue = queue = Queue(
            shape=self.flight.payload.shape(), depth=max(2, config.outstanding)
        )
        free = queue.level < config.outstanding
        m.d.comb += [
            queue.i.payload.eq(self.flight.payload),
            queue.i.valid.eq(self.flight.valid & free),
            self.flight.ready.eq(queue.i.ready & free),
            self.idle.eq(~queue.level.any()),
        ]

        # The beat: bytes ``low`` to ``high`` of it are of use.
        burst = queue.o.payload
        mine = Signal(4)
        beat, marked = Signal(), Signal()
        opening = Signal(init=1)  # the next beat is the first of its burst
        low, high = Signal(bits), Signal(bits)
        more = Signal(bits)  # bytes of use, less one
        m.d.comb += [
            mine.eq(1 << burst.client),
            marked.eq(queue.o.valid & burst.mark),
            self.rready.eq(queue.o.valid & ~burst.mark),
            beat.eq(self.rvalid & self.rready),
            low.eq(Mux(opening, burst.start, 0)),
            high.eq(Mux(self.rlast, burst.end, width - 1)),
            more.eq(high - low),
            self.bytes.eq(Mux(beat, more + 1, 0)),
            self.client.eq(burst.client),
            self.ended.eq(Mux(marked, mine, 0)),
            self.landed.eq(Mux(beat & self.rlast, mine, 0)),
            self.error.eq(Mux(beat & self.rresp.as_value()[1], mine, 0)),
            queue.o.ready.eq(marked | (beat & self.rlast)),
            self.program.payload.eq(self.rdata),
            self.program.valid.eq(beat & mine[Client.CP]),
        ]
        with m.If(beat):
            m.d.sync += opening.eq(self.rlast)
        to_nbin = beat & mine[Client.NBIN]
        to_sb = beat & mine[Client.SB]

        # NBin is a ring of bytes, SB one of rows.
        capacity = config.nbin_elements * config.element_bytes
        byte_bits = config.element_bytes.bit_length() - 1  # of the byte in its element
        head = Signal(range(capacity))
        advance = Signal(range(capacity + 1))
        moved = Signal(range(2 * capacity))
        m.d.comb += [
            advance.eq(Mux(to_nbin, more + 1, self.skip)),
            moved.eq(head + advance),
        ]
        m.d.sync += [
            head.eq(wrapped(moved, capacity)),
            self.nbin_arrived.eq((head[:byte_bits] + advance)[byte_bits:]),
        ]
        row, piece = Signal(range(config.sb_rows)), Signal.like(self.pieces)
        lane = Signal(bits)
        after = Signal(bits + 1)
        last_piece = Signal()
        m.d.comb += [
            after.eq(lane + more + 1),
            last_piece.eq(piece == self.pieces),
        ]
        with m.If(to_sb):
            m.d.sync += lane.eq(after)
            with m.If(after[-1]):
                m.d.sync += piece.eq(Mux(last_piece, 0, piece + 1))
                with m.If(last_piece):
                    m.d.sync += row.eq(Mux(row == config.sb_rows - 1, 0, row + 1))
        m.d.sync += self.sb_arrived.eq(to_sb & after[-1] & last_piece)

        # Turn the beat so that its bytes are in their lanes.
        place, amount = Signal(bits), Signal(bits)
        turned = Signal(8 * width, reset_less=True)
        used = Signal(width, reset_less=True)
        first = Signal(bits, reset_less=True)
        m.d.comb += [
            place.eq(Mux(mine[Client.NBIN], head, lane)),
            amount.eq(place - low),
        ]
        m.d.sync += [
            turned.eq(rotate_up(m, Value.cast(self.rdata), amount, 8, "turned")),
            used.eq(Cat(self._distance(place, n) <= more for n in range(width))),
            first.eq(place),
        ]
        in_next = Cat(n < first for n in range(width))

        # NBin: the lanes below the first one are those of the next group of banks. There are more
        # banks than a beat of elements, so that half an element and those after it are in different
        # banks.
        nbin_valid = Signal()
        nbin_head = Signal.like(head, reset_less=True)
        row_bits = byte_bits + (config.nbin_banks - 1).bit_length()  # of the byte in its row
        groups = len(self.nbin.enables) // width
        group = nbin_head[bits:row_bits]
        m.d.sync += [nbin_valid.eq(to_nbin), nbin_head.eq(head)]
        m.d.comb += [
            self.nbin.row.eq(nbin_head[row_bits:]),
            self.nbin.first.eq(nbin_head[byte_bits:row_bits]),
            self.nbin.data.eq(turned),
        ]
        for g in range(groups):
            here = group == g
            before = group == (g - 1) % groups
            for n in range(width):
                chosen = Mux(in_next[n], before, here) if groups > 1 else 1
                m.d.comb += self.nbin.enables[g * width + n].eq(nbin_valid & used[n] & chosen)

        # SB: they are those of the next piece.
        sb_valid = Signal()
        sb_piece = Signal.like(piece, reset_less=True)
        pieces = self.sb.signature.pieces
        m.d.sync += [sb_valid.eq(to_sb), sb_piece.eq(piece), self.sb.row.eq(row)]
        m.d.comb += self.sb.data.eq(turned)
        for p in range(pieces):
            for n in range(width):
                chosen = Mux(in_next[n], sb_piece == (p - 1) % pieces, sb_piece == p)
                m.d.comb += self.sb.enables[p * width + n].eq(sb_valid & used[n] & chosen)
        return m

    @staticmethod
    def _distance(place: Value, lane: int) -> Value:
        """From ``place`` up to ``lane``, around the end."""
        return (lane - place)[: len(place)]
