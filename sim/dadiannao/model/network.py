"""Times of words on their way through the mesh, and what each link carries."""

from collections import Counter
from fractions import Fraction

import numpy as np

from hw.dadiannao.config import NodeConfig
from hw.dadiannao.packets import head_words, row_words

__all__ = ["NetworkModel"]

_ROUTER = 4
"""Cycles of a router (RC, VA, SA, ST)."""

_ENTER, _LEAVE = 1, 2
"""Cycles from a node into its router, and from the last router to the node."""


class NetworkModel:
    """The mesh of ``config``.

    Packets take a link in the order in which they are sent to the model, each at the rate of the
    link, or of a virtual channel if its buffers at the end of the link do not last for a round
    trip.

    Members
    -------
    bytes : that each link (sender, receiver; neighbours) has carried, heads of packets included
    """

    def __init__(self, config: NodeConfig):
        mesh = config.mesh
        self._config = config
        # Each packet carries the words of its head in front of its rows.
        self._heads, self._row = head_words(config), row_words(config)
        self._interval = max(mesh.link_interval, Fraction(mesh.round_trip, mesh.link_depth))
        self._buffered = mesh.fifo + mesh.local_depth
        self._free: dict[tuple[int, int], int] = {}
        self._arrivals: dict[tuple[int, int], list[np.ndarray]] = {}
        self.bytes: Counter[tuple[int, int]] = Counter()

    def arrival(self, sender: int, receiver: int, rows: int) -> int | None:
        """When that many rows have come from ``sender``; None if it has not sent them yet."""
        for part in self._arrivals.get((sender, receiver), []):
            if rows <= len(part):
                return int(part[rows - 1])
            rows -= len(part)
        return None

    def send(self, sender: int, receiver: int, ready: np.ndarray, first: np.ndarray) -> int:
        """Send rows, a word per cycle; returns when the sender has given away the last word.

        Parameters
        ----------
        ready : when each row can leave the node
        first : whether it begins a packet
        """
        words = np.where(first, self._heads + self._row, self._row)
        ends = np.cumsum(words)
        begins = ends - words
        times = np.arange(ends[-1])
        # Words of a row are there together, and the sender gives one per cycle.
        start = np.repeat(ready - begins, words)
        times = times + np.maximum.accumulate(start)
        given = int(times[-1]) + 1
        interval = float(self._interval)
        pace = np.floor(np.arange(len(times)) * interval).astype(np.int64)
        times = times + _ENTER
        for number, link in enumerate(self._config.mesh.way(sender, receiver)):
            times = np.maximum(times + _ROUTER, self._free.get(link, 0))
            times = pace + np.maximum.accumulate(times - pace)
            self._free[link] = int(np.ceil(times[-1] + interval))
            self.bytes[link] += len(times) * self._config.mesh.data_width // 8
            if number == 0:
                # Without room behind it the sender has to wait.
                given = max(given, int(times[max(0, len(times) - self._buffered)]) - _ROUTER)
            times = times + self._config.link_latency
        arrived = times[ends - 1] + _ROUTER + _LEAVE
        self._arrivals.setdefault((sender, receiver), []).append(arrived)
        return given
