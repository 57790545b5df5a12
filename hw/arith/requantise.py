"""Rounding shifter with saturation."""

from amaranth.hdl import C, Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .numbers import bounds
from .pipeline import delay

__all__ = ["Requantise"]


class Requantise(wiring.Component):
    """Add half, shift right arithmetically by a run-time amount, saturate.

    Equal to ``numbers.requantise``. It narrows accumulated sums to neurons, and is the shifter of
    average pooling over a power of two. Combinational, or with a register behind the shift.

    Parameters
    ----------
    input_width : bits of ``i``
    width : bits of ``o``, at most ``input_width``
    max_shift : largest shift
    stages : registers, 0 or 1

    Members
    -------
    enable : In(1), the pipeline advances
    i : In(signed(input_width))
    shift : In(range(max_shift + 1))
    o : Out(signed(width))

    Raises
    ------
    ValueError
        If a parameter is out of range.
    """

    enable: Signal
    i: Signal
    shift: Signal
    o: Signal

    def __init__(self, *, input_width: int, width: int, max_shift: int, stages: int = 0):
        if not 2 <= width <= input_width:
            raise ValueError(f"width must be 2 to input_width ({input_width}), not {width!r}")
        if max_shift < 0:
            raise ValueError(f"max_shift must be 0 or more, not {max_shift!r}")
        if stages not in (0, 1):
            raise ValueError(f"stages must be 0 or 1, not {stages!r}")
        self.width = width
        self.stages = stages
        super().__init__(
            {
                "enable": In(1),
                "i": In(signed(input_width)),
                "shift": In(range(max_shift + 1)),
                "o": Out(signed(width)),
            }
        )

    @property
    def latency(self) -> int:
        """Advances from ``i`` and ``shift`` to ``o``."""
        return self.stages

    def elaborate(self, platform):
        m = Module()
        low, high = bounds(self.width)
        # Adding half before the shift is adding the last bit shifted out after it, which needs an
        # incrementer of the output's width only.
        shifted = Signal(signed(len(self.i) + 1))
        m.d.comb += shifted.eq(Cat(C(0, 1), self.i).as_signed() >> self.shift)
        shifted = delay(m, shifted, self.stages, enable=self.enable, name="shifted")
        floor = shifted[1 : 1 + self.width].as_signed()
        above = shifted[self.width :]  # the sign, and all that does not fit
        half = shifted[0] & (floor != high)
        with m.If(above.all() | ~above.any()):
            m.d.comb += self.o.eq(floor + half)
        with m.Else():
            m.d.comb += self.o.eq(Mux(shifted[-1], low, high))
        return m
