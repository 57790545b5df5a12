"""Convolutions on the RTL of the paper's core with the paper's memory: cycles against the bound."""

import pytest

from compiler.bound import bound_cycles
from hw.diannao.config import CONFIGS
from sim.verilator.target import VerilatorTarget
from tests.compiler.networks import Network
from tests.sim.rtl import check_rtl

CONFIG = CONFIGS["diannao-16x16"]
LAYERS = {
    # name: input, outputs, kernel, strides, pads
    "AlexNet conv3, 64 of 384 maps": ((1, 256, 13, 13), 64, (3, 3), (1, 1), (1, 1, 1, 1)),
    "stride 2": ((1, 64, 56, 28), 128, (3, 3), (2, 2), (1, 1, 1, 1)),
    "1x1": ((1, 64, 56, 28), 256, (1, 1), (1, 1), (0, 0, 0, 0)),
    "16 maps": ((1, 16, 112, 104), 16, (3, 3), (1, 1), (1, 1, 1, 1)),
}


@pytest.fixture(scope="module")
def target():
    target = VerilatorTarget(CONFIG)
    yield target
    target.close()


@pytest.mark.parametrize("name", LAYERS)
def test_convolution_is_near_its_bound(target, name):
    """At least 80 % of the bound for about 100 k cycles; every tensor equals golden."""
    shape, outputs, kernel, strides, pads = LAYERS[name]
    net = Network(CONFIG, 1)
    net.conv(net.input(*shape), outputs, kernel, strides, pads)
    done = check_rtl(net.graph(), target, 1)
    (layer,) = target.driver.program.layers.values()
    bound = bound_cycles(layer, CONFIG)
    assert done.cycles is not None
    assert bound > 95_000
    print(f"{name}: {done.cycles} cycles, bound {bound:.0f}, efficiency {bound / done.cycles:.3f}")
    assert bound / done.cycles >= 0.8
