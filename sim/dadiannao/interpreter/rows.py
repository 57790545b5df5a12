"""The addresses that nests of loops over rows run through."""

from collections.abc import Sequence

import numpy as np

__all__ = ["addresses"]


def addresses(start: int, levels: Sequence, step: str = "step") -> np.ndarray:
    """Value at every step of a slot's ``levels``, in order, from ``start`` on.

    ``step`` names the field that a level adds when it advances.
    """
    total = np.full(1, start, dtype=np.int64)
    moved = 0
    for level in levels:
        stride = getattr(level, step) + moved
        total = (np.arange(level.count)[:, None] * stride + total).ravel()
        moved += (level.count - 1) * stride
    return total
