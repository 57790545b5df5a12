"""Where feature maps lie in the central memories of a node."""

from dataclasses import dataclass, replace

import numpy as np

from .areas import Area

__all__ = ["CentralMap", "Segment", "Space", "extent"]


_ENDLESS = 1 << 40


@dataclass(frozen=True)
class Segment:
    """``channels`` successive channels of a tensor, from the beginning of block ``block`` on."""

    block: int
    channels: int


def extent(segments: tuple[Segment, ...], ti: int) -> int:
    """Blocks from the first to the last of some segments."""
    last = segments[-1]
    return last.block - segments[0].block + -(-last.channels // ti)


@dataclass(frozen=True)
class CentralMap:
    """A part of a feature map as rows of Ti neurons, (image, y, x, block of channels).

    Parameters
    ----------
    bank, base : where row (0, held.rows.start, held.columns.start, 0) is
    batch, height, width : extents of the tensor
    segments : its channels; blocks may be filled up with neurons of no meaning, but every one of
        them has been written
    pitch : blocks from one pixel to the next
    gap : blocks between the last pixel of a row and the first of the next one
    held : the pixels that there is a place for, those of zeros around the map included
    ti : neurons of a block
    """

    bank: int
    base: int
    batch: int
    height: int
    width: int
    segments: tuple[Segment, ...]
    pitch: int
    gap: int
    held: Area
    ti: int

    @property
    def blocks(self) -> int:
        """Blocks of a pixel that hold the tensor."""
        return extent(self.segments, self.ti)

    @property
    def channels(self) -> int:
        return sum(segment.channels for segment in self.segments)

    @property
    def places(self) -> np.ndarray:
        """Where each channel is among the neurons of the ``blocks``."""
        start = self.segments[0].block
        return np.concatenate(
            [(s.block - start) * self.ti + np.arange(s.channels) for s in self.segments]
        )

    @property
    def row_pitch(self) -> int:
        """Blocks from one row of pixels to the next."""
        return len(self.held.columns) * self.pitch + self.gap

    @property
    def image_pitch(self) -> int:
        """Blocks from one image to the next."""
        return len(self.held.rows) * self.row_pitch

    @property
    def size(self) -> int:
        """Rows of the central memory that the map takes."""
        return self.batch * self.image_pitch

    def at(self, n: int, y: int, x: int, block: int = 0) -> int:
        """Address of a block of pixel (n, y, x); counted from the tensor's first one."""
        row = n * self.image_pitch + (y - self.held.rows.start) * self.row_pitch
        pixel = row + (x - self.held.columns.start) * self.pitch
        return self.base + pixel + self.segments[0].block + block

    def part(self, segments: tuple[Segment, ...]) -> "CentralMap":
        """Some of the channels."""
        return replace(self, segments=segments)


class Space:
    """Rows of the two central memories: first fit.

    Maps for which there is no room lie behind the end, so that ``peak`` tells what is missing.
    """

    def __init__(self, rows: int):
        self._rows = rows
        self._free = [[(0, _ENDLESS)], [(0, _ENDLESS)]]
        self.peak = [0, 0]

    def take(self, size: int, bank: int) -> tuple[int, int]:
        """Bank and address of ``size`` free rows, in ``bank`` if it has them."""
        for candidate, limit in ((bank, self._rows), (1 - bank, self._rows), (bank, _ENDLESS)):
            holes = self._free[candidate]
            for number, (start, end) in enumerate(holes):
                if min(end, limit) - start >= size:
                    holes[number] = (start + size, end)
                    self.peak[candidate] = max(self.peak[candidate], start + size)
                    return candidate, start
        raise AssertionError("there is always room behind the end")

    def give(self, bank: int, start: int, size: int) -> None:
        """Free what ``take`` gave."""
        merged: list[tuple[int, int]] = []
        for first, last in sorted([*self._free[bank], (start, start + size)]):
            if merged and merged[-1][1] == first:
                merged[-1] = (merged[-1][0], last)
            else:
                merged.append((first, last))
        self._free[bank] = [hole for hole in merged if hole[0] < hole[1]]
