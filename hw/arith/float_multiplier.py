"""Multiplier of IEEE-754 single-precision numbers: what the fixed-point one is compared with."""

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["FLOAT32", "FloatMultiplier"]

_BIAS = 127
_HIGHEST = 255


FLOAT32 = data.StructLayout({"fraction": 23, "exponent": 8, "sign": 1})
"""A number of 32 bits as IEEE 754 has it."""


class FloatMultiplier(wiring.Component):
    """o = a * b, rounded to nearest, ties to even; combinational.

    Infinities and not-a-numbers are as IEEE 754 says; every not-a-number is the positive quiet one.
    No part of the accelerator: DianNao's paper compares its multiplier with such a one (table 2).

    Parameters
    ----------
    subnormals : whether numbers below the smallest normal one are computed. Without, as most
        hardware has it, such operands and results are zeros, results before rounding.

    Members
    -------
    a, b : In(FLOAT32)
    o : Out(FLOAT32)
    """

    a: data.View
    b: data.View
    o: data.View

    def __init__(self, *, subnormals: bool):
        self.subnormals = subnormals
        super().__init__({"a": In(FLOAT32), "b": In(FLOAT32), "o": Out(FLOAT32)})

    def elaborate(self, platform):
        m = Module()
        numbers = (self.a, self.b)
        infinite = [(n.exponent == _HIGHEST) & (n.fraction == 0) for n in numbers]
        nan = [(n.exponent == _HIGHEST) & (n.fraction != 0) for n in numbers]
        zero = [(n.exponent == 0) & (n.fraction == 0 if self.subnormals else C(1)) for n in numbers]

        # Significands with their first bit at the top, and the sum of the exponents.
        significands, exponents = zip(*(self._normalise(m, n) for n in numbers), strict=True)
        product = Signal(48)
        exponent = Signal(signed(11))
        m.d.comb += product.eq(significands[0] * significands[1])
        high = product[-1]
        m.d.comb += exponent.eq(exponents[0] + exponents[1] - _BIAS + high)

        # A result below the smallest normal number keeps its exponent there and loses bits instead.
        aligned = Signal(48)
        m.d.comb += aligned.eq(Mux(high, product, product << 1))
        small = exponent <= 0
        kept = Signal(48)
        lost = Signal()
        m.d.comb += kept.eq(aligned)
        if self.subnormals:
            distance = Signal(range(32))
            with m.If(small):
                m.d.comb += [
                    distance.eq(Mux(exponent < -25, 26, 1 - exponent)),
                    Cat(lost, kept).eq(_shift_right_sticky(m, aligned, distance)),
                ]
        fraction = kept[24:47]
        half, below = kept[23], kept[:23].any() | lost
        up = half & (below | fraction[0])
        rounded = Signal(32)
        m.d.comb += rounded.eq(Cat(fraction, Mux(small, 0, exponent[:9])) + up)

        m.d.comb += self.o.sign.eq(self.a.sign ^ self.b.sign)
        magnitude = Cat(self.o.fraction, self.o.exponent)
        with m.If(nan[0] | nan[1] | (infinite[0] & zero[1]) | (zero[0] & infinite[1])):
            m.d.comb += [magnitude.eq(0b11111111_1 << 22), self.o.sign.eq(0)]
        with m.Elif(infinite[0] | infinite[1]):
            m.d.comb += magnitude.eq(_HIGHEST << 23)
        with m.Elif(zero[0] | zero[1] | (C(0) if self.subnormals else small)):
            m.d.comb += magnitude.eq(0)
        with m.Elif(rounded[23:] >= _HIGHEST):
            m.d.comb += magnitude.eq(_HIGHEST << 23)
        with m.Else():
            m.d.comb += magnitude.eq(rounded)
        return m

    def _normalise(self, m: Module, number) -> tuple[Value, Value]:
        """Significand of 24 bits and exponent of a number that is not zero."""
        if not self.subnormals:
            return Cat(number.fraction, C(1)), number.exponent
        value: Value = Cat(number.fraction, number.exponent != 0)
        exponent: Value = Mux(number.exponent == 0, 1, number.exponent)
        for places in (16, 8, 4, 2, 1):
            empty = ~value[-places:].any()
            following = Signal(24, name=f"by{places}")
            m.d.comb += following.eq(Mux(empty, value << places, value))
            value = following
            exponent = exponent - Mux(empty, places, 0)
        return value, exponent


def _shift_right_sticky(m: Module, value: Signal, distance: Value) -> Value:
    """``value`` shifted right, and below it one bit that says whether ones were lost."""
    lost: Value = C(0)
    for k in range(len(distance)):
        places = 1 << k
        shifted = Signal(len(value), name=f"right{places}")
        m.d.comb += shifted.eq(Mux(distance[k], value >> places, value))
        lost = lost | (distance[k] & value[:places].any())
        value = shifted
    return Cat(lost, value)
