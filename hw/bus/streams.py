"""Building blocks for ``amaranth.lib.stream``: a register and a queue.

The contract of a stream, which both keep on their outputs if their user keeps it on the inputs: a
payload is transferred in every cycle in which ``valid`` and ``ready`` are high, ``valid`` does not
wait for ``ready``, and once ``valid`` is high it and the payload stay until the transfer.
"""

from amaranth.hdl import Module, ShapeLike, Signal, Value
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Queue", "Register"]


class Register(wiring.Component):
    """One register between two streams: latency 1, a transfer per cycle.

    ``i.ready`` follows ``o.ready`` combinationally; the forward path is cut.

    Parameters
    ----------
    shape : of the payload
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, *, shape: ShapeLike):
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        payload = Signal.like(Value.cast(self.o.payload), reset_less=True)
        m.d.comb += [
            self.i.ready.eq(~self.o.valid | self.o.ready),
            self.o.payload.eq(payload),
        ]
        m.d.sync += self.o.valid.eq(self.i.valid | (self.o.valid & ~self.o.ready))
        with m.If(self.i.ready):
            m.d.sync += payload.eq(self.i.payload)
        return m


class Queue(wiring.Component):
    """First in, first out: latency 2, a transfer per cycle; both paths are cut.

    Parameters
    ----------
    shape : of the payload
    depth : payloads that fit, at least 2

    Members
    -------
    i, o : streams of ``shape``
    level : Out(range(depth + 1)), payloads inside
    """

    i: stream.Interface
    o: stream.Interface
    level: Signal

    def __init__(self, *, shape: ShapeLike, depth: int):
        if depth < 2:
            raise ValueError(f"depth must be at least 2, not {depth!r}")
        self.depth = depth
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "o": Out(stream.Signature(shape)),
                "level": Out(range(depth + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        payload = Value.cast(self.i.payload)
        m.submodules.fifo = inner = fifo.SyncFIFOBuffered(width=len(payload), depth=self.depth)
        m.d.comb += [
            inner.w_data.eq(payload),
            inner.w_en.eq(self.i.valid),
            self.i.ready.eq(inner.w_rdy),
            self.o.payload.eq(inner.r_data),
            self.o.valid.eq(inner.r_rdy),
            inner.r_en.eq(self.o.ready),
            self.level.eq(inner.r_level),
        ]
        return m
