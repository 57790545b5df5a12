"""Operand fetch with NBin and SB, on both simulators."""

from dataclasses import asdict

import pytest

from hw.diannao.config import CONFIGS, Config
from tests.hw.diannao.operand_unit import OperandUnit

ODD = Config(name="odd", tn=3, ti=5, nbin_rows=10, sb_rows=7, nbin_port=32)
ENGINE = Config(
    name="engine", tn=3, ti=5, width=8, nbin_rows=10, sb_rows=7, nbin_port=32, sb_port=32,
    nbout_port=32, cp_port=32, shared_port=True, engine=True,
)  # fmt: skip


@pytest.mark.parametrize(
    "config",
    [CONFIGS["tiny"], ODD, ENGINE],
    ids=lambda config: config.name,
)
def test_operands(bench, config):
    bench(OperandUnit(config=config), "operands", "tests.hw.diannao.bench_operands", asdict(config))
