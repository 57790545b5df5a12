"""Node control, central memories, fat tree and the units between them, on both simulators."""

from dataclasses import asdict

import pytest

from hw.dadiannao.centre import Centre
from hw.dadiannao.config import CONFIGS

SHAPES = {
    "tiny": {},
    "odd": {
        "bus_port": 128, "width": 8, "tn": 8, "ti": 8, "tiles": 2, "trunk": 16,
        "central_banks": 2, "central_rows": 64, "central_latency": 3, "central_restore": 2,
        "refresh_interval": 64, "sb_rows": 16, "masks": 8, "queue": 1, "instruction_buffer": 256,
    },
}  # fmt: skip


@pytest.mark.large
@pytest.mark.parametrize("shape", ["tiny", pytest.param("odd", marks=pytest.mark.slow)])
def test_centre(bench, shape):
    config = CONFIGS["dadiannao-tiny"].replace(**SHAPES[shape])
    bench(Centre(config=config), "centre", "tests.hw.dadiannao.bench_centre", asdict(config))
