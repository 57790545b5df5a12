"""Events of a run, counted or following from what was counted, and their energy."""

from typing import Any

from hw.diannao.config import Config

from .table import CostTable

__all__ = ["GROUPS", "add_energy", "events_of"]

GROUPS = {
    "NFU": ("mac", "hop", "pool"),
    "buffers": (
        "nbin_read", "nbin_write", "sb_read", "sb_write", "nbout_read", "nbout_write",
    ),
    "memory": ("memory",),
    "control": ("cycle",),
}  # fmt: skip
"""Where the energy goes, for people."""


def events_of(layer: dict[str, Any], config: Config) -> dict[str, float]:
    """Number of events of each kind in one layer of a report, ran on a core of ``config``.

    Every step reads Ti neurons, and of a layer with products also a row of Tn x Ti synapses. Every
    step but the last of an output writes Tn partial sums to NBout, every step but the first reads
    them; outputs pass NBout once.
    """
    steps, moved = layer["nfu_active"] or 0, layer["bytes"]
    element = config.element_bytes
    outputs = -(-moved.get("nbout", 0) // (config.tn * element))
    sums = max(steps - outputs, 0) * config.tn * config.acc_width / 8
    multiplies = steps if layer["macs"] else 0
    mac, pool = multiplies * config.tn * config.ti, (steps - multiplies) * config.lanes
    return {
        "mac": mac,
        "hop": (2 * mac + pool) * config.width / 16,
        "pool": pool,
        "nbin_read": steps * config.ti * element,
        "nbin_write": moved.get("nbin", 0),
        "sb_read": multiplies * config.tn * config.ti * element,
        "sb_write": moved.get("sb", 0),
        "nbout_read": sums + moved.get("nbout", 0),
        "nbout_write": sums + moved.get("nbout", 0),
        "memory": sum(moved.values()),
        "cycle": layer["cycles"] or 0,
    }


def add_energy(report: dict[str, Any], table: CostTable) -> dict[str, Any]:
    """``report`` (of a target with a clock) with the energy of each layer, and of all.

    Each layer gets ``energy``: ``total``, ``by`` event, and ``per_mac`` (None without products), in
    the unit that the report's own ``energy`` names beside the table and its source; where it is one
    of energy also ``joules``.
    """
    config = Config(**report["configuration"])
    layers = []
    total: dict[str, float] = dict.fromkeys(table.cost, 0.0)
    for layer in report["layers"]:
        events = events_of(layer, config)
        energy = {event: events[event] * cost for event, cost in table.cost.items()}
        total = {event: total[event] + energy[event] for event in total}
        layers.append({**layer, "energy": _summary(energy, layer["macs"], table)})
    described = {"table": table.name, "unit": table.unit, "source": table.source}
    macs = sum(layer["macs"] for layer in layers)
    return {**report, "layers": layers, "energy": described | _summary(total, macs, table)}


def _summary(energy: dict[str, float], macs: int, table: CostTable) -> dict[str, Any]:
    total = sum(energy.values())
    summary = {"total": total, "per_mac": total / macs if macs else None, "by": energy}
    return summary if table.joules is None else {**summary, "joules": total * table.joules}
