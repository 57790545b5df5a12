"""Rows of windows over tiles: what is read from the central memory, and how it lies in NBin.

Tiles work on P rows of outputs at a time. The rows of inputs under their windows are broadcast
column by column; a row goes to all tiles whose windows contain it. So each tile's NBin gets, for
every column, the rows of its own windows, and a window is contiguous: (x, y, block).
"""

from dataclasses import dataclass
from typing import NamedTuple

from hw.dadiannao.assembler import Loop, Read, RowLoop, Write, row_levels
from hw.dadiannao.isa import ROW_LEVELS, ReadOp

from .areas import Area, common, inside
from .emitter import Arrival, Emitter
from .maps import CentralMap

__all__ = ["Band", "Patch", "Windows", "bands", "read_slot", "tile_masks", "write_slot"]


@dataclass(frozen=True)
class Windows:
    """Windows of equal size: kernel and strides, (y, x)."""

    kernel: tuple[int, int]
    strides: tuple[int, int]

    @property
    def column_stride(self) -> int:
        """Columns that NBin gets from one window to the next; of lone columns no others come."""
        return 1 if self.kernel[1] == 1 else self.strides[1]

    def shares(self, positions: int) -> bool:
        """Whether ``positions`` windows one below the other share rows."""
        return positions > 1 and self.strides[0] < self.kernel[0]

    def masks(self, positions: int) -> int:
        """Entries of the mask table for rows of windows in ``positions`` tiles."""
        return self.height(positions) if self.shares(positions) else positions

    def height(self, positions: int) -> int:
        """Rows of inputs that are broadcast for ``positions`` rows of windows."""
        if self.shares(positions):
            return (positions - 1) * self.strides[0] + self.kernel[0]
        return positions * self.kernel[0]

    def width(self, columns: int) -> int:
        """Columns of inputs that NBin gets for ``columns`` windows."""
        return (columns - 1) * self.column_stride + self.kernel[1]

    def span(self) -> int:
        """Columns that NBin must hold."""
        return max(self.kernel[1], self.column_stride)


@dataclass(frozen=True)
class Patch:
    """What one instruction works on.

    Parameters
    ----------
    windows : as far as this instruction looks at them
    n, images : the images
    y, x : where the first window begins in the input
    positions, columns : rows of windows, one per tile, and windows of a row
    block, blocks : blocks of channels
    """

    windows: Windows
    n: int
    images: int
    y: int
    x: int
    positions: int
    columns: int
    block: int
    blocks: int

    @property
    def column(self) -> int:
        """Blocks of a column of a window."""
        return self.windows.kernel[0] * self.blocks

    def window_loops(self, ti: int, *, nbout: int = 0) -> list[Loop]:
        """The loops over columns and images, with what they free in NBin.

        ``nbout`` are the partial sums of a window, if they stay.
        """
        stride = self.windows.column_stride * self.column * ti
        row = self.windows.width(self.columns) * self.column * ti
        return [
            Loop(count=self.columns, nbin=stride, nbin_free=stride, nbout=nbout),
            Loop(
                count=self.images, nbin=row, nbin_free=row - self.columns * stride,
                nbout=nbout * self.columns,
            ),
        ]  # fmt: skip


class Band(NamedTuple):
    """Outputs that tiles make together, a row each; whether their inputs are all here."""

    area: Area
    near: bool


def bands(area: Area, near: Area, most: int) -> list[Band]:
    """Cut ``area`` of some outputs into bands of ``most`` rows.

    Those of which the node has all inputs itself, in the rectangle ``near``, come first: others
    send the rest meanwhile.
    """
    result = []
    for y in range(area.rows.start, area.rows.stop, most):
        rows = range(y, min(y + most, area.rows.stop))
        within = common(area.columns, near.columns) if inside(rows, near.rows) else range(0)
        if not within:
            within = range(area.columns.start, area.columns.start)
        result += [
            Band(Area(rows, range(area.columns.start, within.start)), False),
            Band(Area(rows, within), True),
            Band(Area(rows, range(within.stop, area.columns.stop)), False),
        ]
    return sorted((band for band in result if not band.area.empty), key=lambda band: not band.near)


