"""Compiled programs on the Verilog of a DaDianNao node: results as golden, cycles as the model."""

import numpy as np
import pytest

from compiler.dadiannao import lower
from hw.arith.numbers import bounds
from hw.dadiannao.assembler import decode
from hw.dadiannao.config import CONFIGS
from sim import golden
from sim.dadiannao.model import NodeModel
from sim.verilator.target import VerilatorTarget
from tests.compiler.networks import Network

TINY = CONFIGS["dadiannao-tiny"]


def convolutions(net: Network) -> str:
    x = net.conv(net.input(1, 4, 16, 16), 16, pads=(1, 1, 1, 1))
    x = net.pool(net.conv(x, 16), "max")
    return net.gemm(net.gemm(net.pool(net.conv(x, 32), "max", (3, 3), (1, 1)), 20), 8)


def images(net: Network) -> str:
    x = net.conv(net.input(2, 3, 14, 14), 8, (5, 5), pads=(2, 2, 2, 2))
    x = net.add(x, net.conv(x, 8, (1, 1)))
    return net.gemm(net.gemm(net.conv(net.conv(x, 12, strides=(2, 2)), 24), 40), 8)


def classifier(net: Network) -> str:
    return net.gemm(net.gemm(net.gemm(net.input(4, 32), 128), 96), 16)


@pytest.fixture(scope="module")
def target():
    target = VerilatorTarget(TINY)
    yield target
    target.close()


@pytest.mark.parametrize("make", [convolutions, images, classifier])
def test_results_and_cycles(target, make):
    """Layers that neither load nor store are timed: the model to 3 % of all, 7 % of each."""
    net = Network(TINY.core, 1)
    graph = net.graph(make(net))
    rng = np.random.default_rng(0)
    low, high = bounds(graph.width)
    inputs = {name: rng.integers(low, high + 1, graph.tensors[name].shape) for name in graph.inputs}
    program = lower(graph, TINY)
    done = target.run(program, inputs)
    expected = golden.run(graph, inputs).tensors
    for name in graph.outputs:
        np.testing.assert_array_equal(done.tensors[name], expected[name])

    model = NodeModel(TINY)
    model.run([slot for slot in decode(program.words) if slot.load is None and slot.store is None])
    inner = list(program.layers)[1:-1]
    assert len(inner) >= 1
    for tag in inner:
        assert model.layers[tag] == pytest.approx(done.layers[tag].cycles, rel=0.07), tag
    ours = sum(model.layers[tag] for tag in inner)
    assert ours == pytest.approx(sum(done.layers[tag].cycles for tag in inner), rel=0.03)
