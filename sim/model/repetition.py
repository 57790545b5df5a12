"""Leaving out repetitions: a loop of instructions settles, and then every iteration is alike."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hw.diannao.words import Slots

__all__ = ["Excerpt", "Loop", "distinct_rows", "excerpt_of", "kinds_of"]

_IRRELEVANT = ("descriptor.address", "shift", "scale", "bias", "nbout", "source")
"""Fields that (almost) do not matter for timing."""
_SPAN = 32
"""Instructions that are enough for a loop to settle: more than queues and DMAs work on."""
_STEPS = 8192
"""NFU steps that are enough: more than the data in the buffers lasts."""


@dataclass(frozen=True)
class Loop:
    """A loop of which iterations are left out.

    Parameters
    ----------
    iterations : those that stand for others too: first and last instruction of each, as they are
        numbered in the excerpt
    alike : those that must take the same time for that, at least two
    factor : how many iterations each of them stands for
    """

    iterations: list[tuple[int, int]]
    alike: list[tuple[int, int]]
    factor: float


@dataclass(frozen=True)
class Excerpt:
    """A part of a program that tells how long the whole takes.

    Parameters
    ----------
    kept : numbers of its instructions
    weight : how often each of them counts
    loops : where something was left out
    """

    kept: np.ndarray
    weight: np.ndarray
    loops: list[Loop]


def kinds_of(slots: Mapping[str, Slots]) -> np.ndarray:
    """A number for every instruction; instructions of the same number do the same elsewhere."""
    count = len(slots["cp"].owners)
    columns = []
    for kind in slots:
        fields = [
            values.astype(np.int64)
            for name, values in slots[kind].fields.items()
            if name not in _IRRELEVANT and not name.endswith((".bias_step", ".nbout_step"))
        ]
        column = np.zeros(count, dtype=np.int64)
        if len(slots[kind].owners):
            column[slots[kind].owners] = 1 + distinct_rows(np.stack(fields, axis=1))[1]
        columns.append(column)
    return distinct_rows(np.stack(columns, axis=1))[1]


def distinct_rows(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each different row is found first, and for every row which of those it is."""
    # Sorting single numbers is much faster than sorting rows: make a number of 64 bits from each.
    random = np.random.default_rng(0).integers(1 << 62, size=table.shape[1], dtype=np.int64)
    keys = (table * (2 * random + 1)).sum(axis=1)
    _, first, number = np.unique(keys, return_index=True, return_inverse=True)
    return first, number


def excerpt_of(kinds: np.ndarray, steps: np.ndarray, least: int) -> Excerpt:
    """Keep at least ``least`` iterations of every loop, half of them if they are long.

    The last iterations but one of those kept stand for what is left out, which is in front of the
    last one. ``steps`` are those of each instruction on the NFU.
    """
    kept = np.arange(len(kinds))
    weight = np.ones(len(kinds))
    loops: list[Loop] = []
    period = 1
    while period * (least + 1) <= len(kept):
        cut = _longest(kinds[kept], weight, period)
        if cut is None:
            period += 1
            continue
        first, iterations = cut
        work = max(1, int(steps[kept[first : first + period]].sum()))
        enough = least if 2 * work < _STEPS else least // 2 + 1
        count = max(enough, min(-(-_SPAN // period), -(-_STEPS // work)))
        if iterations <= count:
            period += 1
            continue
        like = max(1, count // 2)
        factor = 1 + (iterations - count) / like
        starts = [first + n * period for n in range(count - 1)]
        spans = [(int(kept[at]), int(kept[at + period - 1])) for at in starts]
        loops.append(Loop(spans[-like:], spans[-max(2, like) :], factor))
        starts = starts[-like:]
        weight[starts[0] : starts[-1] + period] *= factor
        gone = slice(first + (count - 1) * period, first + (iterations - 1) * period)
        kept, weight = np.delete(kept, gone), np.delete(weight, gone)
    # Loops within iterations that are left out are gone.
    place = {number: at for at, number in enumerate(kept.tolist())}
    return Excerpt(
        kept,
        weight,
        [
            Loop(
                [(place[first], place[last]) for first, last in loop.iterations],
                [(place[first], place[last]) for first, last in loop.alike],
                loop.factor,
            )
            for loop in loops
            if all(first in place and last in place for first, last in loop.alike)
        ],
    )


def _longest(kinds: np.ndarray, weight: np.ndarray, period: int) -> tuple[int, int] | None:
    """Begin and iterations of the longest loop of this period."""
    same = (kinds[:-period] == kinds[period:]) & (weight[:-period] == weight[period:])
    if not same.any():
        return None
    edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]])))
    lengths = edges[1::2] - edges[::2]
    longest = int(np.argmax(lengths))
    return int(edges[2 * longest]), int(lengths[longest]) // period + 1
