"""Meshes on both simulators: places for full bandwidth, and so few that everything blocks."""

import pytest

from hw.mesh.mesh import Mesh
from tests.hw.mesh.traffic import mesh_config

PARAMETERS = {
    "2x2": {"rows": 2, "columns": 2, "data_width": 64, "vcs": 2, "link_depth": 16,
            "link_latency": 9, "link_interval": (303, 200)},
    "3x2": {"rows": 2, "columns": 3, "data_width": 64, "vcs": 2, "local_depth": 2, "link_depth": 2,
            "fifo": 3, "link_latency": 2, "link_interval": (1, 1)},
}  # fmt: skip


@pytest.mark.large
@pytest.mark.parametrize("name", [pytest.param("2x2", marks=pytest.mark.slow), "3x2"])
def test_mesh(bench, name):
    parameters = PARAMETERS[name]
    bench(Mesh(config=mesh_config(parameters)), "mesh", "tests.hw.mesh.bench_mesh", parameters)


@pytest.mark.slow
def test_long_traffic(bench, simulator):
    """Rounds of random packets, pauses and held links; ``scripts/soak_mesh.py`` has more."""
    parameters = PARAMETERS["3x2"]
    bench(Mesh(config=mesh_config(parameters)), "mesh", "tests.hw.mesh.bench_soak",
          parameters | {"rounds": {"verilator": 20, "icarus": 3}[simulator]})  # fmt: skip
