"""PLL parameters: what they make, and that they keep the data sheets' limits."""

import pytest

from boards.clocks import early_phase, ecp5_dividers, gowin_dividers, ice40_dividers
from hw.errors import UserError


@pytest.mark.parametrize("wanted", [16e6, 24e6, 30e6, 48e6, 99e6])
def test_ice40(wanted):
    d = ice40_dividers(12e6, wanted)
    detector = 12e6 / (d["DIVR"] + 1)
    oscillator = detector * (d["DIVF"] + 1)
    assert 10e6 <= detector <= 133e6
    assert 533e6 <= oscillator <= 1066e6
    assert oscillator / 2 ** d["DIVQ"] == pytest.approx(wanted, rel=0.01)


def test_ice40_filter():
    """As icepll chooses them for 12 and 48 MHz."""
    assert ice40_dividers(12e6, 24e6) == {"DIVR": 0, "DIVF": 63, "DIVQ": 5, "FILTER_RANGE": 1}
    assert ice40_dividers(48e6, 24e6)["FILTER_RANGE"] == 4


@pytest.mark.parametrize("source", [25e6, 48e6, 50e6])
@pytest.mark.parametrize("wanted", [40e6, 66e6, 80e6, 100e6])
def test_ecp5(source, wanted):
    d = ecp5_dividers(source, wanted)
    made = source / d["CLKI_DIV"] * d["CLKFB_DIV"]
    assert source / d["CLKI_DIV"] >= 3.125e6
    assert 400e6 <= made * d["CLKOP_DIV"] <= 800e6
    assert made == pytest.approx(wanted, rel=0.01)


@pytest.mark.parametrize("wanted", [13.5e6, 45e6, 48e6, 54e6, 90e6])
def test_gowin(wanted):
    d = gowin_dividers(27e6, wanted)
    detector = 27e6 / (d["IDIV_SEL"] + 1)
    made = detector * (d["FBDIV_SEL"] + 1)
    assert 3e6 <= detector <= 400e6
    assert 400e6 <= made * d["ODIV_SEL"] <= 1200e6
    assert made == pytest.approx(wanted, rel=0.01)


def test_gowin_as_the_vendor():
    """As Apycula's gowin_pll chooses them for 27 and 54 MHz."""
    assert gowin_dividers(27e6, 54e6) == {"IDIV_SEL": 0, "FBDIV_SEL": 1, "ODIV_SEL": 8}


@pytest.mark.parametrize("wanted", [25e6, 80e6, 100e6])
def test_early_clock(wanted):
    """To an eighth of the oscillator's period."""
    divider = ecp5_dividers(25e6, wanted)["CLKOP_DIV"]
    coarse, fine = early_phase(wanted, divider, 3.5e-9)
    assert fine in range(8)
    late = (coarse + fine / 8) / divider / wanted
    assert 1 / wanted - late == pytest.approx(3.5e-9, abs=0.5 / 8 / divider / wanted)


@pytest.mark.parametrize("dividers", [ice40_dividers, ecp5_dividers, gowin_dividers])
def test_a_clock_that_cannot_be(dividers):
    with pytest.raises(UserError, match=r"cannot make 2000 MHz of 12 MHz; the nearest is \d+"):
        dividers(12e6, 2000e6)
