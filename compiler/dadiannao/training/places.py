"""Where a network in training lies in a node: maps in the central memories, matrices in SB."""

from dataclasses import dataclass, replace

import numpy as np

from hw.arith.numbers import NO_MIRROR, Table, bounds
from hw.dadiannao.config import NodeConfig
from hw.errors import UserError

__all__ = ["Map", "Matrix", "Span", "View", "packed_rows", "packed_table"]

Halo = tuple[int, int, int, int]


@dataclass(frozen=True)
class View:
    """Rows of a map, one for each output position of a layer.

    Parameters
    ----------
    bank, address : of the first one
    x, y, image : steps from one position to the next, in rows
    """

    bank: int
    address: int
    x: int
    y: int
    image: int


@dataclass(frozen=True)
class Map:
    """Neurons in a central memory: rows ``[image][y][x][block]``, around (y, x) a halo of zeros.

    Parameters
    ----------
    bank, base : of its first row
    blocks : rows of a position
    height, width : without halo
    halo : rows above, columns to the left, rows below, columns to the right
    pitch : (y, x), from one position to the next; between them are zeros
    """

    bank: int
    base: int
    blocks: int
    height: int
    width: int
    halo: Halo = (0, 0, 0, 0)
    pitch: tuple[int, int] = (1, 1)

    @property
    def dense(self) -> "Map":
        """The same rows as a map that has the zeros between, too."""
        height, width = (
            (count - 1) * pitch + 1
            for count, pitch in zip((self.height, self.width), self.pitch, strict=True)
        )
        return replace(self, height=height, width=width, pitch=(1, 1))

    @property
    def x(self) -> int:
        """Rows from one x to the next."""
        return self.pitch[1] * self.blocks

    @property
    def y(self) -> int:
        """Rows from one y to the next."""
        return self.pitch[0] * self._line

    @property
    def _line(self) -> int:
        width = (self.width - 1) * self.pitch[1] + 1
        return (width + self.halo[1] + self.halo[3]) * self.blocks

    @property
    def image(self) -> int:
        """Rows of an image."""
        height = (self.height - 1) * self.pitch[0] + 1
        return (height + self.halo[0] + self.halo[2]) * self._line

    def at(self, image: int = 0, y: int = 0, x: int = 0, block: int = 0) -> int:
        """The row of a block; where positions follow each other, it may be in the halo."""
        top, left, _, _ = self.halo
        start = self.base + image * self.image + top * self._line + left * self.blocks
        return start + y * self.y + x * self.x + block

    def view(self, block: int, y: int = 0, x: int = 0, strides: tuple[int, int] = (1, 1)) -> View:
        """One block of every position that windows with these strides have at (y, x)."""
        return View(
            self.bank, self.at(0, y, x, block), strides[1] * self.x, strides[0] * self.y,
            self.image,
        )  # fmt: skip


@dataclass(frozen=True)
class Span:
    """Blocks of outputs in one half of the SB rows: ``groups`` of each tile from ``first`` on."""

    half: int
    first: int
    groups: int


@dataclass(frozen=True)
class Matrix:
    """Synapses in SB: tile t has the outputs of ``groups`` blocks after each other.

    Tiles are counted through all nodes.

    A row of SB belongs to such a block and to one of the inputs; joined, the second span is in the
    second halves of the same rows.

    Parameters
    ----------
    first : row
    blocks : of outputs, of all tiles together
    inputs : blocks of inputs
    spans : where the blocks are
    """

    first: int
    blocks: int
    inputs: int
    spans: tuple[Span, ...]

    @staticmethod
    def place(first: int, blocks: int, inputs: int, tiles: int, halves: int) -> "Matrix":
        """A matrix from row ``first`` on, for at least so many blocks of outputs."""
        groups = -(-blocks // tiles)
        counts = [(groups + half) // halves for half in reversed(range(halves))]
        spans, start = [], 0
        for half, count in enumerate(counts):
            if count:
                spans.append(Span(half, start, count))
            start += tiles * count
        return Matrix(first, tiles * groups, inputs, tuple(spans))

    @property
    def rows(self) -> int:
        """Of SB, in every tile."""
        return self.spans[0].groups * self.inputs


def packed_rows(
    config: NodeConfig, matrix: Matrix, weights: np.ndarray, tile: int, halves: int
) -> np.ndarray:
    """The SB rows (rows, bytes) of a tile, of weights (lanes of outputs, lanes of inputs)."""
    lanes = config.ti // halves
    blocks = weights.reshape(matrix.blocks, lanes, matrix.inputs, lanes).transpose(0, 2, 1, 3)
    rows = np.zeros((matrix.spans[0].groups, matrix.inputs, lanes, halves, lanes), np.int64)
    for span in matrix.spans:
        first = span.first + tile * span.groups
        rows[: span.groups, :, :, span.half] = blocks[first : first + span.groups]
    kind = f"<i{halves * config.element_bytes}"
    raw = np.ascontiguousarray(rows.astype(kind)).view(np.uint8).reshape(matrix.rows, -1)
    return np.pad(raw, ((0, 0), (0, config.core.sb_row_bits // 8 - raw.shape[1])))


def packed_table(config: NodeConfig, table: Table, halves: int) -> list[np.ndarray]:
    """The SB rows (bytes) of a table; joined, those of the first table and those of the second."""
    core = config.core
    missing = core.segments - table.segments
    if missing < 0:
        raise UserError(f"segments must be at least {table.segments}, not {core.segments}")
    lowest = bounds(halves * core.width)[0]
    starts = [NO_MIRROR, *[lowest] * missing, *table.breakpoints]
    slopes = [0] * missing + list(table.a)
    offsets = [0] * missing + list(table.b)
    size, rows = core.width, []
    mask = (1 << size) - 1
    for part in range(halves):
        words = []
        for start, slope, offset in zip(starts, slopes, offsets, strict=True):
            low, high = start >> part * size & mask, slope >> part * size & mask
            words += [high << size | low, offset >> part * 2 * size & ((1 << 2 * size) - 1)]
        words = [0] * (core.table_rows * core.tn - len(words)) + words
        content = b"".join(word.to_bytes(size // 4, "little") for word in words)
        raw = np.frombuffer(content, np.uint8).reshape(core.table_rows, -1)
        rows.append(np.pad(raw, ((0, 0), (0, core.sb_row_bits // 8 - raw.shape[1]))))
    return rows
