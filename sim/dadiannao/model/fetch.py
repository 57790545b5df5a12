"""When the words of programs reach the nodes, which share one port to the host's memory."""

from collections import deque
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from hw.bus.bursts import burst_bytes
from hw.dadiannao.config import NodeConfig
from hw.diannao.isa import WORD_BITS

__all__ = ["Fetch", "FetchPort"]

_ASK = 3
"""Cycles from a word that leaves the instruction buffer to the address that may follow from it."""

_ANSWER = 5
"""Cycles, beyond the memory's, from an address at the port to its first word at the decoder."""


class Fetch:
    """A program on its way to the decoder of its node, as far ahead as the buffer has room.

    Parameters
    ----------
    config : of the machine
    address : first byte of the program
    words : of the program

    Members
    -------
    taken : words that the decoder has taken
    """

    def __init__(self, config: NodeConfig, address: int, words: int):
        beat, word = config.bus_port // 8, WORD_BITS // 8
        lead = address % beat
        begin, end = address - lead, address + words * word
        self._capacity = config.instruction_buffer // beat
        burst = burst_bytes(config.bus_port, min(config.burst, self._capacity // 2) * beat)
        cuts = [begin, *range(begin - begin % burst + burst, end, burst), end]
        self.beats = [-(-(b - a) // beat) for a, b in pairwise(cuts)]
        self._outstanding = config.outstanding
        self._first = [0, *np.cumsum(self.beats).tolist()]  # beat of each burst
        # The beat that completes each word, and the last word that needs each beat.
        ends = lead + (np.arange(words) + 1) * word
        self._beat = ((ends - 1) // beat).tolist()
        last = (np.arange(self._first[-1]) + 1) * beat - lead
        self._last_word = (np.minimum(-(-last // word), words) - 1).tolist()
        self._times: list[int] = []  # at which words were taken
        self._there: list[int] = []  # at which beats have come
        self._asked: list[int] = []  # at which bursts were asked for
        self._started = False

    @property
    def taken(self) -> int:
        return len(self._times)

    @property
    def request(self) -> int | None:
        """When the next burst is asked for; None if that is not known, or there is none."""
        return self._next() if self._started else None

    def _next(self) -> int | None:
        burst = len(self._asked)
        if burst == len(self.beats):
            return None
        time = self._asked[-1] + 1 if self._asked else 0
        left = self._first[burst + 1] - self._capacity - 1
        if left >= 0:
            word = self._last_word[left]
            if word >= len(self._times):
                return None
            time = max(time, self._times[word] + _ASK)
        if burst >= self._outstanding:
            end = self._first[burst - self._outstanding + 1]
            time = max(time, self._there[end - 1])
        return time

    def deliver(self, asked: int, first: int) -> None:
        """The next burst, asked for at ``asked``, comes from ``first`` on, a beat per cycle."""
        count = self.beats[len(self._asked)]
        self._asked.append(asked)
        self._there.extend(range(first, first + count))

    def start(self, now: int) -> None:
        """From here on fetching takes time; the buffer is full of what comes next."""
        self._started = True
        while self._next() is not None:
            self.deliver(now - self._capacity, now - self._capacity)

    def available(self) -> int | None:
        """When the next word is there; None if it has not been asked for."""
        if not self._started:
            return 0
        beat = self._beat[len(self._times)]
        return self._there[beat] if beat < len(self._there) else None

    def take(self, time: int) -> None:
        """The decoder takes the next word."""
        self._times.append(time)


class FetchPort:
    """The port to the host's memory, as far as programs need it.

    Addresses are granted in turns, one per cycle; the memory answers in their order, with a beat
    per cycle. It is taken to have nothing else to do: inputs are loaded before the first layer,
    outputs stored behind the last one.

    Parameters
    ----------
    fetches : of all nodes
    latency : of the memory, in cycles
    """

    def __init__(self, fetches: Sequence[Fetch], latency: int):
        self._fetches = fetches
        self._latency = latency
        self._order = deque(range(len(fetches)))
        self._granted = self._busy = -1

    @property
    def request(self) -> int | None:
        """The earliest time at which some node asks for a burst, if one does."""
        times = [time for fetch in self._fetches if (time := fetch.request) is not None]
        return min(times, default=None)

    def serve(self) -> int:
        """Fetch the burst that is asked for first; returns its node."""
        requests = [fetch.request for fetch in self._fetches]
        first = min(time for time in requests if time is not None)
        granted = max(first, self._granted + 1)
        node = next(n for n in self._order if (time := requests[n]) is not None and time <= granted)
        # The one that was served is the last in line.
        self._order.rotate(-1 - self._order.index(node))
        fetch = self._fetches[node]
        begin = max(granted + self._latency + _ANSWER, self._busy)
        count = fetch.beats[len(fetch._asked)]
        self._granted, self._busy = granted, begin + count
        fetch.deliver(granted, begin)
        return node
