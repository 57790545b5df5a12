"""Code for pooling, and for everything that is a 1x1 maximum: copies and lone activations."""

from dataclasses import dataclass, replace
from itertools import product

from hw.arith.numbers import Table
from hw.diannao.assembler import Loop, nest
from hw.diannao.config import Config
from hw.errors import UserError
from hw.nfu.layouts import Op
from sim.graph import Pool

from .access import COUNT_LIMIT, pattern
from .blocks import split
from .emitter import Emitter, Load, Store
from .maps import Map
from .memory import Memory, run_cycles
from .ring import reach, slides, with_frees
from .windows import Span, spans

__all__ = ["emit_pool"]


@dataclass(frozen=True)
class _Strip:
    """What one instruction pools: all rows of a region, some columns and channels.

    The patch lies in NBin as (y, x, c); NBin slides down over it, so that it only ever holds about
    as many rows as a window has.
    """

    rows: Span
    columns: Span
    strides: tuple[int, int]
    channels: int
    lanes: int

    @property
    def height(self) -> int:
        return (self.rows.count - 1) * self.strides[0] + self.rows.size

    @property
    def width(self) -> int:
        return (self.columns.count - 1) * self.strides[1] + self.columns.size

    @property
    def steps_per_tap(self) -> int:
        return -(-self.channels // self.lanes)

    def loops(self) -> list[Loop]:
        """Kernel, channels, columns and rows; innermost first."""
        pixel, row = self.channels, self.width * self.channels
        return [
            Loop(count=self.columns.size, nbin=pixel, reduce=True),
            Loop(count=self.rows.size, nbin=row, reduce=True),
            Loop(count=self.steps_per_tap, nbin=self.lanes),
            Loop(count=self.columns.count, nbin=self.strides[1] * pixel),
            Loop(count=self.rows.count, nbin=self.strides[0] * row),
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


def emit_pool(emitter: Emitter, node: Pool, source: Map, target: Map, memory: Memory) -> None:
    """Emit a pooling layer.

    Windows that the border clips are smaller; outputs are emitted in regions of equal window size
    and divisor, those with the same activation table together.
    """
    if node.kernel == node.strides == (1, 1) and not any(node.pads):
        source, target = _as_one_pixel(source, target, emitter.config)
    regions = list(product(
        spans(source.height, target.height, node.kernel[0], node.strides[0],
              (node.pads[0], node.pads[2]), node.count_include_pad),
        spans(source.width, target.width, node.kernel[1], node.strides[1],
              (node.pads[1], node.pads[3]), node.count_include_pad),
    ))  # fmt: skip
    if any(rows.size < 1 or columns.size < 1 for rows, columns in regions):
        raise UserError(f"layer {node.name!r}: every window must contain some input")

    def divisor(region: tuple[Span, Span]) -> int:
        return 1 if node.kind == "max" else region[0].divisor * region[1].divisor

    for region in sorted(regions, key=divisor):
        shift, table = node.scales[divisor(region)]
        emitter.load_table(table)
        _emit_region(emitter, node, source, target, region, shift, table, memory)


def _as_one_pixel(source: Map, target: Map, config: Config) -> tuple[Map, Map]:
    """Maps without gaps as one pixel of many channels, which fills all lanes."""
    for where in (source, target):
        if not (where.lies_flat and where.pitches[2] == where.channels * config.element_bytes):
            return source, target
    count = source.batch * source.height * source.width * source.channels
    size = count * config.element_bytes
    source, target = (
        replace(where, batch=1, height=1, width=1, channels=count, pitches=(size,) * 3)
        for where in (source, target)
    )
    return source, target


def _emit_region(
    emitter: Emitter,
    node: Pool,
    source: Map,
    target: Map,
    region: tuple[Span, Span],
    shift: int,
    table: Table,
    memory: Memory,
) -> None:
    rows, columns = region
    config = emitter.config
    channels, most_columns = _tile(source, region, node.strides, config, memory)
    for n in range(source.batch):
        for first, count in _channel_parts(source.channels, channels, config):
            for x, width in split(columns.count, most_columns):
                part = Span(
                    columns.first + x, width, columns.start + x * node.strides[1], columns.size,
                    columns.divisor,
                )  # fmt: skip
                strip = _Strip(rows, part, node.strides, count, config.lanes)
                held = strip.elements + strip.overhang(config.ti)
                loops, rest = with_frees(strip.loops(), "nbin", held)
                emitter.emit(
                    load=_load(strip, source, n, first, config),
                    store=_store(strip, target, n, first, config),
                    nfu=nest(
                        Op.MAX if node.kind == "max" else Op.SUM, loops,
                        shift=shift, scale=table.shift, nbin_free=rest,
                    ),
                )  # fmt: skip


def _load(strip: _Strip, source: Map, n: int, first: int, config: Config) -> Load:
    _, row, pixel = source.pitches
    runs = pattern(
        source.at(n, strip.rows.start, strip.columns.start, first * config.element_bytes),
        strip.channels * config.element_bytes,
        [(strip.width, pixel), (strip.height, row)],
    )
    return Load(runs, (source.region,), strip.overhang(config.ti))


def _store(strip: _Strip, target: Map, n: int, first: int, config: Config) -> Store:
    """Every output row holds ``lanes`` results; runs span rows only where that fills them."""
    _, row, pixel = target.pitches
    size = config.element_bytes
    run, loops = strip.channels * size, []
    if config.lanes < config.tn and strip.steps_per_tap > 1:
        run, loops = config.lanes * size, [(strip.steps_per_tap, config.lanes * size)]
    runs = pattern(
        target.at(n, strip.rows.first, strip.columns.first, first * size), run,
        [*loops, (strip.columns.count, pixel), (strip.rows.count, row)],
        granule=config.tn * size,
    )  # fmt: skip
    return Store(runs, target.region)


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


def _tile(
    source: Map,
    region: tuple[Span, Span],
    strides: tuple[int, int],
    config: Config,
    memory: Memory,
) -> tuple[int, int]:
    """Channels and columns per strip with the smallest estimated time of the whole region."""
    rows, columns = region
    per_cycle = config.nbin_port / (8 * config.element_bytes)
    best = None
    whole = min(-(-source.channels // config.lanes), COUNT_LIMIT)
    for steps in sorted({1, 2, 3, 4, 6, 8, 12, 16, whole}):
        if steps > whole:
            break
        channels = min(steps * config.lanes, source.channels)
        parts = -(-source.channels // channels)
        for cuts in range(1, columns.count + 1):
            width = -(-columns.count // cuts)
            part = replace(columns, count=width)
            strip = _Strip(rows, part, strides, channels, config.lanes)
            if strip.reach(config.ti) > config.nbin_elements:
                continue
            nfu = rows.count * width * strip.steps_per_tap * rows.size * columns.size
            if channels * config.element_bytes == source.pitches[2]:
                runs, size = strip.height, strip.width * channels
            else:
                runs, size = strip.height * strip.width, channels
            nbin = runs * run_cycles(size * config.element_bytes, config.nbin_port, config, memory)
            out = rows.count * width * strip.steps_per_tap
            # What the ring has no room for beside the strip before makes the next one wait.
            ahead = config.nbin_elements - strip.reach(config.ti)
            late = max(0.0, (min(strip.elements, strip.reach(config.ti)) - ahead) / per_cycle)
            estimate = (max(nfu, nbin, out) + late + 30) * parts * cuts
            if best is None or estimate < best[0]:
                best = (estimate, channels, width)
            if late == 0:
                break
    if best is None:
        raise UserError("NBin is too small for one pooling window; enlarge nbin_rows")
    return best[1], best[2]
