"""Measurements in the form of ``diannao run --report``."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from hw.diannao.config import Config
from sim.memory import MemorySettings

from .measure import Measurement

__all__ = ["report_of"]


def report_of(measurements: Sequence[Measurement], config: Config) -> dict[str, Any]:
    """An entry of ``layers`` for each run; the sums are those of the runs on RTL.

    A layer that ran as a crop has a second entry, for all of it, whose ``source`` is "model".
    """
    runs = [entry for layer in measurements for _, entry in layer.runs if entry.source == "rtl"]
    moved: Counter[str] = Counter()
    stalls: Counter[str] = Counter()
    for entry in runs:
        moved.update(entry.bytes)
        stalls.update(entry.stalls)
    cycles = sum(entry.cycles or 0 for entry in runs)
    bound = sum(entry.bound_cycles for entry in runs)
    return {
        "model": "benchmark layers", "config": config.name, "target": "verilator",
        "cycles": cycles or None, "macs": sum(entry.macs for entry in runs),
        "bound_cycles": round(bound, 1), "efficiency": bound / cycles if cycles else None,
        "bytes": dict(moved), "stalls": dict(stalls),
        "layers": [entry for layer in measurements for entry in layer.to_json()],
        "left_out": {layer.benchmark.name: layer.reason
                     for layer in measurements if layer.reason},
        "configuration": asdict(config), "memory": asdict(MemorySettings()),
    }  # fmt: skip
