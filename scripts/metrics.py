"""What the tutorial on efficient processing asks of an accelerator, per layer and per network."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from diannao import Session, zoo
from diannao.compiled import Compiled
from diannao.energy import add_energy, load_costs
from hw.diannao.config import CONFIGS, Config
from sim import golden, host
from sim.graph import Add, Conv, Gemm, Graph
from sim.memory import MemorySettings

from .digits import digits
from .networks import ON_RTL

__all__ = [
    "CLOCK",
    "COSTS",
    "NETWORKS",
    "layer_metrics",
    "measure_network",
    "network_metrics",
    "row",
]

CONFIG = CONFIGS["diannao-16x16"]
CLOCK = 0.98e9
"""Hertz; the paper's clock, at which cycles are given as time."""
COSTS = "diannao-65nm"
"""Energy costs of the metrics."""
NETWORKS = ("digits", *ON_RTL)
DIGITS = Path(__file__).parent.parent / "models" / "digits.onnx"
IMAGES = 16
"""Digits that run together."""


def row(*cells: object) -> str:
    """A line of a table."""
    return f"| {' | '.join(map(str, cells))} |\n"


_NOTHING: dict[str, Any] = {"shape": "", "weights": 0, "nonzero_weights": 0, "nonzero_macs": 0}
"""Counts of a layer without products."""


# Measuring


def measure_network(name: str) -> dict[str, Any]:
    """Run a network on the RTL: a session's report, with what ``nonzero`` counts in ``counts``.

    ``accuracy`` is that of the golden model on all test images, None for a network of random
    weights.
    """
    accuracy = None
    if name == "digits":
        _, _, images, labels = digits()
        model = DIGITS
        feeds = {"image": images[:IMAGES]}
        golden_session = Session(model, CONFIG, "golden", calibration=feeds)
        (scores,) = golden_session.run(None, {"image": images})
        accuracy = float(np.mean(scores.argmax(axis=1) == labels))
    else:
        model = zoo.network(name)
        feeds = zoo.image(model)
    with Session(model, CONFIG) as session:
        session.run(None, feeds)
        report = session.report
    batch = report["images"]
    compiled = Compiled.make(
        model, batch, feeds, CONFIG, MemorySettings(), strict=False, preset=None
    )
    return {
        **report, "model": name, "accuracy": accuracy, "counts": nonzero(compiled.graph, feeds)
    }  # fmt: skip


