"""Cost tables: the energy of one event of each kind."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hw.errors import UserError

__all__ = ["EVENTS", "TABLES", "CostTable", "load_costs", "measured_costs"]

_FOLDER = Path(__file__).parent
TABLES = ("relative", "diannao-65nm")
"""The tables that come along, by name."""

UNITS = {"pJ": 1e-12, "MAC": None}
"""Units of costs: joules of each, where it is an energy."""

EVENTS = {
    "mac": "a product that NFU-1 forms and NFU-2 adds, whether its lane is of use or not",
    "hop": "16 bits that cross the array of multipliers",
    "pool": "a lane of a pooling step",
    "nbin_read": "a byte that NBin gives",
    "nbin_write": "a byte that NBin takes",
    "sb_read": "a byte that SB gives",
    "sb_write": "a byte that SB takes",
    "nbout_read": "a byte that NBout gives: partial sums and outputs",
    "nbout_write": "a byte that NBout takes",
    "memory": "a byte to or from the memory",
    "cycle": "a clock cycle: control and clock",
}
"""Kinds of events."""


@dataclass(frozen=True)
class CostTable:
    """Energy of one event of each kind of EVENTS.

    Parameters
    ----------
    name : of the table
    unit : of the costs, one of UNITS
    source : where the numbers come from
    cost : by event
    """

    name: str
    unit: str
    source: str
    cost: Mapping[str, float]

    @property
    def joules(self) -> float | None:
        """Joules of one unit; None if the unit is none of energy."""
        return UNITS[self.unit]


def load_costs(source: str | os.PathLike) -> CostTable:
    """The table ``source``: one of TABLES, or a TOML file (recognised by ``.toml``).

    Raises
    ------
    UserError
        If there is no such table, or it is not complete.
    """
    text = os.fspath(source)
    if text in TABLES:
        path = _FOLDER / f"{text}.toml"
    elif text.endswith(".toml"):
        path = Path(text)
    else:
        raise UserError(
            f"unknown table of energy costs {text!r}; known: {', '.join(TABLES)}, or a .toml file"
        )
    try:
        content = tomllib.loads(path.read_text())
    except OSError as error:
        raise UserError(f"cannot read energy costs {text!r}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{text!r} is not a TOML file: {error}") from None
    return _checked(path.stem, text, content)


def _checked(name: str, place: str, content: dict[str, Any]) -> CostTable:
    for key in content:
        if key not in ("unit", "source", "cost"):
            raise UserError(f"{place!r}: unknown key {key!r}; known: unit, source, cost")
    unit, source, cost = content.get("unit"), content.get("source"), content.get("cost")
    if unit not in UNITS:
        raise UserError(f"{place!r}: unit must be one of {', '.join(UNITS)}, not {unit!r}")
    if not isinstance(source, str):
        raise UserError(f"{place!r}: source must say where the costs come from, not {source!r}")
    if not isinstance(cost, dict) or set(cost) != set(EVENTS):
        given = ", ".join(cost) if isinstance(cost, dict) else repr(cost)
        raise UserError(f"{place!r}: cost must have {', '.join(EVENTS)}, not {given}")
    for event, value in cost.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e12:
            raise UserError(f"{place!r}: cost of {event} must be 0 or more, not {value!r}")
    return CostTable(name, unit, source, {event: float(cost[event]) for event in EVENTS})


def measured_costs(result: dict[str, Any]) -> str | None:
    """A cost table (TOML text) from what ``diannao synth`` says of an NFU or core.

    The NFU's power over its products is the cost of a MAC, and that of a core's other blocks the
    cost of a cycle. A standard-cell library has no memories, so buffers and memory cost what they
    cost in the table "relative", in MACs. None for other tops, and without power.
    """
    if result["top"] not in ("nfu", "core") or result["power_mw"] is None:
        return None
    relative = load_costs("relative").cost
    config, period = result["configuration"], result["period_ns"]
    nfu, rest = 0.0, 0.0
    for block in result["blocks"]:
        power = block["power_mw"]["total"]
        if block["name"].startswith("NFU"):
            nfu += power
        else:
            rest += power
    mac = nfu * period / (config["tn"] * config["ti"])
    cost = {event: value * mac for event, value in relative.items()}
    cost |= {"mac": mac, "hop": 0.0, "pool": mac, "cycle": rest * period}
    source = (
        f"diannao synth --top {result['top']}, configuration {result['config']}, in"
        f" {result['library']} at {period:.3g} ns ({result['activity']}); buffers and memory by"
        " the ratios of Eyeriss, table IV"
    )
    lines = ['unit = "pJ"', f'source = "{source}"', "", "[cost]"]
    lines += [f"{event} = {cost[event]:.6g}" for event in EVENTS]
    return "\n".join(lines) + "\n"
