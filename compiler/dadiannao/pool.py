"""Code for pooling, and for everything that is a maximum over one neuron: lone activations.

Tile p computes output row y + p, all blocks of channels of it. Windows that the border clips are
smaller; outputs of equal window size and divisor form a region.
"""

from itertools import product

from compiler.split import split
from compiler.windows import Span, spans
from hw.dadiannao.assembler import Loop, Tile, nest
from hw.dadiannao.config import NodeConfig
from hw.errors import UserError
from hw.nfu.layouts import Op
from sim.graph import Pool

from .areas import Area
from .emitter import Emitter
from .maps import CentralMap
from .windows import Patch, Windows, bands, images_together, read_slot, write_slot

__all__ = ["emit_pool"]


def emit_pool(
    emitter: Emitter,
    node: Pool,
    area: Area,
    near: Area,
    source: CentralMap,
    target: CentralMap,
) -> None:
    """Emit ``area`` of the outputs of a pooling layer; ``near`` as for ``bands``."""
    extents = []
    for axis, (inputs, outputs) in enumerate(
        ((source.height, target.height), (source.width, target.width))
    ):
        pads = node.pads[axis], node.pads[axis + 2]
        extents.append(
            spans(inputs, outputs, node.kernel[axis], node.strides[axis], pads,
                  node.count_include_pad)
        )  # fmt: skip
    regions = list(product(*extents))
    if any(rows.size < 1 or columns.size < 1 for rows, columns in regions):
        raise UserError(f"layer {node.name!r}: every window must contain some input")

    def divisor(region: tuple[Span, Span]) -> int:
        return 1 if node.kind == "max" else region[0].divisor * region[1].divisor

    for rows, columns in sorted(regions, key=divisor):
        here = Area(_outputs(rows), _outputs(columns)).common(area)
        if here.empty:
            continue
        shift, table = node.scales[divisor((rows, columns))]
        emitter.load_table(table)
        for block, blocks in _blocks(node, rows, columns, source, emitter.config):
            _emit_region(
                emitter, node, source, target, here, near, (rows, columns), (block, blocks),
                (shift, table.shift),
            )  # fmt: skip


def _outputs(span: Span) -> range:
    return range(span.first, span.first + span.count)


def _blocks(
    node: Pool, rows: Span, columns: Span, source: CentralMap, config: NodeConfig
) -> list[tuple[int, int]]:
    """(first, count) of the blocks whose windows NBin can hold together."""
    span = Windows((rows.size, columns.size), node.strides).span()
    most = config.nbin_rows // (span * rows.size)
    if most == 0:
        raise UserError(
            f"layer {node.name!r} needs {span * rows.size} rows of NBin for a window, but there "
            f"are {config.nbin_rows}; set nbin_rows={span * rows.size}"
        )
    return split(source.blocks, most)


def _emit_region(
    emitter: Emitter,
    node: Pool,
    source: CentralMap,
    target: CentralMap,
    area: Area,
    near: Area,
    spans: tuple[Span, Span],
    part: tuple[int, int],
    shifts: tuple[int, int],
) -> None:
    """Emit ``area`` of outputs of equal windows, those of ``spans``."""
    config = emitter.config
    block, blocks = part
    height, width = (span.size for span in spans)
    windows = Windows((height, width), node.strides)
    most = _positions(windows, len(area.rows), blocks, config)
    for (rows, columns), is_near in bands(area, near, most):
        if not is_near:
            emitter.wait()
        y, x = (
            span.start + (outputs.start - span.first) * stride
            for span, outputs, stride in zip(spans, (rows, columns), node.strides, strict=True)
        )
        together = images_together(
            windows, len(rows), blocks, len(columns), int(blocks > 1), source.batch
        )
        for n, images in split(source.batch, together):
            patch = Patch(windows, n, images, y, x, len(rows), len(columns), block, blocks)
            slot = nest(
                Op.MAX if node.kind == "max" else Op.SUM,
                [
                    Loop(count=height, nbin=blocks * config.ti, reduce=True),
                    Loop(count=width, nbin=patch.column * config.ti, reduce=True),
                    Loop(count=blocks, nbin=config.ti),
                    *patch.window_loops(config.ti),
                ],
                shift=shifts[0], scale=shifts[1],
            )  # fmt: skip
            emitter.emit(
                read=read_slot(emitter, source, patch, 1),
                tile=Tile(slot, (1 << len(rows)) - 1),
                write=write_slot(
                    target, patch, rows.start, columns.start, block, blocks, 1, blocks
                ),
            )


def _positions(windows: Windows, rows: int, blocks: int, config: NodeConfig) -> int:
    """In how many tiles at a time; as few as are fastest."""
    best = (0, 0)
    for positions in range(1, min(config.tiles, rows) + 1):
        if windows.masks(positions) > config.masks:
            break
        broadcast = windows.height(positions) * windows.column_stride * config.trunk_beats
        steps = windows.kernel[0] * windows.kernel[1]
        cycles = -(-rows // positions) * max(broadcast, steps, positions * config.trunk_beats)
        if best[1] == 0 or cycles * blocks < best[0]:
            best = cycles * blocks, positions
    return best[1]
