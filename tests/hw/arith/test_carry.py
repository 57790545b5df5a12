"""Adders with a carry in."""

import pytest
from amaranth.hdl import C, Cat, Module, Signal, signed
from amaranth.sim import Simulator

from hw.arith.carry import add_with_carry, sum_or_larger


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


def test_sums_and_comparisons():
    """All pairs of numbers of four bits."""
    a, b, compares = Signal(signed(4)), Signal(signed(4)), Signal()
    total, choice = Signal(4), Signal(2)
    m = Module()
    result = sum_or_larger(a, b, compares)
    m.d.comb += [total.eq(result), choice.eq(Cat(result[7], result[5]))]

    async def compare(ctx):
        for x in range(-8, 8):
            for y in range(-8, 8):
                ctx.set(a, x)
                ctx.set(b, y)
                ctx.set(compares, 0)
                assert (ctx.get(total), ctx.get(choice)) == ((x + y) % 16, 0)
                ctx.set(b, ~y)
                ctx.set(compares, 1)
                assert ctx.get(choice) == (1 if x >= y else 3 if y < 0 else 2), (x, y)

    simulator = Simulator(m)
    simulator.add_testbench(compare)
    simulator.run()


def test_widths():
    with pytest.raises(ValueError, match="equally wide"):
        add_with_carry(C(0, 3), C(0, 2), C(0, 1))
