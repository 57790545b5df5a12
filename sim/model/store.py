"""The store unit: from finished rows to responses of the memory."""

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


@cache
def _operations(offset: int, size: int, row: int, beat: int) -> tuple[tuple[bool, bool], ...]:
    """What hw.bus.write_dma does for a run, cycle by cycle: whether a beat goes, and a row ends."""
    pieces = -(-row // beat)
    done = []
    fill, index = offset, 0  # bytes held, piece of the row
    end = offset + size  # in bytes from the first beat's begin
    sent = 0
    while sent * beat < end:
        high = min(beat, end - sent * beat) - 1
        if fill > high:
            # Enough is held.
            fill = max(0, fill - beat)
            sent += 1
            closing = sent * beat >= end
            done.append((True, closing and index != 0))
            if closing:
                index = 0
            continue
        piece = row - (pieces - 1) * beat if index == pieces - 1 else beat
        total = fill + piece
        complete = total > high
        sent += complete
        closing = complete and sent * beat >= end
        popped = closing or index == pieces - 1
        index = 0 if popped else index + 1
        done.append((complete, popped))
        fill = total % beat if complete else total
    return tuple(done)


class StoreUnit:
    """hw.diannao.store and the write DMA in it.

    Members
    -------
    done : when each slot's last response came
    """

    def __init__(
        self, slots: Slots, config: Config, latency: int, queue: SlotQueue, ring: OutputRing
    ):
        self._queue = queue
        self._ring = ring
        self._latency = latency
        row, beat = config.tn * config.element_bytes, config.nbout_port // 8
        extra = int(row > beat)
        least = -(-beat // row) + extra
        limit = min((max(config.nbout_rows // 2, least) - extra) * row, config.burst * beat)
        runs = runs_of(slots)
        bursts = bursts_of(runs, config.nbout_port, limit)
        self._run = bursts.run.tolist()
        self._beats = bursts.beats.tolist()
        self._bytes = bursts.bytes.tolist()
        self._offset = (runs.address % beat).tolist()
        self._size = runs.size.tolist()
        self._slot = runs.slot[bursts.run].tolist()
        last_of_run = np.append(np.diff(bursts.run) > 0, True) if len(bursts.run) else bursts.run
        self._last_of_run = last_of_run.tolist()
        self._last = (last_of_run & runs.last[bursts.run]).tolist()
        self._row = row
        self._beat = beat
        self._outstanding = max(2, config.outstanding)
        self._count = len(self._run)
        self._burst = 0
        self._taken: list[int] = []
        # The burst before each slot's last run.
        self._before_last = (np.searchsorted(bursts.run, np.flatnonzero(runs.last)) - 1).tolist()
        self._first = [True, *self._last_of_run[:-1]] if self._count else []
        self._responses: list[int] = []
        self._sent: list[int] = []  # when the last beat of each burst was made
        self._made = NEVER  # when the last beat or piece was
        self._claims = 0
        self._claimed = NEVER  # when the last row was claimed
        self._spare = 0
        self._operations: list[tuple[bool, bool]] = []
        self._operation = 0
        self._offered = NEVER
        self._accepted: list[int] = []
        self.done: list[int] = []
        self._slots = len(slots.owners)

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
            if burst >= self._burst:
                return False
            ready = max(ready, self._accepted[-1] + 1, self._taken[burst] if burst >= 0 else NEVER)
        self._accepted.append(ready)
        self._queue.pop(ready)
        return True

    def _store(self) -> bool:
        """The next burst, if its rows are known."""
        n = self._burst
        if n == self._count or self._slot[n] == len(self._accepted):
            return False
        ring = self._ring
        slot = self._slot[n]
        rows = max(0, -(-(self._bytes[n] - self._spare) // self._row))
        if self._claims + rows > ring.count:
            return False
        offered = self._accepted[slot] + 2
        if n:
            offered = max(offered, self._taken[-1] + 1)
        claimed = self._claimed
        for row in range(self._claims, self._claims + rows):
            claimed = max(claimed + 1, int(ring.entered[row]) + 1, offered)
        self._claims += rows
        self._claimed = claimed
        spare = self._spare + rows * self._row - self._bytes[n]
        self._spare = 0 if self._last_of_run[n] else spare
        taken = max(offered, claimed) if rows else offered
        if n >= _PLACES:
            taken = max(taken, self._sent[n - _PLACES] + 1)
        if n >= self._outstanding:
            taken = max(taken, self._responses[n - self._outstanding] + 1)
        self._taken.append(taken)
        self._send(n, taken)
        self._burst += 1
        return True

    def _send(self, n: int, taken: int) -> None:
        if self._first[n]:
            run = self._run[n]
            self._operations = list(
                _operations(self._offset[run], self._size[run], self._row, self._beat)
            )
            self._operation = 0
        beats = self._beats[n]
        made = max(self._made + 1, taken + 2)
        ring = self._ring
        operations, at = self._operations, self._operation
        while True:
            sends, pops = operations[at]
            at += 1
            if pops:
                ring.pop(made)
            beats -= sends
            if not beats:
                break
            made += 1
        # What is left of a run that ends with the burst has been dropped.
        self._operation = at
        self._made = made
        self._sent.append(made)
        response = made + 1 + self._latency
        if self._responses:
            response = max(response, self._responses[-1] + 1)
        self._responses.append(response)
        if self._last[n]:
            self.done.append(response)
