"""The memory under every scratchpad: one write and one read port."""

from typing import Any

from amaranth.hdl import Module, ShapeLike, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["UNDEFINED_COLLISIONS", "Ram"]

UNDEFINED_COLLISIONS = "undefined_collisions"
"""Attribute of a platform whose tools need no definition of what a read of the row gives that is
written in the same cycle; it saves a comparison in front of each memory."""


class Ram(wiring.Component):
    """``depth`` rows, one written and one read in each cycle.

    ``read_data`` shows row ``read_row`` from the cycle after one with ``read`` and keeps it until
    the next read. A read of the row that is written in the same cycle is not done: ``read_data``
    keeps its old value. Whoever owns the memory never needs such a read, and because it cannot
    happen, synthesis needs no logic that would define its result (on FPGA families whose block
    RAMs do not, that is a register and a multiplexer per data bit). On a platform with
    ``UNDEFINED_COLLISIONS`` it is done and gives anything. Contents are not reset.

    Parameters
    ----------
    shape : shape of a row
    depth : rows, at least 2
    granularity : bits (or elements, if ``shape`` is an array) written together under one bit of
        ``write``; None for the whole row

    Members
    -------
    write_row : In(range(depth))
    write : In(number of granules)
    write_data : In(shape)
    read_row : In(range(depth))
    read : In(1)
    read_data : Out(shape)
    """

    write_row: Signal
    write: Signal
    write_data: Any
    read_row: Signal
    read: Signal
    read_data: Any

    def __init__(self, *, shape: ShapeLike, depth: int, granularity: int | None = None):
        if depth < 2:
            raise ValueError(f"depth must be at least 2, not {depth!r}")
        self._memory = memory.Memory(shape=shape, depth=depth, init=[])
        self._write_port = self._memory.write_port(granularity=granularity)
        super().__init__(
            {
                "write_row": In(range(depth)),
                "write": In(len(self._write_port.en)),
                "write_data": In(shape),
                "read_row": In(range(depth)),
                "read": In(1),
                "read_data": Out(shape),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.memory = self._memory
        write_port = self._write_port
        read_port = self._memory.read_port()
        read = self.read
        if not getattr(platform, UNDEFINED_COLLISIONS, False):
            read &= ~(self.write.any() & (self.write_row == self.read_row))
        m.d.comb += [
            write_port.addr.eq(self.write_row),
            write_port.en.eq(self.write),
            write_port.data.eq(self.write_data),
            read_port.addr.eq(self.read_row),
            read_port.en.eq(read),
            self.read_data.eq(read_port.data),
        ]
        return m
