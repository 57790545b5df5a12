"""The output side of a router port: credits, and the queue in front of the link."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .channel import Channel, FlitLayout
from .config import MeshConfig

__all__ = ["OutputUnit"]


class OutputUnit(wiring.Component):
    """Counts the places that are free at the other end, and queues flits for the link.

    The queue is the paper's FIFO between node and link. Its first entry is the router's output
    register: a flit leaves in the cycle after it came. An asynchronous FIFO can take its place
    where the link has a clock of its own.

    Nothing stalls between switch allocation and the link: a flit is granted only if the queue has
    room for it and for the one granted before.

    Parameters
    ----------
    config : of the mesh
    depth : flits per virtual channel at the other end

    Members
    -------
    credits : Out(vcs), virtual channels that can take a flit
    grant : In(vcs), one-hot or 0, only those in ``credits``: a flit that comes in the next cycle
    flit : In(FlitLayout), the flit granted in the cycle before
    channel : Out(Channel)
    """

    credits: Signal
    grant: Signal
    flit: Any
    channel: Any

    def __init__(self, *, config: MeshConfig, depth: int):
        self._depth = depth
        self._layout = FlitLayout(config)
        super().__init__(
            {
                "credits": Out(config.vcs),
                "grant": In(config.vcs),
                "flit": In(self._layout),
                "channel": Out(Channel(config)),
            }
        )
        # Read by the proof, too.
        self._counts = [
            Signal(range(depth + 1), init=depth, name=f"credits_{vc}") for vc in range(config.vcs)
        ]
        self._coming = Signal(name="coming")  # a flit is on the crossbar
        self._level = Signal(range(config.fifo + 1), name="level")
        self._queue: list[Any] = [
            Signal(self._layout, name=f"queue_{n}", reset_less=True) for n in range(config.fifo)
        ]

    def elaborate(self, platform):
        m = Module()
        flit, credit = self.channel.flit, self.channel.credit
        room = self._level + self._coming < len(self._queue)
        m.d.comb += self.credits.eq(Cat((count != 0) & room for count in self._counts))
        m.d.sync += self._coming.eq(self.grant.any())
        for vc, count in enumerate(self._counts):
            returned = credit.valid & (credit.vc == vc)
            m.d.sync += count.eq(count - self.grant[vc] + returned)

        leaving = Signal()
        m.d.comb += [
            flit.valid.eq(self._level != 0),
            flit.payload.eq(self._queue[0]),
            leaving.eq(flit.valid & flit.ready),
        ]
        m.d.sync += self._level.eq(self._level + self._coming - leaving)
        end = Signal.like(self._level)  # where the next flit goes
        m.d.comb += end.eq(self._level - leaving)
        for n, entry in enumerate(self._queue):
            with m.If(self._coming & (end == n)):
                m.d.sync += entry.eq(self.flit)
            if n + 1 < len(self._queue):
                with m.Elif(leaving):
                    m.d.sync += entry.eq(self._queue[n + 1])
        return m
