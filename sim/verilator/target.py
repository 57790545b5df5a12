"""The Verilated core as a transport for the driver, and as a target for programs."""

import json
from pathlib import Path

import numpy as np

from hw.diannao.config import Config
from hw.diannao.events import Stall
from hw.errors import UserError

from ..devices import MachineConfig, device_of
from ..driver import Driver, bytes_moved
from ..execution import Activity, Execution, Progress
from ..memory import MemorySettings
from ..ports import STREAMS, memory_ports
from ..program import Program
from ..timeline import Timeline
from .build import TRACES, build, core_verilog
from .model import ALWAYS, Model, Window

__all__ = ["VerilatorTarget", "VerilatorTransport"]

_PAGE = 4096
_FOREVER = 1 << 62


class VerilatorTransport:
    """Registers and memory of a model. The memory grows with what is written."""

    def __init__(self, model: Model):
        self.model = model

    def read_memory(self, address: int, size: int) -> np.ndarray:
        return self.model.memory[address : address + size].copy()

    def write_memory(self, address: int, content: np.ndarray) -> None:
        end = address + content.size
        if end > self.model.memory.size:
            grown = np.zeros(-(-end // _PAGE) * _PAGE, dtype=np.uint8)
            grown[: self.model.memory.size] = self.model.memory
            self.model.attach(grown)
        self.model.memory[address:end] = content

    def read_register(self, offset: int) -> int:
        return self.model.read_register(offset)

    def write_register(self, offset: int, value: int) -> None:
        self.model.write_register(offset, value)

    def wait(self, timeout: int | None) -> bool:
        return self.model.run(_FOREVER if timeout is None else timeout)


class VerilatorTarget:
    """Executes programs on the Verilog of a core.

    Parameters
    ----------
    config : the core
    settings : the memory
    trace : .vcd or .fst file for waveforms (simulation is then much slower), or .json file for what
        each unit did when, in the format that Perfetto and chrome://tracing open; see ``close``
    window : the clock cycles that are traced
    progress : told about the build and the cycles

    Raises
    ------
    UserError
        If a tool is missing, the trace file's ending is unknown, or it is .json and ``config`` no
        DianNao core's.
    """

    def __init__(
        self,
        config: MachineConfig,
        settings: MemorySettings | None = None,
        *,
        trace: Path | None = None,
        window: Window = ALWAYS,
        progress: Progress | None = None,
    ):
        if settings is not None and settings.on_chip:
            raise UserError("the target verilator has no on_chip memory; a simulated board has")
        kind = None if trace is None else trace.suffix.removeprefix(".")
        if trace is not None and kind not in (*TRACES, "json"):
            raise UserError(f"a trace must end in .vcd, .fst or .json, not {trace.name!r}")
        self._timeline: tuple[Path, Timeline] | None = None
        if trace is not None and kind == "json":
            if not isinstance(config, Config):
                raise UserError(
                    f"a timeline ({trace.name}) is there of DianNao cores only, not of "
                    f"{config.name!r}; choose a .vcd or .fst file"
                )
            self._timeline = (trace, Timeline(window[0]))
            trace = kind = None
        self._progress = progress
        if progress is not None:
            progress(f"building the Verilator model of {config.name}")
        ports = memory_ports(config)
        library = build(
            core_verilog(config), "core", ports, parts=device_of(config).parts(config), trace=kind
        )
        self._start = 0
        self.model = Model(
            library, ports, settings, trace=trace, window=window, progress=self._count
        )
        if self._timeline is not None:
            self.model.record((0, window[1]))  # slots are counted from the first
        self.driver = Driver(VerilatorTransport(self.model))
        self._loaded: Program | None = None

    def run(self, program: Program, inputs: dict[str, np.ndarray]) -> Execution:
        """Execute ``program``; see ``sim.execution.Target``."""
        if program is not self._loaded:
            self.driver.load(program)
            self._loaded = program
        self._start = self.model.cycles
        tags = max(program.layers, default=0) + 1
        before = self.model.profile(tags)
        seconds = self.model.seconds
        recorded = len(self.model.timeline())
        try:
            self.driver.run(inputs)
        finally:
            if self._timeline is not None:
                self._timeline[1].add(program, self.model.timeline()[recorded:])
        layers = {tag: _activity(before[tag], after) for tag, after in
                  enumerate(self.model.profile(tags))}  # fmt: skip
        counters = self.driver.counters()
        return Execution(
            tensors={name: self.driver.read_tensor(layout)
                     for name, layout in program.tensors.items()},
            source="rtl", cycles=counters["CYCLES"], layers=layers,
            bytes=bytes_moved(counters),
            seconds=self.model.seconds - seconds,
        )  # fmt: skip

    def close(self) -> None:
        """Free the model and complete the trace."""
        self.model.close()
        if self._timeline is not None:
            path, timeline = self._timeline
            self._timeline = None
            partial = path.with_name(f".{path.name}.partial")
            partial.write_text(json.dumps(timeline.to_json()))
            partial.replace(path)

    def _count(self, cycles: int) -> None:
        if self._progress is not None:
            self._progress("", cycles - self._start)


def _activity(before: np.ndarray, after: np.ndarray) -> Activity:
    """What happened in between, of two entries of a profile."""
    stalls = {
        stall.name.lower(): int(after["stalls"][stall.value] - before["stalls"][stall.value])
        for stall in Stall
    }
    cycles = sum(count for name, count in stalls.items() if name != "idle")
    del stalls["none"], stalls["idle"]
    moved = (after["bytes"] - before["bytes"]).tolist()
    active = int(after["active"] - before["active"])
    return Activity(cycles, active, stalls, dict(zip(STREAMS, moved, strict=True)))
