"""Clock generation: the PLL of each FPGA family, from the board's clock to the core's."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import ClockDomain, Const, Instance, Module, Signal
from amaranth.lib import io
from amaranth.lib.cdc import ResetSynchronizer

from hw.errors import UserError

__all__ = [
    "EarlyClock", "check_clock", "early_phase", "ecp5_dividers", "gowin_dividers",
    "ice40_dividers", "make_clock",
]  # fmt: skip

_TOLERANCE = 0.01
"""How far off a clock may be: the host link has no trouble with one percent."""


def _nearest(
    candidates: Iterator[tuple[float, dict[str, int]]], source: float, wanted: float
) -> dict[str, int]:
    made, found = min(candidates, key=lambda one: abs(one[0] - wanted), default=(0.0, {}))
    if abs(made - wanted) > _TOLERANCE * wanted:
        raise UserError(
            f"the PLL cannot make {wanted / 1e6:g} MHz of {source / 1e6:g} MHz; the nearest is "
            f"{made / 1e6:g} MHz"
        )
    return found


def ice40_dividers(source: float, wanted: float) -> dict[str, int]:
    """Parameters of SB_PLL40 that make ``wanted`` Hz (nearly) of ``source`` Hz.

    The phase detector works from 10 to 133 MHz, the oscillator from 533 to 1066 MHz.

    Raises
    ------
    UserError
        If the PLL cannot.
    """

    def candidates():
        for divr in range(16):
            detector = source / (divr + 1)
            if not 10e6 <= detector <= 133e6:
                continue
            limits = (17e6, 26e6, 44e6, 66e6, 101e6)
            bandwidth = 1 + sum(detector >= limit for limit in limits)
            for divf in range(128):
                oscillator = detector * (divf + 1)
                if not 533e6 <= oscillator <= 1066e6:
                    continue
                for divq in range(1, 7):
                    dividers = {"DIVR": divr, "DIVF": divf, "DIVQ": divq}
                    yield oscillator / 2**divq, {**dividers, "FILTER_RANGE": bandwidth}

    return _nearest(candidates(), source, wanted)


def ecp5_dividers(source: float, wanted: float) -> dict[str, int]:
    """Parameters of EHXPLLL that make ``wanted`` Hz (nearly) of ``source`` Hz.

    The phase detector works from 3.125 MHz, the oscillator from 400 to 800 MHz; of all ways, that
    with the fastest phase detector and then the slowest oscillator is taken.

    Raises
    ------
    UserError
        If the PLL cannot.
    """

    def candidates():
        for divide in range(1, int(source / 3.125e6) + 1):
            for multiply in range(1, 129):
                made = source / divide * multiply
                for output in range(1, 129):
                    if 400e6 <= made * output <= 800e6:
                        yield made, {
                            "CLKI_DIV": divide, "CLKFB_DIV": multiply, "CLKOP_DIV": output
                        }  # fmt: skip
                        break

    return _nearest(candidates(), source, wanted)


def gowin_dividers(source: float, wanted: float) -> dict[str, int]:
    """Parameters of rPLL that make ``wanted`` Hz (nearly) of ``source`` Hz.

    The phase detector works from 3 to 400 MHz, the oscillator from 400 to 1200 MHz (GW1NR-9, grade
    C6/I5); of all ways, that with the fastest phase detector and then the slowest oscillator is
    taken.

    Raises
    ------
    UserError
        If the PLL cannot.
    """

    def candidates():
        for divide in range(1, min(64, int(source / 3e6)) + 1):
            for multiply in range(1, 65):
                made = source / divide * multiply
                for output in (2, 4, 8, *range(16, 129, 16)):
                    if source / divide <= 400e6 <= made * output <= 1200e6:
                        yield made, {
                            "IDIV_SEL": divide - 1, "FBDIV_SEL": multiply - 1, "ODIV_SEL": output
                        }  # fmt: skip
                        break

    return _nearest(candidates(), source, wanted)


@dataclass(frozen=True)
class EarlyClock:
    """A second clock as fast as that of ``sync``, whose edges come ``seconds`` before its."""

    domain: str
    seconds: float


def _ice40(m: Module, pin: Any, source: float, wanted: float, clock: Signal) -> Signal:
    locked = Signal()
    m.submodules.pll = Instance(
        "SB_PLL40_PAD",
        p_FEEDBACK_PATH="SIMPLE",
        **{f"p_{name}": value for name, value in ice40_dividers(source, wanted).items()},
        i_PACKAGEPIN=pin.io,
        i_RESETB=Const(1, 1),
        i_BYPASS=Const(0, 1),
        o_PLLOUTGLOBAL=clock,
        o_LOCK=locked,
    )
    return locked


def early_phase(wanted: float, divider: int, seconds: float) -> tuple[int, int]:
    """Coarse and fine phase of EHXPLLL for edges ``seconds`` before those with phase 0: so many
    periods of its oscillator, and eighths of one, after them. A ``divider`` makes the clock of
    ``wanted`` Hz of the oscillator's."""
    return divmod(round((1 - seconds * wanted % 1) * divider * 8) % (divider * 8), 8)


