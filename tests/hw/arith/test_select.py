# amaranth: UnusedElaboratable=no
"""Multiplexers."""

import pytest
from amaranth.hdl import C, Module, Signal
from amaranth.sim import Simulator

from hw.arith.select import one_of


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_one_of(count):
    """Every value, and behind the last one bit 0 of the number."""
    number, chosen = Signal(4), Signal(5)
    values = [(7 * k + 3) % 32 for k in range(count)]
    m = Module()
    m.d.comb += chosen.eq(one_of(m, [C(value, 5) for value in values], number, "value"))

    async def compare(ctx):
        for k in range(16):
            ctx.set(number, k)
            assert ctx.get(chosen) == (values[k] if k < count else 31 * (k % 2)), k

    simulator = Simulator(m)
    simulator.add_testbench(compare)
    simulator.run()


def test_widths():
    with pytest.raises(ValueError, match="same width"):
        one_of(Module(), [C(0, 3), C(0, 2)], Signal(2), "value")
