"""Compiled programs on the RTL of DaDianNao machines: results of golden, cycles of the model."""

import numpy as np
import pytest

from compiler.dadiannao import lower
from hw.arith.numbers import bounds
from hw.dadiannao.assembler import Read, decode
from hw.dadiannao.config import CONFIGS, NodeConfig
from hw.dadiannao.isa import ReadOp
from hw.nfu.layouts import Op
from sim import golden
from sim.dadiannao.model import MachineModel
from sim.dadiannao.program import MachineProgram
from sim.execution import Execution
from sim.graph import Graph
from sim.verilator.target import VerilatorTarget
from tests.compiler.networks import Network

MACHINES = {
    "1x1": CONFIGS["dadiannao-tiny"],
    "2x1": CONFIGS["dadiannao-tiny-4"].replace(name="dadiannao-tiny-2", columns=1),
    "2x2": CONFIGS["dadiannao-tiny-4"],
}


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


def borders(net: Network) -> str:
    """Windows that reach far into what other nodes have."""
    x = net.conv(net.input(1, 4, 24, 24), 8, (5, 5))
    return net.conv(net.conv(x, 8, (5, 5)), 4)


@pytest.fixture(
    scope="module",
    params=["1x1", *(pytest.param(mesh, marks=pytest.mark.slow) for mesh in ("2x1", "2x2"))],
)
def machine(request):
    target = VerilatorTarget(MACHINES[request.param])
    yield target, MACHINES[request.param]
    target.close()


def run(
    target: VerilatorTarget, config: NodeConfig, graph: Graph
) -> tuple[MachineProgram, Execution]:
    """Run a network on random inputs; every output as golden has it."""
    rng = np.random.default_rng(0)
    low, high = bounds(graph.width)
    inputs = {name: rng.integers(low, high + 1, graph.tensors[name].shape) for name in graph.inputs}
    program = lower(graph, config)
    done = target.run(program, inputs)
    expected = golden.run(graph, inputs).tensors
    for name in graph.outputs:
        np.testing.assert_array_equal(done.tensors[name], expected[name])
    return program, done


@pytest.mark.parametrize("make", [convolutions, images, classifier, borders])
def test_results_and_cycles(machine, make):
    """Layers of node 0 that neither load nor store: the model to 1 % of all.

    Of each layer to 2 %, or 4 % on 2x2 nodes, where some have about 200 cycles.
    """
    target, config = machine
    net = Network(config.core, 1)
    program, done = run(target, config, net.graph(make(net)))
    model = MachineModel(config)
    model.run(program)
    ours = model.nodes[0].layers
    inner = list(program.layers)[1:-1]
    print({tag: (ours[tag], done.layers[tag].cycles) for tag in program.layers})
    assert len(inner) >= 1
    rtl = sum(done.layers[tag].cycles for tag in inner)
    assert sum(ours[tag] for tag in inner) == pytest.approx(rtl, rel=0.01)
    each = 0.04 if config.nodes == 4 else 0.02
    for tag in inner:
        assert ours[tag] == pytest.approx(done.layers[tag].cycles, rel=each), tag


@pytest.mark.slow
@pytest.mark.parametrize("machine", ["2x2"], indirect=True)
def test_class2_on_four_nodes(machine):
    """Table V on a sixteenth of the inputs and outputs: 4 instructions, 4 groups of each tile."""
    target, config = machine
    net = Network(config.core, 2)
    program, done = run(target, config, net.graph(net.gemm(net.input(1, 256), 256)))
    for _, words in program.nodes:
        nests = [
            each.tile.nest
            for each in decode(words)
            if each.tile is not None and each.tile.nest.op is Op.MAC
        ]
        assert [nest.steps for nest in nests] == [64] * 4
        assert [nest.sb - nests[0].sb for nest in nests] == [0, 64, 128, 192]
        rows = [
            np.prod([level.count for level in each.read.levels])
            for each in decode(words)
            if isinstance(each.read, Read) and each.read.op is ReadOp.BROADCAST
        ]
        assert sum(rows) == 64
    assert done.layers[0].active == 256
