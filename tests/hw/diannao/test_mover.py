"""A core's engine with all around it, in both simulators."""

from dataclasses import asdict

import pytest

from hw.diannao.config import Config
from hw.diannao.engine.mover import Mover

LEAST = Config(
    name="least", tn=2, ti=4, width=8, nbin_rows=8, sb_rows=5, nbout_rows=16, nbin_port=32,
    sb_port=32, nbout_port=32, cp_port=32, shared_port=True, address_width=17, outstanding=1,
    burst=8, instruction_buffer=256, queue=0, engine=True,
)  # fmt: skip
WIDE = Config(
    name="wide", tn=11, ti=9, width=8, nbin_rows=5, sb_rows=7, nbout_rows=8, nbin_port=64,
    sb_port=64, nbout_port=64, cp_port=64, shared_port=True, address_width=32, outstanding=3,
    burst=4, instruction_buffer=512, queue=2, engine=True,
)  # fmt: skip
# As few banks as can be: a beat that begins in the middle of an element goes beyond half of them.
# A row of NBout is longer than a beat, and there are no more than two.
WORDS = Config(
    name="words", tn=3, ti=2, width=16, nbin_rows=10, sb_rows=5, nbout_rows=2, nbin_port=32,
    sb_port=32, nbout_port=32, cp_port=32, shared_port=True, address_width=17, outstanding=2,
    burst=8, instruction_buffer=256, queue=0, engine=True,
)  # fmt: skip
WIDE_WORDS = WIDE.replace(name="wide-words", tn=5, ti=3, width=16, nbin_rows=14)


@pytest.mark.large
@pytest.mark.parametrize("config", [LEAST, WIDE, WORDS, WIDE_WORDS], ids=lambda config: config.name)
def test_mover(bench, config):
    bench(Mover(config=config), "mover", "tests.hw.diannao.bench_mover", asdict(config))