def nonzero(graph: Graph, feeds: dict[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """For each layer with products its ``shape``, ``weights``, and how many of the weights and of
    the products have no zero factor: ``nonzero_weights``, ``nonzero_macs``."""
    fracs = {name: graph.tensors[name].frac for name in feeds}
    inputs = {
        name: value if (frac := fracs[name]) is None else host.quantise(value, frac, graph.width)[0]
        for name, value in feeds.items()
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tensors = golden.run(graph, inputs).tensors
    counts = {}
    for node in graph.nodes:
        if isinstance(node, Conv):
            macs = _conv(node, tensors[node.input] != 0)
            outputs, channels, kh, kw = node.weight.shape
            shape = f"{kw}x{kh}, {channels * node.groups} -> {outputs}"
        elif isinstance(node, Gemm):
            seen = (tensors[node.input].reshape(-1, node.weight.shape[1]) != 0).sum(axis=0)
            macs = int(seen @ (node.weight != 0).sum(axis=0))
            shape = f"{node.weight.shape[1]} -> {node.weight.shape[0]}"
        elif isinstance(node, Add):
            macs = sum(int(np.count_nonzero(tensors[name])) for name in node.inputs)
            counts[node.name] = {**_NOTHING, "nonzero_macs": macs}
            continue
        else:
            continue
        counts[node.name] = {
            "shape": shape, "weights": node.weight.size,
            "nonzero_weights": int(np.count_nonzero(node.weight)), "nonzero_macs": macs,
        }  # fmt: skip
    return counts


def _conv(node: Conv, present: np.ndarray) -> int:
    """Products without a zero factor: tap by tap, how many windows and outputs have something."""
    _, channels, kh, kw = node.weight.shape
    top, left, bottom, right = node.pads
    padded = np.pad(present, ((0, 0), (0, 0), (top, bottom), (left, right)))
    weights = (node.weight != 0).reshape(node.groups, -1, channels, kh, kw).sum(axis=1)
    weights = weights.reshape(-1, kh, kw)
    (sy, sx), (height, width) = node.strides, padded.shape[2:]
    total = 0
    for y in range(kh):
        for x in range(kw):
            seen = padded[:, :, y : height - kh + y + 1 : sy, x : width - kw + x + 1 : sx]
            total += int(seen.sum(axis=(0, 2, 3)) @ weights[:, y, x])
    return total


# Tables


def _share(layer: dict[str, Any], config: Config) -> str:
    use = layer["macs"] / (config.tn * config.ti * layer["cycles"])
    return f"{100 * use:.1f} %" if layer["macs"] else "-"


def _per_mac(value: float, macs: int, digits: int) -> str:
    return f"{value / macs:.{digits}f}" if macs else "-"


def layer_metrics(report: dict[str, Any], title: str) -> str:
    """A table of the layers of a report of ``diannao bench`` or of ``measure_network``.

    Where the report has no counts, the products with a zero factor are not told apart.
    """
    report = add_energy(report, load_costs(COSTS))
    config = Config(**report["configuration"])
    counts = report.get("counts")
    of = "MAC" if counts is None else "non-zero MAC"
    text = f"### {title}\n\n"
    text += row(
        "layer", *(("from",) if counts is None else ("shape", "weights, non-zero")), "MACs",
        *(() if counts is None else ("non-zero",)), "cycles", "ms", "use of peak", "mW",
        f"pJ per {of}", f"memory words per {of}",
    )  # fmt: skip
    text += row("--", "--", *["--:"] * (7 if counts is None else 9))
    for layer in report["layers"]:
        if not layer["cycles"]:
            continue
        macs, cycles, joules = layer["macs"], layer["cycles"], layer["energy"]["joules"]
        words = sum(layer["bytes"].values()) / config.element_bytes
        if counts is None:
            crop = "" if layer.get("crop") is None else f" ({'x'.join(map(str, layer['crop']))})"
            cells = [layer["name"] + crop, layer["source"], f"{macs:,}"]
        else:
            count = counts.get(layer["name"], _NOTHING)
            weights = f"{count['weights']:,}, {count['nonzero_weights']:,}"
            cells = [layer["name"], count["shape"] or layer["op"],
                     weights if count["weights"] else "-",
                     f"{macs:,}", f"{count['nonzero_macs']:,}"]  # fmt: skip
            macs = count["nonzero_macs"]
        text += row(
            *cells, f"{cycles:,}", f"{1000 * cycles / CLOCK:.4g}", _share(layer, config),
            f"{1000 * joules * CLOCK / cycles:.0f}", _per_mac(1e12 * joules, macs, 2),
            _per_mac(words, macs, 4),
        )  # fmt: skip
    return text + "\n"


def network_metrics(reports: list[dict[str, Any]]) -> str:
    """A table with a line for each report of ``measure_network``."""
    text = row(
        "network", "layers", "images", "accuracy", "weights", "non-zero", "MACs", "non-zero",
        "cycles", "ms per image", "use of peak", "mW", "pJ per non-zero MAC",
        "memory words per non-zero MAC",
    )  # fmt: skip
    text += row("--", *["--:"] * 13)
    for report in reports:
        config = Config(**report["configuration"])
        counts = report["counts"].values()
        weights, kept, macs = (
            sum(count[key] for count in counts)
            for key in ("weights", "nonzero_weights", "nonzero_macs")
        )
        joules = add_energy(report, load_costs(COSTS))["energy"]["joules"]
        cycles = report["cycles"]
        words = sum(sum(layer["bytes"].values()) for layer in report["layers"])
        accuracy, error = report["accuracy"], report["float_error"]["mean"]
        text += row(
            report["model"], len(report["layers"]), report["images"],
            f"off by {error:.2g}" if accuracy is None else f"{100 * accuracy:.2f} %",
            f"{weights:,}", f"{100 * kept / weights:.1f} %", f"{report['macs']:,}",
            f"{100 * macs / report['macs']:.1f} %", f"{cycles:,}",
            f"{1000 * cycles / CLOCK / report['images']:.4g}", _share(report, config),
            f"{1000 * joules * CLOCK / cycles:.0f}", _per_mac(1e12 * joules, macs, 2),
            _per_mac(words / config.element_bytes, macs, 4),
        )  # fmt: skip
    return text
