"""The loaders of SB and NBin: from slots to the arrival of rows and elements."""

import numpy as np

from hw.diannao.config import Config
from hw.diannao.words import Slots

from .port import NEVER, ReadPort, running
from .queue import SlotQueue
from .traffic import bursts_of, runs_of, words_of

__all__ = ["Frees", "NbinLoader", "SbLoader"]

_SLOTS_IN_WORK = 16
_TO_BURST = 2
"""Cycles from a slot's acceptance to its first burst."""
_SB_FREE = 3
"""Cycles from a step that frees SB rows to the bursts that may use them."""
_NBIN_FREE = 2
"""Cycles from a step that frees NBin elements to the word that may use them."""


class Frees:
    """What the NFU frees of a ring: cumulative amounts and the steps' times.

    Members
    -------
    known : entries freed by the steps whose time is known
    """

    def __init__(self, events: int):
        self._freed = np.zeros(max(1, events), dtype=np.int64)
        self._time = np.zeros(max(1, events), dtype=np.int64)
        self._count = 0
        self.known = 0

    def add(self, freed: np.ndarray, time: np.ndarray) -> None:
        """Steps at ``time`` bring all that was freed to ``freed``."""
        last = self._count + len(freed)
        self._freed[self._count : last] = freed
        self._time[self._count : last] = time
        self._count = last
        self.known = int(freed[-1])

    def times(self, amounts: np.ndarray) -> np.ndarray:
        """When as much as ``amounts`` (rising, up to ``known``) was freed; NEVER for 0 or less."""
        at = np.searchsorted(self._freed[: self._count], amounts)
        return np.where(amounts > 0, self._time[np.minimum(at, self._count - 1)], NEVER)

    def since(self, time: int) -> tuple[int, np.ndarray, np.ndarray]:
        """What was freed up to ``time``, and cumulative amounts and times of the steps later on."""
        first = int(np.searchsorted(self._time[: self._count], time, "right"))
        before = int(self._freed[first - 1]) if first else 0
        return before, self._freed[first : self._count], self._time[first : self._count]


