"""Times of words on their way through the mesh, and what each link carries."""

import math
from collections import Counter, defaultdict
from fractions import Fraction

import numpy as np

from hw.dadiannao.config import NodeConfig
from hw.dadiannao.packets import head_words, row_words

__all__ = ["Line", "NetworkModel"]

_ROUTER = 4
"""Cycles of a router (RC, VA, SA, ST)."""

_ENTER, _LEAVE = 1, 2
"""Cycles from a node into its router, and from the last router to the node."""


class Line:
    """Something that takes a word every ``interval`` cycles: who comes first has the first place.

    Words of others that come later find the places that are left between those.

    Parameters
    ----------
    interval : cycles, at least 1
    window, back : of each channel, a word goes at least ``back`` cycles after that of which it is
        the ``window``-th next: the places behind the line, and the round trip of their credits;
        a window of 0 is endless
    """

    def __init__(self, interval: Fraction, window: int = 0, back: int = 0):
        self._interval = interval
        self._window = window
        self._apart = math.ceil(back / interval)
        self._taken = np.zeros(1 << 12, dtype=bool)  # place n begins at cycle ceil(n * interval)
        self._last: dict[int, np.ndarray] = {}  # the last places of each channel, a window of them

    def pass_on(self, times: np.ndarray, channel: int = 0) -> np.ndarray:
        """When words that come at ``times``, in their order, go."""
        over, under = self._interval.numerator, self._interval.denominator
        first = -(-times * under // over)  # the place in or after each cycle
        last = self._last.get(channel, np.zeros(0, dtype=np.int64))
        window, size = self._window, self._window or len(first)
        result = []
        for start in range(0, len(first), size):
            places = first[start : start + size].copy()
            if len(last):
                places[0] = max(places[0], last[-1] + 1)
            if window:
                before = last[: max(0, len(places) - (window - len(last)))] + self._apart
                bound = places[window - len(last) :][: len(before)]
                np.maximum(bound, before, out=bound)
            order = np.arange(len(places))
            places = order + np.maximum.accumulate(places - order)
            if places[-1] >= len(self._taken) or self._taken[places].any():
                places = self._between(places)
            self._taken[places] = True
            last = np.concatenate([last, places])[-max(1, window) :]
            result.append(places)
        self._last[channel] = last
        return -(-np.concatenate(result) * over // under)

    def _between(self, places: np.ndarray) -> np.ndarray:
        """The first places that are free, none before that which is wanted."""
        first, end = int(places[0]), int(places[-1])
        while True:
            end += len(places)
            while end > len(self._taken):
                self._taken = np.concatenate([self._taken, np.zeros_like(self._taken)])
            free = np.flatnonzero(~self._taken[first:end]) + first
            if len(free) - np.searchsorted(free, places[-1]) >= len(places):
                break
        index = np.searchsorted(free, places)
        order = np.arange(len(places))
        return free[order + np.maximum.accumulate(index - order)]


class NetworkModel:
    """The mesh of ``config``.

    Links and receivers give their places to packets in the order in which those are sent to the
    model; later ones take what is left between. A virtual channel has no more words on a link than
    fit into the buffers at its end.

    Members
    -------
    row_words : words of a row
    bytes : that each link (sender, receiver; neighbours) has carried, heads of packets included
    """

    def __init__(self, config: NodeConfig):
        mesh = config.mesh
        self._config = config
        # Each packet carries the words of its head in front of its rows.
        self._heads, self.row_words = head_words(config), row_words(config)
        self._buffered = mesh.fifo + mesh.local_depth
        interval = Fraction(mesh.link_interval)
        self._links: dict[tuple[int, int], Line] = defaultdict(
            lambda: Line(interval, mesh.link_depth, mesh.round_trip)
        )
        self._receivers: dict[int, Line] = defaultdict(lambda: Line(Fraction(1)))
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
        mesh = self._config.mesh
        words = np.where(first, self._heads + self.row_words, self.row_words)
        ends = np.cumsum(words)
        begins = ends - words
        times = np.arange(ends[-1])
        # Words of a row are there together, and the sender gives one per cycle.
        start = np.repeat(ready - begins, words)
        times = times + np.maximum.accumulate(start)
        given = int(times[-1]) + 1
        times = times + _ENTER
        for number, link in enumerate(mesh.way(sender, receiver)):
            times = self._links[link].pass_on(times + _ROUTER, (sender + receiver) % mesh.vcs)
            self.bytes[link] += len(times) * mesh.data_width // 8
            if number == 0:
                # Without room behind it the sender has to wait.
                given = max(given, int(times[max(0, len(times) - self._buffered)]) - _ROUTER)
            times = times + self._config.link_latency
        # The receiver takes a cycle more for each head, before the first row.
        behind = np.flatnonzero(first)
        times = np.insert(times, begins[behind] + self._heads, times[begins[behind] + self._heads])
        times = self._receivers[receiver].pass_on(times + (_ROUTER + _LEAVE), sender)
        arrived = times[ends - 1 + np.cumsum(first)]
        self._arrivals.setdefault((sender, receiver), []).append(arrived)
        return given
