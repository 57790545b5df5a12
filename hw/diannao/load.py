"""The loaders: units that execute the NBin and SB slots of the program."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..bus.axi import ReadPort
from ..bus.read_dma import ReadDma
from ..bus.streams import Queue
from ..memory.nbin import NbinWritePort
from ..memory.sb import SbWritePort
from ..nfu.layouts import lanes
from .config import Config
from .isa import ErrorCode, NbinSlot, SbSlot

__all__ = ["NbinLoad", "NbinLoader", "SbLoad", "SbLoader"]


class NbinLoad(data.Struct):
    """An NBin slot in its queue.

    ``pc`` is the byte offset of its instruction from the program's start, ``stores`` the number of
    NBout slots before it in the program, modulo 2**16.
    """

    slot: NbinSlot
    pc: unsigned(32)
    stores: unsigned(16)


class SbLoad(data.Struct):
    """An SB slot in its queue; ``pc`` is the byte offset of its instruction."""

    slot: SbSlot
    pc: unsigned(32)


class NbinLoader(wiring.Component):
    """Appends to NBin's ring what NBin slots load.

    ::

        slots -> fence -> ReadDma -> FIFO -> split -> ring (NbinWritePort)

    Throughput is one word of the port per cycle, from one slot to the next as well. Reads run ahead
    of the ring: a burst is requested as soon as its words have a place, be it in the ring or in the
    FIFO, so the memory's latency is covered while the ring is full and the port never waits with
    data on its way. The ring is filled to its last element: of a word for which only a part has
    room, that part is written, so a program may count on the whole capacity.

    A slot's ``run`` is a multiple of the element's bytes; bytes beyond that are dropped.
    With ``fence``, a slot waits until ``stores_done`` has caught up with the stores before it.

    Parameters
    ----------
    config : core configuration

    Members
    -------
    i : In(stream of NbinLoad), the queue
    stores_done : In(16), NBout slots whose data has reached memory, modulo 2**16
    axi : Out(ReadPort)
    write : Out(NbinWritePort)
    free : In(range(elements + 1)), elements the NFU gives up in this cycle
    arrived : Out(range(elements + 1)), elements that can be read from the next cycle on
    fencing : Out(1), a slot waits for stores
    halt : In(1), ask for nothing more and drop what is on its way; a reset must follow
    idle : Out(1), no slot is waiting or in work; while ``halt``, nothing is outstanding at ``axi``
    done : Out(1), pulse: the last beat of a slot came
    error : Out(1), pulse: ``code`` (BUS_NBIN) and ``pc`` of the slot
    bytes : Out, useful bytes fetched in this cycle
    """

    i: stream.Interface
    stores_done: Signal
    axi: Any
    write: Any
    free: Signal
    arrived: Signal
    fencing: Signal
    halt: Signal
    idle: Signal
    done: Signal
    error: Signal
    code: Any
    pc: Signal
    bytes: Signal

    def __init__(self, *, config: Config):
        self._config = config
        self._capacity = config.nbin_elements
        self._word_bytes = config.nbin_port // 8
        self._write_lanes = self._word_bytes // config.element_bytes
        self._word = data.StructLayout(
            {
                "elements": lanes(config.width, self._write_lanes),
                "count": range(self._write_lanes + 1),
                "advance": range(self._write_lanes + (1 << 16)),  # these, and the skip after them
            }
        )
        super().__init__(
            {
                "i": In(stream.Signature(NbinLoad)),
                "stores_done": In(16),
                "axi": Out(ReadPort(config.address_width, config.nbin_port)),
                "write": Out(
                    NbinWritePort(
                        elements=self._capacity,
                        width=config.width,
                        write_lanes=self._write_lanes,
                    )
                ),
                "free": In(range(self._capacity + 1)),
                "arrived": Out(range(self._capacity + 1)),
                "fencing": Out(1),
                "halt": In(1),
                "idle": Out(1),
                "done": Out(1),
                "error": Out(1),
                "code": Out(ErrorCode),
                "pc": Out(32),
                "bytes": Out(range(self._word_bytes + 1)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self._config
        m.submodules.dma = dma = ReadDma(
            address_width=config.address_width,
            data_width=config.nbin_port,
            outstanding=config.outstanding,
            burst=config.nbin_burst,
            burst_cycles=config.burst_cycles,
            run_width=min(32, config.address_width),
        )
        connect(m, flipped(self.axi), dma.axi)
        words = Queue(shape=self._word, depth=config.nbin_fifo + 1)
        m.submodules.words = words
        m.d.comb += [
            dma.halt.eq(self.halt),
            self.bytes.eq(dma.fetched),
        ]
        self._dispatch(m, dma, words)
        self._permit(m, dma, words)
        left = self._split(m, words)
        m.d.comb += self.idle.eq(
            dma.idle & (self.halt | ~(self.i.valid | words.level.any() | left.any()))
        )
        return m

    def _dispatch(self, m: Module, dma: ReadDma, words: Queue):
        """From the queue past the fence to the DMA, and its words into the FIFO."""
        slot = self.i.payload.slot
        slots = self._config.slots_in_work
        m.submodules.pcs = pcs = Queue(shape=unsigned(32), depth=slots)
        m.submodules.skips = skips = Queue(shape=unsigned(16), depth=slots)
        late = Signal(signed(16))
        blocked = Signal()
        accepted = self.i.valid & self.i.ready
        m.d.comb += [
            late.eq(self.stores_done - self.i.payload.stores),
            self.fencing.eq(self.i.valid & slot.fence & (late < 0)),
            blocked.eq(self.fencing | ~pcs.i.ready | ~skips.i.ready | self.halt),
            dma.i.payload.eq(slot.descriptor),
            dma.i.valid.eq(self.i.valid & ~blocked),
            self.i.ready.eq(dma.i.ready & ~blocked),
            pcs.i.payload.eq(self.i.payload.pc),
            pcs.i.valid.eq(accepted),
            pcs.o.ready.eq(dma.finished),
            self.done.eq(dma.finished),
            skips.i.payload.eq(slot.skip),
            skips.i.valid.eq(accepted),
            skips.o.ready.eq(dma.o.valid & dma.o.ready & dma.o.payload.last),
            self.error.eq(dma.error),
            self.code.eq(ErrorCode.BUS_NBIN),
            self.pc.eq(pcs.o.payload),
        ]

        word = words.i.payload
        m.d.comb += [
            word.elements.eq(dma.o.payload.data),
            word.count.eq(dma.o.payload.bytes // self._config.element_bytes),
            word.advance.eq(word.count + Mux(dma.o.payload.last, skips.o.payload, 0)),
            words.i.valid.eq(dma.o.valid),
            dma.o.ready.eq(words.i.ready),
        ]

    def _permit(self, m: Module, dma: ReadDma, words: Queue):
        """Let a burst go if all words up to its end have a place, whatever the NFU does.

        In the worst case the FIFO holds all words that were permitted and have not left it, but for
        one per ``write_lanes`` elements of the ring's room. ``places`` are left in the FIFO, below
        zero for words that the ring must take.
        """
        burst = dma.permit.payload

        # A word made of several bursts counts with the one that brings its first byte. ``before``
        # is one less than the bytes that are there of the run's last word, modulo a word.
        place_bits = (self._word_bytes - 1).bit_length()
        before = Signal(place_bits, reset_less=True)
        end = Signal(range((1 << len(burst.bytes)) + self._word_bytes))
        more = Signal(len(end) - place_bits)
        m.d.comb += [
            end.eq(burst.bytes + Mux(burst.first, self._word_bytes - 1, before)),
            more.eq(end[place_bits:]),
        ]

        # The ring's room that neither a word outside the FIFO nor the skips in work will take.
        most_skipped = (self._config.slots_in_work + words.depth + 1) << 16
        room = Signal(range(-most_skipped, self._capacity + 1), init=self._capacity)
        most = self._capacity // self._write_lanes
        places = Signal(range(-most, words.depth + 1), init=words.depth)
        in_ring = Signal(range(-most, words.depth + most + 1))
        released = words.o.valid & words.o.ready
        popped = Mux(released, words.o.payload.count, 0)
        m.d.comb += [
            in_ring.eq(places + room // self._write_lanes),
            dma.permit.ready.eq((more <= places) | ((room >= 0) & (more <= in_ring))),
        ]
        # Who asks for room, and whether it is there, is known late.
        room_after = Signal.like(room)
        places_after = Signal.like(places)
        m.d.comb += [
            room_after.eq(room + self.free - popped),
            places_after.eq(places + released),
        ]
        skip = self.i.payload.slot.skip
        m.d.sync += [
            room.eq(Mux(self.i.valid & self.i.ready, room_after - skip, room_after)),
            places.eq(Mux(dma.permit.valid & dma.permit.ready, places_after - more, places_after)),
        ]
        with m.If(dma.permit.valid & dma.permit.ready):
            m.d.sync += before.eq(end)

    def _split(self, m: Module, words: Queue) -> Signal:
        """Append as much of a word, and of the skip after it, as the ring has room for.

        Returns the number of elements that wait for room.
        """
        word = words.o.payload
        elements = Signal(lanes(self._config.width, self._write_lanes), reset_less=True)
        first = Signal(range(self._write_lanes))
        valued = Signal(range(self._write_lanes + 1))  # of those left
        left = Signal(range(self._write_lanes + (1 << 16)))
        room = Signal(range(self._capacity + 1), init=self._capacity)
        # What is spare of the room, below zero if it does not do. A register of its own, because a
        # lot depends on whether all fits.
        spare = Signal(range(-(1 << len(left)), self._capacity + 1), init=self._capacity)
        spare_after = Signal.like(spare)
        fits = Signal()
        few = room[: len(valued)]
        enough = fits | room[len(valued) :].any() | (valued < few)  # room for those of value
        m.d.comb += [
            fits.eq(spare >= 0),
            self.write.word.eq(elements),
            self.write.first.eq(first),
            self.write.advance.eq(Mux(fits, left, room)),
            self.write.count.eq(Mux(enough, valued, few)),
            words.o.ready.eq(fits),
            spare_after.eq(spare + self.free),
        ]
        m.d.sync += [
            room.eq(Mux(fits, spare_after, self.free)),
            spare.eq(spare_after),
            self.arrived.eq(self.write.advance),
        ]
        with m.If(fits & words.o.valid):
            m.d.sync += [
                elements.eq(word.elements),
                first.eq(0),
                valued.eq(word.count),
                left.eq(word.advance),
                spare.eq(spare_after - word.advance),
            ]
        with m.Else():
            m.d.sync += [
                first.eq(first + self.write.count),
                valued.eq(valued - self.write.count),
                left.eq(Mux(fits, 0, -spare)),
            ]
        return left


class SbLoader(wiring.Component):
    """Fills rows of SB with what SB slots load: each run of a descriptor is one row.

    ::

        slots -> check -> ReadDma -> pieces of rows (SbWritePort)

    Rows are used in turn, as a ring. A row is claimed before its first burst is requested, so the
    port never waits with data on its way. Throughput is one piece per cycle, from one slot to the
    next as well. A slot whose ``run`` is longer than a row (in whole beats of the port) or no
    multiple of the port's bytes is reported as SB_RANGE and dropped.

    Parameters
    ----------
    config : core configuration

    Members
    -------
    i : In(stream of SbLoad), the queue
    axi : Out(ReadPort)
    write : Out(SbWritePort)
    free : In(range(sb_rows + 1)), rows the NFU gives up in this cycle
    arrived : Out(1), pulse: a row can be read from the second cycle after this one on; its last
        piece is written in the next one
    halt : In(1), ask for nothing more and drop what is on its way; a reset must follow
    idle : Out(1), no slot is waiting or in work; while ``halt``, nothing is outstanding at ``axi``
    done : Out(1), pulse: the last beat of a slot came
    error : Out(1), pulse: ``code`` (BUS_SB or SB_RANGE) and ``pc`` of the slot
    bytes : Out, useful bytes fetched in this cycle
    """

    i: stream.Interface
    axi: Any
    write: Any
    free: Signal
    arrived: Signal
    halt: Signal
    idle: Signal
    done: Signal
    error: Signal
    code: Any
    pc: Signal
    bytes: Signal

    def __init__(self, *, config: Config):
        self._config = config
        self._row = SbWritePort(
            rows=config.sb_rows, row_bits=config.sb_row_bits, port=config.sb_port
        )
        super().__init__(
            {
                "i": In(stream.Signature(SbLoad)),
                "axi": Out(ReadPort(config.address_width, config.sb_port)),
                "write": Out(self._row),
                "free": In(range(config.sb_rows + 1)),
                "arrived": Out(1),
                "halt": In(1),
                "idle": Out(1),
                "done": Out(1),
                "error": Out(1),
                "code": Out(ErrorCode),
                "pc": Out(32),
                "bytes": Out(range(config.sb_port // 8 + 1)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self._config
        m.submodules.dma = dma = ReadDma(
            address_width=config.address_width,
            data_width=config.sb_port,
            outstanding=config.outstanding,
            burst=config.burst,
            burst_cycles=config.burst_cycles,
            run_width=min(32, config.address_width),
        )
        connect(m, flipped(self.axi), dma.axi)

        # From the queue to the DMA.
        slot, pc = self.i.payload.slot, self.i.payload.pc
        slots = self._config.slots_in_work
        m.submodules.pcs = pcs = Queue(shape=unsigned(32), depth=slots)
        piece_bytes = config.sb_port // 8
        run = slot.descriptor.run
        bad = Signal()
        blocked = Signal()
        m.d.comb += [
            bad.eq((run % piece_bytes != 0) | (run > self._row.pieces * piece_bytes)),
            blocked.eq(~pcs.i.ready | self.halt),
            dma.i.payload.eq(slot.descriptor),
            dma.i.valid.eq(self.i.valid & ~bad & ~blocked),
            self.i.ready.eq((dma.i.ready | bad) & ~blocked),
            pcs.i.payload.eq(pc),
            pcs.i.valid.eq(dma.i.valid & dma.i.ready),
            pcs.o.ready.eq(dma.finished),
            self.done.eq(dma.finished),
        ]

        # A row of SB for each run.
        rows = Signal(range(config.sb_rows + 1), init=config.sb_rows)
        claim = Signal()
        m.d.comb += [
            dma.permit.ready.eq(~dma.permit.payload.first | rows.any()),
            claim.eq(dma.permit.valid & dma.permit.ready & dma.permit.payload.first),
        ]
        m.d.sync += rows.eq(rows + self.free - claim)

        # The pieces of the rows.
        row, piece = Signal.like(self.write.row), Signal.like(self.write.piece)
        m.d.comb += [
            dma.o.ready.eq(1),
            self.arrived.eq(dma.o.valid & dma.o.payload.last_of_run),
        ]
        m.d.sync += [
            self.write.row.eq(row),
            self.write.piece.eq(piece),
            self.write.data.eq(dma.o.payload.data),
            self.write.enable.eq(dma.o.valid),
        ]
        with m.If(dma.o.valid):
            m.d.sync += piece.eq(piece + 1)
        with m.If(self.arrived):
            m.d.sync += [piece.eq(0), row.eq(Mux(row == config.sb_rows - 1, 0, row + 1))]

        m.d.comb += [
            dma.halt.eq(self.halt),
            self.idle.eq(dma.idle & (self.halt | ~self.i.valid)),
            self.error.eq(dma.error | (self.i.valid & self.i.ready & bad)),
            self.code.eq(Mux(dma.error, ErrorCode.BUS_SB, ErrorCode.SB_RANGE)),
            self.pc.eq(Mux(dma.error, pcs.o.payload, pc)),
            self.bytes.eq(dma.fetched),
        ]
        return m
