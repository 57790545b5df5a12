"""Parameters of the simulated external memory."""

from dataclasses import dataclass

from hw.bus.axi import Response

__all__ = ["Fault", "MemorySettings"]


@dataclass(frozen=True, kw_only=True)
class MemorySettings:
    """How fast the external memory is.

    Parameters
    ----------
    latency : cycles from an accepted address (or last write data) to the answer, at least 1
    bandwidth : bytes per cycle that all ports share, at least 1; the default is the paper's
        250 GB/s at 0.98 GHz (section 6.4)
    stall : chance that a channel pauses for a cycle, at least 0 and below 1; for tests
    seed : of the pauses
    on_chip : it is the memory of an FPGA (``boards.memory.OnChipMemory``): one burst at a time, a
        beat per cycle, with a latency of 2 to the first one. The simulators of cores have no such
        memory, the performance model has
    """

    latency: int = 100
    bandwidth: int = 255
    stall: float = 0.0
    seed: int = 1
    on_chip: bool = False

    def __post_init__(self):
        if not 1 <= self.latency < 1 << 31:
            raise ValueError(f"latency must be at least 1 cycle, not {self.latency!r}")
        if not 1 <= self.bandwidth < 1 << 31:
            raise ValueError(f"bandwidth must be at least 1 byte per cycle, not {self.bandwidth!r}")
        if not 0 <= self.stall < 1:
            raise ValueError(f"stall must be at least 0 and below 1, not {self.stall!r}")


@dataclass(frozen=True)
class Fault:
    """Addresses ``first`` to ``last`` answer with ``response``, an error.

    ``port`` says on which port (see ``sim.ports``); None means on all.
    """

    first: int
    last: int
    response: Response
    port: str | None = None
