"""The memory ports of a core as a simulator sees them."""

from dataclasses import dataclass

from hw.dadiannao.config import NodeConfig
from hw.diannao.config import Config

__all__ = ["STREAMS", "MemoryPort", "memory_ports"]

STREAMS = ("nbin", "sb", "nbout", "cp")
"""What is counted: the bytes that NBin, SB and the control processor read and NBout writes."""


@dataclass(frozen=True)
class MemoryPort:
    """One direction of an AXI port.

    Parameters
    ----------
    name : prefix of its Verilog ports
    width : data bits
    writes : AW, W and B channels (else AR and R)
    streams : the stream that a transaction counts for, by transaction id
    """

    name: str
    width: int
    writes: bool
    streams: tuple[str, ...]


def memory_ports(config: Config | NodeConfig) -> tuple[MemoryPort, ...]:
    """The ports of the core of ``config``; with ``shared_port`` they all are ``bus``."""
    if isinstance(config, NodeConfig):
        # All loads of a node have the identifier that is NBin's in a core.
        reads = ("nbin", "sb", "cp", "cp") * config.nodes
        return (
            MemoryPort("bus", config.bus_port, False, reads),
            MemoryPort("bus", config.bus_port, True, ("nbout",) * 4 * config.nodes),
        )
    if config.shared_port:
        width = config.nbin_port
        return (
            MemoryPort("bus", width, False, ("nbin", "sb", "cp")),
            MemoryPort("bus", width, True, ("nbout",)),
        )
    return (
        MemoryPort("nbin", config.nbin_port, False, ("nbin",)),
        MemoryPort("sb", config.sb_port, False, ("sb",)),
        MemoryPort("cp", config.cp_port, False, ("cp",)),
        MemoryPort("nbout", config.nbout_port, True, ("nbout",)),
    )
