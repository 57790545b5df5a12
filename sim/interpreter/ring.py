"""A buffer that is filled at its head and freed at its tail."""

from collections import deque

import numpy as np

__all__ = ["Ring"]


class Ring:
    """The stream of entries that passes through NBin (elements) or SB (rows).

    Entries are numbered from the start of the program. ``head`` of them have been loaded and
    ``tail`` freed by the instructions so far. Their difference may exceed the buffer's capacity:
    the hardware then loads the rest while it frees.

    Parameters
    ----------
    nothing : an empty array of entries
    """

    def __init__(self, nothing: np.ndarray):
        self.head = 0
        self.tail = 0
        self._pieces = deque([nothing])
        self._start = 0

    def append(self, entries: np.ndarray) -> None:
        """Load ``entries`` (first axis)."""
        self._pieces.append(entries)
        self.head += len(entries)

    def window(self, count: int) -> np.ndarray:
        """The ``count`` entries from the tail on."""
        start, stop = self.tail - self._start, self.tail - self._start + count
        if stop <= len(self._pieces[0]):
            return self._pieces[0][start:stop]
        parts = []
        for piece in self._pieces:
            parts.append(piece[max(0, start) : stop])
            start, stop = start - len(piece), stop - len(piece)
            if stop <= 0:
                break
        return np.concatenate(parts)

    def free(self, count: int) -> None:
        """Give up the ``count`` oldest entries."""
        self.tail += count
        while len(self._pieces) > 1 and self.tail - self._start >= len(self._pieces[0]):
            self._start += len(self._pieces.popleft())
