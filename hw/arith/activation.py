"""Piecewise-linear functions with a reloadable table: the activation unit of NFU-3."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..memory.ram import Ram
from .interpolate import Interpolate, Segment
from .numbers import NO_MIRROR, compensation
from .pipeline import delay

__all__ = ["PiecewiseLinear"]


class PiecewiseLinear(wiring.Component):
    """y = (a[i] * x + b[i]) / 2**scale on segment i, for ``lanes`` numbers at once.

    Equal to ``numbers.activate``: one comparator per breakpoint finds the segment, one truncated
    multiplier per lane forms the product, the result is rounded and saturated. All lanes share the
    table. (Paper: NFU-3, section 5.2: 16 segments, coefficients from a small RAM.)

    The table behaves as a shift register of parameter words: ``load`` moves it down by ``lanes``
    words and puts ``words`` on top, so the last ``2 * segments`` words loaded stay, the oldest
    lowest. Loads and data keep their order: ``x`` of an earlier advance uses the table as it was.
    If whole segments are loaded, by one or two words at a time, the coefficients lie in a memory
    for each lane instead, which is smaller.

    Latency is ``stages`` advances, throughput ``lanes`` results per advance. Interpolate says where
    the registers are. Neither data nor table are reset.

    Parameters
    ----------
    width, drop, style : as of Multiplier
    lanes : numbers per advance, and words per load
    segments : segments of the table, 2 or more
    max_scale : largest shift
    stages : pipeline registers, 1 or more
    paired : words are loaded in pairs, the two of a segment one after the other

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
        stages: int, paired: bool = False,
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
        self.in_memory = stages > 1 and (lanes == 2 or (lanes == 1 and paired))
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
                max_scale=self.max_scale, stages=self.stages, in_memory=self.in_memory,
            )
            for _ in range(self.lanes)
        ]  # fmt: skip

        starts = Signal(data.ArrayLayout(signed(width), self.segments), reset_less=True)
        mirror = starts[0]
        mirrored = Signal()
        if self.in_memory:
            self._table_in_memories(m, lanes, starts, mirrored)
        else:
            self._table_in_registers(m, lanes, starts)
            m.d.comb += mirrored.eq(mirror != NO_MIRROR)

        # What does not depend on the lane: a mirrored table turns b into reflection - b.
        reflection = Signal(signed(2 * width))
        m.d.comb += reflection.eq(
            (mirror.as_unsigned() << self.scale) - 2 * compensation(width, self.drop)
        )
        reflection = delay(
            m, reflection, lanes[0].to_coefficients, enable=self.enable, name="reflection_register"
        )
        scale = delay(m, self.scale, lanes[0].to_scale, enable=self.enable, name="scale")

        for k, lane in enumerate(lanes):
            m.submodules[f"lane_{k}"] = lane
            m.d.comb += [
                lane.enable.eq(self.enable),
                lane.x.eq(self.x[k]),
                lane.starts.eq(starts),
                lane.mirrored.eq(mirrored),
                lane.reflection.eq(reflection),
                lane.scale.eq(scale),
                self.y[k].eq(lane.y),
            ]
        return m

    def _table_in_registers(self, m: Module, lanes: list[Interpolate], starts: data.View):
        table = Signal(data.ArrayLayout(Segment(self.width), self.segments), reset_less=True)
        with m.If(self.enable & self.load):
            m.d.sync += table.eq(Cat(table, self.words)[-len(table.as_value()) :])
        for k in range(self.segments):
            segment = table[k]
            m.d.comb += starts[k].eq(segment.start)
            for lane in lanes:
                m.d.comb += lane.table[k].eq(Cat(segment.a, segment.b))

    def _table_in_memories(
        self, m: Module, lanes: list[Interpolate], starts: data.View, mirrored: Signal
    ):
        """A ring of segments, the oldest in row ``oldest``.

        As many advances as the memories are read after their ``x``, they are written after a load.
        """
        oldest = Signal(range(self.segments))
        segment = Signal(Segment(self.width))
        write = Signal()
        if self.lanes == 2:
            m.d.comb += [segment.eq(self.words.as_value()), write.eq(self.enable & self.load)]
        else:
            first = Signal(2 * self.width, reset_less=True)
            second = Signal()
            m.d.comb += [
                segment.eq(Cat(first, self.words)),
                write.eq(self.enable & self.load & second),
            ]
            with m.If(self.enable & self.load):
                m.d.sync += [first.eq(self.words), second.eq(~second)]
        with m.If(write):
            m.d.sync += [
                starts.eq(Cat(starts, segment.start)[self.width :]),
                oldest.eq(self._row(oldest, 1)),
                mirrored.eq(starts[1] != NO_MIRROR),
            ]
        to_row = lanes[0].to_segment
        later = lanes[0].to_key + to_row

        def registered(value: Value, stages: int, name: str, **options) -> Any:
            return delay(m, value, stages, enable=self.enable, name=name, **options)

        coefficients = registered(Cat(segment.a, segment.b), later, "written_coefficients")
        written_row = registered(oldest, later, "written_row")
        written = registered(write, later, "written", reset_less=False) & self.enable
        for k, lane in enumerate(lanes):
            ram = Ram(shape=unsigned(3 * self.width), depth=self.segments)
            m.submodules[f"coefficients_{k}"] = ram
            m.d.comb += [
                ram.write_row.eq(written_row),
                ram.write.eq(written),
                ram.write_data.eq(coefficients),
                ram.read_row.eq(
                    registered(self._row(oldest, lane.segment), to_row, f"read_row_{k}")
                ),
                ram.read.eq(self.enable),
            ]
            m.d.comb += lane.coefficients.eq(ram.read_data)

    def _row(self, oldest, number):
        total = oldest + number
        if not self.segments & (self.segments - 1):
            return total[: len(oldest)]
        return Mux(total >= self.segments, total - self.segments, total)
