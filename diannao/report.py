"""The report of a session: cycles, bound, efficiency, traffic and stalls, layer by layer."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from sim.execution import Activity
from sim.memory import MemorySettings
from sim.program import Layer

from .accelerators import MachineConfig, accelerator_of

__all__ = ["LayerRecord", "Record"]

_PORTS = ("nbin", "sb", "nbout")


def _efficiency(bound: float, cycles: int | None) -> float | None:
    return bound / cycles if cycles else None


def _add(target: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        target[key] = target.get(key, 0) + value


@dataclass
class LayerRecord:
    """One layer, summed over all batches that were run."""

    name: str
    op: str
    macs: int = 0
    bound_cycles: float = 0.0
    limits: dict[str, float] = field(default_factory=dict)
    cycles: int | None = None
    active: int | None = None
    source: str | None = None
    compulsory_bytes: dict[str, int] = field(default_factory=dict)
    stalls: dict[str, int] = field(default_factory=dict)
    bytes: dict[str, int] = field(default_factory=dict)
    accesses: dict[str, int] = field(default_factory=dict)

    def expect(self, layer: Layer, config: MachineConfig, memory: MemorySettings) -> None:
        """Count what ``layer`` has to do at least."""
        self.macs += layer.macs
        cycles = accelerator_of(config).limits(layer, config, memory.bandwidth)
        self.bound_cycles += max(cycles.values())
        _add(self.limits, cycles)
        _add(self.compulsory_bytes, layer.bytes)

    def count(self, activity: Activity, source: str, accesses: Mapping[str, int]) -> None:
        """Count what happened; ``accesses`` are those of ``Program.accesses``."""
        _add(self.accesses, accesses)
        self.source = source
        self.cycles = (self.cycles or 0) + activity.cycles
        self.active = (self.active or 0) + activity.active
        _add(self.stalls, activity.stalls)
        _add(self.bytes, {name: activity.bytes[name] for name in _PORTS})

    @property
    def bound_by(self) -> str:
        """The resource that sets the bound: "nfu", a port's name, or "memory"."""
        return max(self.limits, key=self.limits.__getitem__)

    @property
    def lane_utilisation(self) -> float | None:
        """The least NFU steps over those done: what an average step's lanes did of use."""
        return _efficiency(self.limits["nfu"], self.active)

    @property
    def efficiency(self) -> float | None:
        """Bound over cycles; None where nothing ran, or without a clock."""
        return _efficiency(self.bound_cycles, None if self.source == "isa" else self.cycles)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name, "op": self.op, "source": self.source, "cycles": self.cycles,
            "macs": self.macs, "bound_cycles": round(self.bound_cycles, 1),
            "bound_by": self.bound_by, "limits": self.limits,
            "efficiency": self.efficiency, "nfu_active": self.active,
            "lane_utilisation": self.lane_utilisation,
            "stalls": self.stalls, "bytes": self.bytes, "compulsory_bytes": self.compulsory_bytes,
            "accesses": self.accesses,
        }  # fmt: skip


@dataclass
class Record:
    """Everything that a session counts; ``to_json`` is the form of ``--report``."""

    model: str
    config: MachineConfig
    target: str
    memory: MemorySettings
    images: int = 0
    cycles: int | None = None
    simulation_seconds: float | None = None
    link_seconds: float | None = None
    bytes: dict[str, int] = field(default_factory=dict)
    layers: dict[str, LayerRecord] = field(default_factory=dict)
    host: list[dict[str, str]] = field(default_factory=list)
    saturated: dict[str, int] = field(default_factory=dict)
    saturated_sums: dict[str, int] = field(default_factory=dict)
    checked_tensors: int = 0

    def expect(self, layer: Layer) -> None:
        """Count the work of ``layer`` for one batch."""
        record = self.layers.setdefault(layer.name, LayerRecord(layer.name, layer.op))
        record.expect(layer, self.config, self.memory)

    def to_json(self, float_error: dict[str, float] | None = None) -> dict[str, Any]:
        layers = list(self.layers.values())
        bound = sum(layer.bound_cycles for layer in layers)
        stalls: dict[str, int] = {}
        accesses: dict[str, int] = {}
        for layer in layers:
            _add(stalls, layer.stalls)
            _add(accesses, layer.accesses)
        return {
            "model": self.model, "config": self.config.name, "target": self.target,
            "images": self.images, "cycles": self.cycles,
            "simulation_seconds": self.simulation_seconds, "link_seconds": self.link_seconds,
            "macs": sum(layer.macs for layer in layers), "bound_cycles": round(bound, 1),
            "efficiency": _efficiency(bound, self.cycles), "bytes": self.bytes, "stalls": stalls,
            "accesses": accesses, "layers": [layer.to_json() for layer in layers],
            "host": self.host,
            "float_error": float_error, "saturated": self.saturated,
            "saturated_sums": self.saturated_sums, "checked_tensors": self.checked_tensors,
            "configuration": asdict(self.config), "memory": asdict(self.memory),
        }  # fmt: skip
