"""All DMAs behind one port, on both simulators."""

import pytest

from tests.hw.bus.shared_system import SharedSystem


@pytest.mark.parametrize("config", [{"data_width": 64, "row_bytes": 8, "rows": 16}])
def test_shared_port(bench, config):
    bench(SharedSystem(**config), "shared_system", "tests.hw.bus.bench_arbiter", config)
