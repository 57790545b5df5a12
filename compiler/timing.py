"""How long a port takes for runs of contiguous bytes: what the searches for tiles count with."""

from hw.diannao.config import Config
from sim.memory import MemorySettings

__all__ = ["fill_rate", "run_cycles"]


def run_cycles(size: float, port: int, config: Config, memory: MemorySettings) -> float:
    """Average cycles per contiguous run of ``size`` bytes on a port of ``port`` bits.

    Short bursts are limited by the number of requests in flight rather than by the port.
    """
    beats = -(-size * 8 // port)
    bursts = -(-beats // config.burst)
    return max(beats, bursts * memory.latency / config.outstanding)


def fill_rate(size: float, config: Config) -> float:
    """Elements per cycle that enter NBin from runs of ``size`` bytes that wait in its FIFO.

    Every run begins a new word there.
    """
    words = -(-size * 8 // config.nbin_port)
    return size / config.element_bytes / words
