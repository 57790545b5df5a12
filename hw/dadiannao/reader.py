"""The reader: executes the read slots of the program."""

from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..bus.streams import Queue
from ..program.decoder import QueuedLayout
from .config import NodeConfig
from .fat_tree import BroadcastLayout, Kind
from .isa import ErrorCode, ReadOp, ReadSlot
from .layouts import CentralRowLayout
from .ranges import bad_row, bad_tiles
from .rows import Rows, nest

__all__ = ["Reader"]


class Reader(wiring.Component):
    """Reads rows of the central memories and sends each to the tiles of its mask.

    ::

        slots -> Rows --+-> read ....... central ....... row -+-> o
                        +-> mask table -> queue --------------+

    A row per cycle, from one slot to the next as well. The table belongs to the program: an entry
    that it has not set does not exist. MASK takes a cycle, after the rows of the slots before it
    have been asked for.

    Parameters
    ----------
    config : of the node

    Members
    -------
    i : In(stream(QueuedLayout(ReadSlot))), the queue
    arrived : In(32).array(nodes), rows that have come from each node
    read : Out(stream(CentralRowLayout))
    row : In(stream(row_bits))
    o : Out(stream(BroadcastLayout))
    idle : Out(1), no slot is waiting or in work, and no row on its way to ``o``
    waiting : Out(1), a slot waits for arrivals, and none is in work
    done : Out(1), pulse: a slot has read its last row
    error : Out(1), high while there is a fault, of kind ``code``
    pc : Out(32), of the slot that is in work, waits or is at fault
    """

    i: stream.Interface
    arrived: Any
    read: stream.Interface
    row: stream.Interface
    o: stream.Interface
    idle: Signal
    waiting: Signal
    done: Signal
    error: Signal
    code: Any
    pc: Signal

    def __init__(self, *, config: NodeConfig):
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(QueuedLayout(ReadSlot))),
                "arrived": In(32).array(config.nodes),
                "read": Out(stream.Signature(CentralRowLayout(config))),
                "row": In(stream.Signature(unsigned(config.row_bits))),
                "o": Out(stream.Signature(BroadcastLayout(config))),
                "idle": Out(1),
                "waiting": Out(1),
                "done": Out(1),
                "error": Out(1),
                "code": Out(ErrorCode),
                "pc": Out(32),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.rows = rows = Rows()
        slot, row = self.i.payload.slot, rows.o.payload
        nest(m, rows.i.payload, slot, "mask", "mask_step")

        # Take a slot.
        table = Array(
            Signal(config.tiles, name=f"mask_{n}", reset_less=True) for n in range(config.masks)
        )
        known = Signal(config.masks)
        bank, pc = Signal(), Signal(32, reset_less=True)
        defines, waits = Signal(), Signal()
        bad_mask, nobody, late = Signal(), Signal(), Signal()
        m.d.comb += [
            defines.eq(slot.op == ReadOp.MASK),
            bad_mask.eq(defines & ((slot.mask > config.masks - 1) | bad_tiles(config, slot.tiles))),
            waits.eq(slot.op == ReadOp.WAIT),
            nobody.eq(~defines & (slot.source > config.nodes - 1)),
            late.eq(nobody | (slot.arrivals > Array(self.arrived)[slot.source])),
            self.waiting.eq(self.i.valid & ~defines & ~nobody & late & ~rows.o.valid),
            rows.i.valid.eq(self.i.valid & ~defines & ~waits & ~late),
        ]
        with m.If(defines):
            m.d.comb += self.i.ready.eq(~rows.o.valid & ~bad_mask)
            with m.If(self.i.valid & self.i.ready):
                m.d.sync += [table[slot.mask].eq(slot.tiles), known.bit_select(slot.mask, 1).eq(1)]
        with m.Elif(waits):
            m.d.comb += self.i.ready.eq(~late)
        with m.Else():
            m.d.comb += self.i.ready.eq(rows.i.ready & ~late)
            with m.If(self.i.valid & self.i.ready):
                m.d.sync += [bank.eq(slot.bank), pc.eq(self.i.payload.pc)]

        # Ask for its rows, and keep where they go.
        m.submodules.masks = masks = Queue(
            shape=unsigned(config.tiles), depth=config.central_latency + 8
        )
        outside, unknown = Signal(), Signal()
        good = Signal()
        m.d.comb += [
            outside.eq(bad_row(row.address, config.central_rows)),
            unknown.eq(bad_row(row.other, config.masks) | ~known.bit_select(row.other[:8], 1)),
            good.eq(rows.o.valid & ~outside & ~unknown),
            self.read.payload.bank.eq(bank),
            self.read.payload.address.eq(row.address),
            self.read.valid.eq(good & masks.i.ready),
            masks.i.payload.eq(table[row.other[:8]]),
            masks.i.valid.eq(good & self.read.ready),
            rows.o.ready.eq(good & self.read.ready & masks.i.ready),
            self.done.eq(
                (rows.o.valid & rows.o.ready & row.last)
                | ((defines | waits) & self.i.valid & self.i.ready)
            ),
        ]

        # What comes goes there.
        m.d.comb += [
            self.o.payload.row.data.eq(self.row.payload),
            self.o.payload.row.kind.eq(Kind.NEURONS),
            self.o.payload.tiles.eq(masks.o.payload),
            self.o.valid.eq(self.row.valid & masks.o.valid),
            self.row.ready.eq(self.o.ready & masks.o.valid),
            masks.o.ready.eq(self.o.ready & self.row.valid),
            self.idle.eq(~Cat(self.i.valid, rows.o.valid, masks.level.any()).any()),
        ]

        m.d.comb += self.pc.eq(Mux(self.waiting, self.i.payload.pc, pc))
        with m.If(rows.o.valid & outside):
            m.d.comb += [self.error.eq(1), self.code.eq(ErrorCode.CENTRAL_RANGE)]
        with m.Elif(rows.o.valid & unknown):
            m.d.comb += [self.error.eq(1), self.code.eq(ErrorCode.TILE_RANGE)]
        with m.Elif(self.i.valid & (bad_mask | nobody) & ~rows.o.valid):
            m.d.comb += [
                self.error.eq(1),
                self.code.eq(Mux(nobody, ErrorCode.NODE_RANGE, ErrorCode.TILE_RANGE)),
                self.pc.eq(self.i.payload.pc),
            ]
        return m
