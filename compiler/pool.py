"""Code for pooling, and for everything that is a 1x1 maximum: copies and lone activations."""

from dataclasses import dataclass, replace
from itertools import product
from math import inf

from hw.arith.numbers import Table
from hw.diannao.assembler import Loop, nest
from hw.diannao.config import Config
from hw.errors import UserError
from hw.nfu.layouts import Op
from sim.graph import Pool
from sim.memory import MemorySettings

from .access import COUNT_LIMIT, pattern
from .emitter import Emitter, Load, Store
from .maps import Map
from .ring import reach, slides, with_frees
from .split import part_sizes, split
from .timing import fifo_elements, fill_rate, round_trip, run_cycles
from .windows import Span, spans

__all__ = ["emit_pool"]


@dataclass(frozen=True)
class _Strip:
    """What one instruction pools: all rows of a region, some columns and channels.

    The patch lies in NBin as (y, x, c), which slides down over it. With ``parks``, the rows of a
    window pass through NBin one by one, while the results so far of all its columns wait in NBout;
    rows that two windows share are then loaded twice. Without, NBin holds as many rows as a window
    has, and every result is finished at once.
    """

    rows: Span
    columns: Span
    strides: tuple[int, int]
    channels: int
    lanes: int
    parks: bool

    @property
    def height(self) -> int:
        """Rows that are loaded."""
        if self.parks:
            return self.rows.count * self.rows.size
        return (self.rows.count - 1) * self.strides[0] + self.rows.size

    @property
    def width(self) -> int:
        return (self.columns.count - 1) * self.strides[1] + self.columns.size

    @property
    def steps_per_tap(self) -> int:
        return -(-self.channels // self.lanes)

    @property
    def parked(self) -> int:
        """Rows of NBout that hold results so far."""
        return self.columns.count * self.steps_per_tap if self.parks else 1

    def loops(self) -> list[Loop]:
        """Kernel, channels, columns and rows; innermost first."""
        pixel, row = self.channels, self.width * self.channels
        kernel_rows = Loop(count=self.rows.size, nbin=row, reduce=True)
        nbout = int(self.parks)
        along_row = [
            Loop(count=self.steps_per_tap, nbin=self.lanes, nbout=nbout),
            Loop(
                count=self.columns.count,
                nbin=self.strides[1] * pixel,
                nbout=nbout * self.steps_per_tap,
            ),
        ]
        move = self.rows.size if self.parks else self.strides[0]
        return [
            Loop(count=self.columns.size, nbin=pixel, reduce=True),
            *([*along_row, kernel_rows] if self.parks else [kernel_rows, *along_row]),
            Loop(count=self.rows.count, nbin=move * row),
        ]

    @property
    def elements(self) -> int:
        return self.height * self.width * self.channels

    def reach(self, ti: int) -> int:
        """Neurons that NBin must hold at once."""
        loops = [(loop.count, loop.nbin) for loop in self.loops()]
        return reach(loops, slides(loops), ti)

    def overhang(self, ti: int) -> int:
        """Neurons by which the last read goes beyond the patch."""
        end = sum((loop.count - 1) * loop.nbin for loop in self.loops()) + ti
        return max(0, end - self.elements)

    def late(self, config: Config) -> int:
        """Neurons of a row of windows that have no room in NBin before its first step is due."""
        if self.parks or self.rows.count == 1:
            return 0
        loops = [(loop.count, loop.nbin) for loop in self.loops()]
        tail = sum(
            (count - 1) * move
            for (count, _), move in zip(loops[2:4], slides(loops)[2:4], strict=True)
        )
        first = loops[4][1] + sum((count - 1) * stride for count, stride in loops[:2])
        return max(0, first + config.ti - tail - config.nbin_elements)

    def source_rows(self, row: int) -> list[tuple[int, int]]:
        """The loops over the rows that are loaded, ``row`` bytes apart in memory."""
        if self.parks:
            return [(self.rows.size, row), (self.rows.count, self.strides[0] * row)]
        return [(self.height, row)]


def emit_pool(
    emitter: Emitter, node: Pool, source: Map, target: Map, memory: MemorySettings
) -> None:
    """Emit a pooling layer.

    Windows that the border clips are smaller; outputs are emitted in regions of equal window size
    and divisor, those with the same activation table together.
    """
    config = emitter.config
    source, strides = _normal(source, target, node)
    if node.kernel == (1, 1) and _gapless(source, config) and _gapless(target, config):
        source, target = _as_one_pixel(source), _as_one_pixel(target)
    regions = list(product(
        spans(source.height, target.height, node.kernel[0], strides[0],
              (node.pads[0], node.pads[2]), node.count_include_pad),
        spans(source.width, target.width, node.kernel[1], strides[1],
              (node.pads[1], node.pads[3]), node.count_include_pad),
    ))  # fmt: skip
    if any(rows.size < 1 or columns.size < 1 for rows, columns in regions):
        raise UserError(f"layer {node.name!r}: every window must contain some input")

    def divisor(region: tuple[Span, Span]) -> int:
        return 1 if node.kind == "max" else region[0].divisor * region[1].divisor

    op = Op.MAX if node.kind == "max" else Op.SUM
    for region in sorted(regions, key=divisor):
        shift, table = node.scales[divisor(region)]
        emitter.load_table(table)
        _Region(emitter, source, target, *region, strides, op, shift, table, memory).emit()


def _normal(source: Map, target: Map, node: Pool) -> tuple[Map, tuple[int, int]]:
    """Source and strides where windows of one pixel are adjacent: pitches step over the rest."""
    image, row, pixel = source.pitches
    height, width = source.height, source.width
    sy, sx = node.strides
    if node.kernel[0] == 1 and node.pads[0] == node.pads[2] == 0:
        row, sy, height = row * sy, 1, target.height
    if node.kernel[1] == 1 and node.pads[1] == node.pads[3] == 0:
        pixel, sx, width = pixel * sx, 1, target.width
    source = replace(source, height=height, width=width, pitches=(image, row, pixel))
    return source, (sy, sx)


def _gapless(where: Map, config: Config) -> bool:
    return where.lies_flat and where.pitches[2] == where.channels * config.element_bytes


def _as_one_pixel(where: Map) -> Map:
    """A map without gaps as one pixel of many channels, which fills all lanes."""
    pixels = where.batch * where.height * where.width
    return replace(
        where, batch=1, height=1, width=1, channels=pixels * where.channels,
        pitches=(pixels * where.pitches[2],) * 3,
    )  # fmt: skip


@dataclass(frozen=True)
class _Region:
    """Outputs of equal window size, and what it takes to make them."""

    emitter: Emitter
    source: Map
    target: Map
    rows: Span
    columns: Span
    strides: tuple[int, int]
    op: Op
    shift: int
    table: Table
    memory: MemorySettings

    def emit(self) -> None:
        """Emit all strips of the region."""
        config = self.emitter.config
        channels, rows, columns, parks = self._tile()
        for n in range(self.source.batch):
            for first, count in _channel_parts(self.source.channels, channels, config):
                for y in _cut(self.rows, rows, self.strides[0]):
                    for x in _cut(self.columns, columns, self.strides[1]):
                        strip = _Strip(y, x, self.strides, count, config.lanes, parks)
                        self._emit_strip(strip, n, first)

    def _emit_strip(self, strip: _Strip, n: int, first: int) -> None:
        """Emit the channels from ``first`` on of one strip of image ``n``."""
        config = self.emitter.config
        skip = strip.overhang(config.ti)
        loops, rest = with_frees(strip.loops(), "nbin", strip.elements + skip)
        nfu = nest(self.op, loops, shift=self.shift, scale=self.table.shift, nbin_free=rest)
        size = config.element_bytes
        _, row, pixel = self.source.pitches
        load = pattern(
            self.source.at(n, strip.rows.start, strip.columns.start, first * size),
            strip.channels * size,
            [(strip.width, pixel), *strip.source_rows(row)],
        )
        # An output row holds as many results as there are lanes; only full ones follow each other.
        _, row, pixel = self.target.pitches
        run, loops = strip.channels * size, []
        if config.lanes < config.tn and strip.steps_per_tap > 1:
            run, loops = config.lanes * size, [(strip.steps_per_tap, config.lanes * size)]
        store = pattern(
            self.target.at(n, strip.rows.first, strip.columns.first, first * size), run,
            [*loops, (strip.columns.count, pixel), (strip.rows.count, row)],
            granule=config.tn * size,
        )  # fmt: skip
        self.emitter.emit(
            load=Load(load, (self.source.region,), skip),
            store=Store(store, self.target.region),
            nfu=nfu,
        )

    def _tile(self) -> tuple[int, int, int, bool]:
        """Channels, rows and columns per strip, and whether it parks results in NBout, with the
        smallest estimated time of the region.

        Strips are as high as the region, NBin slides down over them, except where NBin is too small
        or the stride leaves gaps between windows. Single windows of one step per tap always fit.
        """
        config, channels = self.emitter.config, self.source.channels
        smallest = min(channels, config.lanes), 1, 1, False
        best = self._estimate(*smallest), *smallest
        if self.strides[1] > self.columns.size:
            return best[1:]
        for steps in _STEPS_PER_TAP:
            per_strip = min(steps * config.lanes, channels, COUNT_LIMIT * config.lanes)
            for columns in part_sizes(self.columns.count):
                for rows in {self.rows.count, 1}:
                    for parks in (False, True):
                        tile = per_strip, rows, columns, parks
                        best = min(best, (self._estimate(*tile), *tile))
        return best[1:]

    def _estimate(self, channels: int, rows: int, columns: int, parks: bool) -> float:
        """Cycles of the region with strips of such size; infinite if a buffer is too small."""
        config = self.emitter.config
        strip = _Strip(
            replace(self.rows, count=rows), replace(self.columns, count=columns),
            self.strides, channels, config.lanes, parks,
        )  # fmt: skip
        held = strip.reach(config.ti)
        if held > config.nbin_elements or strip.parked > config.nbout_rows:
            return inf
        if not parks and rows > 1 and self.strides[0] > self.rows.size:
            return inf  # rows between windows would have to be loaded
        size = channels * config.element_bytes
        runs = strip.height * strip.width
        if size == self.source.pitches[2]:
            runs, size = strip.height, strip.width * size
        aligned = size * 8 % config.nbin_port == 0
        in_flight = config.nbin_elements - held + fifo_elements(size, config)
        nbin = max(
            runs * run_cycles(size, config.nbin_port, config, self.memory, aligned=aligned),
            strip.elements * round_trip(self.memory) / in_flight,
        )
        outputs = rows * columns * strip.steps_per_tap
        nfu = outputs * self.rows.size * self.columns.size
        # Results are stored pixel by pixel, in one run if they fill their rows.
        runs, per_run = rows * columns, channels
        if config.lanes < config.tn:
            runs, per_run = outputs, config.lanes
        out = runs * run_cycles(
            per_run * config.element_bytes, config.nbout_port, config, self.memory
        )
        # Waits for what has no room in NBin before: the first windows of each row of outputs, whose
        # lowest row lies behind all that the row before holds, and of each strip.
        rate = fill_rate(size, config)
        covered = (self.rows.size - 1) * self.columns.size
        wait = (rows - 1) * max(0, strip.late(config) / rate - covered)
        wait += max(0, min(strip.elements, held) - (config.nbin_elements - held)) / rate
        strips = -(-self.source.channels // channels)
        strips *= -(-self.rows.count // rows) * -(-self.columns.count // columns)
        return strips * (max(nfu, nbin, out) + wait + _STRIP_CYCLES)


_STEPS_PER_TAP = (1, 2, 3, 4, 6, 8, 12, 16, COUNT_LIMIT)
"""Multiples of the lanes that are tried as channels per strip."""

_STRIP_CYCLES = 30
"""Cycles per strip beyond its steps, about what its instruction takes to be fetched."""


def _cut(span: Span, most: int, stride: int) -> list[Span]:
    """Parts of a span with at most ``most`` windows each."""
    return [
        replace(span, first=span.first + at, count=count, start=span.start + at * stride)
        for at, count in split(span.count, most)
    ]


def _channel_parts(channels: int, most: int, config: Config) -> list[tuple[int, int]]:
    """(first, count) of the channels per strip.

    Where an output row is longer than the lanes, a strip of several steps per tap must not have a
    partial one, because all its runs are of equal length.
    """
    parts = [(first, min(most, channels - first)) for first in range(0, channels, most)]
    first, count = parts[-1]
    rest = count % config.lanes
    if config.lanes < config.tn and rest and count > config.lanes:
        parts[-1:] = [(first, count - rest), (first + count - rest, rest)]
    return parts
