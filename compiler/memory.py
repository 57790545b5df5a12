"""What the compiler assumes about the memory behind the ports."""

from dataclasses import dataclass

from hw.diannao.config import Config

__all__ = ["Memory", "run_cycles"]


@dataclass(frozen=True)
class Memory:
    """Bytes per cycle in all, and cycles from request to data.

    The defaults are the paper's 250 GB/s at 0.98 GHz (section 5.2) and a latency of its order.
    """

    rate: float = 255.0
    latency: int = 100


def run_cycles(size: float, port: int, config: Config, memory: Memory) -> float:
    """Average cycles per contiguous run of ``size`` bytes on a port of ``port`` bits.

    Short bursts are limited by the number of requests in flight rather than by the port.
    """
    beats = -(-size * 8 // port)
    bursts = -(-beats // config.burst)
    return max(beats, bursts * memory.latency / config.outstanding)
