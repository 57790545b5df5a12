"""The loader: executes the load slots of the program."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..bus.axi import ReadPort
from ..bus.read_dma import ReadDma
from ..bus.realigner import WordLayout
from ..bus.streams import Queue
from ..program.decoder import QueuedLayout
from .config import NodeConfig
from .fat_tree import BroadcastLayout, Kind
from .isa import ROW_LEVELS, ErrorCode, LoadOp, LoadSlot
from .layouts import CentralWriteLayout
from .ranges import bad_row, bad_tiles
from .rows import Rows

__all__ = ["Loader", "ToRows"]

_SLOTS_IN_WORK = 4
"""Slots whose data may be on their way: loads are long, and few at a time."""

_WORDS_IN_FLIGHT = 128
"""Words that are asked for at least, before the first has come: a latency of about 100 cycles."""


class ToRows(wiring.Component):
    """Makes rows of Ti neurons from the words of runs; each run begins a new row.

    Words that hold several rows are taken apart, rows that hold several words are put together, a
    word per cycle in, or a row out, whichever takes longer. What a run does not fill is 0.
    Latency 1.

    Parameters
    ----------
    word_bits, row_bits : both powers of two times 8

    Members
    -------
    i : In(stream(WordLayout))
    o : Out(stream({data: row_bits, last: 1})), ``last`` row of the descriptor
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, *, word_bits: int, row_bits: int):
        self._word_bits = word_bits
        self._row_bits = row_bits
        layout = data.StructLayout({"data": unsigned(row_bits), "last": unsigned(1)})
        super().__init__(
            {
                "i": In(stream.Signature(WordLayout(word_bits))),
                "o": Out(stream.Signature(layout)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        word = self.i.payload
        word_bytes, row_bytes = self._word_bits // 8, self._row_bits // 8
        clean = Signal(self._word_bits)  # the word, 0 where it has no bytes
        for n in range(word_bytes):
            lane = slice(8 * n, 8 * n + 8)
            m.d.comb += clean[lane].eq(Mux(n < word.bytes, word.data[lane], 0))
        row = Signal(self._row_bits, reset_less=True)
        last = Signal(reset_less=True)
        free = Signal()
        m.d.comb += [
            self.o.payload.data.eq(row),
            self.o.payload.last.eq(last),
            free.eq(~self.o.valid | self.o.ready),
        ]
        if word_bytes >= row_bytes:
            place = Signal(range(max(2, word_bytes // row_bytes)))
            ending = Signal()
            m.d.comb += [
                ending.eq((place + 1) * row_bytes >= word.bytes),
                self.i.ready.eq(free & ending),
            ]
            with m.If(free):
                m.d.sync += [
                    self.o.valid.eq(self.i.valid),
                    row.eq(clean.word_select(place, self._row_bits)),
                    last.eq(word.last & ending),
                ]
                with m.If(self.i.valid):
                    m.d.sync += place.eq(Mux(ending, 0, place + 1))
        else:
            place = Signal(range(row_bytes // word_bytes))
            ending = Signal()
            m.d.comb += [
                ending.eq(word.last_of_run | (place == row_bytes // word_bytes - 1)),
                self.i.ready.eq(free),
            ]
            with m.If(free):
                m.d.sync += [self.o.valid.eq(self.i.valid & ending), last.eq(word.last)]
                with m.If(self.i.valid):
                    m.d.sync += place.eq(Mux(ending, 0, place + 1))
                    with m.If(place == 0):
                        m.d.sync += row.eq(clean)
                    with m.Else():
                        m.d.sync += row.word_select(place, self._word_bits).eq(clean)
        return m


class _WorkLayout(data.StructLayout):
    """A slot whose data are on their way."""

    def __init__(self):
        super().__init__({"slot": LoadSlot, "pc": unsigned(32)})


class Loader(wiring.Component):
    """Fills the central memories and the tiles' SB from the host's memory, or with zeros.

    ::

        slots -+-> ReadDma -> FIFO -> rows -+-> write (CENTRAL)
               +-> queue -> Rows -----------+-> o (SYNAPSES, over the fat tree)

    A burst is requested when the FIFO has room for all its words, so the port never waits with data
    on its way. Throughput is one word of the port per cycle, or one row, whichever takes longer,
    from one slot to the next as well.

    If the loops of a slot and its runs are not equally many rows, the slot ends with CENTRAL_RANGE
    or SB_RANGE at the end of the shorter ones.

    Parameters
    ----------
    config : of the node

    Members
    -------
    i : In(stream(QueuedLayout(LoadSlot))), the queue
    axi : Out(ReadPort)
    write : Out(stream(CentralWriteLayout))
    o : Out(stream(BroadcastLayout))
    halt : In(1), ask for nothing more and drop what is on its way; a reset must follow
    idle : Out(1), no slot is waiting or in work; while ``halt``, nothing is outstanding at ``axi``
    done : Out(1), pulse: the last row of a slot has gone
    error : Out(1), high while there is a fault, or a pulse for BUS_LOAD; of kind ``code``
    pc : Out(32), of the slot that is in work or at fault
    bytes : Out, useful bytes fetched in this cycle; ``synapses`` : Out(1), they are for SB
    """

    i: stream.Interface
    axi: Any
    write: stream.Interface
    o: stream.Interface
    halt: Signal
    idle: Signal
    done: Signal
    error: Signal
    code: Any
    pc: Signal
    bytes: Signal
    synapses: Signal

    def __init__(self, *, config: NodeConfig):
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(QueuedLayout(LoadSlot))),
                "axi": Out(ReadPort(config.address_width, config.bus_port)),
                "write": Out(stream.Signature(CentralWriteLayout(config))),
                "o": Out(stream.Signature(BroadcastLayout(config))),
                "halt": In(1),
                "idle": Out(1),
                "done": Out(1),
                "error": Out(1),
                "code": Out(ErrorCode),
                "pc": Out(32),
                "bytes": Out(range(config.bus_port // 8 + 1)),
                "synapses": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.dma = dma = ReadDma(
            address_width=config.address_width,
            data_width=config.bus_port,
            outstanding=config.outstanding,
            burst=config.burst,
        )
        connect(m, flipped(self.axi), dma.axi)
        work = self._dispatch(m, dma)
        words = self._fetch(m, dma)
        m.submodules.to_rows = to_rows = ToRows(word_bits=config.bus_port, row_bits=config.row_bits)
        connect(m, words.o, to_rows.i)
        busy = self._place(m, work, to_rows, dma.error)
        m.d.comb += self.idle.eq(
            dma.idle
            & (self.halt | ~Cat(self.i.valid, work.level.any(), busy, to_rows.o.valid).any())
        )
        return m

    def _dispatch(self, m: Module, dma: ReadDma) -> Queue:
        """From the queue to the DMA, and to those whose data are on their way."""
        slot, pc = self.i.payload.slot, self.i.payload.pc
        m.submodules.work = work = Queue(shape=_WorkLayout(), depth=_SLOTS_IN_WORK)
        m.submodules.reads = reads = Queue(
            shape=data.StructLayout({"pc": unsigned(32), "synapses": unsigned(1)}),
            depth=_SLOTS_IN_WORK + 1,
        )
        clears = Signal()
        free = Signal()
        m.d.comb += [
            clears.eq(slot.op == LoadOp.CLEAR),
            free.eq(work.i.ready & reads.i.ready & ~self.halt),
            self.i.ready.eq(free & (clears | dma.i.ready)),
            dma.i.payload.eq(slot.descriptor),
            dma.i.valid.eq(self.i.valid & free & ~clears),
            work.i.valid.eq(self.i.valid & self.i.ready),
            work.i.payload.slot.eq(slot),
            work.i.payload.pc.eq(pc),
            reads.i.valid.eq(self.i.valid & self.i.ready & ~clears),
            reads.i.payload.pc.eq(pc),
            reads.i.payload.synapses.eq(slot.op == LoadOp.SYNAPSES),
            reads.o.ready.eq(dma.finished),
            self.bytes.eq(dma.fetched),
            self.synapses.eq(reads.o.payload.synapses),
            dma.halt.eq(self.halt),
        ]
        with m.If(dma.error):
            m.d.comb += [
                self.error.eq(1),
                self.code.eq(ErrorCode.BUS_LOAD),
                self.pc.eq(reads.o.payload.pc),
            ]
        return work

    def _fetch(self, m: Module, dma: ReadDma) -> Queue:
        """The FIFO, and the permission for bursts whose words have a place in it."""
        word_bytes = self._config.bus_port // 8
        # Words on their way have a place here, so this many cover the latency of the host's memory.
        # A burst may bring a word more than it has beats: the rest of the one before it.
        depth = max(_WORDS_IN_FLIGHT, 4 * self._config.burst) + 2
        m.submodules.words = words = Queue(shape=WordLayout(self._config.bus_port), depth=depth)
        connect(m, dma.o, words.i)
        burst = dma.permit.payload
        # A word made of two bursts counts with the one that brings its first byte.
        tail = Signal(range(word_bytes))  # bytes of the run's last word, if it is not complete
        before = Signal(range(word_bytes))
        after = Signal(range((1 << len(burst.bytes)) + word_bytes))
        more = Signal(range((1 << len(burst.bytes)) // word_bytes + 2))
        claimed = Signal(range(depth + 1))
        permitted = Signal()
        m.d.comb += [
            before.eq(Mux(burst.first, 0, tail)),
            after.eq(before + burst.bytes),
            more.eq((after + word_bytes - 1) // word_bytes - before.any()),
            dma.permit.ready.eq(claimed + more <= depth),
            permitted.eq(dma.permit.valid & dma.permit.ready),
        ]
        m.d.sync += claimed.eq(claimed + Mux(permitted, more, 0) - (words.o.valid & words.o.ready))
        with m.If(permitted):
            m.d.sync += tail.eq(after)
        return words

    def _place(self, m: Module, work: Queue, source: ToRows, dma_error: Signal) -> Value:
        """Give each row its place. Returns whether a slot's rows have not all gone."""
        config = self._config
        m.submodules.rows = rows = Rows()
        slot, row = work.o.payload.slot, rows.o.payload
        nest = rows.i.payload
        synapses = Signal()
        m.d.comb += [synapses.eq(slot.op == LoadOp.SYNAPSES), nest.address.eq(slot.address)]
        with m.If(synapses):  # Tn rows for each row of SB
            m.d.comb += [
                nest.levels[0].count.eq(config.tn),
                nest.levels[1].count.eq(slot.levels[0].count),
                nest.levels[1].step.eq(1),
                *(nest.levels[n].count.eq(1) for n in range(2, ROW_LEVELS)),
            ]
        with m.Else():
            for n in range(ROW_LEVELS):
                m.d.comb += [
                    nest.levels[n].count.eq(slot.levels[n].count),
                    nest.levels[n].step.eq(slot.levels[n].step),
                ]

        to_tiles, clears, bank = Signal(), Signal(), Signal()
        tiles, pc = Signal(config.tiles, reset_less=True), Signal(32, reset_less=True)
        bad_mask, bad_levels = Signal(), Signal()
        m.d.comb += [
            bad_mask.eq(synapses & bad_tiles(config, slot.tiles)),
            bad_levels.eq(
                synapses & Cat(slot.levels[n].count != 1 for n in range(1, ROW_LEVELS)).any()
            ),
            rows.i.valid.eq(work.o.valid & ~bad_mask & ~bad_levels),
            work.o.ready.eq(rows.i.ready & ~bad_mask & ~bad_levels),
        ]
        with m.If(work.o.valid & work.o.ready):
            m.d.sync += [
                to_tiles.eq(synapses),
                clears.eq(slot.op == LoadOp.CLEAR),
                bank.eq(slot.bank),
                tiles.eq(slot.tiles),
                pc.eq(work.o.payload.pc),
            ]

        outside, uneven, good = Signal(), Signal(), Signal()
        m.d.comb += [
            outside.eq(
                Mux(
                    to_tiles,
                    bad_row(row.address, config.sb_rows),
                    bad_row(row.address, config.central_rows),
                )
            ),
            uneven.eq(~clears & source.o.valid & (source.o.payload.last != row.last)),
            good.eq(rows.o.valid & (clears | source.o.valid) & ~outside & ~uneven),
            self.write.payload.place.bank.eq(bank),
            self.write.payload.place.address.eq(row.address),
            self.write.payload.data.eq(Mux(clears, 0, source.o.payload.data)),
            self.write.valid.eq(good & ~to_tiles),
            self.o.payload.row.data.eq(source.o.payload.data),
            self.o.payload.row.kind.eq(Kind.SYNAPSES),
            self.o.payload.row.row.eq(row.address),
            self.o.payload.tiles.eq(tiles),
            self.o.valid.eq(good & to_tiles),
            rows.o.ready.eq(good & Mux(to_tiles, self.o.ready, self.write.ready)),
            source.o.ready.eq(rows.o.ready & ~clears),
            self.done.eq(rows.o.valid & rows.o.ready & row.last),
        ]

        def fault(code, where):
            m.d.comb += [self.error.eq(1), self.code.eq(code), self.pc.eq(where)]

        with m.If(~dma_error):
            m.d.comb += self.pc.eq(pc)
        with m.If(rows.o.valid & (outside | uneven)):
            fault(Mux(to_tiles, ErrorCode.SB_RANGE, ErrorCode.CENTRAL_RANGE), pc)
        with m.Elif(work.o.valid & rows.i.ready & bad_mask):
            fault(ErrorCode.TILE_RANGE, work.o.payload.pc)
        with m.Elif(work.o.valid & rows.i.ready & bad_levels):
            fault(ErrorCode.SB_RANGE, work.o.payload.pc)
        return rows.o.valid
