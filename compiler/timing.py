"""How long a port takes for runs of contiguous bytes: what the searches for tiles count with."""

from math import ceil

from hw.diannao.config import Config
from sim.memory import MemorySettings

__all__ = ["fifo_elements", "fill_rate", "round_trip", "run_cycles"]

_PATH = 16
"""Cycles that a request and its data spend between descriptor and buffer, besides the memory."""


def round_trip(memory: MemorySettings) -> int:
    """Cycles from the moment a buffer has room to the arrival of what fills it."""
    return memory.latency + _PATH


def run_cycles(
    size: float, port: int, config: Config, memory: MemorySettings, *, aligned: bool = True
) -> float:
    """Average cycles per contiguous run of ``size`` bytes on a port of ``port`` bits.

    Runs that begin anywhere, not ``aligned``, touch more beats than they fill. Short bursts are
    limited by the number of requests in flight rather than by the port.
    """
    beats = ceil(size * 8 / port)
    if not aligned:
        beats = max(beats, 1 + (size - config.element_bytes) * 8 / port)
    bursts = ceil(beats / config.burst)
    return max(beats, bursts * (memory.latency + 4) / config.outstanding)


def fill_rate(size: float, config: Config) -> float:
    """Elements per cycle that enter NBin from runs of ``size`` bytes that wait in its FIFO.

    Every run begins a new word there.
    """
    return size / config.element_bytes / ceil(size * 8 / config.nbin_port)


def fifo_elements(size: float, config: Config) -> float:
    """Elements from runs of ``size`` bytes that wait in NBin's FIFO.

    Bursts are requested when there is room for them as a whole, which leaves a part of it free.
    """
    return 0.75 * config.nbin_fifo * fill_rate(size, config)
