"""The link between two neighbours, one way."""

from typing import Any

from amaranth.hdl import Cat, Module, ShapeLike, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..cells import cell
from .channel import Channel
from .config import MeshConfig

__all__ = ["Delay", "Link"]


class Delay(wiring.Component):
    """What goes in comes out a number of cycles later.

    Parameters
    ----------
    shape : of what goes in
    cycles : at least 1

    Members
    -------
    i, o : In(shape), Out(shape)
    i_valid, o_valid : In(1), Out(1), cleared by reset on the whole way
    """

    i: Any
    o: Any
    i_valid: Signal
    o_valid: Signal

    def __init__(self, *, shape: ShapeLike, cycles: int):
        self._shape = shape
        self._cycles = cycles
        super().__init__({"i": In(shape), "i_valid": In(1), "o": Out(shape), "o_valid": Out(1)})

    def elaborate(self, platform):
        m = Module()
        stages = [
            Signal(self._shape, name=f"stage_{n}", reset_less=True) for n in range(self._cycles)
        ]
        valid = Signal(self._cycles)
        for before, stage in zip((self.i, *stages), stages, strict=False):
            m.d.sync += stage.eq(before)
        m.d.sync += valid.eq(Cat(self.i_valid, valid))
        m.d.comb += [self.o.eq(stages[-1]), self.o_valid.eq(valid[-1])]
        return m


class Link(wiring.Component):
    """Carries flits with a latency and a bandwidth, and credits back with the same latency.

    After a pause, flit k of an unbroken train starts floor(k * interval) cycles after flit 0: the
    rate is exact for any fraction. What is on the way always arrives, as the sender has a place
    for it at the other end; so a link never blocks one virtual channel for another.

    Parameters
    ----------
    config : of the mesh; ``link_latency`` and ``link_interval`` are used

    Members
    -------
    i : In(Channel), from the router that sends
    o : Out(Channel), to the router that receives
    hold : In(1), no flit starts in this cycle (the transceiver is busy, or the line is broken)
    waiting : Out(1), a flit wants to start and does not
    sent : Out(1), a flit starts
    """

    i: Any
    o: Any
    hold: Signal
    waiting: Signal
    sent: Signal

    def __init__(self, *, config: MeshConfig):
        self.cell_name = f"link_{config.label}"
        self._latency = config.link_latency
        self._interval = config.link_interval
        channel = Channel(config)
        super().__init__(
            {
                "i": In(channel),
                "o": Out(channel),
                "hold": In(1),
                "waiting": Out(1),
                "sent": Out(1),
            }
        )

    @cell
    def elaborate(self, platform):
        m = Module()
        i, o = self.i, self.o
        m.submodules.flits = flits = Delay(shape=i.flit.payload.shape(), cycles=self._latency)
        m.submodules.credits = credits = Delay(shape=o.credit.vc.shape(), cycles=self._latency)
        m.d.comb += [
            flits.i.eq(i.flit.payload),
            flits.i_valid.eq(self.sent),
            o.flit.payload.eq(flits.o),
            o.flit.valid.eq(flits.o_valid),
            credits.i.eq(o.credit.vc),
            credits.i_valid.eq(o.credit.valid),
            i.credit.vc.eq(credits.o),
            i.credit.valid.eq(credits.o_valid),
        ]

        # A flit takes ``cost`` units of time and a cycle has ``unit``; what is taken ahead of time
        # is a debt.
        cost, unit = self._interval.numerator, self._interval.denominator
        debt = Signal(range(cost))
        in_time = debt < unit
        m.d.comb += [
            i.flit.ready.eq(in_time & ~self.hold),
            self.sent.eq(i.flit.valid & i.flit.ready),
            self.waiting.eq(i.flit.valid & ~i.flit.ready),
        ]
        rest = Signal.like(debt)
        with m.If(self.sent):
            m.d.comb += rest.eq(debt + cost - unit)
        with m.Elif(~in_time):
            m.d.comb += rest.eq(debt - unit)
        m.d.sync += debt.eq(rest)
        return m
