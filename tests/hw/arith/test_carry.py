"""Adders with a carry in."""

import pytest
from amaranth.hdl import C, Module, Signal
from amaranth.sim import Simulator

from hw.arith.carry import add_with_carry


def test_sums():
    """All sums of three bits, modulo eight."""
    a, b, carry, total = Signal(3), Signal(3), Signal(), Signal(3)
    m = Module()
    m.d.comb += total.eq(add_with_carry(a, b, carry))

    async def compare(ctx):
        for case in range(1 << 7):
            x, y, z = case & 7, case >> 3 & 7, case >> 6
            ctx.set(a, x)
            ctx.set(b, y)
            ctx.set(carry, z)
            assert ctx.get(total) == (x + y + z) % 8

    simulator = Simulator(m)
    simulator.add_testbench(compare)
    simulator.run()


def test_widths():
    with pytest.raises(ValueError, match="equally wide"):
        add_with_carry(C(0, 3), C(0, 2), C(0, 1))
