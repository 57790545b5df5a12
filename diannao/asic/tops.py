"""What can be synthesised on its own, by the names that ``diannao synth --top`` takes."""

from collections.abc import Callable

from amaranth.lib import wiring

from hw.arith.multiplier import Multiplier
from hw.diannao.config import Config
from hw.diannao.core import Core
from hw.errors import UserError
from hw.memory.nbin import Nbin
from hw.memory.nbout import Nbout
from hw.memory.sb import Sb
from hw.nfu.layouts import Control
from hw.nfu.nfu import Nfu
from hw.nfu.nfu1 import Nfu1
from hw.nfu.nfu2 import Nfu2
from hw.nfu.nfu3 import Nfu3

__all__ = ["BLOCKS", "TOPS", "check_top", "make_top"]


def _numbers(config: Config) -> dict:
    return {"width": config.width, "drop": config.drop, "multiplier": config.multiplier}


def _control(config: Config) -> Control:
    return Control(config.nbout_rows, config.bias_rows)


def _multiplier(config: Config) -> Multiplier:
    return Multiplier(
        width=config.width, drop=config.drop, style=config.multiplier,
        stages=max(1, config.nfu1_stages - 1),
    )  # fmt: skip


def _nfu1(config: Config) -> Nfu1:
    return Nfu1(
        tn=config.tn, ti=config.ti, control=_control(config), stages=config.nfu1_stages,
        **_numbers(config),
    )  # fmt: skip


def _nfu2(config: Config) -> Nfu2:
    return Nfu2(
        tn=config.tn, ti=config.ti, width=config.width, acc_width=config.acc_width,
        control=_control(config), nbout_rows=config.nbout_rows, bias_rows=config.bias_rows,
        stages=config.nfu2_stages,
    )  # fmt: skip


def _nfu3(config: Config) -> Nfu3:
    return Nfu3(
        tn=config.tn, acc_width=config.acc_width, segments=config.segments,
        control=_control(config), stages=config.nfu3_stages, **_numbers(config),
    )  # fmt: skip


def _nfu(config: Config) -> Nfu:
    return Nfu(
        tn=config.tn, ti=config.ti, acc_width=config.acc_width, nbout_rows=config.nbout_rows,
        bias_rows=config.bias_rows, segments=config.segments, nfu1_stages=config.nfu1_stages,
        nfu2_stages=config.nfu2_stages, nfu3_stages=config.nfu3_stages, **_numbers(config),
    )  # fmt: skip


def _nbin(config: Config) -> Nbin:
    return Nbin(
        elements=config.nbin_elements, banks=config.nbin_banks, width=config.width, ti=config.ti,
        write_lanes=config.nbin_port // config.width, read_stages=config.nbin_read_stages,
    )  # fmt: skip


def _sb(config: Config) -> Sb:
    return Sb(rows=config.sb_rows, row_bits=config.sb_row_bits, port=config.sb_port)


def _nbout(config: Config) -> Nbout:
    return Nbout(
        rows=config.nbout_rows, tn=config.tn, acc_width=config.acc_width, width=config.width
    )


TOPS: dict[str, Callable[[Config], wiring.Component]] = {
    "core": lambda config: Core(config=config),
    "nfu": _nfu,
    "nfu1": _nfu1,
    "nfu2": _nfu2,
    "nfu3": _nfu3,
    "multiplier": _multiplier,
    "nbin": _nbin,
    "sb": _sb,
    "nbout": _nbout,
}
"""Makers of the tops, by name."""

BLOCKS: dict[str, dict[str, str]] = {
    "core": {
        "nfu.nfu1": "NFU-1",
        "nfu.nfu2": "NFU-2",
        "nfu.nfu3": "NFU-3",
        "nbin": "NBin",
        "sb": "SB",
        "nbout": "NBout",
        "control": "CP",
        "sequencer": "sequencer",
        "operands": "sequencer",
        "nbin_loader": "DMA",
        "sb_loader": "DMA",
        "store": "DMA",
        "axi_mux": "AXI mux",
        "csr": "CSR",
    },
    "nfu": {"nfu1": "NFU-1", "nfu2": "NFU-2", "nfu3": "NFU-3"},
}
"""The paper's blocks by instance path, of the tops that consist of some."""


def make_top(name: str, config: Config) -> wiring.Component:
    """The component ``name`` of TOPS for ``config``."""
    return TOPS[name](config)


def check_top(name: str) -> None:
    """Raise UserError if there is no such top."""
    if name not in TOPS:
        raise UserError(f"--top must be one of {', '.join(TOPS)}, not {name!r}")
