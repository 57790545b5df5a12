"""Fit NFU-3's piecewise-linear tables to functions.

A function with a centre of symmetry (sigmoid, tanh) is fitted on its upper half, and the table
mirrored. Between two kinks every function is linear, convex or concave, so the best line over a
stretch is parallel to its chord, and its error half the largest distance from the chord. For a
given error, a sweep that makes each segment as long as it can be needs the fewest segments; the
smallest error that the table's segments allow is found by bisection. Then slopes and offsets become
integers: for each segment the pair with the smallest error *after* the truncated product and
rounding. Segments left over (piecewise-linear functions need few) split the worst ones, where a
rounded slope shows.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np

from hw.arith.numbers import (
    Table,
    activate,
    bounds,
    compensation,
    requantise,
    saturate,
    truncated_product,
)
from hw.errors import UserError

from .functions import Function

__all__ = ["fit", "table_error"]


def _samples(width: int) -> np.ndarray:
    low, high = bounds(width)
    return np.arange(low, high + 1, dtype=np.int64)


def _target(function: Function, x: np.ndarray, input_frac: int, output_frac: int) -> np.ndarray:
    """The function in units of the output's last place."""
    return np.ldexp(function(np.ldexp(x.astype(np.float64), -input_frac)), output_frac)


def table_error(
    table: Table, function: Function, *, input_frac: int, output_frac: int, width: int, drop: int
) -> tuple[float, float]:
    """Largest and mean error over all inputs, in units of the output's last place.

    The reference is the true function, limited to what ``width`` bits can represent.
    """
    x = _samples(width)
    true = np.clip(_target(function, x, input_frac, output_frac), *bounds(width))
    error = np.abs(activate(x, table, width, drop) - true)
    return float(error.max()), float(error.mean())


class _Piece:
    """A stretch of samples on which the target is linear, convex or concave."""

    def __init__(self, target: np.ndarray, first: int, end: int):
        self.target = target
        self.first = first
        self.end = end
        steps = np.diff(target[first:end])
        convex = len(steps) == 0 or steps[-1] >= steps[0]
        self.sign = 1.0 if convex else -1.0
        # Rounding noise must not break the order that the search relies on.
        self.steps = np.maximum.accumulate(self.sign * steps)

    def error(self, first: int, last: int) -> float:
        """Error of the best line through samples ``first`` to ``last``."""
        if last - first < 2:
            return 0.0
        slope = (self.target[last] - self.target[first]) / (last - first)
        at = self.first + int(np.searchsorted(self.steps, self.sign * slope))
        at = min(max(at, first), last)
        chord = self.target[first] + slope * (at - first)
        return 0.5 * abs(chord - self.target[at])

    def sweep(self, error: float, most: int) -> list[int]:
        """Starts of the longest possible segments within ``error``; gives up beyond ``most``."""
        starts = []
        first = self.first
        while first < self.end and len(starts) <= most:
            starts.append(first)
            good, bad = first, self.end
            while bad - good > 1:
                middle = (good + bad) // 2
                if self.error(first, middle) <= error:
                    good = middle
                else:
                    bad = middle
            first = good + 1
        return starts


def _segment(target: np.ndarray, borders: list[int], segments: int) -> list[int]:
    """Starts of at most ``segments`` segments with the smallest possible error."""
    ends = [*borders[1:], len(target)]
    pieces = [_Piece(target, first, end) for first, end in zip(borders, ends, strict=True)]

    def sweep(error: float) -> list[int]:
        starts = []
        for piece in pieces:
            starts += piece.sweep(error, segments)
        return starts

    exact = sweep(1e-6)
    if len(exact) <= segments:
        return exact
    low, high = 1e-6, 1.0
    while len(sweep(high)) > segments:
        low, high = high, 2 * high
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        if len(sweep(middle)) <= segments:
            high = middle
        else:
            low = middle
    return sweep(high)


def _mirror(function: Function, target: np.ndarray, width: int) -> int | None:
    """The constant ``f(x) + f(-x)`` of a curved function, if it has one that a table can hold."""
    if not any(step.curved for step in function.steps):
        return None
    both = target[1:] + target[:0:-1]
    mirror = round(both[0])
    exact = bool(np.abs(both - mirror).max() < 1e-6)
    return mirror if exact and 0 <= mirror <= (1 << width) - 2 else None


