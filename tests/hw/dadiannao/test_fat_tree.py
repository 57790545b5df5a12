"""The fat tree in several shapes, on both simulators."""

from dataclasses import asdict

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from hw.dadiannao.config import CONFIGS
from hw.dadiannao.fat_tree import Broadcast, Gather

SHAPES = {
    "uneven": {"tiles": 8, "arity": 4, "trunk": 32},
    "binary": {"tiles": 4, "arity": 2, "trunk": 16},
}


class BothWays(wiring.Component):
    """One build for both directions."""

    def __init__(self, config):
        self._down, self._up = Broadcast(config=config), Gather(config=config)
        super().__init__({"down": Out(self._down.signature), "up": Out(self._up.signature)})

    def elaborate(self, platform):
        m = Module()
        for name in ("down", "up"):
            part = getattr(self, f"_{name}")
            m.submodules[name] = part
            ports = part.signature.flatten(part), part.signature.flatten(getattr(self, name))
            for (_, member, inner), (_, _, outer) in zip(*ports, strict=True):
                m.d.comb += outer.eq(inner) if member.flow is Out else inner.eq(outer)
        return m


@pytest.mark.parametrize("shape", SHAPES)
def test_fat_tree(bench, shape):
    config = CONFIGS["dadiannao-tiny"].replace(**SHAPES[shape])
    bench(BothWays(config), "fat_tree", "tests.hw.dadiannao.bench_fat_tree", asdict(config))
