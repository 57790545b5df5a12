"""The loaders with their scratchpads behind and a memory before them, in both simulators."""

from dataclasses import asdict

import pytest

from hw.diannao.config import CONFIGS, Config
from tests.hw.diannao.loaders import LoadedNbin, LoadedSb

TINY = CONFIGS["tiny"]
ODD = Config(
    name="odd", tn=3, ti=5, width=8, nbin_rows=10, sb_rows=5, nbin_port=64, sb_port=32,
    nbin_fifo=24, outstanding=8, address_width=20,
)  # fmt: skip
PAPER = CONFIGS["diannao-16x16"]
WIDE = Config(name="wide", tn=8, ti=8, sb_rows=8, sb_port=256)


@pytest.mark.parametrize("config", [TINY, ODD, PAPER], ids=lambda config: config.name)
def test_nbin_loader(bench, config):
    module = "tests.hw.diannao.bench_nbin_loader"
    bench(LoadedNbin(config), "loaded_nbin", module, asdict(config))


@pytest.mark.parametrize("config", [TINY, ODD, WIDE], ids=lambda config: config.name)
def test_sb_loader(bench, config):
    bench(LoadedSb(config), "loaded_sb", "tests.hw.diannao.bench_sb_loader", asdict(config))
