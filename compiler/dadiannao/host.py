"""Tensors between the host's memory and the central memories."""

from compiler.access import pattern
from hw.dadiannao.assembler import NO_RUNS, Load, RowLoop, Store, row_levels
from hw.dadiannao.config import NodeConfig
from hw.dadiannao.isa import LoadOp
from sim.program import TensorLayout

from .areas import Area
from .emitter import Emitter
from .maps import CentralMap

__all__ = ["clear_border", "host_layout", "load_rows", "store_rows"]


def host_layout(
    name: str, shape: tuple[int, ...], frac: int, address: int, config: NodeConfig, rows: bool
) -> TensorLayout:
    """A tensor in the host's memory, (n, y, x, c).

    It has no gaps; or, with ``rows``, zeros fill the channels of every position up to whole rows of
    Ti, so that all of it can be loaded in one run, where each position would be a short one.
    """
    _, c, h, w = (*shape, 1, 1)[:4]
    size = config.element_bytes
    pixel = -(-c // config.ti) * config.row_bytes if rows else c * size
    return TensorLayout(name, shape, frac, address, (h * w * pixel, size, w * pixel, pixel), size)


def _rows(where: CentralMap, area: Area, blocks: int):
    """Loops over blocks, columns, rows and images."""
    return row_levels(
        [
            RowLoop(count=blocks, rows=1),
            RowLoop(count=len(area.columns), rows=where.pitch),
            RowLoop(count=len(area.rows), rows=where.row_pitch),
            RowLoop(count=where.batch, rows=where.image_pitch),
        ]
    )


def _runs(
    layout: TensorLayout, where: CentralMap, n: int, area: Area, channel: int, channels: int,
    config: NodeConfig,
):  # fmt: skip
    """The descriptor of some channels of ``area``, of the images of ``where``."""
    image, element, row, pixel = layout.strides
    return pattern(
        layout.address + n * image + area.rows.start * row + area.columns.start * pixel
        + channel * element,
        channels * element,
        [(len(area.columns), pixel), (len(area.rows), row), (where.batch, image)],
        granule=config.row_bytes,
    )  # fmt: skip


def load_rows(
    emitter: Emitter, layout: TensorLayout, where: CentralMap, n: int, area: Area, channel: int,
    channels: int,
) -> None:  # fmt: skip
    """Load ``area`` of images ``n`` and on, ``channels`` from ``channel`` on.

    ``layout`` has whole rows, see ``host_layout``.
    """
    (segment,) = where.segments
    block = channel // emitter.config.ti
    blocks = -(-channels // emitter.config.ti)
    assert segment.channels == layout.shape[1]
    emitter.emit(
        load=Load(
            _runs(
                layout, where, n, area, channel, blocks * emitter.config.ti, emitter.config
            ),
            LoadOp.CENTRAL, bank=where.bank,
            address=where.at(0, area.rows.start, area.columns.start, block),
            levels=_rows(where, area, blocks),
        )
    )  # fmt: skip


def store_rows(
    emitter: Emitter, layout: TensorLayout, where: CentralMap, n: int, area: Area, first: int,
    last: int, offset: int,
) -> None:  # fmt: skip
    """Store ``area`` of images ``n`` and on, channels ``first`` to ``last - 1``.

    The first of these is the first one of a block. Channel 0 of ``where`` is channel ``offset`` of
    ``layout``.
    """
    ti = emitter.config.ti
    channel = 0
    for segment in where.segments:
        low, high = max(first - channel, 0), min(last - channel, segment.channels)
        if low < high:
            block = segment.block - where.segments[0].block + low // ti
            blocks = -(-(high - low) // ti)
            emitter.emit(
                store=Store(
                    _runs(
                        layout, where, n, area, offset + channel + low, high - low, emitter.config
                    ),
                    bank=where.bank,
                    address=where.at(0, area.rows.start, area.columns.start, block),
                    levels=_rows(where, area, blocks),
                )
            )  # fmt: skip
        channel += segment.channels


def clear_border(emitter: Emitter, where: CentralMap) -> None:
    """Rows of zeros around a map, where a convolution sees them."""
    (rows, columns), pitch = where.held, where.pitch
    top = min(len(rows), max(0, -rows.start))
    bottom = min(len(rows), max(0, rows.stop - where.height))
    left = min(len(columns), max(0, -columns.start))
    right = min(len(columns), max(0, columns.stop - where.width))
    full = RowLoop(count=where.row_pitch, rows=1)
    images = RowLoop(count=where.batch, rows=where.image_pitch)
    parts = []
    if top:
        parts.append((0, [full, RowLoop(count=top, rows=where.row_pitch), images]))
    if bottom:
        start = (len(rows) - bottom) * where.row_pitch
        parts.append((start, [full, RowLoop(count=bottom, rows=where.row_pitch), images]))
    height = RowLoop(count=len(rows), rows=where.row_pitch)
    if left:
        parts.append((0, [RowLoop(count=left * pitch, rows=1), height, images]))
    if right:
        start = (len(columns) - right) * pitch
        parts.append((start, [RowLoop(count=right * pitch, rows=1), height, images]))
    for start, loops in parts:
        emitter.emit(
            load=Load(
                NO_RUNS, LoadOp.CLEAR, bank=where.bank, address=where.base + start,
                levels=row_levels(loops),
            )
        )  # fmt: skip
