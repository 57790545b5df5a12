"""The SDRAM's pins on the ULX3S: a register at each, and a clock that comes when it has to."""

import re
import warnings

import pytest

from boards.catalog import find_board
from boards.clocks import early_phase, ecp5_dividers
from boards.platform import PlatformTop
from boards.sdram_pads import EARLY

BOARD = find_board("ulx3s-85f")
BOARD = BOARD.changed(config=BOARD.config.replace(tn=2, ti=2))


def test_registers_at_the_pins():
    platform = BOARD.make_platform()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platforms use what Amaranth has deprecated
        plan = platform.build(PlatformTop(BOARD), do_build=False)
    text = str(plan.files["top.il"])

    def cells(kind):
        return re.findall(rf"cell \\{kind} .*?\n  end\n", text, re.DOTALL)

    pins = 16 + 3 + 2 + 13 + 2 + 2  # data, command, bank, address, mask, cs and cke
    assert len(cells("OFS1P3DX")) == 2 * pins + 1  # level and driver of each; driver of the clock
    assert len(cells("IFS1P3DX")) == 16
    (clock,) = cells("ODDRX1F")
    assert "chip_clk" in clock
    (pll,) = cells("EHXPLLL")
    assert "chip_clk" in pll
    assert "FREQUENCY NET" in plan.files["top.lpf"]


@pytest.mark.parametrize("clock", [50e6, 66e6, 80e6, 100e6])
def test_clock_of_the_chip(clock):
    """In nanoseconds: setup and hold at the chip and at the FPGA, for 3 to 5 on the way there and
    back, with half a nanosecond for skew."""
    period = 1e9 / clock
    divider = ecp5_dividers(25e6, clock)["CLKOP_DIV"]
    coarse, fine = early_phase(clock, divider, EARLY)
    early = period * (1 - (coarse + fine / 8) / divider)
    assert early > 1.0 + 0.5  # tDH
    assert period - early > 1.5 + 0.5  # tDS
    assert 6.0 + 5.0 + 0.5 - early < period  # tAC
    assert 2.5 + 3.0 - 0.5 > early  # tOH
