"""Links of several latencies and rates, on both simulators."""

from fractions import Fraction

import pytest

from hw.mesh.config import MeshConfig
from hw.mesh.link import Link


@pytest.mark.parametrize(
    ("latency", "interval"), [(1, (1, 1)), (49, (303, 200)), (6, (7, 2))], ids=str
)
def test_link(bench, latency, interval):
    config = {"rows": 2, "columns": 2, "data_width": 32, "link_latency": latency}
    link = Link(config=MeshConfig(**config, link_interval=Fraction(*interval)))
    config["link_interval"] = interval
    bench(link, "link", "tests.hw.mesh.bench_link", config)
