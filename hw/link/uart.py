"""Serial line: eight data bits, no parity, one stop bit."""

from amaranth.hdl import Cat, Const, Module, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

__all__ = ["UartReceiver", "UartTransmitter"]


def _check(divisor: int) -> None:
    if divisor < 4:
        raise ValueError(f"divisor must be at least 4 cycles per bit, not {divisor!r}")


class UartReceiver(wiring.Component):
    """Bytes from a serial line.

    Each bit is sampled once, in its middle. A byte without stop bit is dropped. A byte that has
    not been taken when the next one is complete is replaced by it.

    Parameters
    ----------
    divisor : clock cycles per bit, at least 4

    Members
    -------
    rx : In(1), the line, asynchronous
    o : Out(stream(8))
    """

    rx: Signal
    o: stream.Interface

    def __init__(self, *, divisor: int):
        _check(divisor)
        self._divisor = divisor
        super().__init__({"rx": In(1), "o": Out(stream.Signature(unsigned(8)))})

    def elaborate(self, platform):
        m = Module()
        line = Signal(init=1)
        m.submodules.synchronizer = FFSynchronizer(self.rx, line, init=1)

        timer = Signal(range(self._divisor), reset_less=True)
        left = Signal(range(11))  # samples: start, eight data bits, stop
        byte = Signal(8, reset_less=True)
        m.d.comb += self.o.payload.eq(byte)
        m.d.sync += timer.eq(timer - 1)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(left == 0):
            m.d.sync += timer.eq(self._divisor // 2 - 1)
            with m.If(~line):
                m.d.sync += left.eq(10)
        with m.Elif(timer == 0):
            m.d.sync += [timer.eq(self._divisor - 1), left.eq(left - 1)]
            with m.If(left == 10):
                with m.If(line):  # too short for a start bit
                    m.d.sync += left.eq(0)
            with m.Elif(left == 1):
                m.d.sync += self.o.valid.eq(line)
            with m.Else():
                m.d.sync += [byte.eq(Cat(byte[1:], line)), self.o.valid.eq(0)]
        return m


class UartTransmitter(wiring.Component):
    """Bytes to a serial line, without a pause between them.

    Parameters
    ----------
    divisor : clock cycles per bit, at least 4

    Members
    -------
    i : In(stream(8))
    tx : Out(1), the line
    """

    i: stream.Interface
    tx: Signal

    def __init__(self, *, divisor: int):
        _check(divisor)
        self._divisor = divisor
        super().__init__({"i": In(stream.Signature(unsigned(8))), "tx": Out(1)})

    def elaborate(self, platform):
        m = Module()
        bits = Signal(10, init=-1)
        timer = Signal(range(self._divisor))
        left = Signal(range(11))
        m.d.comb += [self.tx.eq(bits[0]), self.i.ready.eq(left == 0)]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                bits.eq(Cat(Const(0, 1), self.i.payload, Const(1, 1))),
                left.eq(10),
                timer.eq(self._divisor - 1),
            ]
        with m.Elif(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Elif(left != 0):
            m.d.sync += [
                bits.eq(Cat(bits[1:], Const(1, 1))),
                left.eq(left - 1),
                timer.eq(self._divisor - 1),
            ]
        return m
