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

from .emitter import Emitter
from .maps import CentralMap
from .windows import Patch, Windows, images_together, read_slot, write_slot

__all__ = ["emit_pool"]


def emit_pool(
    emitter: Emitter,
    node: Pool,
    first_row: int,
    end_row: int,
    source: CentralMap,
    target: CentralMap,
    arrivals: int,
) -> None:
    """Emit output rows ``first_row`` to ``end_row - 1`` of a pooling layer."""
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
        first, end = max(rows.first, first_row), min(rows.first + rows.count, end_row)
        if first >= end:
            continue
        shift, table = node.scales[divisor((rows, columns))]
        emitter.load_table(table)
        start = rows.start + (first - rows.first) * node.strides[0]
        for block, blocks in _blocks(node, rows, columns, source, emitter.config):
            _emit_region(
                emitter, node, source, target, (first, end, start), columns, rows.size,
                (block, blocks), (shift, table.shift), arrivals,
            )  # fmt: skip


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
    rows: tuple[int, int, int],
    columns: Span,
    height: int,
    part: tuple[int, int],
    shifts: tuple[int, int],
    arrivals: int,
) -> None:
    """Emit outputs of equal windows: ``rows`` are first, last but one, and where windows begin."""
    config = emitter.config
    first, end, start = rows
    block, blocks = part
    windows = Windows((height, columns.size), node.strides)
    most = _positions(windows, end - first, blocks, config)
    for y in range(first, end, most):
        positions = min(most, end - y)
        together = images_together(
            windows, positions, blocks, columns.count, int(blocks > 1), source.batch
        )
        for n, images in split(source.batch, together):
            patch = Patch(
                windows, n, images, start + (y - first) * node.strides[0], columns.start,
                positions, columns.count, block, blocks,
            )  # fmt: skip
            slot = nest(
                Op.MAX if node.kind == "max" else Op.SUM,
                [
                    Loop(count=height, nbin=blocks * config.ti, reduce=True),
                    Loop(count=columns.size, nbin=patch.column * config.ti, reduce=True),
                    Loop(count=blocks, nbin=config.ti),
                    *patch.window_loops(config.ti),
                ],
                shift=shifts[0], scale=shifts[1],
            )  # fmt: skip
            emitter.emit(
                read=read_slot(emitter, source, patch, 1, arrivals),
                tile=Tile(slot, (1 << positions) - 1),
                write=write_slot(target, patch, y, columns.first, block, blocks, 1, blocks),
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
