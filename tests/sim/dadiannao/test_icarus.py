"""A network in Icarus, on a node whose eDRAM destroys what is read and has to be refreshed."""

import numpy as np

from compiler.dadiannao import lower
from hw.arith.numbers import bounds
from hw.dadiannao.config import CONFIGS
from sim import golden
from sim.icarus import IcarusTarget
from tests.compiler.networks import Network


def test_macro():
    config = CONFIGS["dadiannao-tiny"].replace(
        name="macro", memory="macro", refresh_interval=256, tiles=2, sb_restore=2
    )
    net = Network(config.core, 3)
    x = net.conv(net.input(1, 3, 5, 5), 8, pads=(1, 1, 1, 1))
    graph = net.graph(net.gemm(net.pool(x, "max"), 6))
    rng = np.random.default_rng(0)
    low, high = bounds(graph.width)
    inputs = {name: rng.integers(low, high + 1, graph.tensors[name].shape) for name in graph.inputs}
    done = IcarusTarget(config).run(lower(graph, config), inputs)
    expected = golden.run(graph, inputs).tensors
    for name in graph.outputs:
        np.testing.assert_array_equal(done.tensors[name], expected[name])
