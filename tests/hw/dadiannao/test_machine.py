"""A machine of two nodes on both simulators."""

from dataclasses import asdict

import pytest

from hw.dadiannao.config import CONFIGS
from hw.dadiannao.machine import Machine


@pytest.mark.slow
def test_machine(bench):
    config = CONFIGS["dadiannao-tiny"].replace(
        name="pair", columns=2, tiles=2, tn=2, ti=2, width=8, trunk=8, segments=2, bus_port=32,
        nbin_rows=128, sb_rows=1024, central_rows=512, link_latency=5,
    )  # fmt: skip
    bench(Machine(config=config), "machine", "tests.hw.dadiannao.bench_machine", asdict(config))
