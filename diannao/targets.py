"""The targets by name."""

from pathlib import Path

from hw.diannao.config import Config
from sim.execution import Progress, Target
from sim.isa import IsaTarget
from sim.memory import MemorySettings

__all__ = ["CLOCKED", "TARGETS", "make_target"]

CLOCKED = ("verilator", "icarus")
"""Those that simulate the Verilog and so count clock cycles."""
TARGETS = ("golden", "isa", *CLOCKED)


def make_target(
    name: str,
    config: Config,
    memory: MemorySettings,
    trace: Path | None,
    window: tuple[int, int] | None,
    progress: Progress,
) -> Target | None:
    """The target ``name`` for programs of ``config``; None for golden, which executes none."""
    if name == "golden":
        return None
    if name == "isa":
        return IsaTarget(config)
    if name == "icarus":
        from sim.icarus import IcarusTarget

        return IcarusTarget(config, memory, progress)
    from sim.verilator.model import ALWAYS
    from sim.verilator.target import VerilatorTarget

    return VerilatorTarget(config, memory, trace=trace, window=window or ALWAYS, progress=progress)
