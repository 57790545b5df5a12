"""Random networks of odd shapes on the RTL of several cores, every tensor equal to golden."""

import pytest

from hw.diannao.config import Config
from sim.verilator.target import VerilatorTarget
from tests.compiler.networks import Network
from tests.sim.rtl import CORES, check_rtl


def networks(config: Config):
    """Layers of odd shapes: channels 1, 3, 17; kernels 1x1, 3x5, 11x11; strides 1, 2, 4."""
    net = Network(config, 1)
    x = net.input(1, 3, 23, 21)
    y = net.conv(x, 17, (11, 11), (4, 4), (5, 5, 5, 5))
    y = net.pool(y, "max", (3, 3), (2, 2), (0, 1, 1, 0))
    net.gemm(y, 7)
    yield "kernel 11x11, stride 4, 3 channels", net.graph()

    net = Network(config, 2)
    x = net.input(2, 17, 6, 9)
    y = net.conv(x, 5, (3, 5), (1, 2), (1, 0, 1, 2))
    z = net.conv(x, 5, (1, 1), (1, 2), (0, 0, 0, 0))
    z = net.conv(z, 5, (3, 3), (1, 1), (1, 1, 1, 1))
    net.conv(net.concat(z, net.conv(z, 1, (1, 1))), 3, (2, 2))
    net.pool(y, "average", (2, 3), (1, 2), (1, 1, 0, 1))
    yield "kernel 3x5, stride 2, 17 channels, batch 2, concatenation", net.graph()

    net = Network(config, 3)
    x = net.input(1, 1, 5, 4)
    y = net.conv(x, 4, (1, 1))
    z = net.conv(y, 4, (3, 3), (1, 1), (1, 1, 1, 1))
    y = net.add(y, z)
    net.pool(y, "average", (5, 4), (1, 1))
    yield "maps smaller than a tile, residual, global average", net.graph()

    net = Network(config, 4)
    x = net.input(5, 40)
    net.gemm(net.gemm(x, 33), 10)
    yield "classifier with a batch of 5", net.graph()

    net = Network(config, 5)
    x = net.input(1, 8, 7, 7)
    net.pool(x, "max", (2, 2), (2, 2))
    net.pool(x, "average", (3, 3), (2, 2), (1, 1, 1, 1), include_pad=True)
    net.pool(x, "max", (1, 1), (1, 1))
    yield "pooling only", net.graph()

    net = Network(config, 6)
    x = net.input(2, 6, 7, 8)
    y = net.conv(x, 12, (3, 3), pads=(1, 1, 1, 1), groups=3)
    z = net.conv(y, 12, (1, 2), (2, 1), groups=12)
    net.local(z, 2, (2, 3), (1, 2), (1, 0, 0, 1))
    yield "grouped and locally connected convolutions", net.graph()


@pytest.mark.parametrize(("config", "memory"), CORES, ids=[c.name for c, _ in CORES])
def test_rtl_equals_golden(config, memory):
    """The networks run one after the other on the same core, without a reset in between."""
    target = VerilatorTarget(config, memory)
    for seed, (_, graph) in enumerate(networks(config)):
        check_rtl(graph, target, seed)
    target.close()
