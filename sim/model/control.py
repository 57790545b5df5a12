"""The control processor: instruction fetch, decoder, and when each slot gets into its queue."""

from collections.abc import Mapping

import numpy as np

from hw.diannao.config import Config
from hw.diannao.fields import SLOTS, slot_words
from hw.diannao.isa import WORD_BITS
from hw.diannao.words import Slots

from .port import NEVER, ReadPort
from .queue import NestPlaces, SlotQueue
from .traffic import Runs, bursts_of

__all__ = ["ControlProcessor"]

_BEGIN = 3
"""The first burst is ready this long after the start."""
_BUFFER = 2
"""Cycles through the instruction buffer."""


class ControlProcessor:
    """hw.diannao.control and the fetch in front of it. The cycle of the start is number 0.

    Parameters
    ----------
    slots : the program, by kind
    address, words : where the program is and how long, in bytes and words
    config : core
    latency : of the memory, None if somebody else gives out its bandwidth
    queues : those in front of the units, by kind; a slot is begun when there is room in its queue

    Members
    -------
    ended : when the decoder has seen END and all slots have been taken, None as long as unknown
    port : of the fetches
    words, bytes : of the program; bytes are those that are fetched
    """

    def __init__(
        self,
        slots: Mapping[str, Slots],
        address: int,
        words: int,
        config: Config,
        latency: int | None,
        queues: Mapping[str, SlotQueue | NestPlaces],
    ):
        self._queues = queues
        self._entries = _entries(slots)
        self._next = 0
        self._word = -1  # when the last word so far was taken
        self._room: int | None = NEVER  # when there is a place for the next slot
        self.ended: int | None = None

        beat = config.cp_port // 8
        lead = address % beat
        size = words * WORD_BITS // 8 + lead
        self._capacity = config.instruction_buffer // beat
        runs = Runs(*(np.array([value]) for value in (0, address - lead, size, True)))
        limit = min(config.burst, self._capacity // 2) * beat
        bursts = bursts_of(runs, config.cp_port, limit)
        self.bytes = size
        self.words = words
        self.port = ReadPort(bursts.beats, config.outstanding, config.burst_cycles, latency)
        # The beat that completes each word, and the last word that needs each beat.
        ends = lead + (np.arange(words) + 1) * (WORD_BITS // 8)
        self._beats = (ends - 1) // beat
        last = (np.arange(-(-size // beat)) + 1) * beat - lead
        self._last_word = np.minimum(-(-last // (WORD_BITS // 8)), words) - 1
        self._taken = np.empty(words, dtype=np.int64)  # when each word was taken
        self._words_taken = 0
        # A narrow port takes several cycles per word.
        self._pace = -(-WORD_BITS // config.cp_port)
        self._joined = int(self._pace > 1)  # words from several beats wait in a register
        # When each word could be taken at the earliest, less what the words before it take.
        self._available = np.empty(words, dtype=np.int64)
        self._words_known = 0

    @property
    def waits_for(self) -> str:
        """The kind of slot that is next, empty at the end."""
        return self._entries[self._next][0] if self._next < len(self._entries) else ""

    def advance(self) -> bool:
        """Go on as far as is known; true if that was anywhere."""
        progress = False
        while (self._next < len(self._entries)) and (self._fetch() | self._decode()):
            progress = True
        return progress

    def _fetch(self) -> bool:
        port = self.port
        count = port.open
        if count <= 0:
            return self._see()
        # A burst goes when all its beats have room: when enough others have left the buffer.
        first = port.issued
        left = port.first_beat[first + 1 : first + count + 1] - self._capacity - 1
        words = np.where(left < 0, -1, self._last_word[np.maximum(left, 0)])
        known = int(np.searchsorted(words, self._words_taken))
        if known == 0:
            return self._see()
        words = words[:known]
        room = np.where(words < 0, _BEGIN, self._taken[words] + 1)
        port.issue(room)
        return self._see() or True

    def _see(self) -> bool:
        """Words whose beats have arrived."""
        first = self._words_known
        beats = self.port.known
        last = int(np.searchsorted(self._beats, beats))
        if last == first:
            return False
        arrived = self.port.beat[self._beats[first:last]] + _BUFFER + self._joined
        self._available[first:last] = arrived - self._pace * np.arange(first, last)
        self._words_known = last
        return True

    def _decode(self) -> bool:
        progress = False
        while self._next < len(self._entries):
            kind, last = self._entries[self._next]
            queue = self._queues.get(kind)
            self._room = queue.room() if queue is not None else NEVER
            if self._room is None:
                break
            until = min(last + 1, self._words_known)
            if self._words_taken < until:
                self._take(until)
                progress = True
            if self._words_taken <= last:
                break
            if queue is not None:
                queue.put(self._word + 1)
            self._next += 1
            progress = True
        if self._next == len(self._entries) and self.ended is None:
            self.ended = self._word + 2
        return progress

    def _take(self, until: int) -> None:
        """More words of a slot, one per cycle, when it has a place."""
        first = self._words_taken
        assert self._room is not None
        earliest = max(self._word + self._pace, self._room) - self._pace * first
        available = self._available[first:until]
        if available.max() > earliest:
            earliest = np.maximum.accumulate(np.maximum(available, earliest))
        self._taken[first:until] = self._pace * np.arange(first, until) + earliest
        self._words_taken = until
        self._word = int(self._taken[until - 1])


def _entries(slots: Mapping[str, Slots]) -> list[tuple[str, int]]:
    """Kind and last word of everything the decoder takes, up to END, in order."""
    ends = np.flatnonzero(slots["cp"].fields["end"])
    count = int(ends[0]) + 1
    kinds = list(SLOTS)
    present = np.zeros((count, len(kinds)), dtype=bool)
    for n, kind in enumerate(kinds):
        owners = slots[kind].owners
        present[owners[owners < count], n] = True
    lengths = np.array([slot_words(SLOTS[kind]) for kind in kinds])
    sizes = (present * lengths).ravel()
    last = np.cumsum(sizes) - 1
    return [(kinds[n % len(kinds)], int(last[n])) for n in np.flatnonzero(sizes).tolist()]
