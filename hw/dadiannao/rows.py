"""Loops over rows, as all slots that walk through a central memory have them."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .isa import ROW_LEVELS, CopyLevel

__all__ = ["NestLayout", "RowLayout", "Rows", "nest"]


class NestLayout(data.StructLayout):
    """Where loops begin, and how they move.

    address, other : unsigned(24), of the first row: in the central memory, and what moves with it
        (a row elsewhere, or an entry of the mask table)
    levels : ArrayLayout(CopyLevel), ``to_step`` moves ``other``
    """

    def __init__(self):
        super().__init__(
            {
                "address": unsigned(24),
                "other": unsigned(24),
                "levels": data.ArrayLayout(CopyLevel, ROW_LEVELS),
            }
        )


class RowLayout(data.StructLayout):
    """A row of the loops.

    address, other : signed(26), wide enough for the first one outside
    first_of_run, last_of_run : first or last iteration of the innermost loop
    last : last row of all
    """

    def __init__(self):
        super().__init__(
            {
                "address": signed(26),
                "other": signed(26),
                "first_of_run": unsigned(1),
                "last_of_run": unsigned(1),
                "last": unsigned(1),
            }
        )


def nest(m: Module, target: Any, slot: Any, other: str | None = None, step: str | None = None):
    """Make the payload ``target`` of a ``Rows`` from ``slot``.

    ``other`` and ``step`` are the names of the slot's and of the levels' fields that move along.
    """
    m.d.comb += target.address.eq(slot.address)
    if other is not None:
        m.d.comb += target.other.eq(getattr(slot, other))
    for n in range(ROW_LEVELS):
        m.d.comb += [
            target.levels[n].count.eq(slot.levels[n].count),
            target.levels[n].step.eq(slot.levels[n].step),
        ]
        if step is not None:
            m.d.comb += target.levels[n].to_step.eq(getattr(slot.levels[n], step))


class Rows(wiring.Component):
    """Runs the loops of a slot: one row per cycle, from one slot to the next as well; latency 1.

    Members
    -------
    i : In(stream(NestLayout)), counts are at least 1
    o : Out(stream(RowLayout))
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self):
        super().__init__(
            {
                "i": In(stream.Signature(NestLayout())),
                "o": Out(stream.Signature(RowLayout())),
            }
        )

    def elaborate(self, platform):
        m = Module()
        row = self.o.payload
        address, other = Signal(signed(26), reset_less=True), Signal(signed(26), reset_less=True)
        levels: Any = Signal(data.ArrayLayout(CopyLevel, ROW_LEVELS), reset_less=True)
        index = [Signal(16, name=f"index_{n}", reset_less=True) for n in range(ROW_LEVELS)]
        at_end = Signal(ROW_LEVELS)
        m.d.comb += [
            at_end.eq(Cat(i == level.count - 1 for i, level in zip(index, levels, strict=True))),
            row.address.eq(address),
            row.other.eq(other),
            row.first_of_run.eq(index[0] == 0),
            row.last_of_run.eq(at_end[0]),
            row.last.eq(at_end.all()),
            self.i.ready.eq(~self.o.valid | (self.o.ready & row.last)),
        ]
        with m.If(self.o.valid & self.o.ready):
            for n in range(ROW_LEVELS):
                # The lowest level that is not at its end advances; those inside it start over.
                with m.If(at_end[:n].all() & ~at_end[n]):
                    m.d.sync += [
                        address.eq(address + levels[n].step),
                        other.eq(other + levels[n].to_step),
                        index[n].eq(index[n] + 1),
                        *(index[inner].eq(0) for inner in range(n)),
                    ]
            with m.If(row.last):
                m.d.sync += self.o.valid.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                self.o.valid.eq(1),
                address.eq(self.i.payload.address),
                other.eq(self.i.payload.other),
                levels.eq(self.i.payload.levels),
                *(i.eq(0) for i in index),
            ]
        return m
