"""Lower bounds: no program does less work than its layers' entries call the least."""

import pytest

from hw.diannao.config import CONFIGS
from hw.errors import UserError
from tests.compiler.networks import Network, check
from tests.sim.random_networks import random_network
from tests.sim.rtl import CORES

CONFIGURATIONS = {config.name: config for config, _ in CORES}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_random_networks(name):
    """``check`` compares steps and bytes; some networks are too large for a core."""
    config = CONFIGURATIONS[name]
    ran = 0
    for seed in range(32, 42):
        try:
            check(random_network(config, seed), config)
        except UserError:
            continue
        ran += 1
    assert ran >= 5


def test_images_may_share_a_step():
    """Two images of 4 neurons, one behind the other, take 3 steps of 3 lanes, not 2 x 2."""
    config = CONFIGURATIONS["odd-3x5"]
    net = Network(config, seed=1)
    net.pool(net.input(2, 4, 1, 1), "max", (1, 1), (1, 1))
    program, done = check(net.graph(), config)
    assert program.layers[0].nfu_steps == done.layers[0].active == 3


def test_a_map_added_to_itself_is_read_once_at_least():
    paper = CONFIGS["diannao-16x16"]
    net = Network(paper, seed=1)
    x = net.input(1, 16, 4, 4)
    net.add(x, x)
    net.add(x, net.input(1, 16, 4, 4))
    program, _ = check(net.graph(), paper)
    same, other = program.layers.values()
    assert (same.nfu_steps, same.bytes["nbin"]) == (16, 512)
    assert (other.nfu_steps, other.bytes["nbin"]) == (32, 1024)
    assert same.macs == other.macs == 2 * 256
