"""The number formats of the whole project, as plain integer arithmetic.

Hardware, golden model, interpreter and compiler all take their arithmetic from the definitions
here and from nowhere else. Everything works on Python integers and on numpy integer arrays alike.

A value is a two's-complement integer of ``width`` bits; a tensor adds a number of fraction bits
``frac``, so that the integer ``v`` stands for ``v / 2**frac``.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

__all__ = [
    "NO_MIRROR",
    "Table",
    "activate",
    "bounds",
    "compensation",
    "error_bounds",
    "interpolate",
    "requantise",
    "saturate",
    "truncated_product",
    "wrap",
]

Integers = TypeVar("Integers", int, np.ndarray)


def bounds(width: int) -> tuple[int, int]:
    """Smallest and largest two's-complement integer of ``width`` bits."""
    return -(1 << (width - 1)), (1 << (width - 1)) - 1


def saturate(value: Integers, width: int) -> Integers:
    """Clamp ``value`` to the range of ``width`` bits."""
    low, high = bounds(width)
    if isinstance(value, np.ndarray):
        return np.clip(value, low, high)
    return max(low, min(high, value))


def wrap(value: Integers, width: int) -> Integers:
    """The low ``width`` bits of ``value`` as a signed integer."""
    half = 1 << (width - 1)
    return ((value + half) & ((1 << width) - 1)) - half


def requantise(value: Integers, shift: int, width: int) -> Integers:
    """Add half, shift right arithmetically by ``shift`` >= 0 bits, saturate to ``width`` bits."""
    half = (1 << shift) >> 1
    return saturate((value + half) >> shift, width)


def _row_signs(width: int) -> list[int]:
    """Sign of each partial-product row: the row of the weight's sign bit counts negatively."""
    return [1] * (width - 1) + [-1]


def compensation(width: int, drop: int) -> int:
    """Constant that makes the mean error of the truncated product zero.

    Row ``j`` of the array loses ``x mod 2**(drop - j)`` shifted left by ``j``, if bit ``j`` of the
    weight is set. Over uniform bits that is ``(2**drop - 2**j) / 4`` on average.
    """
    lost = sum(s * ((1 << drop) - (1 << j)) for j, s in enumerate(_row_signs(width)) if j < drop)
    return (lost + 2) // 4


def error_bounds(width: int, drop: int) -> tuple[int, int]:
    """Smallest and largest value of ``truncated_product(x, w) - x * w``; both are reached."""
    rows = [(s, (1 << drop) - (1 << j)) for j, s in enumerate(_row_signs(width)) if j < drop]
    most_lost = sum(lost for s, lost in rows if s > 0)
    most_gained = sum(lost for s, lost in rows if s < 0)
    constant = compensation(width, drop)
    return constant - most_lost, constant + most_gained


def truncated_product(x: Integers, w: Integers, width: int, drop: int) -> Integers:
    """Product of two ``width``-bit integers without its ``drop`` lowest partial-product columns.

    ``T = sum_j s_j * w_j * 2**j * (x - (x mod 2**max(0, drop - j))) + compensation``, where
    ``w_j`` are the bits of ``w`` and ``s_j`` is +1, and -1 for the sign bit. ``drop = 0`` is the
    exact product. The result fits ``2 * width`` bits.
    """
    total = x * w
    for j, sign in enumerate(_row_signs(width)[:drop]):
        lost = x & ((1 << (drop - j)) - 1)
        total = total - sign * ((w >> j) & 1) * (lost << j)
    return total + compensation(width, drop)


NO_MIRROR = -1
"""What stands in memory for ``Table.mirror = None``: all bits set."""


@dataclass(frozen=True)
class Table:
    """Coefficients of NFU-3: y = (a[i] * x + b[i]) / 2**shift on segment i.

    Segment ``i`` holds the ``x`` with ``breakpoints[i-1] <= x < breakpoints[i]``; a value's segment
    is therefore the number of breakpoints that are at most ``x``.

    With ``mirror``, the table holds the upper half of a function with ``f(x) + f(-x) = mirror``
    (tanh 0, sigmoid 1), which doubles the segments: a negative ``x`` uses the segment of its
    complement ``~x``, and instead of ``b[i]`` the offset ``(mirror << shift) - b[i] - 2 *
    compensation`` (the line reflected; the truncated product adds its compensation either way).

    Parameters
    ----------
    breakpoints : S-1 integers of ``width`` bits, ascending (equal ones make empty segments)
    a : S slopes, ``width`` bits
    b : S offsets, ``2 * width`` bits, with the weight of the product ``a * x``
    shift : right shift of the sum, 0 to ``2 * width - 1``
    mirror : None, or 0 to ``2**width - 2`` in units of the output; reflected offsets wrap to
        ``2 * width`` bits
    """

    breakpoints: tuple[int, ...]
    a: tuple[int, ...]
    b: tuple[int, ...]
    shift: int
    mirror: int | None = None

    def __post_init__(self):
        if not len(self.a) == len(self.b) == len(self.breakpoints) + 1:
            raise ValueError(
                f"table must have S slopes, S offsets and S-1 breakpoints, not "
                f"{len(self.a)}, {len(self.b)} and {len(self.breakpoints)}"
            )
        if list(self.breakpoints) != sorted(self.breakpoints):
            raise ValueError(f"breakpoints must ascend, not {self.breakpoints!r}")

    @property
    def segments(self) -> int:
        return len(self.a)


def interpolate(x: np.ndarray, table: Table, width: int, drop: int) -> np.ndarray:
    """``a * x + b`` of each element's segment, before the shift: one truncated product, one add."""
    key = x if table.mirror is None else np.where(x < 0, ~x, x)
    segment = np.searchsorted(np.asarray(table.breakpoints, dtype=np.int64), key, side="right")
    a = np.asarray(table.a, dtype=np.int64)[segment]
    b = np.asarray(table.b, dtype=np.int64)[segment]
    if table.mirror is not None:
        reflected = (table.mirror << table.shift) - b - 2 * compensation(width, drop)
        b = np.where(x < 0, wrap(reflected, 2 * width), b)
    return truncated_product(x, a, width, drop) + b


def activate(x: np.ndarray, table: Table, width: int, drop: int) -> np.ndarray:
    """Evaluate ``table`` on an integer array: interpolation, then requantisation."""
    return requantise(interpolate(x, table, width, drop), table.shift, width)
