"""Two sources of one stream."""

from typing import Any

from amaranth.hdl import Cat, Module, ShapeLike
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..bus.streams import Register
from ..mesh.round_robin import RoundRobin

__all__ = ["Merge"]


class Merge(wiring.Component):
    """Payloads of several streams, in turns: latency 1, a transfer per cycle.

    Parameters
    ----------
    shape : of the payload
    count : inputs

    Members
    -------
    i : In(stream(shape)).array(count)
    o : Out(stream(shape))
    """

    i: Any
    o: stream.Interface

    def __init__(self, *, shape: ShapeLike, count: int):
        self._shape = shape
        self._count = count
        super().__init__(
            {
                "i": In(stream.Signature(shape)).array(count),
                "o": Out(stream.Signature(shape)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.turns = turns = RoundRobin(self._count)
        m.submodules.register = register = Register(shape=self._shape)
        connect(m, register.o, flipped(self.o))
        m.d.comb += [
            turns.requests.eq(Cat(port.valid for port in self.i)),
            turns.served.eq(register.i.ready),
            register.i.valid.eq(turns.requests.any()),
        ]
        for n, port in enumerate(self.i):
            m.d.comb += port.ready.eq(turns.grant[n] & register.i.ready)
            with m.If(turns.grant[n]):
                m.d.comb += register.i.payload.eq(port.payload)
        return m
