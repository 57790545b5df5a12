"""Roofline plots: the work per cycle that layers attain, against what they could.

A layer's place is its own: true work over the bytes that it has to move (both directions). The roof
above it is the lower of the NFU's and the memory's; a tick marks the layer's own bound where a port
holds it below both. Work is MACs, and neurons compared or added for pooling, which uses one lane
per neuron and so has a roof of its own.
"""

from collections.abc import Sequence
from itertools import product
from math import atan2, degrees, log
from pathlib import Path
from typing import Any

import numpy as np

from hw.errors import UserError

from .files import check_writable, replacing

__all__ = ["FORMATS", "check_plot", "draw", "plot"]

FORMATS = (".svg", ".png", ".pdf")

_COLOURS = {"nfu": "tab:blue", "nbin": "tab:green", "sb": "tab:orange", "nbout": "tab:purple",
            "bus": "tab:brown", "memory": "tab:red"}  # fmt: skip
_WORDS = {"nfu": "the NFU", "nbin": "the NBin port", "sb": "the SB port", "nbout": "the NBout port",
          "bus": "the port", "memory": "the memory"}  # fmt: skip
_PLACES = [
    (7 * reach * dx, 7 * reach * dy) for reach in (1, 2, 3, 4.5, 6, 8, 10, 12)
    for dx, dy in ((1, 1), (1, -1), (-1, 1), (-1, -1), (1, 0), (-1, 0), (0, 1), (0, -1),
                   (0.3, 1), (0.3, -1), (-0.3, 1), (-0.3, -1))
]  # fmt: skip
"""Offsets of a label from its point, in the order in which they are tried."""


def check_plot(path: Path) -> None:
    """Raise UserError if no plot can be written to ``path``, before all the work."""
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"a plot's name must end in {', '.join(FORMATS)}, not {path.name!r}")
    check_writable(path)


def plot(report: dict[str, Any], path: Path) -> None:
    """Draw the layers of a report into a .svg, .png or .pdf file; see ``draw``."""
    from matplotlib import rc_context

    figure = draw(report)
    # Equal figures give equal files.
    metadata = {"Date": None} if path.suffix.lower() == ".svg" else None
    with replacing(path) as partial, rc_context({"svg.hashsalt": "diannao"}):
        figure.savefig(partial, dpi=150, format=path.suffix[1:].lower(), metadata=metadata)


