"""Operand fetch with NBin and SB, on both simulators."""

from dataclasses import asdict

import pytest

from hw.diannao.config import CONFIGS, Config
from tests.hw.diannao.operand_unit import OperandUnit

ODD = Config(name="odd", tn=3, ti=5, nbin_rows=10, sb_rows=7, nbin_port=32)
SHORT = ODD.replace(name="short", operand_stages=2)
LONG = ODD.replace(name="long", operand_stages=4)
LONGEST = ODD.replace(name="longest", operand_stages=5)


@pytest.mark.parametrize(
    "config",
    [CONFIGS["tiny"], ODD, SHORT, LONG, LONGEST],
    ids=lambda config: config.name,
)
def test_operands(bench, config):
    bench(OperandUnit(config=config), "operands", "tests.hw.diannao.bench_operands", asdict(config))
