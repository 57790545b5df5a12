"""The Verilated core as a transport for the driver, and as a target for programs."""

from pathlib import Path

import numpy as np

from hw.diannao.config import Config
from hw.diannao.events import Stall
from hw.errors import UserError

from ..driver import Driver
from ..execution import Activity, Execution, Progress
from ..memory import MemorySettings
from ..ports import STREAMS, memory_ports
from ..program import Program
from .build import TRACES, build, core_verilog
from .model import Model

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
    trace : .vcd or .fst file for waveforms; simulation is then much slower
    progress : told about the build and the cycles

    Raises
    ------
    UserError
        If a tool is missing, or the waveform file's ending is unknown.
    """

    def __init__(
        self,
        config: Config,
        settings: MemorySettings | None = None,
        *,
        trace: Path | None = None,
        progress: Progress | None = None,
    ):
        kind = None
        if trace is not None:
            kind = trace.suffix.removeprefix(".")
            if kind not in TRACES:
                raise UserError(f"a waveform file must end in .vcd or .fst, not {trace.name!r}")
        self._progress = progress
        if progress is not None:
            progress(f"building the Verilator model of {config.name}")
        ports = memory_ports(config)
        library = build(core_verilog(config), "core", ports, trace=kind)
        self._start = 0
        self.model = Model(library, ports, settings, trace=trace, progress=self._count)
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
        self.driver.run(inputs)
        layers = {tag: _activity(before[tag], after) for tag, after in
                  enumerate(self.model.profile(tags))}  # fmt: skip
        counters = self.driver.counters()
        return Execution(
            tensors={name: self.driver.read_tensor(layout)
                     for name, layout in program.tensors.items()},
            source="rtl", cycles=counters["CYCLES"], layers=layers,
            bytes={stream: counters[f"BYTES_{stream.upper()}"] for stream in STREAMS},
            seconds=self.model.seconds - seconds,
        )  # fmt: skip

    def close(self) -> None:
        """Free the model and complete the waveform file."""
        self.model.close()

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