def draw(report: dict[str, Any]) -> Any:
    """The layers of a report (see ``Session.report`` and ``diannao bench --json``) as a figure.

    Parameters
    ----------
    report : of a target with a clock; layers that did not run are left out, and entries may carry
        their own ``memory``

    Raises
    ------
    UserError
        If no layer ran.
    """
    # Only who plots waits for matplotlib; this canvas needs no display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    layers = [_place(layer, report) for layer in report["layers"] if layer["cycles"]]
    if not layers:
        raise UserError("there is nothing to plot: no layer ran on the core")
    figure = Figure(figsize=(10, 6.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set(xscale="log", yscale="log", xlabel="work per byte moved at least once (operations)",
             ylabel="work per cycle (operations)")  # fmt: skip
    axes.set_title(f"{report['model']} on {report['config']}")
    axes.grid(which="major", alpha=0.3)
    _roofs(axes, layers, report)
    for kind in dict.fromkeys(layer["bound_by"] for layer in layers):
        these = [layer for layer in layers if layer["bound_by"] == kind]
        colour = _COLOURS[kind]
        x = [layer["x"] for layer in these]
        axes.vlines(x, [layer["y"] for layer in these], [layer["top"] for layer in these],
                    colors=colour, linewidth=0.8, alpha=0.6)  # fmt: skip
        axes.scatter(x, [layer["top"] for layer in these], marker="_", s=60, color=colour)
        axes.scatter(x, [layer["y"] for layer in these], s=28, color=colour, zorder=3,
                     label=f"bound by {_WORDS[kind]}")  # fmt: skip
    axes.legend(loc="best")
    _label(figure, axes, layers)
    return figure


def _place(layer: dict[str, Any], report: dict[str, Any]) -> dict[str, Any]:
    """A layer with its coordinates: work per byte, work per cycle, and what its bound allows."""
    config = report["configuration"]
    mixed = len({other["source"] for other in report["layers"]}) > 1
    pooled = layer["limits"]["nfu"] * min(config["tn"], config["ti"])
    work = layer["macs"] or pooled
    moved = max(1, sum(layer["compulsory_bytes"].values()))
    return {
        "name": layer["name"] + (" (model)" if mixed and layer["source"] == "model" else ""),
        "bound_by": layer["bound_by"], "x": work / moved,
        "y": work / layer["cycles"], "top": work / max(layer["limits"].values()),
        "roof": config["tn"] * config["ti"] if layer["macs"] else min(config["tn"], config["ti"]),
        "rate": layer.get("memory", report["memory"])["bandwidth"],
    }  # fmt: skip


def _roofs(axes: Any, layers: Sequence[dict[str, Any]], report: dict[str, Any]) -> None:
    config = report["configuration"]
    xs = [layer["x"] for layer in layers]
    rates = sorted({layer["rate"] for layer in layers})
    peak = config["tn"] * config["ti"]
    first = min(*xs, peak / rates[-1], 1e9) / 3
    last = max(*xs, peak / rates[0], 0) * 4
    axes.set_xlim(first, last)
    ys = [value for layer in layers for value in (layer["y"], layer["top"])]
    axes.set_ylim(min(*ys, peak) / 3, peak * 2.5)
    for rate in rates:
        axes.plot([first, peak / rate], [first * rate, peak], color="black", linewidth=1)
        low = max(first * 1.15, axes.get_ylim()[0] * 1.3 / rate)
        axes.annotate(f"memory {rate} B/cycle", (low, low * rate), xytext=(4, -4), fontsize=8,
                      textcoords="offset points", rotation=_slope(axes), va="top",
                      rotation_mode="anchor")  # fmt: skip
    roofs = {layer["roof"] for layer in layers} | {peak}
    for roof in sorted(roofs):
        axes.plot([roof / rates[-1], last], [roof, roof], color="black", linewidth=1)
        what = f"Tn x Ti = {roof} MACs" if roof == peak else f"pooling, {roof} lanes"
        axes.annotate(what, (last, roof), xytext=(-4, 4), textcoords="offset points", ha="right",
                      fontsize=8)  # fmt: skip


def _slope(axes: Any) -> float:
    """The angle in which y = x appears, in degrees."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    width, height = axes.figure.get_size_inches()
    return degrees(atan2(height / log(top / bottom), width / log(right / left)))


def _label(figure: Any, axes: Any, layers: Sequence[dict[str, Any]]) -> None:
    """Names beside the points, each where it covers no other name, no point and no line.

    Nor does the line from a name to its point go through another name, if there is such a place.
    """
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    taken = [text.get_window_extent(renderer) for text in axes.texts]
    taken.append(axes.get_legend().get_window_extent(renderer))
    for layer in layers:
        for y in (layer["y"], layer["top"]):
            px, py = axes.transData.transform((layer["x"], y))
            taken.append(Bbox.from_bounds(px - 5, py - 5, 10, 10))
    for line in axes.lines:
        start, end = axes.transData.transform(line.get_xydata())
        for px, py in _between(start, end, 200):
            taken.append(Bbox.from_bounds(px - 1, py - 1, 2, 2))
    names: list[Bbox] = []
    inside = axes.get_window_extent(renderer)
    for layer in sorted(layers, key=lambda layer: layer["x"]):
        point = axes.transData.transform((layer["x"], layer["y"]))
        for may_cross, (dx, dy) in product((False, True), _PLACES):
            across, up = _sign(dx), _sign(dy)
            text = axes.annotate(
                layer["name"], (layer["x"], layer["y"]), xytext=(dx, dy), fontsize=8,
                textcoords="offset points", ha=("right", "center", "left")[across + 1],
                va=("top", "center", "bottom")[up + 1],
                arrowprops={"arrowstyle": "-", "linewidth": 0.5, "alpha": 0.6, "shrinkB": 3,
                            "relpos": ((1 - across) / 2, (1 - up) / 2)},
            )  # fmt: skip
            text.update_positions(renderer)
            box = Text.get_window_extent(text, renderer)  # without the line to the point
            offset = np.array((dx, dy)) * figure.dpi / 72
            way = _between(point, point + offset, 20)
            crosses = any(name.contains(*place) for name in names for place in way)
            fits = _contains(inside, box) and not any(map(box.overlaps, taken))
            if fits and (may_cross or not crosses):
                taken += [box, *(Bbox.from_bounds(px, py, 1, 1) for px, py in way)]
                names.append(box)
                break
            text.remove()


def _between(start: np.ndarray, end: np.ndarray, count: int) -> np.ndarray:
    """Places on the way from ``start`` to ``end``."""
    return start + np.linspace(0, 1, count)[:, None] * (end - start)


def _contains(outer: Any, inner: Any) -> bool:
    return all(outer.containsx(x) for x in inner.intervalx) and all(
        outer.containsy(y) for y in inner.intervaly
    )


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
