"""One lane of a piecewise-linear function: from a number and a table of segments to the result."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .multiplier import Multiplier
from .pipeline import delay
from .requantise import Requantise

__all__ = ["Interpolate", "Segment"]


class Segment(data.StructLayout):
    """One segment of the table, two parameter words: it applies from ``start`` upwards.

    Segment 0 needs no start; there, the place holds the constant of a mirrored table, or NO_MIRROR.
    """

    def __init__(self, width: int):
        super().__init__({"start": signed(width), "a": signed(width), "b": signed(2 * width)})


class Interpolate(wiring.Component):
    """y = (a[i] * x + b[i]) / 2**scale on segment i, rounded and saturated.

    One comparator per breakpoint finds the segment, one truncated multiplier forms the product.

    Latency is ``stages`` advances, throughput one result per advance. The output is registered;
    from two stages on also the coefficients, and more registers go to the multiplier. Registers are
    not reset.

    Parameters
    ----------
    width, drop, style : as of Multiplier
    segments : segments of the table, 2 or more
    max_scale : largest shift
    stages : pipeline registers, 1 or more

    Members
    -------
    enable : In(1), the pipeline advances
    x : In(signed(width))
    table : In(ArrayLayout(Segment(width), segments)), belongs to ``x``
    mirrored : In(1), belongs to ``x``: a negative x uses the segment of ~x, and reflection - b
    reflection : In(signed(2 * width)), belongs to the coefficients: of two stages and more, an
        advance later than ``x``
    scale : In(range(max_scale + 1)), belongs to the product: ``stages`` - 1 advances after ``x``
    y : Out(signed(width))
    """

    enable: Signal
    x: Signal
    table: data.View
    mirrored: Signal
    reflection: Signal
    scale: Signal
    y: Signal

    def __init__(
        self, *, width: int, drop: int, style: str, segments: int, max_scale: int, stages: int
    ):
        self.width = width
        self.drop = drop
        self.style = style
        self.segments = segments
        self.max_scale = max_scale
        self.stages = stages
        super().__init__(
            {
                "enable": In(1),
                "x": In(signed(width)),
                "table": In(data.ArrayLayout(Segment(width), segments)),
                "mirrored": In(1),
                "reflection": In(signed(2 * width)),
                "scale": In(range(max_scale + 1)),
                "y": Out(signed(width)),
            }
        )

    @property
    def to_coefficients(self) -> int:
        """Advances from ``x`` to its coefficients."""
        return min(self.stages - 1, 1)

    def elaborate(self, platform):
        m = Module()
        width = self.width
        in_multiplier = self.stages - 1 - self.to_coefficients

        def registered(value: Value, stages: int, name: str):
            return delay(m, value, stages, enable=self.enable, name=name)

        # Segment and coefficients.
        reflect = self.mirrored & self.x[-1]
        key = Signal(signed(width))
        m.d.comb += key.eq(self.x ^ reflect.replicate(width))
        coefficients = Signal(3 * width)
        m.d.comb += coefficients.eq(
            _select(
                [self.table[k] for k in range(self.segments)], lambda segment: key >= segment.start
            )
        )
        coefficients = registered(coefficients, self.to_coefficients, "chosen")
        a, b = coefficients[:width].as_signed(), coefficients[width:].as_signed()
        x = registered(self.x, self.to_coefficients, "x")
        reflect = registered(reflect, self.to_coefficients, "reflect")

        # a * x + b.
        m.submodules.multiplier = multiplier = Multiplier(
            width=width, drop=self.drop, style=self.style, stages=in_multiplier
        )
        offset = Signal(signed(2 * width))
        m.d.comb += [
            multiplier.enable.eq(self.enable),
            multiplier.x.eq(x),
            multiplier.w[0].eq(a),
            offset.eq(Mux(reflect, self.reflection - b, b)),
        ]
        offset = registered(offset, in_multiplier, "offset_register")

        # Rounding and saturation.
        m.submodules.requantise = requantise = Requantise(
            input_width=2 * width + 1, width=width, max_shift=(1 << len(self.scale)) - 1
        )
        m.d.comb += [
            requantise.i.eq(multiplier.o[0] + offset),
            requantise.shift.eq(self.scale),
            self.y.eq(registered(requantise.o, 1, "y")),
        ]
        return m


def _select(segments: list, reaches) -> Value:
    """Coefficients of the last segment that ``reaches`` says x reaches; the starts ascend."""
    if len(segments) == 1:
        return Cat(segments[0].a, segments[0].b)
    middle = len(segments) // 2
    upper, lower = _select(segments[middle:], reaches), _select(segments[:middle], reaches)
    return Mux(reaches(segments[middle]), upper, lower)
