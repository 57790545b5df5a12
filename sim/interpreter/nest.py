"""The loop nest of an NFU slot as closed formulas."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np

from hw.diannao.assembler import NfuNest
from hw.nfu.layouts import Op

__all__ = ["Loop", "Nest"]

_SCAN = 1 << 20
"""Steps that are looked at together in the search for a faulty one."""


@dataclass(frozen=True)
class Loop:
    """A level with more than one iteration.

    Parameters
    ----------
    count : iterations
    period : steps of one iteration
    nbin, sb, nbout, bias : strides from one iteration to the next
    nbin_lead, sb_lead : strides of the positions relative to the moving tails of the rings
    nbin_free, sb_free : freed when this level advances
    reduce : runs over the reduction
    """

    count: int
    period: int
    nbin: int
    sb: int
    nbout: int
    bias: int
    nbin_lead: int
    sb_lead: int
    nbin_free: int
    sb_free: int
    reduce: bool


class Nest:
    """Positions, frees and accumulations of a nest, without walking through its steps.

    ``loops`` are those with more than one iteration, innermost first. Since a level's fields apply
    when it advances, every position is the start plus the sum of index times stride, and so is the
    distance from the tail.
    """

    def __init__(self, slot: NfuNest):
        self.slot = slot
        self.loops: list[Loop] = []
        self.steps = 1
        moved: dict[str, int] = {}
        for number, level in enumerate(slot.levels):
            if level.count == 1:
                continue
            steps = {
                "nbin": level.nbin_step,
                "sb": level.sb_step,
                "nbout": level.nbout_step,
                "bias": level.bias_step,
                "nbin_lead": level.nbin_step - level.nbin_free,
                "sb_lead": level.sb_step - level.sb_free,
            }
            strides = {key: step + moved.get(key, 0) for key, step in steps.items()}
            for key, stride in strides.items():
                moved[key] = moved.get(key, 0) + (level.count - 1) * stride
            self.loops.append(
                Loop(
                    count=level.count,
                    period=self.steps,
                    nbin_free=level.nbin_free,
                    sb_free=level.sb_free,
                    reduce=bool(slot.reduce >> number & 1),
                    **strides,
                )
            )
            self.steps *= level.count
        self.start = {
            "nbin": slot.nbin,
            "sb": slot.sb,
            "nbout": slot.nbout,
            "bias": slot.bias,
            "nbin_lead": slot.nbin,
            "sb_lead": slot.sb,
        }
        self.outer_loops = [loop for loop in self.loops if not loop.reduce]
        """The loops over accumulations, innermost first."""
        self.accumulations = prod(loop.count for loop in self.outer_loops)
        self.duration = sum(loop.period * (loop.count - 1) for loop in self.loops if loop.reduce)
        """Steps from the first of an accumulation to its last."""

    @property
    def reads_nbin(self) -> bool:
        return self.slot.op in (Op.MAC, Op.MAX, Op.SUM)

    @property
    def reads_sb(self) -> bool:
        return self.slot.op in (Op.MAC, Op.BIAS, Op.TABLE)

    def span(self, field: str) -> tuple[int, int]:
        """Smallest and largest value that ``field`` (a stride of Loop) reaches."""
        ends = [(loop.count - 1) * getattr(loop, field) for loop in self.loops]
        start = self.start[field]
        return start + sum(min(0, end) for end in ends), start + sum(max(0, end) for end in ends)

    def most_freed(self, field: str) -> int:
        """The most that is freed at once; ``field`` is "nbin_free" or "sb_free"."""
        return max(getattr(self.slot, field), *(getattr(loop, field) for loop in self.loops), 0)

    def freed(self, field: str, step):
        """Freed before ``step`` (a number or an array); with ``steps``, by the whole nest."""
        advances = sum(
            getattr(loop, field) * (step // loop.period - step // (loop.period * loop.count))
            for loop in self.loops
        )
        return advances + getattr(self.slot, field) * (step // self.steps)

    def at(self, field: str, step: np.ndarray) -> np.ndarray:
        """Values of ``field`` at given steps."""
        total = np.full(step.shape, self.start[field], dtype=np.int64)
        for loop in self.loops:
            total += step // loop.period % loop.count * getattr(loop, field)
        return total

    def scan(self) -> Iterator[np.ndarray]:
        """All step numbers, some at a time."""
        for start in range(0, self.steps, _SCAN):
            yield np.arange(start, min(start + _SCAN, self.steps))

    def first_steps(self) -> np.ndarray:
        """The first step of every accumulation, in their order."""
        total = np.zeros(1, dtype=np.int64)
        for loop in self.outer_loops:
            total = (np.arange(loop.count)[:, None] * loop.period + total).ravel()
        return total

    def over_accumulations(self, field: str) -> np.ndarray:
        """``field`` at the first step of every accumulation, in their order."""
        return self.at(field, self.first_steps())

    def last_step(self, accumulation: int) -> int:
        """The last step of an accumulation."""
        step = self.duration
        for loop in self.outer_loops:
            accumulation, index = divmod(accumulation, loop.count)
            step += index * loop.period
        return step
