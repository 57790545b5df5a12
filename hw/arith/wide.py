"""Exact sums of products of 32-bit numbers: the arithmetic of DaDianNao's wide mode.

A product of two 32-bit numbers has 64 bits, and sums of them more than any integer of numpy. So a
``Wide`` is two of those; everything else is as in ``hw.arith.numbers``, with which it shares the
definitions of rounding, saturation and tables.
"""

from dataclasses import dataclass

import numpy as np

from .numbers import Table, saturate, wrap

__all__ = ["WIDTH", "Wide", "activate", "matmul", "product"]

WIDTH = 32
"""Bits of a number in the wide mode; there, multipliers are exact."""

_HALF = 16
_LIMB = (1 << 32) - 1


@dataclass(frozen=True)
class Wide:
    """Integers ``high * 2**32 + low``, elementwise, of up to 95 bits.

    Parameters
    ----------
    high : int64
    low : int64, 0 to 2**32 - 1
    """

    high: np.ndarray
    low: np.ndarray

    @staticmethod
    def of(value: np.ndarray) -> "Wide":
        """int64 integers."""
        value = np.asarray(value, dtype=np.int64)
        return Wide(value >> 32, value & _LIMB)

    def __add__(self, other: "Wide") -> "Wide":
        low = self.low + other.low
        return Wide(self.high + other.high + (low >> 32), low & _LIMB)

    def __neg__(self) -> "Wide":
        low = -self.low
        return Wide((low >> 32) - self.high, low & _LIMB)

    def __sub__(self, other: "Wide") -> "Wide":
        return self + -other

    def requantise(self, shift: int, width: int = WIDTH) -> np.ndarray:
        """As ``numbers.requantise``, for a ``shift`` of up to 94 bits and ``width`` of up to 32."""
        half = (1 << shift) >> 1
        rounded = self + Wide(np.asarray(half >> 32), np.asarray(half & _LIMB))
        if shift > 32:
            return saturate(rounded.high >> (shift - 32), width)
        # What has more than 32 bits after the shift is far outside; it only must not overflow.
        high = np.clip(rounded.high, -(1 << 31), (1 << 31) - 1)
        fits = high == rounded.high
        shifted = (high << (32 - shift)) + (rounded.low >> shift)
        beyond = np.where(rounded.high < 0, np.int64(-(1 << 62)), np.int64(1 << 62))
        return saturate(np.where(fits, shifted, beyond), width)

    def tolist(self) -> list:
        """Python integers, nested as the arrays."""
        whole = self.high.astype(object) * (1 << 32) + self.low.astype(object)
        return whole.tolist()


def product(x: np.ndarray, w: np.ndarray) -> Wide:
    """Elementwise product of 32-bit integers."""
    return Wide.of(np.asarray(x, dtype=np.int64) * np.asarray(w, dtype=np.int64))


def matmul(x: np.ndarray, w: np.ndarray) -> Wide:
    """``x @ w`` of 32-bit integers; up to 32768 products in a sum.

    The halves are multiplied apart, as the hardware does it: float64 holds their sums exactly.
    """

    def halves(value):
        value = np.asarray(value, dtype=np.int64)
        return (
            (value & ((1 << _HALF) - 1)).astype(np.float64),
            (value >> _HALF).astype(np.float64),
        )

    (x0, x1), (w0, w1) = halves(x), halves(w)
    low = (x0 @ w0).astype(np.int64)
    middle = (x1 @ w0 + x0 @ w1).astype(np.int64)
    high = (x1 @ w1).astype(np.int64)
    low += (middle & ((1 << _HALF) - 1)) << _HALF
    return Wide(high + (middle >> _HALF) + (low >> 32), low & _LIMB)


def activate(x: np.ndarray, table: Table) -> np.ndarray:
    """Evaluate a table of 32-bit numbers: as ``numbers.activate`` with exact products."""
    key = x if table.mirror is None else np.where(x < 0, ~x, x)
    segment = np.searchsorted(np.asarray(table.breakpoints, dtype=np.int64), key, side="right")
    a = np.asarray(table.a, dtype=np.int64)[segment]
    b = Wide.of(np.asarray(table.b, dtype=np.int64)[segment])
    if table.mirror is not None:
        # Offsets have 64 bits.
        reflected = Wide.of(np.asarray(wrap(table.mirror << table.shift, 64))) - b
        wrapped = Wide(((reflected.high + (1 << 31)) & _LIMB) - (1 << 31), reflected.low)
        b = Wide(np.where(x < 0, wrapped.high, b.high), np.where(x < 0, wrapped.low, b.low))
    return (product(x, a) + b).requantise(table.shift)
