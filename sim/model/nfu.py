"""The NFU: when each step of each nest is done, and what it waits for."""

from bisect import bisect_left
from collections import defaultdict, deque
from dataclasses import dataclass

import numpy as np

from hw.diannao.config import Config
from hw.diannao.words import Slots

from .loaders import NbinLoader, SbLoader
from .nest import NestEvents, Release, nest_events
from .outputs import OutputRing
from .queue import SlotQueue

__all__ = ["Nfu", "distinct_nests"]

_FROM_NBIN = 2
"""Cycles from a word's way into the ring to the step that may read it."""
_OPERANDS = 3
"""Stages between sequencer and NFU-1."""


def distinct_nests(slots: Slots, ti: int) -> tuple[list[NestEvents], np.ndarray]:
    """The different nests of a program, and for each slot the number of its nest."""
    names = [
        name for name in slots.fields if name not in ("shift", "scale", "bias", "nbout", "source")
        and not name.endswith((".bias_step", ".nbout_step"))
    ]  # fmt: skip
    table = np.stack([slots.fields[name].astype(np.int64) for name in names], axis=1)
    distinct, number = np.unique(table, axis=0, return_inverse=True)
    return [
        nest_events(dict(zip(names, row, strict=True)), ti) for row in distinct.tolist()
    ], number.ravel()


@dataclass
class _Nest:
    """The nest in work.

    ``sb_delay[n]`` and ``nbin_delay[n]`` say by how much the first n demands on the ring put off
    step 0's time for the steps behind them; entry 0 is for the start and for waiting outputs.
    """

    events: NestEvents
    tag: int
    word: np.ndarray
    room: np.ndarray
    sb_delay: np.ndarray
    nbin_delay: np.ndarray
    start: int
    step: int = 0
    sb: int = 0
    nbin: int = 0
    nbin_free: int = 0
    sb_free: int = 0
    outputs: int = 0
    by_sb: int = 0
    put_off: int = 0


