"""The router on both simulators, in two sizes."""

import pytest

from hw.mesh.config import MeshConfig
from hw.mesh.router import Router


@pytest.mark.large
@pytest.mark.parametrize(
    "parameters",
    [
        {"data_width": 32},
        {"data_width": 16, "vcs": 2, "local_depth": 4, "link_depth": 7, "fifo": 3},
    ],
    ids=["paper", "small"],
)
def test_router(bench, parameters):
    config = {"rows": 3, "columns": 3, **parameters}
    bench(Router(config=MeshConfig(**config)), "router", "tests.hw.mesh.bench_router", config)
