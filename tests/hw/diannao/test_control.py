"""The control processor against random programs, on both simulators."""

from dataclasses import asdict

import pytest

from hw.diannao.config import Config
from hw.diannao.control import Control

CONFIGS = [
    Config(name="narrow", cp_port=32, instruction_buffer=256, queue=1, outstanding=4, burst=16),
    Config(
        name="direct",
        cp_port=32,
        instruction_buffer=256,
        queue=0,
        outstanding=4,
        burst=16,
        address_width=20,
    ),
    Config(name="middle", cp_port=64, instruction_buffer=512, outstanding=8, burst=16),
    Config(name="wide", cp_port=512, instruction_buffer=512, queue=2, outstanding=2, burst=4),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_control(bench, config):
    bench(Control(config=config), "control", "tests.hw.diannao.bench_control", asdict(config))