class _Fitter:
    """Integer coefficients of segments: for one target, over all samples, and one shift."""

    def __init__(self, target: np.ndarray, width: int, drop: int, shift: int, mirror: int | None):
        self.target = target
        self.x = _samples(width)
        self.width, self.drop, self.shift, self.mirror = width, drop, shift, mirror
        # The offset at each sample is ``base + sign * b``.
        reflected = (self.x < 0) & (mirror is not None)
        reflection = ((mirror or 0) << shift) - 2 * compensation(width, drop)
        self.base = np.where(reflected, reflection, 0)
        self.sign = np.where(reflected, -1, 1)

    def fit(self, first: int, end: int) -> tuple[float, float, int, int]:
        """Largest error, summed error, slope and offset for samples ``first`` to ``end - 1``."""
        ideal = _slope(self.target[first:end]) * 2.0**self.shift
        at = np.arange(first, end)
        if self.mirror is not None:
            at = np.concatenate([at, len(self.x) - 1 - at])
        low, high = bounds(self.width)
        near = {int(np.clip(round(ideal) + k, low, high)) for k in (-1, 0, 1)}
        slopes = sorted(near, key=lambda a: abs(a - ideal))
        return _best(line for a in slopes for line in self._lines(at, a))

    def _lines(self, at: np.ndarray, a: int) -> Iterator[tuple[float, float, int, int]]:
        """Candidates with slope ``a`` for the samples ``at``, as ``fit`` returns them."""
        target, base, sign = self.target[at], self.base[at], self.sign[at]
        product = truncated_product(self.x[at], np.asarray(a), self.width, self.drop) + base
        perfect = sign * (target * 2.0**self.shift - product)
        centre = (perfect.max() + perfect.min()) / 2
        limited = np.clip(target, *bounds(self.width))
        for eighths in (0, -1, 1, -2, 2):
            b = round(float(centre + eighths * 2.0**self.shift / 8))
            b = saturate(b, 2 * self.width)
            error = np.abs(requantise(product + sign * b, self.shift, self.width) - limited)
            yield float(error.max()), float(error.sum()), a, b


def _best(lines: Iterable[tuple[float, float, int, int]]) -> tuple[float, float, int, int]:
    """The first line with the smallest largest error, and among equals the smallest sum."""
    return min(lines, key=lambda line: (round(line[0], 9), round(line[1], 6)))


def _slope(target: np.ndarray) -> float:
    """Slope of the best line: that of the chord."""
    return (target[-1] - target[0]) / max(1, len(target) - 1)


def _largest_shift(
    target: np.ndarray, starts: list[int], width: int, drop: int, mirror: int | None
) -> int:
    """The shift that gives slopes the most fraction bits while slopes and offsets still fit."""
    low, high = bounds(width)
    slopes, offsets = [], []
    for first, end in zip(starts, [*starts[1:], len(target)], strict=True):
        slope = _slope(target[first:end])
        offset = target[first] - slope * (first + low)
        slopes.append(abs(slope))
        offsets += [abs(offset) + 1, abs((mirror or 0) - offset) + 1]
    room = bounds(2 * width)[1] - 4 * abs(compensation(width, drop))
    for shift in range(2 * width - 1, -1, -1):
        scale = 2.0**shift
        if max(slopes) * scale <= high and max(offsets) * scale <= room:
            return shift
    raise UserError(
        f"an activation table of {width} bits has slopes up to {high}, not {max(slopes):g}; give "
        "its result fewer fraction bits or its argument more"
    )


@lru_cache(maxsize=4096)
def fit(
    function: Function, *, input_frac: int, output_frac: int, width: int, drop: int, segments: int
) -> Table:
    """The table of ``segments`` segments that comes closest to ``function``.

    Identity, ReLU and clip between equal ``frac`` are exact as long as ``drop <= width - 2``.

    Parameters
    ----------
    function : what to evaluate, on real numbers
    input_frac, output_frac : fraction bits of the integers before and after
    width, drop : number format and multiplier of NFU-3

    Raises
    ------
    UserError
        If the function has more kinks than the table has segments, or a slope does not fit
        ``width`` bits (``output_frac`` far above ``input_frac``).
    """
    x = _samples(width)
    target = _target(function, x, input_frac, output_frac)
    mirror = _mirror(function, target, width)
    begin = 0 if mirror is None else len(x) // 2
    borders = function.pieces(np.ldexp(x.astype(np.float64), -input_frac))
    borders = [begin, *(border for border in borders if border > begin)]
    if len(borders) > segments:
        raise UserError(
            f"segments must be at least {len(borders)} for {function.steps}, not {segments}"
        )
    starts = _segment(target, borders, segments)
    shift = _largest_shift(target, starts, width, drop, mirror)
    fitter = _Fitter(target, width, drop, shift, mirror)
    ends = [*starts[1:], len(target)]
    lines = {first: (end, *fitter.fit(first, end)) for first, end in zip(starts, ends, strict=True)}

    while len(lines) < segments:
        first = max(lines, key=lambda start: lines[start][1])
        end, error, *_ = lines[first]
        middle = (first + end) // 2
        if error <= 0.5 + 1e-6 or middle == first:
            break
        lines[first] = (middle, *fitter.fit(first, middle))
        lines[middle] = (end, *fitter.fit(middle, end))

    starts = sorted(lines)
    unused = segments - len(starts)
    last = lines[starts[-1]]
    return Table(
        breakpoints=tuple(int(x[s]) for s in starts[1:]) + (int(x[-1]),) * unused,
        a=tuple(lines[s][3] for s in starts) + (last[3],) * unused,
        b=tuple(lines[s][4] for s in starts) + (last[4],) * unused,
        shift=shift,
        mirror=mirror,
    )
