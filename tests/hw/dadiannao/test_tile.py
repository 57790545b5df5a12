"""A tile on both simulators: memories of all kinds, latencies and numbers of banks."""

from dataclasses import asdict

import pytest

from hw.dadiannao.config import CONFIGS
from hw.dadiannao.edram import MODEL
from hw.dadiannao.tile import Tile

SMALL = CONFIGS["dadiannao-tiny"].replace(nbin_rows=64, sb_rows=64, nbout_rows=16, tiles=1)
TILES = [
    pytest.param(
        SMALL.replace(name="macro", memory="macro", refresh_interval=128), marks=pytest.mark.slow
    ),
    SMALL.replace(name="block_ram", sb_latency=1, sb_restore=0),
    SMALL.replace(
        name="slow", memory="macro", sb_latency=7, sb_restore=3, sb_banks=8, width=8, trunk=32
    ),
]


TRAINING = SMALL.replace(name="training", aggregate=True, training=True)
TRAINING_TILES = [
    TRAINING,
    pytest.param(
        TRAINING.replace(
            name="narrow", width=8, trunk=32, sb_banks=2, sb_latency=1, nfu1_stages=1,
            nfu2_stages=1, nfu3_stages=1,
        ),
        marks=pytest.mark.slow,
    ),
]  # fmt: skip


@pytest.mark.large
@pytest.mark.parametrize("config", TRAINING_TILES, ids=lambda config: config.name)
def test_modes(bench, config):
    bench(Tile(config=config), "tile", "tests.hw.dadiannao.bench_tile_modes", asdict(config))


@pytest.mark.large
@pytest.mark.parametrize("config", TILES, ids=lambda config: config.name)
def test_tile(bench, config):
    bench(
        Tile(config=config), "tile", "tests.hw.dadiannao.bench_tile", asdict(config),
        models=[MODEL] if config.memory == "macro" else [],
    )  # fmt: skip
