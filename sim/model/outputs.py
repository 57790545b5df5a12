"""NBout's ring of finished rows."""

import numpy as np

from .port import NEVER

__all__ = ["OutputRing"]


class OutputRing:
    """Rows on their way from NFU-3 to the store unit.

    Members
    -------
    entered : when each row got into the ring; ``count`` of them are known
    left : when each row went to the store unit; ``gone`` of them are known
    """

    def __init__(self, total: int, rows: int):
        self.entered = np.empty(total, dtype=np.int64)
        self.count = 0
        self.left = np.full(total + rows, NEVER, dtype=np.int64)
        self._rows = rows
        self.gone = 0

    @property
    def open(self) -> int:
        """Rows for which it is known when they have room."""
        return self.gone + self._rows - self.count

    def put(self, times: np.ndarray) -> None:
        last = self.count + len(times)
        self.entered[self.count : last] = times
        self.count = last

    def room(self, row: int) -> int:
        """First cycle in which a row may enter."""
        return int(self.left[row]) + 1

    def pop(self, time: int) -> None:
        self.left[self._rows + self.gone] = time
        self.gone += 1