def tile_masks(windows: Windows, positions: int, groups: int) -> list[int]:
    """Which tiles get each row of inputs, where tile p * groups + q has the windows of row p."""
    each = [((1 << groups) - 1) << (p * groups) for p in range(positions)]
    if not windows.shares(positions):
        return each
    stride, kernel = windows.strides[0], windows.kernel[0]
    return [
        sum(mask for p, mask in enumerate(each) if p * stride <= row < p * stride + kernel)
        for row in range(windows.height(positions))
    ]


def read_slot(
    emitter: Emitter,
    source: CentralMap,
    patch: Patch,
    groups: int,
    arrival: Arrival | None = None,
) -> Read:
    """The read slot that brings a patch into the tiles, once there is ``arrival``."""
    node, arrivals = (arrival if emitter.is_late("read", arrival) else None) or (0, 0)
    windows = patch.windows
    mask = emitter.masks(tile_masks(windows, patch.positions, groups))
    loops = [RowLoop(count=patch.blocks, rows=1)]
    if windows.shares(patch.positions):
        height = windows.height(patch.positions)
        loops.append(RowLoop(count=height, rows=source.row_pitch, mask=1))
    else:
        step = windows.strides[0] * source.row_pitch
        loops.append(RowLoop(count=windows.kernel[0], rows=source.row_pitch))
        loops.append(RowLoop(count=patch.positions, rows=step, mask=1))
    columns = windows.strides[1] if windows.kernel[1] == 1 else 1
    width = windows.width(patch.columns)
    loops.append(RowLoop(count=width, rows=columns * source.pitch))
    loops.append(RowLoop(count=patch.images, rows=source.image_pitch))
    return Read(
        ReadOp.BROADCAST, bank=source.bank, mask=mask, source=node, arrivals=arrivals,
        address=source.at(patch.n, patch.y, patch.x, patch.block), levels=row_levels(loops),
    )  # fmt: skip


def read_levels(windows: Windows, positions: int, blocks: int, columns: int) -> int:
    """Loops of the read slot without those over images."""
    heights = [windows.height(positions)]
    if not windows.shares(positions):
        heights = [windows.kernel[0], positions]
    return sum(count > 1 for count in (blocks, *heights, windows.width(columns)))


def write_slot(
    target: CentralMap, patch: Patch, y: int, x: int, block: int, count: int, groups: int,
    distance: int,
) -> Write:  # fmt: skip
    """The write slot that brings the results of a patch to output row ``y``, column ``x`` and on.

    Each of ``groups`` tiles makes ``count`` blocks per window; their first ones lie ``distance``
    blocks apart, from ``block`` on. Tiles give a block each in turn, as they finish them: so there
    is little left to write when the last step is done.
    """
    loops = [
        RowLoop(count=groups, rows=distance),
        RowLoop(count=patch.positions, rows=target.row_pitch),
        RowLoop(count=count, rows=1),
        RowLoop(count=patch.columns, rows=target.pitch),
        RowLoop(count=patch.images, rows=target.image_pitch),
    ]
    return Write(
        bank=target.bank, burst=1, tiles=(1 << (groups * patch.positions)) - 1,
        address=target.at(patch.n, y, x, block), levels=row_levels(loops),
    )  # fmt: skip


def images_together(
    windows: Windows, positions: int, blocks: int, columns: int, output_loops: int, images: int
) -> int:
    """How many images fit one instruction: all of them, if the slots have a loop left."""
    outputs = output_loops + (positions > 1) + (columns > 1)
    loops = max(read_levels(windows, positions, blocks, columns), outputs)
    return images if loops < ROW_LEVELS else 1
