"""What the core is doing in each cycle, for counters, profilers and traces."""

from amaranth.hdl import unsigned
from amaranth.lib import data, enum

__all__ = ["Events", "Stall"]


class Stall(enum.Enum, shape=3):
    """Why the NFU did no step of a layer in a cycle."""

    NONE = 0
    """It did one, or a parameter step."""
    NBIN = 1
    """Neurons have not arrived."""
    SB = 2
    """Synapses or parameters have not arrived."""
    NBOUT = 3
    """The finished outputs cannot be stored fast enough."""
    STORE = 4
    """The next neurons wait for an earlier layer's stores to reach memory."""
    INSTRUCTION = 5
    """The NFU has no instruction."""
    IDLE = 6
    """No program runs."""


class Events(data.Struct):
    """One cycle: ``active`` marks an NFU step of MAC, MAX or SUM; ``tag`` names its layer."""

    tag: unsigned(16)
    active: unsigned(1)
    stall: Stall
