"""One lane of a piecewise-linear function: from a number and its segment to the result."""

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .multiplier import Multiplier
from .pipeline import delay
from .requantise import Requantise

__all__ = ["Interpolate", "Segment", "choose"]


class Segment(data.StructLayout):
    """One segment of the table, two parameter words: it applies from ``start`` upwards.

    Segment 0 needs no start; there, the place holds the constant of a mirrored table, or NO_MIRROR.
    """

    def __init__(self, width: int):
        super().__init__({"start": signed(width), "a": signed(width), "b": signed(2 * width)})


class Interpolate(wiring.Component):
    """y = (a[i] * x + b[i]) / 2**scale on segment i, rounded and saturated.

    One comparator per breakpoint tells where x is, one truncated multiplier forms the product. The
    coefficients come from outside.

    Latency is ``stages`` advances, throughput one result per advance. The output is registered; of
    two stages and more the first ends at the coefficients, and more registers go to the multiplier.
    Registers are not reset.

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
    starts : In(ArrayLayout(signed(width), segments)), where the segments begin; belongs to ``x``
    reached : Out(segments), the segments that begin at or below ``x``, for ``choose``
    slope, offset : In, of the segment of ``x``; of two stages and more, an advance later
    mirrored : In(1), belongs to ``x``: a negative x uses the segment of ~x, and reflection - b
    reflection : In(signed(2 * width)), comes with the coefficients
    scale : In(range(max_scale + 1)), belongs to the product: ``stages`` - 1 advances after ``x``
    y : Out(signed(width))
    """

    enable: Signal
    x: Signal
    starts: data.View
    reached: Signal
    slope: Signal
    offset: Signal
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
                "starts": In(data.ArrayLayout(signed(width), segments)),
                "reached": Out(segments),
                "slope": In(signed(width)),
                "offset": In(signed(2 * width)),
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

        # The segment.
        reflect = self.mirrored & self.x[-1]
        key = Signal(signed(width))
        m.d.comb += key.eq(self.x ^ reflect.replicate(width))
        for k in range(self.segments):
            m.d.comb += self.reached[k].eq(key >= self.starts[k])
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
            multiplier.w[0].eq(self.slope),
            offset.eq(Mux(reflect, self.reflection - self.offset, self.offset)),
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


def choose(values: list, reached: Value) -> Value:
    """The value that belongs to the last segment reached; the starts ascend."""
    if len(values) == 1:
        return values[0]
    middle = len(values) // 2
    upper = choose(values[middle:], reached[middle:])
    return Mux(reached[middle], upper, choose(values[:middle], reached[:middle]))
