"""Rounding shifter with saturation."""

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value, signed
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
        # incrementer of the output's width only: so one bit more is kept, below the output's.
        kept, beyond = self._shifted(m)
        kept = delay(m, kept, self.stages, enable=self.enable, name="kept")
        beyond = delay(m, beyond, self.stages, enable=self.enable, name="beyond")
        negative = delay(m, self.i[-1], self.stages, enable=self.enable, name="negative")
        floor = kept[1:].as_signed()
        half = kept[0] & (floor != high)
        with m.If(beyond):
            m.d.comb += self.o.eq(Mux(negative, low, high))
        with m.Else():
            m.d.comb += self.o.eq(floor + half)
        return m

    def _shifted(self, m: Module) -> tuple[Value, Value]:
        """``i`` shifted: the output's bits with one below them, and whether it is beyond those.

        The largest shift comes first. What the shifts after it cannot bring among the bits that
        are kept is only compared with the sign.
        """
        sign = self.i[-1]
        value = Cat(C(0, 1), self.i)
        beyond = C(0, 1)
        for bit in reversed(range(len(self.shift) + 1)):
            places = 1 << bit
            if bit < len(self.shift):
                above = sign.replicate(min(places, len(value)))
                shifted = Signal(len(value), name=f"shifted_{places}")
                further = Cat(value[places:], above)
                m.d.comb += shifted.eq(Mux(self.shift[bit], further, value))
                value = shifted
            reach = self.width + places
            if len(value) > reach:
                beyond |= (value[reach:] ^ sign.replicate(len(value) - reach)).any()
                value = value[:reach]
        # The output's sign bit has to be the sign, too.
        return value, beyond | (value[-1] ^ sign)
