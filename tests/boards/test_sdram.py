"""SDRAM memory in Icarus and Verilator; the chip's model watches over the timing."""

import math
from dataclasses import replace

import pytest

from boards.memory.sdram_chip import SDR_32MB
from boards.memory.sdram_model import MODEL, SdramModel
from hw.errors import UserError
from tests.boards.sdram_system import CLOCK, ODD, SMALL, SdramSystem


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


@pytest.mark.large
@pytest.mark.parametrize(("data_width", "chip"), [(32, ODD), (64, SMALL)])
def test_sdram(bench, data_width, chip):
    """With refreshes eight times as often as needed."""
    run(bench, "bench_sdram", replace(chip, refresh=chip.refresh / 8), data_width)


def test_bandwidth(bench):
    least = {"reads of 128 bytes": 1.9, "writes": 1.9, "two streams": 1.7}
    run(bench, "bench_sdram_bandwidth", SMALL, 32, least=least)


@pytest.mark.parametrize(
    ("chip", "cas", "rules"), [(SMALL, 2, [*range(1, 5), *range(6, 17)]), (ODD, 3, [5, 17])]
)
def test_rules_of_the_model(bench, chip, cas, rules):
    config = {
        "power_up": math.ceil(chip.power_up * CLOCK / 1e9) - 1,
        "refresh": chip.timing(CLOCK).refresh,
        "cas": cas,
        "rules": rules,
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
