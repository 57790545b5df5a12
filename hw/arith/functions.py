"""A transfer function and its derivative, or one function of twice the width.

DaDianNao's transfer block has two sub-blocks of piecewise-linear interpolators with their own
coefficients (paper, section V.B.3). With 16 bits they are a function and its derivative; with 32
bits four multipliers of a pair of lanes make one, see ``aggregate``.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .interpolate import Segment, choose
from .multiplier import Multiplier
from .numbers import NO_MIRROR
from .pipeline import delay
from .requantise import Requantise

__all__ = ["JoinableFunctions"]


class JoinableFunctions(wiring.Component):
    """y = (a[i] * x + b[i]) / 2**scale on segment i, from two tables at once.

    Apart, ``y`` is the first table's function of ``x`` and ``dy`` the second one's, as
    ``numbers.activate`` has them. Joined, each two lanes are a number of twice the width, low half
    first; the tables hold the halves of its coefficients and starts, the first one the low ones,
    and ``y`` is the function as ``numbers.activate`` and ``wide.activate`` have it.

    The tables are loaded as PiecewiseLinear's in registers. Latency is ``stages`` advances,
    throughput ``lanes`` results per advance and table; the output is registered, from two stages on
    also the coefficients, and more registers go to the multipliers. Nothing is reset.

    Parameters
    ----------
    width, style : as of Multiplier; products are exact
    lanes : numbers per advance, even, and words per load
    segments : segments of a table, 2 or more
    max_scale : largest shift
    stages : pipeline registers, 1 or more

    Members
    -------
    enable : In(1), the pipeline advances
    load : In(1), this advance brings ``words`` instead of ``x``
    table : In(1), which table they belong to
    words : In(ArrayLayout(unsigned(2 * width), lanes))
    joined : In(1), belongs to ``x``
    x : In(ArrayLayout(signed(width), lanes))
    scale : In(range(max_scale + 1)), belongs to ``x``
    y, dy : Out(ArrayLayout(signed(width), lanes)); joined, ``dy`` has no meaning

    Raises
    ------
    ValueError
        If a parameter is out of range.
    """

    enable: Signal
    load: Signal
    table: Signal
    words: data.View
    joined: Signal
    x: data.View
    scale: Signal
    y: data.View
    dy: data.View

    def __init__(
        self, *, width: int, style: str, lanes: int, segments: int, max_scale: int, stages: int
    ):
        if lanes < 2 or lanes % 2:
            raise ValueError(f"lanes must be even, not {lanes!r}")
        if segments < 2:
            raise ValueError(f"segments must be 2 or more, not {segments!r}")
        if stages < 1:
            raise ValueError(f"stages must be 1 or more, not {stages!r}")
        self.width = width
        self.style = style
        self.lanes = lanes
        self.segments = segments
        self.stages = stages
        numbers = data.ArrayLayout(signed(width), lanes)
        super().__init__(
            {
                "enable": In(1),
                "load": In(1),
                "table": In(1),
                "words": In(data.ArrayLayout(unsigned(2 * width), lanes)),
                "joined": In(1),
                "x": In(numbers),
                "scale": In(range(max_scale + 1)),
                "y": Out(numbers),
                "dy": Out(numbers),
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

        tables = []
        for number in range(2):
            table = Signal(
                data.ArrayLayout(Segment(width), self.segments), name=f"table_{number}",
                reset_less=True,
            )  # fmt: skip
            with m.If(self.enable & self.load & (self.table == number)):
                m.d.sync += table.eq(Cat(table, self.words)[-len(table.as_value()) :])
            tables.append([table[k] for k in range(self.segments)])

        # What does not depend on the lane: a mirrored table turns b into reflection - b.
        constants = [table[0].start.as_unsigned() for table in tables]
        plain = [table[0].start == NO_MIRROR for table in tables]
        whole_plain = plain[0] & plain[1]
        reflections = []
        for name, constant, size in (
            ("low", constants[0], 2 * width),
            ("high", constants[1], 2 * width),
            ("whole", Cat(*constants), 4 * width),
        ):
            reflection = Signal(size, name=f"reflection_{name}")
            m.d.comb += reflection.eq(constant << self.scale)
            reflections.append(
                delay(m, reflection, to_coefficients, enable=self.enable, name=f"{name}_register")
            )
        scale = delay(m, self.scale, self.stages - 1, enable=self.enable, name="scale")

        for first in range(0, self.lanes, 2):
            m.submodules[f"pair_{first // 2}"] = pair = _Pair(
                width=width, style=self.style, segments=self.segments, scale_bits=len(scale),
                stages=self.stages,
            )  # fmt: skip
            m.d.comb += [pair.enable.eq(self.enable), pair.joined.eq(self.joined)]
            m.d.comb += [pair.scale.eq(scale), pair.whole_mirrored.eq(~whole_plain)]
            m.d.comb += pair.whole_reflection.eq(reflections[2])
            for number, table in enumerate(tables):
                m.d.comb += [
                    pair.mirrored[number].eq(~plain[number]),
                    pair.reflection[number].eq(reflections[number]),
                    *(pair.starts[number][k].eq(table[k].start) for k in range(self.segments)),
                ]
                for lane in range(2):
                    coefficients = Signal(3 * width, name=f"chosen_{first + lane}_{number}")
                    m.d.comb += coefficients.eq(
                        choose(
                            [Cat(segment.a, segment.b) for segment in table],
                            pair.reached[number][lane],
                        )
                    )
                    coefficients = delay(
                        m, coefficients, to_coefficients, enable=self.enable,
                        name=f"coefficients_{first + lane}_{number}",
                    )  # fmt: skip
                    m.d.comb += [
                        pair.slope[number][lane].eq(coefficients[:width]),
                        pair.offset[number][lane].eq(coefficients[width:]),
                    ]
            for lane in range(2):
                m.d.comb += [
                    pair.x[lane].eq(self.x[first + lane]),
                    self.y[first + lane].eq(pair.y[0][lane]),
                    self.dy[first + lane].eq(pair.y[1][lane]),
                ]
        return m


class _Pair(wiring.Component):
    """Two lanes of two functions: four multipliers, four adders. Indices are [table][lane]."""

    enable: Signal
    joined: Signal
    x: data.View
    starts: data.View
    reached: data.View
    slope: data.View
    offset: data.View
    mirrored: Signal
    whole_mirrored: Signal
    reflection: data.View
    whole_reflection: Signal
    scale: Signal
    y: data.View

    def __init__(self, *, width: int, style: str, segments: int, scale_bits: int, stages: int):
        self.width = width
        self.style = style
        self.segments = segments
        self.stages = stages

        def square(shape):
            return data.ArrayLayout(data.ArrayLayout(shape, 2), 2)

        super().__init__(
            {
                "enable": In(1),
                "joined": In(1),
                "x": In(data.ArrayLayout(signed(width), 2)),
                "starts": In(data.ArrayLayout(data.ArrayLayout(signed(width), segments), 2)),
                "reached": Out(square(unsigned(segments))),
                "slope": In(square(signed(width))),
                "offset": In(square(signed(2 * width))),
                "mirrored": In(2),
                "whole_mirrored": In(1),
                "reflection": In(data.ArrayLayout(unsigned(2 * width), 2)),
                "whole_reflection": In(4 * width),
                "scale": In(scale_bits),
                "y": Out(square(signed(width))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        width = self.width
        to_coefficients = min(self.stages - 1, 1)
        in_multiplier = self.stages - 1 - to_coefficients
        square = [(number, lane) for number in range(2) for lane in range(2)]

        def registered(value, stages: int, name: str):
            return delay(m, value, stages, enable=self.enable, name=name)

        reflects = self._segments(m, square)
        joined = registered(self.joined, to_coefficients, "joined")
        x = registered(self.x, to_coefficients, "x")

        # Products; low halves have no sign.
        products, offsets = {}, {}
        for number, lane in square:
            name = f"{number}_{lane}"
            multiplier = Multiplier(
                width=width + 1, drop=0, style=self.style, stages=in_multiplier, lanes=1
            )
            m.submodules[f"multiplier_{name}"] = multiplier
            m.d.comb += [
                multiplier.enable.eq(self.enable),
                multiplier.x.eq(_extended(x[lane], joined if lane == 0 else None)),
                multiplier.w[0].eq(
                    _extended(self.slope[number][lane], joined if number == 0 else None)
                ),
            ]
            products[number, lane] = multiplier.o[0]
            reflect = registered(reflects[number, lane], to_coefficients, f"reflect_{name}")
            offset = Signal(signed(2 * width), name=f"offset_{name}")
            plain = self.offset[number][lane]
            m.d.comb += offset.eq(Mux(reflect, self.reflection[number] - plain, plain))
            offsets[number, lane] = registered(offset, in_multiplier, f"offset_{name}_register")
        both = Cat(self.offset[0][0], self.offset[1][0])
        reflect = registered(reflects[0, 0], to_coefficients, "reflect_whole")
        whole = Signal(signed(4 * width))
        m.d.comb += whole.eq(Mux(reflect, self.whole_reflection - both, both))
        whole = registered(whole, in_multiplier, "whole_register")
        joined = registered(joined, in_multiplier, "joined_product")

        # a * x + b: four sums, or one in four steps.
        def total(name: str, bits: int, a, b) -> Signal:
            result = Signal(signed(bits), name=name)
            m.d.comb += result.eq(a + b)
            return result

        def choice(whole, apart):
            return Mux(joined, whole, apart)

        low = total("low", 4 * width + 1, products[0, 0], choice(whole, offsets[0, 0]))
        middle = total(
            "middle", 2 * width + 4, products[0, 1], choice(products[1, 0], offsets[0, 1])
        )
        upper = total(
            "upper", 4 * width + 2, choice(low, products[1, 0]),
            choice(middle << width, offsets[1, 0]),
        )  # fmt: skip
        high = total(
            "high", 4 * width + 3, choice(products[1, 1] << 2 * width, products[1, 1]),
            choice(upper, offsets[1, 1]),
        )  # fmt: skip

        # Rounding and saturation.
        results = {}
        sums = {(0, 0): low, (0, 1): middle, (1, 0): upper, (1, 1): high}
        for (number, lane), value in sums.items():
            results[number, lane] = self._requantised(m, value, width, f"{number}_{lane}")
        whole = self._requantised(m, high, 2 * width, "whole")
        for number, lane in square:
            value = results[number, lane]
            if number == 0:
                value = choice(whole[width * lane : width * (lane + 1)], value)
            m.d.comb += self.y[number][lane].eq(
                registered(_signal(m, value, width, f"y_{number}_{lane}"), 1, f"y_{number}_{lane}")
            )
        return m

    def _segments(self, m: Module, square) -> dict[tuple[int, int], Signal]:
        """Drive ``reached``; returns whether the numbers are reflected."""
        width = self.width
        reflects, keys = {}, {}
        for number, lane in square:
            reflect = Signal(name=f"reflect_{number}_{lane}")
            key = Signal(signed(width), name=f"key_{number}_{lane}")
            m.d.comb += [
                reflect.eq(
                    Mux(
                        self.joined,
                        self.whole_mirrored & self.x[1][-1],
                        self.mirrored[number] & self.x[lane][-1],
                    )
                ),
                key.eq(self.x[lane] ^ reflect.replicate(width)),
            ]
            reflects[number, lane], keys[number, lane] = reflect, key
        for k in range(self.segments):
            apart = {}
            for number, lane in square:
                unsigned_ = self.joined if (number, lane) == (0, 0) else None
                apart[number, lane] = _extended(keys[number, lane], unsigned_) >= _extended(
                    self.starts[number][k], unsigned_
                )
            # The high halves decide, or if they are equal the low ones.
            equal = keys[1, 1] == self.starts[1][k]
            whole = apart[1, 1] & (~equal | apart[0, 0])
            for number, lane in square:
                m.d.comb += self.reached[number][lane][k].eq(
                    Mux(self.joined, whole, apart[number, lane])
                )
        return reflects

    def _requantised(self, m: Module, value: Signal, width: int, name: str) -> Signal:
        """``value`` shifted, rounded and saturated to ``width`` bits."""
        requantise = Requantise(
            input_width=2 * width + 1, width=width, max_shift=(1 << len(self.scale)) - 1
        )
        m.submodules[f"requantise_{name}"] = requantise
        m.d.comb += [requantise.i.eq(value), requantise.shift.eq(self.scale)]
        return requantise.o


def _extended(value: Value, unsigned_: Value | None) -> Value:
    """``value`` with one bit more: its sign, or 0 if ``unsigned_``."""
    sign = value[-1] if unsigned_ is None else value[-1] & ~unsigned_
    return Cat(value, sign).as_signed()


def _signal(m: Module, value: Value, width: int, name: str) -> Signal:
    """A signal of ``value``, whose sign may have got lost."""
    result = Signal(signed(width), name=f"{name}_next")
    m.d.comb += result.eq(value)
    return result
