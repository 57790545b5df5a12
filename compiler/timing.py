"""How long a port takes for runs of contiguous bytes: what the searches for tiles count with."""

from math import ceil

from hw.diannao.config import Config
from hw.diannao.engine.engine import burst_size
from sim.memory import MemorySettings

__all__ = ["fifo_elements", "fill_rate", "round_trip", "run_cycles"]

_PATH = 16
"""Cycles that a request and its data spend between descriptor and buffer, besides the memory."""


_ENGINE_RUN = 7
"""Cycles of an engine for each run besides those for its bursts."""
_ENGINE_ROW = 3
"""The same for a row of SB behind another one."""
_ENGINE_BURST = 9
"""Cycles of an engine for a burst, in which nothing is awaited."""


def round_trip(memory: MemorySettings) -> int:
    """Cycles from the moment a buffer has room to the arrival of what fills it."""
    return memory.latency + _PATH


def run_cycles(
    size: float,
    port: int,
    config: Config,
    memory: MemorySettings,
    *,
    aligned: bool = True,
    follows: bool = False,
) -> float:
    """Average cycles per contiguous run of ``size`` bytes on a port of ``port`` bits.

    Runs that begin anywhere, not ``aligned``, touch more beats than they fill. Short bursts are
    limited by the number of requests in flight rather than by the port. An engine makes them one
    after the other; one that ``follows`` the run before without a gap shares its bursts.
    """
    beats = ceil(size * 8 / port)
    if not aligned:
        beats = max(beats, 1 + (size - config.element_bytes) * 8 / port)
    if config.engine:
        most = burst_size(config) * 8 // port
        bursts = beats / most if follows else ceil(beats / most)
        alone = memory.latency + _ENGINE_BURST + beats / bursts
        burst = max(_ENGINE_BURST, alone / config.outstanding)
        return (_ENGINE_ROW if follows else _ENGINE_RUN) + bursts * burst
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