def _ecp5(
    m: Module, pin: Any, source: float, wanted: float, clock: Signal,
    early: EarlyClock | None = None,
) -> Signal:  # fmt: skip
    locked = Signal()
    m.submodules.clock_buffer = buffer = io.Buffer(io.Direction.Input, pin)
    dividers = ecp5_dividers(source, wanted)
    # The oscillator's phase that puts the output's edge on that of the input.
    phase = dividers["CLKOP_DIV"] // 2
    second: dict[str, Any] = {}
    if early is not None:
        domain: Any = ClockDomain(early.domain, reset_less=True)
        m.domains += domain
        coarse, fine = early_phase(wanted, dividers["CLKOP_DIV"], early.seconds)
        second = {
            "p_CLKOS_ENABLE": "ENABLED",
            "p_CLKOS_DIV": dividers["CLKOP_DIV"],
            "p_CLKOS_CPHASE": phase + coarse,
            "p_CLKOS_FPHASE": fine,
            "o_CLKOS": domain.clk,
        }
    m.submodules.pll = Instance(
        "EHXPLLL",
        p_CLKOP_CPHASE=phase,
        p_CLKOP_FPHASE=0,
        p_CLKOP_ENABLE="ENABLED",
        p_FEEDBK_PATH="CLKOP",
        **{f"p_{name}": value for name, value in dividers.items()},
        i_CLKI=buffer.i,
        i_CLKFB=clock,
        i_RST=Const(0, 1),
        i_STDBY=Const(0, 1),
        i_PHASESEL0=Const(0, 1),
        i_PHASESEL1=Const(0, 1),
        i_PHASEDIR=Const(1, 1),
        i_PHASESTEP=Const(1, 1),
        i_PHASELOADREG=Const(1, 1),
        i_PLLWAKESYNC=Const(0, 1),
        i_ENCLKOP=Const(0, 1),
        o_CLKOP=clock,
        o_LOCK=locked,
        **second,
        a_ICP_CURRENT="12",
        a_LPF_RESISTOR="8",
        a_MFG_ENABLE_FILTEROPAMP="1",
        a_MFG_GMCREF_SEL="2",
    )
    return locked


def _gowin(m: Module, pin: Any, source: float, wanted: float, clock: Signal) -> Signal:
    locked = Signal()
    m.submodules.clock_buffer = buffer = io.Buffer(io.Direction.Input, pin)
    m.submodules.pll = Instance(
        "rPLL",
        p_FCLKIN=f"{source / 1e6:g}",
        p_DEVICE="GW1NR-9C",
        **{f"p_{name}": value for name, value in gowin_dividers(source, wanted).items()},
        i_CLKIN=buffer.i,
        i_CLKFB=Const(0, 1),  # the feedback is inside
        **{f"i_{name}": Const(0, 6) for name in ("FBDSEL", "IDSEL", "ODSEL")},
        **{f"i_{name}": Const(0, 4) for name in ("DUTYDA", "PSDA", "FDLY")},
        i_RESET=Const(0, 1),
        i_RESET_P=Const(0, 1),
        o_CLKOUT=clock,
        o_LOCK=locked,
    )
    return locked


_PLLS: dict[str, tuple[Callable[..., dict[str, int]], Callable[..., Signal]]] = {
    "ice40": (ice40_dividers, _ice40),
    "ecp5": (ecp5_dividers, _ecp5),
    "gowin": (gowin_dividers, _gowin),
}


def check_clock(platform: Any, family: str, wanted: int) -> None:
    """Raise UserError if ``make_clock`` could not make that clock."""
    source = platform.default_clk_frequency
    if wanted == source:
        return
    if family == "gowin" and not platform.family.startswith("GW1NR-9"):
        raise UserError(  # its PLL is another one
            f"the clock must be that of the board, {source / 1e6:g} MHz, on {platform.family} "
            f"devices, not {wanted / 1e6:g} MHz"
        )
    _PLLS[family][0](source, wanted)


def make_clock(
    m: Module, platform: Any, family: str, wanted: int, early: EarlyClock | None = None
) -> None:
    """Add the clock domain ``sync`` with ``wanted`` Hz, in reset until its PLL has locked, and the
    domain of ``early``."""
    source = platform.default_clk_frequency
    if wanted == source and early is None:
        return  # the platform brings this domain by itself
    domain: Any = ClockDomain("sync")
    m.domains += domain
    pin = platform.request(platform.default_clk, dir="-")
    if early is not None and family != "ecp5":
        raise UserError("a memory that needs a clock of its own needs an ECP5 device")
    options = {} if early is None else {"early": early}
    locked = _PLLS[family][1](m, pin, source, wanted, domain.clk, **options)
    m.submodules.reset = ResetSynchronizer(~locked, domain="sync")
    platform.add_clock_constraint(domain.clk, wanted)