class _Loader:
    """What both loaders have in common: slots, and the port that executes them."""

    def __init__(self, slots: Slots, port: int, longest: int, config: Config, latency: int | None,
                 queue: SlotQueue):  # fmt: skip
        self._queue = queue
        self._runs = runs = runs_of(slots)
        self._words = words_of(runs, port)
        bursts = bursts_of(runs, port, longest * port // 8)
        self._bursts = bursts
        self.port = ReadPort(bursts.beats, config.outstanding, latency)
        count = len(slots.owners)
        # By slot: bursts up to its end, the burst before its last run, words up to its end.
        slot_of_burst = runs.slot[bursts.run]
        self._burst_end = np.searchsorted(slot_of_burst, np.arange(count), "right").tolist()
        last_run = np.flatnonzero(runs.last)
        self._before_last = (np.searchsorted(bursts.run, last_run) - 1).tolist()
        self._word_end = np.searchsorted(self._words.run, last_run, "right")
        self._starts = np.full(self.port.count, NEVER, dtype=np.int64)
        self._ready: list[int] = []  # when each slot could be accepted, but for the DMA
        self._accepted: list[int] = []
        self.words = 0  # words that have come
        self._came = np.empty(len(self._words.run), dtype=np.int64)

    def _released(self, slot: int) -> int | None:
        """When the last of the records that are kept of ``slot`` is dropped."""
        raise NotImplementedError

    def _held_back(self, slot: int, valid: int) -> int | None:
        """When a slot that is there since ``valid`` may pass; None as long as unknown."""
        return valid

    def _accept(self) -> bool:
        """Take slots from the queue as far as is known."""
        progress = False
        while True:
            # Of the last one that is ready, when did the DMA take it?
            slot = len(self._accepted)
            if slot < len(self._ready):
                earlier = NEVER
                if slot:
                    burst = self._before_last[slot - 1]
                    if burst >= self.port.issued:
                        return progress
                    earlier = self._accepted[-1] + 1
                    if burst >= 0:
                        earlier = max(earlier, int(self.port.taken[burst]))
                self._accepted.append(max(self._ready[slot], earlier))
                self._queue.pop(self._accepted[-1])
                progress = True
                continue
            if slot >= len(self._burst_end):
                return progress
            valid = self._queue.valid(slot)
            if valid is None:
                return progress
            if slot >= _SLOTS_IN_WORK:
                released = self._released(slot - _SLOTS_IN_WORK)
                if released is None:
                    return progress
                valid = max(valid, released + 1)
            ready = self._held_back(slot, valid)
            if ready is None:
                return progress
            self._ready.append(ready)
            first = self._burst_end[slot - 1] if slot else 0
            self._starts[first] = ready + _TO_BURST
            progress = True

    def _receive(self) -> bool:
        """Words of the beats that have come."""
        words, port = self._words, self.port
        first = self.words
        last = int(np.searchsorted(words.beat, port.known))
        if first == last:
            return False
        self._came[first:last] = port.beat[words.beat[first:last]] + words.delay[first:last]
        self.words = last
        return True


class SbLoader(_Loader):
    """hw.diannao.load.SbLoader.

    Members
    -------
    rows : rows that have arrived
    arrived : for each of them, the first cycle in which a step may use it
    frees : by the NFU
    """

    def __init__(self, slots: Slots, config: Config, latency: int | None, queue: SlotQueue):
        super().__init__(slots, config.sb_port, config.burst, config, latency, queue)
        total = len(self._runs.slot)
        self._first = self._bursts.first
        self._row_end = np.searchsorted(self._words.run, np.arange(total), "right") - 1
        self.rows = 0
        self.arrived = np.empty(total, dtype=np.int64)
        self._capacity = config.sb_rows
        # For each row the step that frees it; before, those that are free at the start.
        self._freed = np.full(config.sb_rows + total, NEVER, dtype=np.int64)
        self._known = config.sb_rows

    @property
    def ends(self) -> np.ndarray:
        """When the last row of each slot had arrived."""
        return self.arrived[np.flatnonzero(self._runs.last)]

    def free(self, rows: int, times: np.ndarray) -> None:
        """The next rows become free with steps at ``times``, one for each row."""
        self._freed[self._known : self._known + rows] = times
        self._known += rows

    def _released(self, slot: int) -> int | None:
        burst = self._burst_end[slot] - 1
        return self.port.end(burst) if burst < self.port.served else None

    def advance(self) -> bool:
        progress = False
        while self._accept() | self._arrive() | self._issue():
            progress = True
        return progress

    def _issue(self) -> bool:
        port = self.port
        first = port.issued
        last = min(first + port.open, self._burst_end[len(self._ready) - 1] if self._ready else 0)
        if last <= first:
            return False
        rows = self._bursts.run[first:last]
        count = int(np.searchsorted(rows, self._known))
        if count == 0:
            return False
        rows = rows[:count]
        last = first + count
        room = np.where(self._first[first:last], self._freed[rows] + _SB_FREE, NEVER)
        port.issue(np.maximum(room, self._starts[first:last]))
        return True

    def _arrive(self) -> bool:
        """Rows whose last words have come."""
        if not self._receive():
            return False
        done = int(np.searchsorted(self._row_end, self.words))
        ends = self._row_end[self.rows : done]
        self.arrived[self.rows : done] = self._came[ends] + 1
        self.rows = done
        return True


class NbinLoader(_Loader):
    """hw.diannao.load.NbinLoader.

    Members
    -------
    taken : words that have left the FIFO
    frees : by the NFU
    fenced : intervals in which a slot waited for stores; the last one may still go on
    """

    def __init__(self, slots: Slots, stores: np.ndarray, config: Config, latency: int | None,
                 queue: SlotQueue, events: int):  # fmt: skip
        longest = min(config.burst, max(1, config.nbin_fifo // 4))
        super().__init__(slots, config.nbin_port, longest, config, latency, queue)
        lanes = config.nbin_port // config.width
        self._lanes = lanes
        self._depth = config.nbin_fifo + 1
        self._capacity = config.nbin_elements
        self._stores = stores.tolist()
        self._fence = slots.fields["fence"].astype(bool).tolist()
        self.done: list[int] = []  # when each store was done
        self.fenced: list[tuple[int, int]] = []
        self.frees = Frees(events)

        words, bursts, runs = self._words, self._bursts, self._runs
        count = words.size // config.element_bytes
        skip = slots.fields["skip"]
        extent = count.copy()
        extent[self._word_end - 1] += skip
        self.end = np.cumsum(extent)
        """Elements up to the end of each word, skipped ones included."""
        missing = lanes - count
        self._partial = bool(missing.any())
        self._missing = np.cumsum(missing)
        self.taken = 0
        self.left = np.empty(len(count), dtype=np.int64)  # when each word left the FIFO

        # Words that bursts begin, up to and with each burst.
        width = config.nbin_port // 8
        ends = np.cumsum(bursts.bytes)
        base = (ends - bursts.bytes)[bursts.first][bursts.run]
        whole = -(-(ends - base) // width)
        words_before = np.cumsum(-(-runs.size // width)) - -(-runs.size // width)
        self._claimed = words_before[bursts.run] + whole
        skips = np.cumsum(skip)
        slot = runs.slot[bursts.run]
        self._need = lanes * (self._claimed - self._depth) - self._capacity + skips[slot]
        following = np.append(skip[1:], 0)[slot]
        self._need_later = np.where(runs.last[bursts.run], following, 0)
        self._slot = slot

    def _released(self, slot: int) -> int | None:
        word = int(self._word_end[slot]) - 1
        return int(self._came[word]) if word < self.words else None

    def _held_back(self, slot: int, valid: int) -> int | None:
        stores = self._stores[slot]
        if not self._fence[slot] or not stores:
            return valid
        if self.fenced and self.fenced[-1][1] == -NEVER:
            self.fenced.pop()
        if stores > len(self.done):
            self.fenced.append((valid, -NEVER))
            return None
        ready = max(valid, self.done[stores - 1] + 1)
        if ready > valid:
            self.fenced.append((valid, ready))
        return ready

    @property
    def ends(self) -> np.ndarray:
        """When the last word of each slot left the FIFO."""
        return self.left[self._word_end - 1]

    def fenced_between(self, starts: np.ndarray, ends: np.ndarray) -> int:
        """Cycles of some intervals (in order) in which a slot waited for stores."""
        total = 0
        for start, end in reversed(self.fenced):
            if end <= starts[0]:
                break
            total += int(np.maximum(np.minimum(ends, end) - np.maximum(starts, start), 0).sum())
        return total

    def advance(self) -> bool:
        progress = False
        while self._accept() | self._receive() | self._split() | self._issue():
            progress = True
        return progress

    def relent(self) -> bool:
        """When nothing else goes on: count with what is known to have left the FIFO."""
        return self._issue(patient=False)

    def _issue(self, *, patient: bool = True) -> bool:
        port = self.port
        first = port.issued
        last = min(first + port.open, self._burst_end[len(self._ready) - 1] if self._ready else 0)
        if last <= first:
            return False
        need = self._need[first:last]
        ready = len(self._ready)
        following = self._slot[last - 1] + 1
        if following < ready and self._ready[following] <= port.previous:
            need = need + self._need_later[first:last]
        room = self._room(need, port.previous)
        # Or when so many words have left that the FIFO alone can hold the burst.
        places = self._claimed[first:last] - self._depth
        if self.taken:
            left = self.left[np.clip(places - 1, 0, self.taken - 1)] + 1
            by_fifo = np.where(places <= self.taken, left, -NEVER)
            room = np.where(room < -NEVER, np.minimum(room, by_fifo), room if patient else by_fifo)
        room = np.where((places <= 0) | (need <= 0), NEVER, room)
        known = room < -NEVER
        count = len(room) if known.all() else int(np.argmin(known))
        if count == 0:
            return False
        port.issue(np.maximum(room[:count], self._starts[first : first + count]))
        return True

    def _room(self, need: np.ndarray, since: int) -> np.ndarray:
        """When as many elements as ``need`` were freed or left unused by words; else -NEVER."""
        if not self._partial:
            times = self.frees.times(np.minimum(need, self.frees.known)) + _NBIN_FREE
            return np.where(need <= self.frees.known, times, -NEVER)
        freed, amounts, times = self.frees.since(since - _NBIN_FREE)
        word = int(np.searchsorted(self.left[: self.taken], since - 1, "right"))
        unused = int(self._missing[word - 1]) if word else 0
        missing = self._missing[word : self.taken]
        when = np.concatenate([times + _NBIN_FREE, self.left[word : self.taken] + 1])
        more = np.concatenate([np.diff(amounts, prepend=freed), np.diff(missing, prepend=unused)])
        order = np.argsort(when, kind="stable")
        total = freed + unused + np.concatenate([[0], np.cumsum(more[order])])
        when = np.concatenate([[since], when[order]])
        at = np.searchsorted(total, need)
        return np.where(at < len(when), when[np.minimum(at, len(when) - 1)], -NEVER)

    def _split(self) -> bool:
        """Words from the FIFO to the ring."""
        first = self.taken
        # A word leaves when the one before it has got all its room.
        before = self.end[max(0, first - 1) : self.words - 1]
        count = int(np.searchsorted(before, self.frees.known + self._capacity, "right"))
        count = min(count + (first == 0), self.words - first)
        if count <= 0:
            return False
        earliest = self._came[first : first + count] + 2
        room = np.full(count, NEVER)
        amounts = self.end[max(0, first - 1) : first + count - 1] - self._capacity
        if self.frees.known:
            room[count - len(amounts) :] = self.frees.times(amounts) + _NBIN_FREE
        previous = int(self.left[first - 1]) if first else NEVER
        self.left[first : first + count] = running(np.maximum(earliest, room), previous + 1)
        self.taken += count
        return True
