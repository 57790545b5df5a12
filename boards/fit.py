"""What a core would take of a board's device, estimated from measured modules.

``costs.json`` holds what Yosys made of some cores of each board, module by module
(``scripts/board_costs``). A module is taken to grow linearly with the numbers that size it, so that
an estimate of a core with another Tn, Ti or width needs no synthesis. ``docs/boards.md`` says how
far the estimates were off the builds.
"""

import json
from collections.abc import Container
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

from hw.diannao.config import Config, ConfigError
from hw.errors import UserError

from .catalog import BOARDS, Board
from .platform import device_of, family_of

__all__ = ["COSTS", "VARIED", "available", "estimate", "exceeded", "largest", "resources_text"]

COSTS = Path(__file__).parent / "costs.json"
"""The measurements."""

VARIED = ("tn", "ti", "width")
"""What an estimate knows; all else has to be as in the board's own configuration."""

_DEVICES = {
    "iCE40UP5K": {"LUT": 5280, "DSP": 8, "BRAM": 30, "SPRAM": 4},
    "LFE5U-25F": {"LUT": 24288, "FF": 24288, "DSP": 28, "BRAM": 56},
    "LFE5U-85F": {"LUT": 83640, "FF": 83640, "DSP": 156, "BRAM": 208},
}
"""What devices have, as nextpnr counts it."""

_PACKED = {"ecp5": 1.12}
"""LUT after packing for each of Yosys', if that is not 1: nextpnr adds cells at the ends of carry
chains and beside memories made of LUT. (1.110, 1.116 and 1.131 in three builds.)"""

_SIZES = {
    "nfu1": ("products",), "nfu2": ("products", "outputs"), "nfu3": ("activations", "outputs"),
    "nbin": ("inputs",), "sb": ("synapses",), "sb_loader": ("synapses",), "nbout": ("outputs",),
    "operands": ("inputs", "synapses"), "nfu": ("products", "outputs"), "store": ("outputs",),
    "core": ("products", "outputs"), "o__payload": ("outputs",), "mover": ("outputs", "synapses"),
}  # fmt: skip
"""What a module grows with, besides a constant; other modules are as large in every core."""


def _features(module: str, config: Config) -> list[float]:
    sizes = {
        "products": config.tn * config.ti * config.width,
        "synapses": config.sb_row_bits,
        "inputs": config.nbin_banks * config.width,
        "outputs": config.tn * config.width,
        "activations": config.activation_lanes * config.width**2,
    }
    return [1.0, *(sizes[size] for size in _SIZES.get(module, ()))]


@cache
def _model(name: str) -> dict[tuple[str, str], np.ndarray]:
    """Coefficients by module and resource: those that fit the samples best, none negative."""
    samples: list[dict[str, Any]] | None = json.loads(COSTS.read_text()).get(name)
    if samples is None:
        raise UserError(f"nothing has been measured of {name}; see scripts/board_costs")
    configs = [BOARDS[name].config.replace(**{key: s[key] for key in VARIED}) for s in samples]
    model = {}
    for module in sorted({module for sample in samples for module in sample["cells"]}):
        rows = np.array([_features(module, config) for config in configs])
        scale = rows.max(axis=0)
        for kind in sorted({k for sample in samples for k in sample["cells"].get(module, {})}):
            counts = [sample["cells"].get(module, {}).get(kind, 0) for sample in samples]
            coefficients, _ = nnls(rows / scale, np.array(counts, dtype=float))
            model[module, kind] = coefficients / scale
    return model


def estimate(board: Board) -> dict[str, int]:
    """What ``board`` would take of its device: LUT, FF, DSP, BRAM, SPRAM.

    Raises
    ------
    UserError
        If nothing of the board has been measured.
    """
    config = board.config
    total: dict[str, float] = {}
    for (module, kind), coefficients in _model(board.name).items():
        count = float(np.dot(coefficients, _features(module, config)))
        total[kind] = total.get(kind, 0.0) + count
    total["LUT"] *= _PACKED.get(family_of(board.make_platform()), 1.0)
    counts = {kind: round(count) for kind, count in total.items()}
    # These are known, and not estimated.
    counts["DSP"] = config.tn * config.ti if config.multiplier == "dsp" else 0
    if (config.nfu3_multiplier or config.multiplier) == "dsp":
        counts["DSP"] += config.activation_lanes
    return counts


def available(board: Board) -> dict[str, int]:
    """What the device of ``board`` has.

    Raises
    ------
    UserError
        If that is not known.
    """
    device = device_of(board.make_platform())
    if device not in _DEVICES:
        raise UserError(f"the device must be one of {', '.join(_DEVICES)}, not {device}")
    return _DEVICES[device]


def exceeded(board: Board, counts: dict[str, int]) -> dict[str, int]:
    """Of which resources ``counts`` takes more than there is, and what the device has of them."""
    has = available(board)
    return {kind: has[kind] for kind, count in counts.items() if count > has.get(kind, count)}


def resources_text(counts: dict[str, int], has: dict[str, int]) -> str:
    """What is missing, in words."""
    return ", ".join(f"{counts[kind]:,} {kind} of {has[kind]:,}" for kind in has)


def largest(board: Board, fixed: Container[str] = ()) -> tuple[Board, dict[str, int]]:
    """The board with the largest core that should fit, and what it takes; of equally large ones
    that which takes the fewest LUT. All but Tn and Ti is as in the board's configuration. Ti is
    from Tn to 4 Tn: pooling uses as many lanes as the smaller one, layers have more inputs to fill
    Ti with than outputs.

    Parameters
    ----------
    fixed : "tn" or "ti", if it is to stay as it is in the board's configuration

    Raises
    ------
    UserError
        If none fits; it says what the smallest takes.
    """
    found = []
    smallest: dict[str, int] | None = None
    for tn in [board.config.tn] if "tn" in fixed else range(1, 17):
        for ti in [board.config.ti] if "ti" in fixed else range(tn, 4 * tn + 1):
            try:
                changed = board.changed(config=board.config.replace(tn=tn, ti=ti))
            except ConfigError:
                continue  # a buffer would be too small or too large
            counts = estimate(changed)
            smallest = smallest or counts
            if not exceeded(board, counts):
                found.append((tn * ti, -counts["LUT"], changed, counts))
    if not found:
        assert smallest is not None
        raise UserError(
            f"no {board.config.width}-bit core should fit {board.name}: even the smallest needs "
            f"about {resources_text(smallest, exceeded(board, smallest))}"
        )
    _, _, changed, counts = max(found, key=lambda one: one[:2])
    return changed, counts
