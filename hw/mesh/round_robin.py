"""Who is next."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["RoundRobin"]


def _lowest(bits: Value) -> Value:
    """The lowest of the bits that are set."""
    return (bits & -bits)[: len(bits)]


class RoundRobin(wiring.Component):
    """Grants one of several requests in the same cycle; who was served last is served last again.

    Parameters
    ----------
    count : requesters

    Members
    -------
    requests : In(count)
    grant : Out(count), one-hot, or 0 if nobody asks
    served : In(1), the grant was used: its successor has priority from the next cycle
    """

    requests: Signal
    grant: Signal
    served: Signal

    def __init__(self, count: int):
        self._count = count
        super().__init__({"requests": In(count), "grant": Out(count), "served": In(1)})

    def elaborate(self, platform):
        m = Module()
        behind = Signal(self._count)  # those who come before the one served last
        ahead = self.requests & ~behind
        m.d.comb += self.grant.eq(Mux(ahead.any(), _lowest(ahead), _lowest(self.requests)))
        with m.If(self.served & self.grant.any()):
            m.d.sync += behind.eq(self.grant | (self.grant - 1)[: self._count])
        return m
