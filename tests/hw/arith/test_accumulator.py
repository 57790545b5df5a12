# amaranth: UnusedElaboratable=no
"""Proofs of the accumulator's adder, for all numbers."""

from types import SimpleNamespace

import pytest
from amaranth.hdl import Mux
from amaranth.lib import wiring

from hw.arith.accumulator import CCU2C, Accumulator
from tests.formal import assert_, assume, check, formal_module

FAMILIES = {"": None, "ecp5": SimpleNamespace(**{CCU2C: True})}
"""Platforms by the family whose cells they have."""


_INPUTS = ("word", "neuron", "larger", "base", "tree")


class Spec(wiring.Component):
    """Sums wrap, and the larger one of two neurons is whole."""

    def __init__(self, *, width: int, acc_width: int):
        self._accumulator = Accumulator(width=width, acc_width=acc_width, stages=0)
        members = self._accumulator.signature.members
        super().__init__({name: members[name] for name in _INPUTS})

    def elaborate(self, platform):
        m = formal_module()
        m.submodules.accumulator = accumulator = self._accumulator
        inputs = {name: getattr(self, name) for name in _INPUTS}
        word, neuron, larger, base, tree = inputs.values()
        width = accumulator.width
        m.d.comb += [getattr(accumulator, name).eq(value) for name, value in inputs.items()]
        m.d.comb += assume((word != 0) + (neuron != 0) + (tree != 0) <= 1)
        with m.If(larger):
            m.d.comb += [
                assume((tree == 0) & (word == 0)),
                assume(base == base[:width].as_signed()),
                assert_(accumulator.o == Mux(neuron > base, neuron, base)),
            ]
        with m.Else():
            total = (base + tree + word + neuron)[: len(base)]
            m.d.comb += assert_(accumulator.o == total.as_signed())
        return m


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("width", "acc_width"), [(1, 3), (4, 11), (16, 44)])
def test_sums_and_maxima(width, acc_width, family, tmp_path):
    spec = Spec(width=width, acc_width=acc_width)
    check(spec, tmp_path, depth=1, mode="bmc", platform=FAMILIES[family], cells=family)


def test_widths():
    with pytest.raises(ValueError, match="not 8 and 16"):
        Accumulator(width=8, acc_width=16, stages=0)
