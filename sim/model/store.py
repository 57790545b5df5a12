"""The store unit: from finished rows to responses of the memory."""

from collections import deque
from functools import cache

import numpy as np

from hw.diannao.config import Config
from hw.diannao.words import Slots

from .outputs import OutputRing
from .port import NEVER
from .queue import SlotQueue
from .traffic import bursts_of, runs_of

__all__ = ["StoreUnit"]

_SLOTS_IN_WORK = 16
_PLACES = 4
"""Bursts that may wait for their beats."""
_TO_BURST = 2
"""Cycles from a slot's acceptance to its first burst."""
_TO_BEAT = 2
"""Cycles from the permission of a burst to its first beat."""

_Beat = tuple[tuple[bool, ...], bool]
"""Whether the cycles that only gather bytes for a beat end a row, and whether its own does."""


@cache
def _beats_of(offset: int, size: int, row: int, beat: int) -> tuple[_Beat, ...]:
    """What hw.bus.write_dma does for a run of ``size`` bytes, beat by beat."""
    pieces = -(-row // beat)
    end = offset + size  # in bytes from the begin of the first beat
    fill, index = offset, 0  # bytes held, piece of the row
    gathered: list[bool] = []
    beats: list[_Beat] = []
    while len(beats) * beat < end:
        wanted = min(beat, end - len(beats) * beat)
        closing = (len(beats) + 1) * beat >= end
        if fill >= wanted:
            beats.append(((), closing and index != 0))
            continue
        fill += row - (pieces - 1) * beat if index == pieces - 1 else beat
        complete = fill >= wanted
        popped = index == pieces - 1 or (complete and closing)
        index = 0 if popped else index + 1
        if complete:
            beats.append((tuple(gathered), popped))
            gathered = []
            fill -= beat
        else:
            gathered.append(popped)
    return tuple(beats)


class StoreUnit:
    """hw.diannao.store and the write DMA in it.

    With a ``latency``, W is always ready. Without, somebody else calls ``accept`` for each beat
    that is on ``offer``.

    Members
    -------
    done : when each slot's last response came
    """

    def __init__(
        self,
        slots: Slots,
        config: Config,
        latency: int,
        queue: SlotQueue,
        ring: OutputRing,
        *,
        alone: bool,
    ):
        self._queue = queue
        self._ring = ring
        self._latency = latency
        self._alone = alone
        self._row = row = config.tn * config.element_bytes
        self._width = beat = config.nbout_port // 8
        self._outstanding = max(2, config.outstanding)
        self._permission = config.burst_cycles - 1

        extra = int(row > beat)
        least = -(-beat // row) + extra
        limit = min((max(config.nbout_rows // 2, least) - extra) * row, config.burst * beat)
        runs = runs_of(slots)
        bursts = bursts_of(runs, config.nbout_port, limit)
        self._slots = len(slots.owners)
        self._count = len(bursts.run)
        self._run = bursts.run.tolist()
        self._beats = bursts.beats.tolist()
        self._bytes = bursts.bytes.tolist()
        self._first = bursts.first.tolist()
        last_of_run = np.append(bursts.first[1:], True)[: self._count]
        self._last_of_run = last_of_run.tolist()
        self._last = (last_of_run & runs.last[bursts.run]).tolist()
        self._slot = runs.slot[bursts.run].tolist()
        # The burst before each slot's last run.
        self._before_last = (np.searchsorted(bursts.run, np.flatnonzero(runs.last)) - 1).tolist()
        self._offset = (runs.address % beat).tolist()
        self._size = runs.size.tolist()

        self._accepted: list[int] = []  # when the DMA took each slot
        self._taken: list[int] = []  # when each burst was sent on to AW
        self._claims = 0  # rows
        self._claimed = NEVER  # when the last of them was
        self._spare = 0
        self._of_run = iter(())
        self._waiting: deque[tuple[int, _Beat]] = deque()
        self._left: deque[int] = deque()  # beats of the bursts that are not sent
        self._made = NEVER  # when the last beat was
        self._w_free = NEVER  # when the beat before it went
        self._on_offer = False
        self._sent: list[int] = []  # when the last beat of each burst was made
        self._responses: list[int] = []
        self.done: list[int] = []

    @property
    def finished(self) -> bool:
        return len(self.done) == self._slots

    def advance(self) -> bool:
        progress = False
        while self._accept() or self._store():
            progress = True
        return progress

    def _accept(self) -> bool:
        """The DMA takes a slot while the last run of the one before goes to be cut."""
        slot = len(self._accepted)
        if slot == self._slots:
            return False
        ready = self._queue.valid(slot)
        if ready is None:
            return False
        if slot >= _SLOTS_IN_WORK:
            if slot - _SLOTS_IN_WORK >= len(self.done):
                return False
            ready = max(ready, self.done[slot - _SLOTS_IN_WORK] + 1)
        if slot:
            burst = self._before_last[slot - 1]
            if burst >= len(self._taken):
                return False
            run = max(self._accepted[-1] + 1, self._taken[burst] if burst >= 0 else NEVER)
            ready = max(ready, run + self._permission)
        self._accepted.append(ready)
        self._queue.pop(ready)
        return True

    @property
    def missing(self) -> int:
        """Rows that the next burst waits for, as far as is known; 0 if there is none."""
        n = len(self._taken)
        return 0 if n == self._count else self._claims + self._rows(n) - self._ring.count

    def _rows(self, n: int) -> int:
        """Rows that burst ``n`` has to claim."""
        return max(0, -(-(self._bytes[n] - self._spare) // self._row))

    def _store(self) -> bool:
        """The next burst, if its rows are known."""
        n = len(self._taken)
        if n == self._count or self._slot[n] == len(self._accepted):
            return False
        rows = self._rows(n)
        if self._claims + rows > self._ring.count:
            return False
        taken = self._accepted[self._slot[n]] + _TO_BURST
        if n:
            taken = max(taken, self._taken[-1] + 1)
        for times, number in ((self._sent, _PLACES), (self._responses, self._outstanding)):
            if n >= number:
                if n - number >= len(times):
                    return False
        offered, claimed = taken, self._claimed
        for entered in self._ring.entered[self._claims : self._claims + rows].tolist():
            claimed = max(claimed + 1, entered + 1, offered)
        if rows:
            taken = max(taken, claimed)
        taken += self._permission
        if n >= _PLACES:
            taken = max(taken, self._sent[n - _PLACES] + 1)
        if n >= self._outstanding:
            taken = max(taken, self._responses[n - self._outstanding] + 1)
        self._claims += rows
        self._claimed = claimed
        left_over = self._spare + rows * self._row - self._bytes[n]
        self._spare = 0 if self._last_of_run[n] else left_over
        self._taken.append(taken)
        self._send(n, taken)
        return True

    def _send(self, n: int, taken: int) -> None:
        """The beats of burst ``n`` may be made."""
        if self._first[n]:
            run = self._run[n]
            self._of_run = iter(
                _beats_of(self._offset[run], self._size[run], self._row, self._width)
            )
        earliest = taken + _TO_BEAT
        for _ in range(self._beats[n]):
            self._waiting.append((earliest, next(self._of_run)))
        self._left.append(self._beats[n])
        if self._alone:
            while (offer := self.offer()) != NEVER:
                self.accept(offer)

    def offer(self) -> int:
        """When the next beat will be there on W, or NEVER if none is known to come."""
        if not self._on_offer:
            if not self._waiting:
                return NEVER
            earliest, (gathering, ends_row) = self._waiting.popleft()
            made = max(self._made + 1, earliest)
            for ends in gathering:
                if ends:
                    self._ring.pop(made)
                made += 1
            self._made = made = max(made, self._w_free)
            if ends_row:
                self._ring.pop(made)
            self._left[0] -= 1
            if not self._left[0]:
                self._sent.append(made)
            self._on_offer = True
        return self._made + 1

    def accept(self, time: int) -> None:
        """The beat on offer has gone over W."""
        self._on_offer = False
        self._w_free = time
        if self._left[0]:
            return
        self._left.popleft()
        response = time + self._latency
        if self._responses:
            response = max(response, self._responses[-1] + 1)
        self._responses.append(response)
        if self._last[len(self._responses) - 1]:
            self.done.append(response)
