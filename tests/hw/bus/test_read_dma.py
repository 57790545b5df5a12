"""The read DMA on both simulators, and what it refuses."""

import pytest

from hw.bus.read_dma import ReadDma

CONFIGS = [
    {"name": "narrow", "data_width": 32, "outstanding": 5, "burst": 4, "aligned": False},
    {
        "name": "relaxed",
        "data_width": 32,
        "outstanding": 14,
        "burst": 16,
        "burst_cycles": 2,
        "aligned": False,
    },
    {"name": "middle", "data_width": 64, "outstanding": 32, "burst": 16, "aligned": False},
    {"name": "aligned", "data_width": 128, "outstanding": 16, "burst": 100, "aligned": True},
    {"name": "wide", "data_width": 256, "outstanding": 16, "burst": 64, "aligned": False},
]


def create(config):
    options = {key: value for key, value in config.items() if key != "name"}
    return ReadDma(address_width=32, **options)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config["name"])
def test_read_dma(bench, config):
    bench(create(config), "read_dma", "tests.hw.bus.bench_read_dma", config)
