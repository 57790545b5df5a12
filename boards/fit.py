"""What a core would take of a board's device, estimated from measured modules.

``costs.json`` holds, for each board, what its own core took when it was built (``scripts/boards``),
and what Yosys made of some other cores, module by module (``scripts/board_costs``). Each
kind of module is taken to grow linearly with the numbers that size it, which gives how much larger
or smaller than the board's own a core with another Tn, Ti or width is. What nextpnr adds or saves
is taken to be in proportion. ``docs/boards.md`` says how far off that is.
"""

import json
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

from hw.diannao.config import Config, ConfigError
from hw.errors import UserError

from .catalog import BOARDS, Board
from .platform import device_of

__all__ = [
    "COSTS", "VARIED", "available", "deviations", "estimate", "exceeded", "largest", "measured",
    "resources_text",
]  # fmt: skip

COSTS = Path(__file__).parent / "costs.json"
"""The measurements."""

VARIED = ("tn", "ti", "width")
"""What an estimate knows; all else has to be as in the board's own configuration."""

_DEVICES = {
    "GW1NR-LV9QN88PC6/I5": {"LUT": 8640, "FF": 6480, "DSP": 40, "BRAM": 26},
    "iCE40UP5K": {"LUT": 5280, "DSP": 8, "BRAM": 30, "SPRAM": 4},
    "LFE5U-25F": {"LUT": 24288, "FF": 24288, "DSP": 28, "BRAM": 56},
    "LFE5U-85F": {"LUT": 83640, "FF": 83640, "DSP": 156, "BRAM": 208},
}
"""What devices have, as nextpnr counts it."""

_BASE = ("base",)
_GROWS = {
    ("base", "products"): ("nfu1",),
    ("base", "products", "outputs"): ("nfu", "nfu2", "core"),
    ("base", "activations", "outputs"): ("nfu3",),
    ("inputs",): ("nbin",),
    ("base", "inputs", "synapses"): ("operands",),
    ("base", "synapses"): ("sb", "sb_loader"),
    ("base", "outputs"): ("nbout", "store", "o__payload"),
    ("base", "outputs", "synapses"): ("mover",),
}
"""What modules grow with, besides their base; all others are nothing but a base, the same in every
core. NBin is nothing but banks. Where two modules meet, it is chance which of them a LUT is named
after, so modules that grow with the same numbers are counted as one."""

_Cells = dict[str, dict[str, int]]
_Samples = Sequence[tuple[Config, _Cells]]


def _features(config: Config, growth: tuple[str, ...]) -> list[float]:
    sizes = {
        "base": 1.0,
        "products": config.tn * config.ti * config.width,
        "synapses": config.sb_row_bits,
        "inputs": config.nbin_banks * config.width,
        "outputs": config.tn * config.width,
        "activations": config.activation_lanes * config.width**2,
    }
    return [sizes[size] for size in growth]


def _by_growth(cells: _Cells, kind: str) -> dict[tuple[str, ...], int]:
    """How many ``kind`` there are in the modules that grow with the same numbers."""
    growth = {module: sizes for sizes, modules in _GROWS.items() for module in modules}
    total: Counter[tuple[str, ...]] = Counter()
    for module, counts in cells.items():
        total[growth.get(module, _BASE)] += counts.get(kind, 0)
    return total


class _Model:
    """How many of each ``kinds`` Yosys should make of a core, by what it made of others: the linear
    model that fits them best, in which nothing shrinks when a core grows."""

    def __init__(self, samples: _Samples, kinds: Iterable[str]):
        self._terms: dict[str, list[tuple[tuple[str, ...], np.ndarray]]] = {}
        for kind in kinds:
            groups = [_by_growth(cells, kind) for _, cells in samples]
            self._terms[kind] = []
            for growth in sorted({growth for group in groups for growth in group}):
                rows = np.array([_features(config, growth) for config, _ in samples])
                scale = rows.max(axis=0)
                counts = np.array([group.get(growth, 0) for group in groups], dtype=float)
                coefficients, _ = nnls(rows / scale, counts)
                self._terms[kind].append((growth, coefficients / scale))

    def count(self, kind: str, config: Config) -> float:
        """How many ``kind`` the core ``config`` should take."""
        return sum(
            float(np.dot(coefficients, _features(config, growth)))
            for growth, coefficients in self._terms[kind]
        )


@cache
def _costs(name: str) -> tuple[dict[str, int], _Samples]:
    """What the board's own core took when it was built, and what Yosys made of others."""
    costs: dict[str, Any] = json.loads(COSTS.read_text()).get(name, {})
    if not costs.get("built") or not costs.get("samples"):
        raise UserError(f"nothing has been measured of {name}; see scripts/board_costs")
    own = BOARDS[name].config
    return costs["built"], [
        (own.replace(**{key: sample[key] for key in VARIED}), sample["cells"])
        for sample in costs["samples"]
    ]


def measured() -> list[str]:
    """The boards of which something has been measured."""
    return [name for name, costs in json.loads(COSTS.read_text()).items() if costs.get("samples")]


@cache
def _model(name: str) -> _Model:
    built, samples = _costs(name)
    return _Model(samples, built)


def _estimate(name: str, model: _Model, config: Config) -> dict[str, int]:
    built, _ = _costs(name)
    counts = {}
    for kind, count in built.items():
        of_own = model.count(kind, BOARDS[name].config)
        counts[kind] = round(count * model.count(kind, config) / of_own) if of_own else count
    # These are known, and not estimated.
    counts["DSP"] = config.tn * config.ti if config.multiplier == "dsp" else 0
    if (config.nfu3_multiplier or config.multiplier) == "dsp":
        counts["DSP"] += config.activation_lanes
    return counts


def estimate(board: Board) -> dict[str, int]:
    """What ``board`` would take of its device: LUT, FF, DSP, BRAM, SPRAM.

    Raises
    ------
    UserError
        If nothing of the board has been measured.
    """
    _costs(board.name)
    return _estimate(board.name, _model(board.name), board.config)


def deviations(name: str) -> Iterator[tuple[Config, str, int, int]]:
    """How good estimates for the board ``name`` are: for each core that was measured, what would be
    estimated without it, and what Yosys made of it (times what nextpnr made of what Yosys should
    make of the board's own).

    Returns
    -------
    iterator of (Config, str, int, int)
        Core, kind of resource, estimated and measured count.
    """
    built, samples = _costs(name)
    own = BOARDS[name].config
    for config, cells in samples:
        rest = [sample for sample in samples if sample[0] != config]
        counts = _estimate(name, _Model(rest, built), config)
        for kind in ("LUT", "FF"):
            if kind in built:
                packed = built[kind] / _model(name).count(kind, own)
                yield config, kind, counts[kind], round(packed * _total(cells, kind))


def _total(cells: _Cells, kind: str) -> int:
    return sum(counts.get(kind, 0) for counts in cells.values())


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
