"""The sequencer's steps against plain nested loops, on both simulators."""

from dataclasses import asdict

import pytest

from hw.diannao.config import CONFIGS, Config
from tests.hw.diannao.sequencer_unit import SequencerUnit


@pytest.mark.parametrize(
    "config",
    [CONFIGS["tiny"], Config(name="odd", tn=3, ti=5, nbin_rows=10, sb_rows=7, nbin_port=32)],
    ids=lambda config: config.name,
)
def test_sequencer(bench, config):
    bench(
        SequencerUnit(config=config),
        "sequencer",
        "tests.hw.diannao.bench_sequencer",
        asdict(config),
    )
