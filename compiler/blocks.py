"""Geometry of one block of a convolution: what lies where in NBin while the NFU works on it.

A block is some output positions (n, y, x) times some groups of Tn outputs. Its reduction runs
outermost, so every row of weights that enters SB serves all positions; if positions have weights of
their own, it serves all images. NBin holds the input patch
of the block, for some channels at a time, in one of two orders:

* by rows (y, x, c): one kernel row is a contiguous run of Kx*c neurons;
* by windows (x, ky, c), separately for each output row: a whole kernel window is one contiguous run
  of Kx*Ky*c neurons. Fills the lanes better when there are few channels, and makes the DMA collect
  c neurons at a time.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hw.diannao.assembler import Runs
from hw.diannao.config import Config

from .access import pattern
from .maps import Map
from .ring import reach, slides

__all__ = [
    "Block",
    "Convolution",
    "Passes",
    "Patch",
    "Tiling",
    "load_runs",
    "passes_of",
    "row_bytes",
    "weight_rows",
]


@dataclass(frozen=True)
class Convolution:
    """Shape of a convolution, with the input's pitches (bytes; image, row, pixel).

    With ``private`` every output position has weights and biases of its own.
    """

    batch: int
    height: int
    width: int
    channels: int
    outputs: int
    kernel: tuple[int, int]
    strides: tuple[int, int]
    pitches: tuple[int, int, int]
    private: bool = False

    @property
    def macs(self) -> int:
        positions = self.batch * self.height * self.width
        return positions * self.outputs * self.channels * self.kernel[0] * self.kernel[1]


@dataclass(frozen=True)
class Tiling:
    """How a convolution is cut into blocks; sizes are those of the largest block.

    Parameters
    ----------
    images, rows, columns : output positions
    groups : groups of Tn outputs
    channels : channels per pass over the kernel
    window : NBin holds whole windows as runs, instead of kernel rows
    inputs_stay : all groups of a block of positions come one after the other, with the inputs kept
        in NBin; otherwise all positions of a block of groups, with the weights kept in SB if they
        fit
    """

    images: int
    rows: int
    columns: int
    groups: int
    channels: int
    window: bool
    inputs_stay: bool


@dataclass(frozen=True)
class Passes:
    """Successive channels of the reduction that are cut alike: ``count`` times ``channels``."""

    first: int
    channels: int
    count: int


def passes_of(channels: int, per_pass: int) -> list[Passes]:
    """Cut ``channels`` into passes of ``per_pass``, and one of what remains."""
    full, rest = divmod(channels, per_pass)
    passes = [Passes(0, per_pass, full)] if full else []
    if rest:
        passes.append(Passes(full * per_pass, rest, 1))
    return passes


class Block(NamedTuple):
    """A block of output positions: first ones and sizes."""

    n: int
    y: int
    x: int
    images: int
    rows: int
    columns: int

    @property
    def pixels(self) -> int:
        """Positions in one image."""
        return self.rows * self.columns


class Patch(NamedTuple):
    """The input patch of a block of positions for some passes.

    Parameters
    ----------
    reads : reads of Ti neurons per kernel row (or window)
    kernel_rows : runs per window: kernel rows, or one where a window is a run
    elements : neurons of the patch, all passes together
    loops : (count, stride in NBin) of x, y, n, read, kernel row, pass; innermost first
    slides : how far NBin's tail moves with each of them
    reach : neurons that NBin must hold at once
    skip : neurons by which the last read overhangs the patch
    """

    reads: int
    kernel_rows: int
    elements: int
    loops: list[tuple[int, int]]
    slides: list[int]
    reach: int
    skip: int

    @classmethod
    def of(
        cls,
        shape: Convolution,
        window: bool,
        passes: Passes,
        images: int,
        rows: int,
        columns: int,
        ti: int,
    ) -> "Patch":
        ky, kx = shape.kernel
        sy, sx = shape.strides
        wide = (columns - 1) * sx + kx
        if window:
            run, kernel_rows = kx * ky * passes.channels, 1
            row = wide * ky * passes.channels
            image = rows * row
            strides = (sx * ky * passes.channels, row)
        else:
            run, kernel_rows = kx * passes.channels, ky
            row = wide * passes.channels
            image = ((rows - 1) * sy + ky) * row
            strides = (sx * passes.channels, sy * row)
        reads = -(-run // ti)
        loops = [
            (columns, strides[0]),
            (rows, strides[1]),
            (images, image),
            (reads, ti),
            (kernel_rows, row),
            (passes.count, images * image),
        ]
        elements = passes.count * images * image
        moves = slides(loops)
        end = sum((count - 1) * stride for count, stride in loops) + ti
        return cls(
            reads, kernel_rows, elements, loops, moves, reach(loops, moves, ti),
            max(0, end - elements),
        )  # fmt: skip

    def rows_of_weights(self, passes: Passes) -> int:
        """SB rows per group of outputs."""
        return passes.count * self.kernel_rows * self.reads


def row_bytes(shape: Convolution, config: Config) -> int:
    """Bytes of an SB row that are loaded: no more neurons' synapses than there are outputs."""
    beat = config.sb_port // 8
    used = min(shape.outputs, config.tn) * config.ti * config.element_bytes
    return -(-used // beat) * beat


def load_runs(
    source: Map,
    shape: Convolution,
    window: bool,
    passes: Passes,
    block: Block,
    config: Config,
) -> Runs:
    """Descriptor that loads the patch of ``block``.

    Raises
    ------
    PatternError
        If it takes more than one descriptor.
    """
    (ky, kx), (sy, sx) = shape.kernel, shape.strides
    image, row, pixel = source.pitches
    run = passes.channels * config.element_bytes
    wide = (block.columns - 1) * sx + kx
    if window:
        loops = [(ky, row), (wide, pixel), (block.rows, sy * row)]
    else:
        loops = [(wide, pixel), ((block.rows - 1) * sy + ky, row)]
    loops += [(block.images, image), (passes.count, run)]
    start = source.at(block.n, block.y * sy, block.x * sx, passes.first * config.element_bytes)
    return pattern(start, run, loops)


def weight_rows(
    weight: np.ndarray, window: bool, passes: Passes, reads: int, tn: int, ti: int
) -> np.ndarray:
    """Weights (O, C, Ky, Kx) of some groups as SB rows (rows, Tn, Ti) in order of consumption.

    Rows follow (pass, kernel row, read, group); a row's lanes are Ti neurons of the run.
    """
    outputs, _, ky, kx = weight.shape
    groups = -(-outputs // tn)
    part = weight[:, passes.first : passes.first + passes.count * passes.channels]
    part = part.reshape(outputs, passes.count, passes.channels, ky, kx)
    if window:
        runs = part.transpose(1, 0, 4, 3, 2).reshape(passes.count, outputs, 1, -1)
    else:
        runs = part.transpose(1, 0, 3, 4, 2).reshape(passes.count, outputs, ky, -1)
    kernel_rows = runs.shape[2]
    spare = ((0, 0), (0, groups * tn - outputs), (0, 0), (0, reads * ti - runs.shape[3]))
    runs = np.pad(runs, spare).reshape(passes.count, groups, tn, kernel_rows, reads, ti)
    return runs.transpose(0, 3, 4, 1, 2, 5).reshape(-1, tn, ti)
