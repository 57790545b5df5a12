"""Rounding shifter with saturation."""

from amaranth.hdl import C, Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .numbers import bounds

__all__ = ["Requantise"]


class Requantise(wiring.Component):
    """Add half, shift right arithmetically by a run-time amount, saturate; combinational.

    Equal to ``numbers.requantise``. It narrows accumulated sums to neurons, and is the shifter of
    average pooling over a power of two.

    Parameters
    ----------
    input_width : bits of ``i``
    width : bits of ``o``, at most ``input_width``
    max_shift : largest shift

    Members
    -------
    i : In(signed(input_width))
    shift : In(range(max_shift + 1))
    o : Out(signed(width))

    Raises
    ------
    ValueError
        If a parameter is out of range.
    """

    i: Signal
    shift: Signal
    o: Signal

    def __init__(self, *, input_width: int, width: int, max_shift: int):
        if not 2 <= width <= input_width:
            raise ValueError(f"width must be 2 to input_width ({input_width}), not {width!r}")
        if max_shift < 0:
            raise ValueError(f"max_shift must be 0 or more, not {max_shift!r}")
        self.width = width
        super().__init__(
            {
                "i": In(signed(input_width)),
                "shift": In(range(max_shift + 1)),
                "o": Out(signed(width)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        low, high = bounds(self.width)
        # Adding half before the shift is adding the last bit shifted out after it, which needs an
        # incrementer of the output's width only.
        shifted = Signal(signed(len(self.i) + 1))
        m.d.comb += shifted.eq(Cat(C(0, 1), self.i).as_signed() >> self.shift)
        floor = shifted[1 : 1 + self.width].as_signed()
        above = shifted[self.width :]  # the sign, and all that does not fit
        half = shifted[0] & (floor != high)
        with m.If(above.all() | ~above.any()):
            m.d.comb += self.o.eq(floor + half)
        with m.Else():
            m.d.comb += self.o.eq(Mux(shifted[-1], low, high))
        return m
