"""Piecewise-linear functions with a reloadable table: the activation unit of NFU-3."""

from amaranth.hdl import Cat, Module, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .interpolate import Interpolate, Segment
from .numbers import NO_MIRROR, compensation
from .pipeline import delay

__all__ = ["PiecewiseLinear"]


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
        self.max_scale = max_scale
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
        lanes = [
            Interpolate(
                width=width, drop=self.drop, style=self.style, segments=self.segments,
                max_scale=self.max_scale, stages=self.stages,
            )
            for _ in range(self.lanes)
        ]  # fmt: skip

        table = Signal(data.ArrayLayout(Segment(width), self.segments), reset_less=True)
        with m.If(self.enable & self.load):
            m.d.sync += table.eq(Cat(table, self.words)[-len(table.as_value()) :])

        # What does not depend on the lane: a mirrored table turns b into reflection - b.
        mirror = table[0].start
        reflection = Signal(signed(2 * width))
        m.d.comb += reflection.eq(
            (mirror.as_unsigned() << self.scale) - 2 * compensation(width, self.drop)
        )
        reflection = delay(
            m, reflection, lanes[0].to_coefficients, enable=self.enable, name="reflection_register"
        )
        scale = delay(m, self.scale, self.stages - 1, enable=self.enable, name="scale")

        for k, lane in enumerate(lanes):
            m.submodules[f"lane_{k}"] = lane
            m.d.comb += [
                lane.enable.eq(self.enable),
                lane.x.eq(self.x[k]),
                lane.table.eq(table),
                lane.mirrored.eq(mirror != NO_MIRROR),
                lane.reflection.eq(reflection),
                lane.scale.eq(scale),
                self.y[k].eq(lane.y),
            ]
        return m
