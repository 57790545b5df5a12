"""Parameters of meshes: what the paper's numbers give, what is refused, and what is built."""

import re
from fractions import Fraction

import pytest

from hw.diannao.config import ConfigError
from hw.mesh.config import MeshConfig, link_interval, link_latency
from hw.mesh.mesh import Mesh
from hw.mesh.port import Port
from sim.cosim import to_verilog


def test_paper():
    """80 ns and 6.4 GB/s at 606 MHz; 8 virtual channels of 5 flits of 128 bits."""
    config = MeshConfig(rows=4, columns=4)
    assert (config.data_width, config.vcs, config.local_depth, config.fifo) == (128, 8, 5, 4)
    assert config.link_latency == link_latency(nanoseconds=80, megahertz=606) == 49
    interval = link_interval(gigabytes_per_second=6.4, megahertz=606, data_width=128)
    assert config.link_interval == interval == Fraction(303, 200)
    assert config.round_trip == 103
    assert config.full_rate_depth == 68


def test_fast_link_takes_a_cycle_per_flit():
    assert link_interval(gigabytes_per_second=100, megahertz=606, data_width=128) == 1


def test_links():
    """Every pair of neighbours in both directions: 2 * (r * (c - 1) + c * (r - 1))."""
    for rows in range(1, 9):
        for columns in range(1, 9):
            config = MeshConfig(rows=rows, columns=columns)
            links = config.links
            assert len(set(links)) == 2 * (rows * (columns - 1) + columns * (rows - 1))
            for x, y, port in links:
                behind = config.neighbour(x, y, port)
                assert behind is not None
                assert (*behind, port.opposite) in links


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rows": 9}, "rows must be 1 to 8, not 9"),
        ({"columns": 0}, "columns must be 1 to 8, not 0"),
        ({"rows": 2.0}, "rows must be of type int, not 2.0"),
        ({"data_width": 12}, "data_width must be a multiple of 8 from 8 to 1024, not 12"),
        ({"vcs": 3}, "vcs must be a power of two from 1 to 16, not 3"),
        ({"local_depth": 1}, "local_depth must be 2 to 256, not 1"),
        ({"link_depth": 257}, "link_depth must be 2 to 256, not 257"),
        ({"fifo": 2}, "fifo must be 3 to 64 (less cannot carry a flit per cycle), not 2"),
        ({"link_latency": 0}, "link_latency must be 1 to 1024, not 0"),
        ({"link_interval": Fraction(1, 2)}, "link_interval must be 1 to 1024 with a numerator of"),
        ({"link_interval": 2}, "link_interval must be of type Fraction, not 2"),
    ],
    ids=str,
)
def test_refuses(wrong, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        MeshConfig(**{"rows": 2, "columns": 2, **wrong})


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 3), (8, 8)])
def test_builds(rows, columns):
    """One router, one interface and one link are written, however many nodes there are."""
    config = MeshConfig(rows=rows, columns=columns, data_width=16, vcs=2, link_latency=2)
    text = to_verilog(Mesh(config=config), "mesh")
    for kind, instances in (
        ("router", config.nodes),
        ("network_interface", config.nodes),
        ("link", len(config.links)),
    ):
        name = f"{kind}_{config.label}"
        assert text.count(f"module {name}(") == (instances > 0)
        assert text.count(f"  {name} ") == instances


def test_opposites():
    for port in Port:
        if port is not Port.LOCAL:
            assert port.opposite.opposite is port
