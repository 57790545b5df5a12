"""Rectangles of pixels, and what nodes have of a tensor."""

from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["Area", "Share", "common", "inside", "joined"]


def common(a: range, b: range) -> range:
    """What two runs have in common; an empty one if that is nothing."""
    start = max(a.start, b.start)
    return range(start, max(start, min(a.stop, b.stop)))


def joined(runs: Iterable[range]) -> range:
    """The shortest run that holds all of ``runs``."""
    some = [run for run in runs if run]
    return range(min(r.start for r in some), max(r.stop for r in some)) if some else range(0)


def inside(a: range, b: range) -> bool:
    """Whether all of ``a`` is in ``b``."""
    return not a or (b.start <= a.start and a.stop <= b.stop)


class Area(NamedTuple):
    """A rectangle of pixels: y and x."""

    rows: range
    columns: range

    @property
    def empty(self) -> bool:
        return not self.rows or not self.columns

    def common(self, other: "Area") -> "Area":
        """The pixels that are in both."""
        return Area(common(self.rows, other.rows), common(self.columns, other.columns))

    @staticmethod
    def around(areas: Iterable["Area"]) -> "Area":
        """The smallest one that holds all ``areas``."""
        some = [area for area in areas if not area.empty]
        return Area(joined(a.rows for a in some), joined(a.columns for a in some))


class Share(NamedTuple):
    """Some blocks of channels of a rectangle of pixels."""

    area: Area
    blocks: range

    @property
    def empty(self) -> bool:
        return self.area.empty or not self.blocks

    @staticmethod
    def around(shares: Iterable["Share"]) -> "Share":
        """The smallest one that holds all ``shares``."""
        some = [share for share in shares if not share.empty]
        return Share(Area.around(s.area for s in some), joined(s.blocks for s in some))

    @property
    def size(self) -> int:
        """Rows of a central memory, for one image."""
        return len(self.area.rows) * len(self.area.columns) * len(self.blocks)
