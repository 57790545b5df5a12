"""The crossbar."""

from typing import Any

from amaranth.hdl import Module, ShapeLike, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .port import PORTS

__all__ = ["Crossbar"]


class Crossbar(wiring.Component):
    """Any input to any output, combinational: a layer of AND and one of OR.

    Parameters
    ----------
    shape : of what passes

    Members
    -------
    i : In(ArrayLayout(shape, PORTS))
    select : In(ArrayLayout(PORTS bits, PORTS)), by output: its input, one-hot or 0
    o : Out(ArrayLayout(shape, PORTS)), 0 where nothing is selected
    """

    i: Any
    select: Any
    o: Any

    def __init__(self, shape: ShapeLike):
        super().__init__(
            {
                "i": In(data.ArrayLayout(shape, PORTS)),
                "select": In(data.ArrayLayout(PORTS, PORTS)),
                "o": Out(data.ArrayLayout(shape, PORTS)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        inputs = [Value.cast(self.i[port]) for port in range(PORTS)]
        for output in range(PORTS):
            select = self.select[output]
            chosen = 0
            for port, value in enumerate(inputs):
                chosen |= value & select[port].replicate(len(value))
            m.d.comb += Value.cast(self.o[output]).eq(chosen)
        return m
