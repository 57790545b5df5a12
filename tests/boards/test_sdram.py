"""SDRAM memory in Icarus and Verilator; the chip's model watches over the timing."""

import math
from dataclasses import replace

import pytest

from boards.memory.sdram_chip import SDR_32MB
from boards.memory.sdram_model import MODEL, SdramModel
from hw.errors import UserError
from tests.boards.sdram_system import CLOCK, SMALL, SdramSystem


def run(bench, name, chip, data_width, clock=CLOCK, **config):
    bench(
        SdramSystem(chip=chip, clock=clock, data_width=data_width), "sdram_system",
        f"tests.boards.{name}",
        {
            "data_width": data_width,
            "row": 2 << chip.column_bits,
            "refresh": chip.timing(clock).refresh,
            **config,
        },
        models=[MODEL],
    )  # fmt: skip


@pytest.mark.parametrize("data_width", [32, 64])
def test_sdram(bench, data_width):
    """With refreshes eight times as often as needed."""
    chip = replace(SMALL, refresh=SMALL.refresh / 8)
    run(bench, "bench_sdram", chip, data_width)


def test_bandwidth(bench):
    least = {"reads of 128 bytes": 1.9, "writes": 1.9, "two streams": 1.7}
    run(bench, "bench_sdram_bandwidth", SMALL, 32, least=least)


@pytest.mark.parametrize("odd", [False, True])
def test_rules_of_the_model(bench, odd):
    """The odd chip is one whose tRC is not just tRAS and tRP, and which needs CAS latency 3."""
    chip = replace(SMALL, rc=100, cas=((2, 12), (3, 7))) if odd else SMALL
    config = {
        "power_up": math.ceil(chip.power_up * CLOCK / 1e9) - 1,
        "refresh": chip.timing(CLOCK).refresh,
        "cas": 3 if odd else 2,
        "rules": [5, 17] if odd else [n for n in range(1, 17) if n != 5],
    }
    model = SdramModel(chip=chip, clock=CLOCK)
    bench(model, "sdram_model", "tests.boards.bench_sdram_rules", config, models=[MODEL])


def test_timing():
    """In cycles: rounded up, and tRC kept by waiting longer before a precharge."""
    timing = SDR_32MB.timing(100_000_000)
    assert (timing.cas, timing.rcd, timing.rp, timing.ras, timing.wr) == (2, 3, 3, 5, 2)
    assert (timing.rfc, timing.refresh, timing.power_up) == (7, 781, 20_000)
    assert SDR_32MB.timing(80_000_000).rp == 2
    assert SDR_32MB.timing(125_000_000).cas == 3
    assert replace(SDR_32MB, rc=100).timing(100_000_000).ras == 7
    assert SDR_32MB.size == 32 << 20
    with pytest.raises(UserError, match="clock must be at most 143 MHz, not 150 MHz"):
        SDR_32MB.timing(150_000_000)
