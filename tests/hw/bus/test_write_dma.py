"""The write DMA on both simulators, and what it refuses."""

import pytest

from hw.bus.write_dma import WriteDma

CONFIGS = [
    {"name": "narrow", "data_width": 32, "burst": 4, "row_bytes": 6, "rows": 5, "outstanding": 9},
    {"name": "short", "data_width": 64, "burst": 32, "row_bytes": 4, "rows": 16, "outstanding": 16},
    {
        "name": "relaxed",
        "data_width": 32,
        "burst": 16,
        "row_bytes": 8,
        "rows": 16,
        "outstanding": 9,
        "burst_cycles": 2,
    },
    {"name": "equal", "data_width": 64, "burst": 8, "row_bytes": 8, "rows": 32, "outstanding": 16},
    {"name": "long", "data_width": 64, "burst": 16, "row_bytes": 32, "rows": 8, "outstanding": 16},
    {
        "name": "wide",
        "data_width": 256,
        "burst": 64,
        "row_bytes": 32,
        "rows": 64,
        "outstanding": 16,
    },
]


def create(config):
    return WriteDma(address_width=32, **{k: v for k, v in config.items() if k != "name"})


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config["name"])
def test_write_dma(bench, config):
    beat = config["data_width"] // 8
    row = config["row_bytes"]
    rows = max(config["rows"] // 2 - (row > beat), -(-beat // row))
    limit = min(rows * row, config["burst"] * beat)
    bench(create(config), "write_dma", "tests.hw.bus.bench_write_dma", config | {"limit": limit})
