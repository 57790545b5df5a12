# amaranth: UnusedElaboratable=no
"""Joined operators against plain sums of products, in both simulators."""

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.aggregate import JoinableAdder, JoinableProducts, JoinableTree
from hw.arith.functions import JoinableFunctions
from hw.arith.pipeline import delay


class Pair(wiring.Component):
    """Products and trees of a pair of outputs."""

    enable: Signal
    joined: Signal
    half: Signal
    x: data.View
    w: data.View
    o: data.View
    whole: Signal

    def __init__(self, *, width: int, ti: int, style: str, stages: tuple[int, int]):
        self._products = JoinableProducts(width=width, ti=ti, style=style, stages=stages[0])
        self._tree = JoinableTree(width=width, ti=ti, stages=stages[1])
        inputs = self._products.signature.members
        outputs = self._tree.signature.members
        super().__init__(
            {name: In(inputs[name].shape) for name in ("enable", "joined", "half", "x", "w")}
            | {name: Out(outputs[name].shape) for name in ("o", "whole")}
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.products = products = self._products
        m.submodules.tree = tree = self._tree
        m.d.comb += [
            products.enable.eq(self.enable),
            products.joined.eq(self.joined),
            products.half.eq(self.half),
            products.x.eq(self.x),
            products.w.eq(self.w),
            tree.enable.eq(self.enable),
            tree.joined.eq(
                delay(m, self.joined, products.latency, enable=self.enable, name="joined")
            ),
            tree.i.eq(products.o),
            self.o.eq(tree.o),
            self.whole.eq(tree.whole),
        ]
        return m


@pytest.mark.parametrize(
    ("width", "ti", "style", "stages"),
    [(3, 2, "array", (1, 0)), (2, 4, "dsp", (1, 1)), (16, 16, "dsp", (2, 2))],
)
def test_pair(bench, width, ti, style, stages):
    config = {"width": width, "ti": ti, "latency": sum(stages)}
    unit = Pair(width=width, ti=ti, style=style, stages=stages)
    bench(unit, "pair", "tests.hw.arith.bench_aggregate", config)


@pytest.mark.parametrize("width", [2, 47])
def test_adder(bench, width):
    parameters = {"width": width}
    config = {"unit": "adder", "parameters": parameters, "latency": 0}
    bench(JoinableAdder(**parameters), "unit", "tests.hw.arith.bench_arith", config)


@pytest.mark.parametrize(
    ("width", "lanes", "segments", "max_scale", "stages"),
    [(16, 2, 5, 63, 3), (8, 2, 3, 31, 1)],
)
def test_functions(bench, width, lanes, segments, max_scale, stages):
    parameters = {
        "width": width, "lanes": lanes, "segments": segments, "max_scale": max_scale,
        "stages": stages,
    }  # fmt: skip
    unit = JoinableFunctions(style="dsp", **parameters)
    config = {"unit": "functions", "parameters": parameters, "latency": unit.latency}
    bench(unit, "unit", "tests.hw.arith.bench_arith", config)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"width": 0}, "width must be 1 or more, not 0"), ({"ti": 3}, "ti must be even, not 3")],
)
@pytest.mark.parametrize(
    ("unit", "more"), [(JoinableProducts, {"style": "dsp"}), (JoinableTree, {})]
)
def test_refuses(unit, more, changes, message):
    with pytest.raises(ValueError, match=message):
        unit(**{"width": 4, "ti": 4, "stages": 1} | more | changes)
