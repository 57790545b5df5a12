"""Links of several latencies and rates, on both simulators."""

import pytest

from hw.mesh.link import Link
from tests.hw.mesh.traffic import mesh_config


@pytest.mark.parametrize(
    ("latency", "interval"), [(1, (1, 1)), (49, (303, 200)), (6, (7, 2))], ids=str
)
def test_link(bench, latency, interval):
    config = {"rows": 2, "columns": 2, "data_width": 32, "link_latency": latency,
              "link_interval": interval}  # fmt: skip
    bench(Link(config=mesh_config(config)), "link", "tests.hw.mesh.bench_link", config)
