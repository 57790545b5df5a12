"""What the core is doing in each cycle, for counters, profilers and traces."""

from amaranth.hdl import unsigned
from amaranth.lib import data, enum

__all__ = ["Events", "SlotEvents", "Stall"]


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


class SlotEvents(data.Struct):
    """A unit takes a slot from its queue (``begin``), or is through with its oldest (``done``).

    The program's slots of a unit begin and are done in the program's order.
    """

    begin: unsigned(1)
    done: unsigned(1)


class Events(data.Struct):
    """One cycle: ``active`` marks an NFU step of MAC, MAX or SUM; ``tag`` names its layer.

    A load is done with the last beat from memory, a nest with its last step, a store with the last
    response from memory.
    """

    tag: unsigned(16)
    active: unsigned(1)
    stall: Stall
    sb: SlotEvents
    nbin: SlotEvents
    nfu: SlotEvents
    nbout: SlotEvents