class Nfu:
    """hw.diannao.sequencer and the pipeline behind it.

    Members
    -------
    pipeline : cycles from a step to the row of outputs that it finishes
    last : when the last step so far was issued
    done : all nests have ended
    active : steps of MAC, MAX and SUM, by tag
    parameters : steps of BIAS and TABLE, by tag
    stalls : cycles without a step, by tag and cause
    """

    def __init__(
        self,
        slots: Slots,
        tags: np.ndarray,
        nests: tuple[list[NestEvents], np.ndarray],
        config: Config,
        queue: SlotQueue,
        nbin: NbinLoader,
        sb: SbLoader,
        ring: OutputRing,
    ):
        distinct, number = nests
        self._nests = [distinct[n] for n in number.tolist()]
        self._tags = tags.tolist()
        self._queue = queue
        self._nbin = nbin
        self._sb = sb
        self._ring = ring
        self._capacity = config.nbin_elements
        self.pipeline = _OPERANDS + config.nfu1_stages + config.nfu2_stages + config.nfu3_stages
        self._front = self.pipeline - config.nfu3_stages
        # Intervals in which NFU-3 stands still, in which the stages in front of it do, and those of
        # the latter that the sequencer has not come to yet.
        self._stuck: deque[tuple[int, int]] = deque()
        self._frozen: deque[tuple[int, int]] = deque()
        self._waiting: deque[tuple[int, int]] = deque()
        self._nbin_tail = self._sb_tail = 0
        self._number = 0
        self._nest: _Nest | None = None
        self.last = 0
        self.tag = 0
        self.done = not self._nests
        self.active: dict[int, int] = defaultdict(int)
        self.parameters: dict[int, int] = defaultdict(int)
        self.stalls: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))

    def advance(self) -> bool:
        progress = False
        while not self.done and (self._nest is not None or self._begin()):
            if not self._run():
                break
            progress = True
        return progress

    def rows_away(self, rows: int) -> int:
        """At least so many steps come before the one that finishes the next ``rows`` rows."""
        nest = self._nest
        if nest is None:
            return 0
        row = nest.outputs + rows - 1
        steps = nest.events.outputs.step
        return int(steps[row] if row < len(steps) else nest.events.steps) - nest.step

    def _begin(self) -> bool:
        valid = self._queue.valid(self._number)
        if valid is None:
            return False
        taken = max(valid, self.last)
        self._queue.pop(taken)
        self.stalls[self.tag]["instruction"] += taken - self.last
        self.tag = self._tags[self._number]
        events = self._nests[self._number]
        needed = self._nbin_tail + events.nbin.needed
        self._nest = nest = _Nest(
            events=events,
            tag=self.tag,
            word=np.searchsorted(self._nbin.end, needed),
            room=needed - self._capacity,
            sb_delay=np.empty(len(events.sb.step) + 1, dtype=np.int64),
            nbin_delay=np.empty(len(events.nbin.step) + 1, dtype=np.int64),
            start=taken + 1,
        )
        nest.sb_delay[0] = nest.nbin_delay[0] = taken + 1
        return True

    def _known(self, nest: _Nest) -> tuple[int, int, int]:
        """Demands on SB and NBin whose data is known to come, and steps that can be done so."""
        events = nest.events
        sb = int(np.searchsorted(events.sb.needed, self._sb.rows - self._sb_tail, "right"))
        nbin = int(np.searchsorted(nest.word, self._nbin.taken))
        room = int(np.searchsorted(nest.room, self._nbin.frees.known, "right"))
        nbin = min(nbin, room) if len(nest.room) else nbin
        steps = events.steps
        if sb < len(events.sb.step):
            steps = int(events.sb.step[sb])
        if nbin < len(events.nbin.step):
            steps = min(steps, int(events.nbin.step[nbin]))
        return sb, nbin, steps

    def _run(self) -> bool:
        """As many steps as are known to have their data."""
        nest = self._nest
        assert nest is not None
        events = nest.events
        sb, nbin, end = self._known(nest)
        outputs = events.outputs
        room = nest.outputs + self._ring.open
        if room < len(outputs.step):
            end = min(end, int(outputs.step[room]))
        if end <= nest.step:
            return False
        sb = int(np.searchsorted(events.sb.step, end))
        nbin = int(np.searchsorted(events.nbin.step, end))
        self._wait(nest, sb, nbin)
        end = self._freeze(nest, end)
        end = self._finish(nest, end)
        self._free(nest, end)
        nest.step = end
        if end == events.steps:
            self._end(nest)
        return True

    def _wait(self, nest: _Nest, sb: int, nbin: int) -> None:
        """Delays by the demands up to number ``sb`` and ``nbin``."""
        events = nest.events
        if nbin > nest.nbin:
            some = slice(nest.nbin, nbin)
            ready = self._nbin.left[nest.word[some]] + 1
            if self._nbin.frees.known:
                ready = np.maximum(ready, self._nbin.frees.times(nest.room[some]) + 2)
            _delay(nest.nbin_delay, nest.nbin, ready + _FROM_NBIN - events.nbin.step[some])
            nest.nbin = nbin
        if sb > nest.sb:
            some = slice(nest.sb, sb)
            ready = self._sb.arrived[self._sb_tail + events.sb.needed[some] - 1]
            _delay(nest.sb_delay, nest.sb, ready - events.sb.step[some])
            nest.by_sb += self._waits(nest, some)
            nest.sb = sb

    def _time(self, nest: _Nest, release: Release, first: int, last: int) -> np.ndarray:
        """When the steps of ``release`` are done."""
        some = slice(first, last)
        delay = np.maximum(nest.sb_delay[release.sb[some]], nest.nbin_delay[release.nbin[some]])
        return delay + release.step[some]

    def _free(self, nest: _Nest, end: int) -> None:
        """What the steps before ``end`` free."""
        events = nest.events
        release = events.nbin_free
        last = int(np.searchsorted(release.step, end))
        if last > nest.nbin_free:
            times = self._time(nest, release, nest.nbin_free, last)
            self._nbin.frees.add(self._nbin_tail + release.freed[nest.nbin_free : last], times)
            nest.nbin_free = last
        release = events.sb_free
        last = int(np.searchsorted(release.step, end))
        if last > nest.sb_free:
            times = self._time(nest, release, nest.sb_free, last)
            freed = release.freed[nest.sb_free : last]
            before = release.freed[nest.sb_free - 1] if nest.sb_free else 0
            self._sb.free(int(freed[-1] - before), np.repeat(times, np.diff(freed, prepend=before)))
            nest.sb_free = last

    def _finish(self, nest: _Nest, end: int) -> int:
        """Rows of outputs from the steps before ``end``; returns how far steps are unaffected.

        When the ring is full, NFU-3 stands still with a row at its end. The stages in front of it
        follow when the next row has come to their end, and then the sequencer.
        """
        release = nest.events.outputs
        first, last = nest.outputs, int(np.searchsorted(release.step, end))
        if first == last:
            return end
        ring = self._ring
        times = self._time(nest, release, first, last)
        entries = times + self.pipeline
        rooms = ring.left[ring.count : ring.count + len(times)] + 1
        for intervals in (self._frozen, self._stuck):
            while intervals and intervals[0][1] < times[0]:
                intervals.popleft()
        if not self._frozen and not self._stuck and (rooms <= entries).all():
            ring.put(entries)
            nest.outputs = last
            return end
        limit = None
        for time, room in zip(times.tolist(), rooms.tolist(), strict=True):
            if limit is not None and time >= limit:
                break
            # The way to NFU-3, through it, and out of it.
            entry = time + self._front
            for since, until in self._frozen:
                if time < since <= entry:
                    entry += until - since
            for since, until in self._stuck:
                if since <= entry < until:
                    self._frozen.append((entry, until))
                    self._waiting.append((entry, until))
                    limit = entry if limit is None else limit
                    entry = until
            arrived = entry + self.pipeline - self._front
            for since, until in self._stuck:
                if entry <= since < arrived:
                    arrived += until - since
            if arrived < room:
                self._stuck.append((arrived, room))
            ring.put(np.array([max(arrived, room)]))
            nest.outputs += 1
        return end if limit is None else self._step_at(nest, limit, nest.step, end)

    def _step_at(self, nest: _Nest, time: int, first: int, last: int) -> int:
        """The first of some steps that is done at ``time`` or later; ``last`` if there is none."""
        return bisect_left(range(last), time, lo=first, key=lambda step: self._when(nest, step))

    def _when(self, nest: _Nest, step: int) -> int:
        """When a step is done."""
        sb = nest.sb_delay[np.searchsorted(nest.events.sb.step, step, "right")]
        nbin = nest.nbin_delay[np.searchsorted(nest.events.nbin.step, step, "right")]
        return step + int(max(sb, nbin))

    def _freeze(self, nest: _Nest, end: int) -> int:
        """Put off steps that come while the pipeline stands still; returns how far that is done."""
        while self._waiting:
            since, until = self._waiting[0]
            step = self._step_at(nest, since, nest.step, end)
            if step == end:
                break
            time = self._when(nest, step)
            if time < until:
                if step > nest.step:
                    return step
                for delays, demand, done in (
                    (nest.sb_delay, nest.events.sb, nest.sb),
                    (nest.nbin_delay, nest.events.nbin, nest.nbin),
                ):
                    some = delays[np.searchsorted(demand.step, step, "right") : done + 1]
                    np.maximum(some, until - step, out=some)
                self.stalls[nest.tag]["nbout"] += until - time
                nest.put_off += until - time
            self._waiting.popleft()
        return end

    def _end(self, nest: _Nest) -> None:
        events = nest.events
        delay = int(max(nest.sb_delay[-1], nest.nbin_delay[-1]))
        self.last = delay + events.steps - 1
        (self.active if events.active else self.parameters)[nest.tag] += events.steps
        self._account(nest, delay)
        self._nbin_tail += int(events.nbin_free.freed[-1]) if len(events.nbin_free.freed) else 0
        self._sb_tail += int(events.sb_free.freed[-1]) if len(events.sb_free.freed) else 0
        self._nest = None
        self._number += 1
        self.done = self._number == len(self._nests)

    def _waits(self, nest: _Nest, some: slice) -> int:
        """Cycles that demands on SB make the steps wait beyond what comes before them."""
        before = nest.nbin_delay[nest.events.sb_earlier[some]]
        earlier = np.maximum(nest.sb_delay[some], before)
        delays = nest.sb_delay[some.start + 1 : some.stop + 1]
        return int(np.maximum(delays - earlier, 0).sum())

    def _account(self, nest: _Nest, delay: int) -> None:
        """Stalls of the nest by cause."""
        stalls = self.stalls[nest.tag]
        stalls["sb"] += nest.by_sb
        waited = delay - nest.start - nest.by_sb - nest.put_off
        stalls["nbin"] += max(0, waited)


def _delay(delays: np.ndarray, first: int, ready: np.ndarray) -> None:
    """Continue the running maximum ``delays`` behind entry ``first`` with ``ready``."""
    some = delays[first + 1 : first + 1 + len(ready)]
    np.maximum.accumulate(ready, out=some)
    np.maximum(some, delays[first], out=some)
