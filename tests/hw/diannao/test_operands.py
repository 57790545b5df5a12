"""Operand fetch with NBin and SB, on both simulators."""

from dataclasses import asdict

import pytest

from hw.diannao.config import CONFIGS, Config
from tests.hw.diannao.operand_unit import OperandUnit


@pytest.mark.parametrize(
    "config",
    [CONFIGS["tiny"], Config(name="odd", tn=3, ti=5, nbin_rows=10, sb_rows=7, nbin_port=32)],
    ids=lambda config: config.name,
)
def test_operands(bench, config):
    bench(OperandUnit(config=config), "operands", "tests.hw.diannao.bench_operands", asdict(config))
