"""Piecewise-linear functions with a reloadable table: the activation unit of NFU-3."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .multiplier import Multiplier
from .numbers import NO_MIRROR, compensation
from .pipeline import delay
from .requantise import Requantise

__all__ = ["PiecewiseLinear", "Segment"]


class Segment(data.StructLayout):
    """One segment of the table, two parameter words: it applies from ``start`` upwards.

    Segment 0 needs no start; there, the place holds the constant of a mirrored table, or NO_MIRROR.
    """

    def __init__(self, width: int):
        super().__init__({"start": signed(width), "a": signed(width), "b": signed(2 * width)})


class PiecewiseLinear(wiring.Component):
    """y = (a[i] * x + b[i]) / 2**scale on segment i, for ``lanes`` numbers at once.

    Equal to ``numbers.activate``: one comparator per breakpoint finds the segment, one truncated
    multiplier per lane forms the product, the result is rounded and saturated. All lanes share the
    table. (Paper: NFU-3, section 5.2: 16 segments, coefficients from a small RAM.)

    The table is a shift register of parameter words: ``load`` moves it down by ``lanes`` words and
    puts ``words`` on top, so the last ``2 * segments`` words loaded stay, the oldest lowest. Loads
    and data keep their order: ``x`` of an earlier advance uses the table as it was.

    Latency is ``stages`` advances, throughput ``lanes`` results per advance. The output is
    registered; from two stages on also the coefficients, and more registers go to the multiplier.
    Neither data nor table are reset.

    Parameters
    ----------
    width, drop, style : as of Multiplier
    lanes : numbers per advance, and words per load
    segments : segments of the table, 2 or more
    max_scale : largest shift
    stages : pipeline registers, 1 or more

    Members
    -------
    enable : In(1), the pipeline advances
    load : In(1), this advance brings ``words`` instead of ``x``
    words : In(ArrayLayout(unsigned(2 * width), lanes))
    x : In(ArrayLayout(signed(width), lanes))
    scale : In(range(max_scale + 1)), belongs to ``x``
    y : Out(ArrayLayout(signed(width), lanes))

    Raises
    ------
    ValueError
        If a parameter is out of range.
    """

    enable: Signal
    load: Signal
    words: data.View
    x: data.View
    scale: Signal
    y: data.View

    def __init__(
        self, *, width: int, drop: int, style: str, lanes: int, segments: int, max_scale: int,
        stages: int,
    ):  # fmt: skip
        if lanes < 1:
            raise ValueError(f"lanes must be 1 or more, not {lanes!r}")
        if segments < 2:
            raise ValueError(f"segments must be 2 or more, not {segments!r}")
        if stages < 1:
            raise ValueError(f"stages must be 1 or more, not {stages!r}")
        self.width = width
        self.drop = drop
        self.style = style
        self.lanes = lanes
        self.segments = segments
        self.stages = stages
        super().__init__(
            {
                "enable": In(1),
                "load": In(1),
                "words": In(data.ArrayLayout(unsigned(2 * width), lanes)),
                "x": In(data.ArrayLayout(signed(width), lanes)),
                "scale": In(range(max_scale + 1)),
                "y": Out(data.ArrayLayout(signed(width), lanes)),
            }
        )

    @property
    def latency(self) -> int:
        """Advances from ``x`` to ``y``."""
        return self.stages

    def elaborate(self, platform):
        m = Module()
        width = self.width
        to_coefficients = min(self.stages - 1, 1)
        in_multiplier = self.stages - 1 - to_coefficients

        table = Signal(data.ArrayLayout(Segment(width), self.segments), reset_less=True)
        with m.If(self.enable & self.load):
            m.d.sync += table.eq(Cat(table, self.words)[-len(table.as_value()) :])

        # What does not depend on the lane: a mirrored table turns b into reflection - b.
        mirror = table[0].start
        mirrored = Signal()
        m.d.comb += mirrored.eq(mirror != NO_MIRROR)
        reflection = Signal(2 * width)
        m.d.comb += reflection.eq(
            (mirror.as_unsigned() << self.scale) - 2 * compensation(width, self.drop)
        )
        reflection = delay(
            m, reflection, to_coefficients, enable=self.enable, name="reflection_register"
        )
        scale = delay(m, self.scale, self.stages - 1, enable=self.enable, name="scale")

        for lane in range(self.lanes):

            def registered(value: Value, stages: int, name: str, lane=lane):
                return delay(m, value, stages, enable=self.enable, name=f"{name}{lane}")

            # Segment and coefficients.
            x = self.x[lane]
            reflect = mirrored & x[-1]
            key = Signal(signed(width), name=f"key{lane}")
            m.d.comb += key.eq(x ^ reflect.replicate(width))
            selected = _select(list(table), lambda segment, key=key: key >= segment.start)
            chosen = Signal(3 * width, name=f"coefficients{lane}")
            m.d.comb += chosen.eq(selected)
            chosen = registered(chosen, to_coefficients, "chosen")
            a, b = chosen[:width].as_signed(), chosen[width:].as_signed()
            x = registered(x, to_coefficients, "x")
            reflect = registered(reflect, to_coefficients, "reflect")

            # a * x + b.
            multiplier = Multiplier(
                width=width, drop=self.drop, style=self.style, stages=in_multiplier
            )
            m.submodules[f"multiplier_{lane}"] = multiplier
            offset = Signal(signed(2 * width), name=f"offset{lane}")
            m.d.comb += [
                multiplier.enable.eq(self.enable),
                multiplier.x.eq(x),
                multiplier.w.eq(a),
                offset.eq(Mux(reflect, reflection - b, b)),
            ]
            offset = registered(offset, in_multiplier, "offset_register")

            # Rounding and saturation.
            requantise = Requantise(
                input_width=2 * width + 1, width=width, max_shift=(1 << len(scale)) - 1
            )
            m.submodules[f"requantise_{lane}"] = requantise
            m.d.comb += [
                requantise.i.eq(multiplier.o + offset),
                requantise.shift.eq(scale),
                self.y[lane].eq(registered(requantise.o, 1, "y")),
            ]
        return m


def _select(segments: list, reaches) -> Value:
    """Coefficients of the last segment that ``reaches`` says x reaches; the starts ascend."""
    if len(segments) == 1:
        return Cat(segments[0].a, segments[0].b)
    middle = len(segments) // 2
    upper, lower = _select(segments[middle:], reaches), _select(segments[:middle], reaches)
    return Mux(reaches(segments[middle]), upper, lower)
