"""Loops as one thinks of them, and as the levels of a slot have them.

A level's fields apply when it advances, after the levels inside it have done their last iteration
and start over. So its step is the stride minus what those levels have moved, and its frees contain
theirs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .fields import Field, fields_of

__all__ = ["LoopForm", "RawLevel"]

_Counts = dict[str, int]


@dataclass(frozen=True, slots=True)
class RawLevel:
    """A level of one iteration that keeps its place and its bits, for an exact text form."""

    level: Any
    reduce: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class LoopForm:
    """How loops become levels.

    Parameters
    ----------
    layout, level : layout of a level, and the class that stands for it
    loop : keyword-only dataclass with ``count``, a field per stride, those of ``freed``, and
        ``reduce`` if ``reduces``
    strides : name in ``loop`` of every stride, and of the step that it makes in ``level``
    freed : fields of loop, level and slot that say what is freed
    reduces : the slot has a field ``reduce`` with a bit per level
    levels : of a slot
    what : that has these loops, for messages
    """

    layout: Any
    level: type
    loop: type
    strides: dict[str, str]
    freed: tuple[str, ...] = ()
    reduces: bool = False
    levels: int
    what: str

    def levels_of(self, loops: Iterable[Any]) -> tuple[tuple[Any, ...], int, _Counts]:
        """Levels and reduction bits for ``loops``, innermost first, and what they free at last.

        Loops of one iteration take no level, unless they are RawLevel.

        Raises
        ------
        ValueError
            If there are too many loops, or something does not fit its field.
        """
        levels: list[Any] = []
        moved = dict.fromkeys(self.strides, 0)
        freed = dict.fromkeys(self.freed, 0)
        reduce = 0
        for loop in loops:
            if isinstance(loop, RawLevel):
                reduce |= loop.reduce << len(levels)
                levels.append(loop.level)
                continue
            if loop.count < 1:
                raise ValueError(f"the count of a loop must be at least 1, not {loop.count}")
            for key in self.freed:
                freed[key] += getattr(loop, key)
            if loop.count > 1:
                steps = {
                    step: getattr(loop, key) - moved[key] for key, step in self.strides.items()
                }
                level = self.level(count=loop.count, **steps, **freed)
                self._check(len(levels), level)
                if self.reduces:
                    reduce |= loop.reduce << len(levels)
                levels.append(level)
                for key in self.strides:
                    moved[key] += (loop.count - 1) * getattr(loop, key)
        if len(levels) > self.levels:
            raise ValueError(
                f"a {self.what} must have at most {self.levels} loops of more than one iteration, "
                f"not {len(levels)}"
            )
        return (*levels, *(self.level(),) * (self.levels - len(levels))), reduce, freed

    def loops_of(self, levels: Sequence[Any], reduce: int = 0) -> tuple[list[Any], _Counts]:
        """The reverse of ``levels_of``, with one entry per level."""
        loops: list[Any] = []
        moved = dict.fromkeys(self.strides, 0)
        freed = dict.fromkeys(self.freed, 0)
        for number, level in enumerate(levels):
            reduces = bool(reduce >> number & 1)
            if level.count == 1:
                loops.append(RawLevel(level, reduces))
                continue
            strides = {key: getattr(level, step) + moved[key] for key, step in self.strides.items()}
            frees = {key: getattr(level, key) - freed[key] for key in self.freed}
            marks = {"reduce": reduces} if self.reduces else {}
            loops.append(self.loop(count=level.count, **strides, **frees, **marks))
            for key in self.strides:
                moved[key] += (level.count - 1) * strides[key]
            freed = {key: getattr(level, key) for key in self.freed}
        while loops and loops[-1] == RawLevel(self.level(), False):
            loops.pop()
        return loops, freed

    def _check(self, number: int, level: Any) -> None:
        for field in self._fields:
            low, high = field.bounds
            value = getattr(level, field.name)
            if not low <= value <= high:
                raise ValueError(
                    f"{field.name} of loop {number} (counted from the innermost that iterates, "
                    f"from 0) must be {field.rule}, not {value}; split the {self.what} or reorder "
                    "its loops"
                )

    @cached_property
    def _fields(self) -> list[Field]:
        return [field for field in fields_of(self.layout) if not field.reserved]
