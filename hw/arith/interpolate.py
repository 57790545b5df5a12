"""One lane of a piecewise-linear function: from a number and its segment to the result."""

from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value, signed
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

    One comparator per breakpoint finds the segment, one truncated multiplier forms the product. The
    coefficients are chosen from a table, or come from a memory outside.

    Latency is ``stages`` advances, throughput one result per advance. The output is registered; of
    two stages and more one ends at the coefficients, of three and more one with the sum, of six and
    more one behind the shift that follows. With coefficients from outside, of five and more one
    ends with their segment, of seven and more one in front of the comparators. More registers go to
    the multiplier. They are not reset.

    Parameters
    ----------
    width, drop, style : as of Multiplier
    segments : segments of the table, 2 or more
    max_scale : largest shift
    stages : pipeline registers, 1 or more
    in_memory : the coefficients come from outside; needs two stages

    Members
    -------
    enable : In(1), the pipeline advances
    x : In(signed(width))
    starts : In(ArrayLayout(signed(width), segments)), where the segments begin; belongs to ``x``
    table : In(ArrayLayout(3 * width, segments)), belongs to ``x``: of each segment the slope and,
        above it, the offset (unless ``in_memory``)
    segment : Out(range(segments)), that of ``x``, ``to_key`` advances later; coefficients :
        In(3 * width), of this segment, ``to_coefficients`` advances after ``x`` (if ``in_memory``)
    mirrored : In(1), belongs to ``x``: a negative x uses the segment of ~x, and reflection - b
    reflection : In(signed(2 * width)), comes with the coefficients
    scale : In(range(max_scale + 1)), belongs to the sum: ``to_scale`` advances after ``x``
    y : Out(signed(width))
    """

    enable: Signal
    x: Signal
    starts: data.View
    table: Any
    segment: Signal
    coefficients: Signal
    mirrored: Signal
    reflection: Signal
    scale: Signal
    y: Signal

    def __init__(
        self, *, width: int, drop: int, style: str, segments: int, max_scale: int, stages: int,
        in_memory: bool,
    ):  # fmt: skip
        self.width = width
        self.drop = drop
        self.style = style
        self.segments = segments
        self.max_scale = max_scale
        self.stages = stages
        self.in_memory = in_memory
        if in_memory:
            source = {"segment": Out(range(segments)), "coefficients": In(3 * width)}
        else:
            source = {"table": In(data.ArrayLayout(3 * width, segments))}
        super().__init__(
            {
                "enable": In(1),
                "x": In(signed(width)),
                "starts": In(data.ArrayLayout(signed(width), segments)),
                **source,
                "mirrored": In(1),
                "reflection": In(signed(2 * width)),
                "scale": In(range(max_scale + 1)),
                "y": Out(signed(width)),
            }
        )

    @property
    def to_key(self) -> int:
        """Advances from ``x`` to the comparators; ``starts`` are those of the later one."""
        return int(self.in_memory and self.stages > 6)

    @property
    def to_segment(self) -> int:
        """Registers that its user has to put behind ``segment``."""
        return int(self.in_memory and self.stages > 4)

    @property
    def to_coefficients(self) -> int:
        """Advances from ``x`` to its coefficients."""
        return self.to_key + self.to_segment + min(self.stages - 1, 1)

    @property
    def to_scale(self) -> int:
        """Advances from ``x`` to the shift of its result."""
        return self.stages - 1 - int(self.stages > 5)

    def elaborate(self, platform):
        m = Module()
        width = self.width
        to_sum = 1 if self.stages > 2 else 0
        in_multiplier = self.to_scale - self.to_coefficients - to_sum

        def registered(value: Value, stages: int, name: str):
            return delay(m, value, stages, enable=self.enable, name=name)

        # The segment.
        reflect = Signal()
        m.d.comb += reflect.eq(self.mirrored & self.x[-1])
        key = Signal(signed(width))
        m.d.comb += key.eq(self.x ^ reflect.replicate(width))
        key = registered(key, self.to_key, "key")
        numbers = range(self.segments)
        reached = Signal(self.segments)
        m.d.comb += reached.eq(Cat(key >= self.starts[n] for n in numbers))
        if self.in_memory:
            m.d.comb += self.segment.eq(choose([C(n) for n in numbers], reached))
            coefficients = self.coefficients
        else:
            coefficients = Signal(3 * width)
            m.d.comb += coefficients.eq(choose([self.table[n] for n in numbers], reached))
            coefficients = registered(coefficients, self.to_coefficients, "chosen")
        x = registered(self.x, self.to_coefficients, "x")
        reflect = registered(reflect, self.to_coefficients, "reflect")

        # a * x + b.
        a = coefficients[:width].as_signed()
        b = coefficients[width:].as_signed()
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
        total = Signal(signed(2 * width + 1))
        m.d.comb += total.eq(multiplier.o[0] + offset)

        # Rounding and saturation.
        m.submodules.requantise = requantise = Requantise(
            input_width=2 * width + 1, width=width, max_shift=(1 << len(self.scale)) - 1,
            stages=self.stages - 1 - self.to_scale,
        )  # fmt: skip
        m.d.comb += [
            requantise.enable.eq(self.enable),
            requantise.i.eq(registered(total, to_sum, "sum")),
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
