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
    until : the time of the last of these steps, whether it freed anything or not
    """

    def __init__(self, events: int):
        # Before all, nothing was free.
        self._freed = np.zeros(1 + events, dtype=np.int64)
        self._time = np.full(1 + events, NEVER, dtype=np.int64)
        self._count = 1
        self.known = self.until = 0

    def add(self, freed: np.ndarray, time: np.ndarray) -> None:
        """Steps at ``time`` bring all that was freed to ``freed``."""
        last = self._count + len(freed)
        self._freed[self._count : last] = freed
        self._time[self._count : last] = time
        self._count = last
        self.known = int(freed[-1])

    def times(self, amounts: np.ndarray) -> np.ndarray:
        """When as much as ``amounts`` (at most ``known``) was freed; NEVER for 0 or less."""
        return self._time[self._freed[: self._count].searchsorted(amounts)]

    def since(self, time: int) -> tuple[int, np.ndarray, np.ndarray]:
        """What was freed up to ``time``, and cumulative amounts and times of the steps later on."""
        first = int(self._time[: self._count].searchsorted(time, "right"))
        before = int(self._freed[first - 1])
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
        self.port = ReadPort(bursts.beats, config.outstanding, config.burst_cycles, latency)
        self._apart = config.burst_cycles - 1  # cycles between runs of a slot and the next slot
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
        self._beats = 0  # beats that have been looked at
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
                    earlier += self._apart
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

    def _issuable(self) -> int:
        """Up to which burst the slots and the bursts in flight allow to go."""
        if not self._ready:
            return 0
        return min(self.port.issued + self.port.open, self._burst_end[len(self._ready) - 1])

    def _receive(self) -> bool:
        """Words of the beats that have come."""
        words, port = self._words, self.port
        if port.known == self._beats:
            return False
        self._beats = port.known
        first, last = self.words, int(words.beat.searchsorted(port.known))
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
        first, last = port.issued, self._issuable()
        last = min(last, int(self._bursts.run.searchsorted(self._known)))
        if last <= first:
            return False
        rows = self._bursts.run[first:last]
        room = np.where(self._first[first:last], self._freed[rows] + _SB_FREE, NEVER)
        port.issue(np.maximum(room, self._starts[first:last]))
        return True

    def _arrive(self) -> bool:
        """Rows whose last words have come."""
        if not self._receive():
            return False
        done = int(self._row_end.searchsorted(self.words))
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
        self._before = self.end - extent
        missing = lanes - count
        self._partial = bool(missing.any())
        self._missing = np.cumsum(missing)
        self.taken = 0
        # When each word left the FIFO; before the first one, nothing was in it.
        self._emptied = np.full(1 + len(count), NEVER, dtype=np.int64)
        self.left = self._emptied[1:]

        # Words that bursts begin, up to and with each burst.
        depth = config.nbin_fifo + 1
        width = config.nbin_port // 8
        ends = np.cumsum(bursts.bytes)
        base = (ends - bursts.bytes)[bursts.first][bursts.run]
        whole = -(-(ends - base) // width)
        words_before = np.cumsum(-(-runs.size // width)) - -(-runs.size // width)
        claimed = words_before[bursts.run] + whole
        skips = np.cumsum(skip)
        slot = runs.slot[bursts.run]
        # What must be free for each burst, and how many words must have left the FIFO to hold it.
        self._need = lanes * (claimed - depth) - self._capacity + skips[slot]
        following = np.append(skip[1:], 0)[slot]
        self._need_with_next = self._need + np.where(runs.last[bursts.run], following, 0)
        self._places = np.maximum(claimed - depth, 0)
        self._slot_list = slot.tolist()

    def _released(self, slot: int) -> int | None:
        word = int(self._word_end[slot]) - 1
        return int(self._came[word]) if word < self.words else None

    def _held_back(self, slot: int, valid: int) -> int | None:
        stores = self._stores[slot]
        if not self._fence[slot] or not stores:
            return valid
        if self.waits_for_stores:
            self.fenced.pop()
        if stores > len(self.done):
            self.fenced.append((valid, -NEVER))
            return None
        ready = max(valid, self.done[stores - 1] + 1)
        if ready > valid:
            self.fenced.append((valid, ready))
        return ready

    @property
    def waits_for_stores(self) -> bool:
        """Whether a slot waits for a store of which nobody knows when it will be done."""
        return bool(self.fenced) and self.fenced[-1][1] == -NEVER

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
        first, last = port.issued, self._issuable()
        if last <= first:
            return False
        # A slot that waits behind the last one has its skip counted, too.
        following = self._slot_list[last - 1] + 1
        waits = following < len(self._ready) and self._ready[following] <= port.previous
        need = self._need_with_next if waits else self._need
        unused = int(self._missing[self.taken - 1]) if self.taken and self._partial else 0
        known = int(need.searchsorted(self.frees.known + unused, "right"))
        by_fifo = int(self._places.searchsorted(0 if patient else self.taken, "right"))
        last = min(last, max(known, by_fifo))
        if last <= first:
            return False
        # Either the ring has room for what does not fit into the FIFO, or the FIFO has got it.
        known = max(0, min(last, known) - first)
        room = np.full(last - first, -NEVER)
        if known:
            room[:known] = self._room(need[first : first + known], port.previous)
        fits = int(self._places[first:last].searchsorted(self.taken, "right"))
        if fits:
            emptied = self._emptied[self._places[first : first + fits]] + 1
            np.minimum(room[:fits], emptied, out=room[:fits])
        if self._partial:
            # What is left unused by words that leave late does not count before earlier steps do.
            certain = int(running(room, NEVER).searchsorted(self.frees.until + _NBIN_FREE, "right"))
            last = first + max(certain, not patient)
        elif not patient:
            last = first + 1
        if last <= first:
            return False
        room = room[: last - first]
        port.issue(np.maximum(room, self._starts[first:last]))
        return True

    def _room(self, need: np.ndarray, since: int) -> np.ndarray:
        """When as many elements as ``need`` were freed or left unused by words."""
        if not self._partial:
            return self.frees.times(need) + _NBIN_FREE
        freed, amounts, times = self.frees.since(since - _NBIN_FREE)
        word = int(self.left[: self.taken].searchsorted(since - 1, "right"))
        unused = int(self._missing[word - 1]) if word else 0
        missing = self._missing[word : self.taken]
        when = np.concatenate([times + _NBIN_FREE, self.left[word : self.taken] + 1])
        more = np.empty(len(when), dtype=np.int64)
        more[: len(times)] = amounts
        more[1 : len(times)] -= amounts[:-1]
        more[len(times) :] = missing
        more[len(times) + 1 :] -= missing[:-1]
        if len(times):
            more[0] -= freed
        if len(missing):
            more[len(times)] -= unused
        order = when.argsort(kind="stable")
        total = np.empty(1 + len(when), dtype=np.int64)
        total[0] = freed + unused
        np.cumsum(more[order], out=total[1:])
        total[1:] += total[0]
        at = total.searchsorted(need)
        return np.concatenate([[NEVER], when[order]])[at]

    def _split(self) -> bool:
        """Words from the FIFO to the ring."""
        first = self.taken
        if first == self.words:
            return False
        # A word leaves when the one before it has got all its room.
        room = self.frees.known + self._capacity
        last = min(self.words, int(self._before.searchsorted(room, "right")))
        if last <= first:
            return False
        times = self.frees.times(self._before[first:last] - self._capacity) + _NBIN_FREE
        np.maximum(times, self._came[first:last] + 2, out=times)
        self.left[first:last] = running(times, int(self._emptied[first]) + 1)
        self.taken = last
        return True
