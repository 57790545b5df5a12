"""The NFU: when each step of each nest is done, and what it waits for."""

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from hw.diannao.config import Config
from hw.diannao.words import Slots

from .loaders import NbinLoader, SbLoader
from .nest import NestEvents, Release, nest_events
from .outputs import OutputRing
from .port import NEVER
from .queue import NestPlaces
from .repetition import distinct_rows
from .streak import WATCHED, Streak

__all__ = ["CAUSES", "Nfu", "distinct_nests"]

CAUSES = ("nbin", "sb", "nbout", "store", "instruction")
"""Why there is no step, as in hw.diannao.events.Stall."""

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
    first, number = distinct_rows(table)
    return [
        nest_events(dict(zip(names, row, strict=True)), ti) for row in table[first].tolist()
    ], number


@dataclass
class _Nest:
    """The nest in work.

    ``sb_delay[n]`` and ``nbin_delay[n]`` say by how much the first n demands on the ring put off
    step 0's time for the steps behind them; entry 0 is for the start and for waiting outputs.
    """

    events: NestEvents
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
    tables: int = 0
    stalls: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CAUSES, 0))


class Nfu:
    """hw.diannao.sequencer and the pipeline behind it.

    Members
    -------
    pipeline : cycles from a step to the row of outputs that it finishes
    nests : events of each nest
    last : when the last step so far was issued
    ends : when the last step of each nest was
    stalls : for each nest, cycles without a step by cause; those for want of an instruction come
        before the nest and count for the layer of the one before it
    pauses : for each nest, cycles without a step in the iterations that its streak names
    done : all nests have ended
    """

    def __init__(
        self,
        nests: list[NestEvents],
        config: Config,
        queue: NestPlaces,
        nbin: NbinLoader,
        sb: SbLoader,
        ring: OutputRing,
        streaks: list[Streak],
    ):
        self.nests = nests
        self._streaks = streaks
        self.pauses: list[np.ndarray] = []
        self._queue = queue
        self._nbin = nbin
        self._sb = sb
        self._ring = ring
        self._capacity = config.nbin_elements
        self._front = _OPERANDS + config.nfu1_stages + config.nfu2_stages
        # Cycles that a row keeps NFU-3 from taking the next one, and from its entry to its end.
        self._interval = config.activation_cycles
        self._behind = config.nfu3_stages + (self._interval if self._interval > 1 else 0)
        self.pipeline = self._front + self._behind
        self._paced = config.paced
        self._free_at = 0  # when NFU-3 can take another row
        # Intervals in which NFU-3 stands still, in which the stages in front of it do, and those of
        # the latter that the sequencer has not come to yet.
        self._stuck: deque[tuple[int, int]] = deque()
        self._frozen: deque[tuple[int, int]] = deque()
        self._waiting: deque[tuple[int, int]] = deque()
        self._nbin_tail = self._sb_tail = 0
        self._nest: _Nest | None = None
        self.last = 0
        self.ends = queue.ended
        self.stalls: list[dict[str, int]] = []

    @property
    def done(self) -> bool:
        return len(self.ends) == len(self.nests)

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
        number = len(self.ends)
        valid = self._queue.valid(number)
        if valid is None:
            return False
        taken = max(valid, self.last)
        events = self.nests[number]
        needed = self._nbin_tail + events.nbin.needed
        self._nest = nest = _Nest(
            events=events,
            word=self._nbin.end.searchsorted(needed),
            room=needed - self._capacity,
            sb_delay=np.empty(len(events.sb.step) + 1, dtype=np.int64),
            nbin_delay=np.empty(len(events.nbin.step) + 1, dtype=np.int64),
            start=taken + 1,
        )
        nest.sb_delay[0] = nest.nbin_delay[0] = taken + 1
        nest.stalls["instruction"] = taken - self.last
        return True

    def _known(self, nest: _Nest) -> int:
        """Steps whose data is known to come, and whose outputs are known to have room."""
        events = nest.events
        end = events.steps
        sb = int(events.sb.needed.searchsorted(self._sb.rows - self._sb_tail, "right"))
        if sb < len(events.sb.step):
            end = int(events.sb.step[sb])
        nbin = int(nest.word.searchsorted(self._nbin.taken))
        nbin = min(nbin, int(nest.room.searchsorted(self._nbin.frees.known, "right")))
        if nbin < len(events.nbin.step):
            end = min(end, int(events.nbin.step[nbin]))
        row = nest.outputs + self._ring.open
        if row < len(events.outputs.step):
            end = min(end, int(events.outputs.step[row]))
        return end

    def _run(self) -> bool:
        """As many steps as are known to have their data."""
        nest = self._nest
        assert nest is not None
        end = self._known(nest)
        if end <= nest.step:
            return False
        self._wait(nest, end)
        end = self._freeze(nest, end)
        end = self._finish(nest, end)
        self._free(nest, end)
        nest.step = end
        delay = max(nest.sb_delay[nest.sb], nest.nbin_delay[nest.nbin])
        self._nbin.frees.until = int(delay) + end - 1
        if end == nest.events.steps:
            self._end(nest)
        return True

    def _wait(self, nest: _Nest, end: int) -> None:
        """How long the demands of the steps before ``end`` put them off."""
        events = nest.events
        on_nbin = slice(nest.nbin, int(events.nbin.step.searchsorted(end)))
        on_sb = slice(nest.sb, int(events.sb.step.searchsorted(end)))
        if on_nbin.start < on_nbin.stop:
            ready = self._nbin.left[nest.word[on_nbin]] + 1
            np.maximum(ready, self._nbin.frees.times(nest.room[on_nbin]) + 2, out=ready)
            _delay(nest.nbin_delay, on_nbin, ready + _FROM_NBIN - events.nbin.step[on_nbin])
            nest.nbin = on_nbin.stop
        if on_sb.start < on_sb.stop:
            ready = self._sb.arrived[self._sb_tail + events.sb.needed[on_sb] - 1]
            _delay(nest.sb_delay, on_sb, ready - events.sb.step[on_sb])
            nest.sb = on_sb.stop
            before = nest.nbin_delay[events.sb_earlier[on_sb]]
            waits = _risen(nest.sb_delay, on_sb, before)
            nest.stalls["sb"] += int(waits.sum())
        if on_nbin.start < on_nbin.stop:
            before = nest.sb_delay[events.nbin_later[on_nbin]]
            waits = _risen(nest.nbin_delay, on_nbin, before)
            total = int(waits.sum())
            if total:
                until = events.nbin.step[on_nbin] + nest.nbin_delay[1:][on_nbin]
                stores = self._nbin.fenced_between(until - waits, until)
                nest.stalls["store"] += stores
                nest.stalls["nbin"] += total - stores

    def _time(self, nest: _Nest, release: Release, first: int, last: int) -> np.ndarray:
        """When the steps of ``release`` are done."""
        some = slice(first, last)
        delay = np.maximum(nest.sb_delay[release.sb[some]], nest.nbin_delay[release.nbin[some]])
        return delay + release.step[some]

    def _free(self, nest: _Nest, end: int) -> None:
        """What the steps before ``end`` free."""
        events = nest.events
        release = events.nbin_free
        last = int(release.step.searchsorted(end))
        if last > nest.nbin_free:
            times = self._time(nest, release, nest.nbin_free, last)
            self._nbin.frees.add(self._nbin_tail + release.freed[nest.nbin_free : last], times)
            nest.nbin_free = last
        release = events.sb_free
        last = int(release.step.searchsorted(end))
        if last > nest.sb_free:
            times = self._time(nest, release, nest.sb_free, last)
            freed = release.freed[nest.sb_free : last]
            before = release.freed[nest.sb_free - 1] if nest.sb_free else 0
            self._sb.free(int(freed[-1] - before), np.repeat(times, np.diff(freed, prepend=before)))
            nest.sb_free = last

    def _finish(self, nest: _Nest, end: int) -> int:
        """Rows of outputs from the steps before ``end``; returns how far steps are unaffected.

        When the ring is full, NFU-3 stands still with a row at its end. The stages in front of it
        follow when the next row has come to their end, and then the sequencer. NFU-3 may also take
        several cycles for each row, those of the activation table included.
        """
        first, last = nest.outputs, int(nest.events.outputs.step.searchsorted(end))
        times = self._time(nest, nest.events.outputs, first, last)
        tables = False
        if self._interval > 1 and not len(times):
            tables = True
            first, last = nest.tables, int(nest.events.tables.step.searchsorted(end))
            times = self._time(nest, nest.events.tables, first, last)
        if not len(times):
            return end
        ring = self._ring
        if self._paced:
            return self._pace(nest, times, end, tables=tables)
        entries = times + self.pipeline
        if tables:
            rooms = np.full(len(times), NEVER)
        else:
            rooms = ring.left[ring.count : ring.count + len(times)] + 1
        for intervals in (self._frozen, self._stuck):
            while intervals and intervals[0][1] < times[0]:
                intervals.popleft()
        if (
            not self._frozen and not self._stuck and (rooms <= entries).all()
            and times[0] + self._front >= self._free_at
            and (np.diff(times) >= self._interval).all()
        ):  # fmt: skip
            self._free_at = int(times[-1]) + self._front + self._interval
            if tables:
                nest.tables = last
            else:
                ring.put(entries)
                nest.outputs = last
            return end
        limit = None
        for time, room in zip(times.tolist(), rooms.tolist(), strict=True):
            if limit is not None and time >= limit:
                break
            # The way to NFU-3, into it, and through it.
            entry = time + self._front
            for since, until in self._frozen:
                if time < since <= entry:
                    entry += until - since
            taken = max(entry, self._free_at)
            for since, until in self._stuck:
                if since <= taken < until:
                    taken = until
            if taken > entry:
                self._frozen.append((entry, taken))
                self._waiting.append((entry, taken))
                limit = entry if limit is None else limit
            self._free_at = self._through(taken, self._interval)
            if tables:
                nest.tables += 1
                continue
            arrived = self._through(taken, self._behind)
            if arrived < room:
                self._stuck.append((arrived, room))
            ring.put(np.array([max(arrived, room)]))
            nest.outputs += 1
        return end if limit is None else self._step_at(nest, limit, nest.step, end)

    def _pace(self, nest: _Nest, times: np.ndarray, end: int, *, tables: bool) -> int:
        """As ``_finish``, by steps that wait in the sequencer: hw.diannao.pace."""
        ring = self._ring
        rooms = np.full(len(times), NEVER)
        if not tables:
            rooms = ring.left[ring.count : ring.count + len(times)] + 2
        late = rooms > times
        late[0] |= times[0] < self._free_at
        late[1:] |= np.diff(times) < self._interval
        passing = int(late.argmax()) if late.any() else len(times)
        if passing:
            self._free_at = int(times[passing - 1]) + self._interval
            if tables:
                nest.tables += passing
            else:
                ring.put(times[:passing] + self.pipeline)
                nest.outputs += passing
        if passing == len(times):
            return end
        time = int(times[passing])
        self._waiting.append((time, max(int(rooms[passing]), self._free_at)))
        return self._step_at(nest, time, nest.step, end)

    def _through(self, entry: int, cycles: int) -> int:
        """When something that enters NFU-3 has done so many of its stages."""
        end = entry + cycles
        for since, until in self._stuck:
            if entry <= since < end:
                end += until - since
        return end

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
                nest.stalls["nbout"] += until - time
            self._waiting.popleft()
        return end

    def _end(self, nest: _Nest) -> None:
        events = nest.events
        delay = int(max(nest.sb_delay[-1], nest.nbin_delay[-1]))
        self.last = delay + events.steps - 1
        # What steps wait for is counted before they are put off, then some of it does not matter.
        surplus = sum(nest.stalls.values()) - nest.stalls["instruction"] - (delay - nest.start)
        for cause in ("nbin", "nbout", "sb", "store"):
            less = min(surplus, nest.stalls[cause])
            nest.stalls[cause] -= less
            surplus -= less
        streak = self._streaks[len(self.ends)]
        watched = [self._when(nest, streak.first + n * streak.steps) for n in range(WATCHED + 1)]
        self.pauses.append(np.diff(watched) - streak.steps)
        self.ends.append(self.last)
        self.stalls.append(nest.stalls)
        self._nbin_tail += events.nbin_free.total
        self._sb_tail += events.sb_free.total
        self._nest = None


def _delay(delays: np.ndarray, some: slice, ready: np.ndarray) -> None:
    """Continue the running maximum ``delays`` by ``ready`` behind its entries ``some``."""
    new = delays[some.start + 1 : some.stop + 1]
    np.maximum.accumulate(ready, out=new)
    np.maximum(new, delays[some.start], out=new)


def _risen(delays: np.ndarray, some: slice, others: np.ndarray) -> np.ndarray:
    """By how much ``delays`` rises with each of ``some`` demands over all that came before."""
    return np.maximum(delays[1:][some] - np.maximum(delays[some], others), 0)
