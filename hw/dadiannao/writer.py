"""The writer: executes the write slots of the program."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..bus.streams import Queue
from ..program.decoder import QueuedLayout
from .config import NodeConfig
from .isa import ErrorCode, WriteSlot
from .layouts import CentralRowLayout, CentralWriteLayout
from .ranges import bad_row, bad_tiles
from .rows import Rows, nest

__all__ = ["Writer"]

_AHEAD = 32
"""Rows that may be asked for ahead; covers the way to the tiles and back of the highest tree."""


class Writer(wiring.Component):
    """Collects finished rows from the tiles, in turns, and writes them to the central memories.

    ::

        slots -> Rows --+-> tile of each row -> order ..... fat tree ..... row -+-> write
                        +-> place of each row -> queue -------------------------+

    A row per cycle, from one slot to the next as well.

    Parameters
    ----------
    config : of the node

    Members
    -------
    i : In(stream(QueuedLayout(WriteSlot))), the queue
    order : Out(stream(tile)), whose row comes next
    row : In(stream(row_bits)), in that order
    write : Out(stream(CentralWriteLayout))
    idle : Out(1), no slot is waiting or in work
    done : Out(1), pulse: the last row of a slot is written
    error : Out(1), high while there is a fault, of kind ``code``
    pc : Out(32), of the slot that is in work or at fault
    """

    i: stream.Interface
    order: stream.Interface
    row: stream.Interface
    write: stream.Interface
    idle: Signal
    done: Signal
    error: Signal
    code: Any
    pc: Signal

    def __init__(self, *, config: NodeConfig):
        self._config = config
        self._digits = max(1, (config.tiles - 1).bit_length())
        super().__init__(
            {
                "i": In(stream.Signature(QueuedLayout(WriteSlot))),
                "order": Out(stream.Signature(unsigned(self._digits))),
                "row": In(stream.Signature(unsigned(config.row_bits))),
                "write": Out(stream.Signature(CentralWriteLayout(config))),
                "idle": Out(1),
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
        nest(m, rows.i.payload, slot)

        # Take a slot.
        bank, pc = Signal(), Signal(32, reset_less=True)
        burst = Signal(16, reset_less=True)
        tiles = Signal(config.tiles, reset_less=True)
        taken = Signal()
        bad = Signal()
        m.d.comb += [
            bad.eq(bad_tiles(config, slot.tiles)),
            rows.i.valid.eq(self.i.valid & ~bad),
            self.i.ready.eq(rows.i.ready & ~bad),
            taken.eq(self.i.valid & self.i.ready),
        ]
        with m.If(taken):
            m.d.sync += [
                bank.eq(slot.bank),
                pc.eq(self.i.payload.pc),
                burst.eq(slot.burst),
                tiles.eq(slot.tiles),
            ]

        # Ask for its rows: ``burst`` of the lowest tile in ``left``, then of the next one.
        m.submodules.places = places = Queue(
            shape=data.StructLayout({"place": CentralRowLayout(config), "last": unsigned(1)}),
            depth=_AHEAD,
        )
        left = Signal(config.tiles, reset_less=True)
        others = Signal(config.tiles)
        more = Signal(16, reset_less=True)
        outside, good = Signal(), Signal()
        m.d.comb += [
            others.eq(left & (left - 1)),
            outside.eq(bad_row(row.address, config.central_rows)),
            good.eq(rows.o.valid & ~outside),
            self.order.valid.eq(good & places.i.ready),
            places.i.valid.eq(good & self.order.ready),
            places.i.payload.place.bank.eq(bank),
            places.i.payload.place.address.eq(row.address),
            places.i.payload.last.eq(row.last),
            rows.o.ready.eq(good & self.order.ready & places.i.ready),
        ]
        for n in reversed(range(config.tiles)):
            with m.If(left[n]):
                m.d.comb += self.order.payload.eq(n)
        with m.If(taken):
            m.d.sync += [left.eq(slot.tiles), more.eq(slot.burst - 1)]
        with m.Elif(rows.o.valid & rows.o.ready):
            m.d.sync += more.eq(more - 1)
            with m.If(more == 0):
                m.d.sync += [left.eq(Mux(others.any(), others, tiles)), more.eq(burst - 1)]

        # Write what comes.
        m.d.comb += [
            self.write.payload.place.eq(places.o.payload.place),
            self.write.payload.data.eq(self.row.payload),
            self.write.valid.eq(self.row.valid & places.o.valid),
            self.row.ready.eq(self.write.ready & places.o.valid),
            places.o.ready.eq(self.write.ready & self.row.valid),
            self.done.eq(self.write.valid & self.write.ready & places.o.payload.last),
            self.idle.eq(~Cat(self.i.valid, rows.o.valid, places.level.any()).any()),
        ]

        m.d.comb += self.pc.eq(pc)
        with m.If(rows.o.valid & outside):
            m.d.comb += [self.error.eq(1), self.code.eq(ErrorCode.CENTRAL_RANGE)]
        with m.Elif(self.i.valid & bad & rows.i.ready):
            m.d.comb += [
                self.error.eq(1),
                self.code.eq(ErrorCode.TILE_RANGE),
                self.pc.eq(self.i.payload.pc),
            ]
        return m
