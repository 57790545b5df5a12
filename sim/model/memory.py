"""A memory whose bandwidth is not enough for all ports together: who gets it when."""

from collections import deque
from collections.abc import Callable

import numpy as np

from .port import NEVER, ReadPort
from .store import StoreUnit

__all__ = ["Memory", "ReadChannel", "SharedReadChannel", "WriteChannel"]

_LATER = -NEVER
_REACTION = 2
"""Cycles from a beat to the earliest burst that may follow from it, as the memory sees both."""


class ReadChannel:
    """R of one port.

    Members
    -------
    width : bytes of a beat
    request : first tick in which the next beat asks for bandwidth, as far as known
    """

    def __init__(self, port: ReadPort, width: int, latency: int):
        self.width = width
        self._port = port
        self._latency = latency
        self._seen = 0  # bursts
        self._queue: deque[tuple[int, int]] = deque()  # first tick and beats of each
        self._left = 0
        self._times: list[int] = []
        self._last = NEVER
        self.request = _LATER

    def look(self, before: int) -> None:
        """See whether there are new bursts."""
        port = self._port
        if self._seen < port.issued:
            new = slice(self._seen, port.issued)
            first = (port.taken[new] + self._latency).tolist()
            self._queue.extend(zip(first, port.beats[new].tolist(), strict=True))
            self._seen = port.issued
            if self.request == _LATER:
                self._next()

    def _next(self) -> None:
        first, self._left = self._queue.popleft()
        self.request = max(first, self._last)

    def grant(self, tick: int) -> None:
        """The next beat goes to R in the cycle after ``tick``."""
        self._times.append(tick + 1)
        self._last = tick + 1
        self._left -= 1
        if self._left:
            self.request = tick + 1
            return
        if self._queue:
            self._next()
        else:
            self.request = _LATER

    def deliver(self) -> None:
        """Tell the port what has come."""
        if self._times:
            self._port.deliver(np.array(self._times))
            self._times.clear()


class SharedReadChannel:
    """R of a port that several units share through hw.bus.arbiter."""

    def __init__(self, ports: list[ReadPort], width: int, latency: int):
        self.width = width
        self._ports = ports
        self._latency = latency
        self._arbitrated = [0] * len(ports)
        self._served = len(ports) - 1
        self._cycle = NEVER  # of the last arbitration
        self._queue: deque[tuple[int, int, int]] = deque()  # first tick, beats and port
        self._left = self._place = 0
        self._times: list[list[int]] = [[] for _ in ports]
        self._last = NEVER
        self.request = _LATER

    def look(self, before: int) -> None:
        """Arbitrate addresses that come soon enough for all others to be known.

        A beat that nobody has counted with yet comes in tick ``before`` or later.
        """
        while True:
            waiting = [
                int(port.taken[done]) + 1 if done < port.issued else _LATER
                for port, done in zip(self._ports, self._arbitrated, strict=True)
            ]
            if min(waiting) == _LATER:
                break
            cycle = max(min(waiting), self._cycle + 1)
            head = self._queue[0][0] if self._queue else cycle + self._latency
            if cycle > min(before, max(head, self._last)) + _REACTION:
                break
            place = (self._served + 1) % len(waiting)
            while waiting[place] > cycle:
                place = (place + 1) % len(waiting)
            self._served = place
            self._cycle = cycle
            port, burst = self._ports[place], self._arbitrated[place]
            self._arbitrated[place] += 1
            beats = int(port.first_beat[burst + 1] - port.first_beat[burst])
            self._queue.append((cycle + self._latency, beats, place))
            if len(self._queue) == 1:
                self._next()

    def _next(self) -> None:
        first, self._left, self._place = self._queue[0]
        self.request = max(first, self._last)

    def grant(self, tick: int) -> None:
        """The next beat goes to R in the cycle after ``tick``; its port gets it a cycle later."""
        self._times[self._place].append(tick + 2)
        self._last = tick + 1
        self._left -= 1
        if self._left:
            self.request = tick + 1
            return
        self._queue.popleft()
        self.request = _LATER
        if self._queue:
            self._next()

    def deliver(self) -> None:
        for port, times in zip(self._ports, self._times, strict=True):
            if times:
                port.deliver(np.array(times))
                times.clear()


class WriteChannel:
    """W: bandwidth for a beat is reserved before the beat is there."""

    def __init__(self, store: StoreUnit, width: int):
        self.width = width
        self._store = store
        self._reserved = NEVER  # the tick of a reservation that no beat has used
        self._holds = True
        self.request = _LATER

    def look(self, before: int = _LATER) -> None:
        """See whether there is a beat for the reservation."""
        if not self._holds:
            return
        offer = self._store.offer()
        if offer == NEVER and self._store.advance():
            offer = self._store.offer()
        if offer != NEVER:
            self.request = max(offer, self._reserved + 1)
            self._holds = False
            self._store.accept(self.request)

    def grant(self, tick: int) -> None:
        self._reserved = tick
        self._holds = True
        self.request = _LATER
        self.look()

    def deliver(self) -> None:
        """Nothing: the store unit knows."""


class Memory:
    """Bandwidth, cycle by cycle, as sim/verilator/memory.h gives it out.

    Parameters
    ----------
    channels : in the order of the memory's ports
    bandwidth : bytes per cycle
    latency : cycles
    horizon : ticks from one in which all is known on the way to the next W beat nobody knows of
    """

    def __init__(
        self,
        channels: list[ReadChannel | SharedReadChannel | WriteChannel],
        bandwidth: int,
        latency: int,
        horizon: Callable[[int], int],
    ):
        self._channels = channels
        self._bandwidth = bandwidth
        self._latency = latency
        self._horizon = horizon
        self._tick = 0
        self._credit = bandwidth
        self._turn = 0
        self._refused = -1
        # The order of asking by who is first, and what ticks of late had left.
        places = list(enumerate(channels))
        self._orders = [places[turn:] + places[:turn] for turn in range(len(places))]
        self._left: dict[int, int] = {}

    def advance(self) -> bool:
        """Give out bandwidth for as long as no unknown request can come; true if there was any."""
        channels = self._channels
        soonest, late = _LATER, False
        for channel in reversed(channels):
            waited = channel.request < _LATER
            channel.look(soonest)
            if not waited:
                while channel.request <= self._tick:
                    self._make_up(channel)
                    late = True
            soonest = min(soonest, channel.request)
        tick = max(min(channel.request for channel in channels), self._tick + 1)
        if tick >= _LATER:
            for channel in channels:
                channel.deliver()
            return late
        # No beat comes before this tick, so nothing new comes of one until some cycles later.
        limit = min(tick + self._latency + _REACTION - 1, self._horizon(tick))
        bandwidth, credit, last = self._bandwidth, self._credit, self._tick
        left = self._left
        left.clear()
        while tick <= limit:
            credit = min(credit + (tick - last) * bandwidth, bandwidth)
            if self._refused >= 0:
                self._turn = self._refused
                self._refused = -1
            last = tick
            for place, channel in self._orders[self._turn]:
                if channel.request <= tick:
                    if credit > 0:
                        credit -= channel.width
                        channel.grant(tick)
                    elif self._refused < 0:
                        self._refused = place
            left[tick] = credit
            sole, tick, others = self._soonest()
            unrefused = self._refused < 0
            while unrefused and last < tick < others and tick <= limit and credit + bandwidth > 0:
                # Nobody else asks.
                credit = min(credit + (tick - last) * bandwidth, bandwidth) - sole.width
                last, left[tick] = tick, credit
                sole.grant(tick)
                tick = sole.request
            tick = max(min(tick, others), last + 1)
            if self._refused >= 0 and credit <= 0:
                # Until there is credit again, everybody is refused.
                pause = min(-credit // bandwidth, limit - last)
                for tick in range(last + 1, last + 1 + pause):
                    credit += bandwidth
                    last, left[tick] = tick, credit
                tick = last + 1
        self._tick, self._credit = last, credit
        for channel in channels:
            channel.deliver()
        return True

    def _soonest(self) -> tuple[ReadChannel | SharedReadChannel | WriteChannel, int, int]:
        """The channel that asks next, when it does, and when another one does."""
        sole, first, second = self._channels[0], _LATER, _LATER
        for channel in self._channels:
            request = channel.request
            if request < first:
                sole, first, second = channel, request, first
            elif request < second:
                second = request
        return sole, first, second

    def _make_up(self, channel: ReadChannel | SharedReadChannel | WriteChannel) -> None:
        """Grant a beat that should have been in a tick that is over, from what that had left."""
        tick = channel.request
        while tick <= self._tick and self._left.get(tick, self._bandwidth) <= 0:
            tick += 1
        debt = channel.width
        for later in range(tick, self._tick + 1):
            self._left[later] = rest = self._left.get(later, self._bandwidth) - debt
            debt = -rest
            if debt <= 0:
                break
        if tick >= self._tick:
            self._credit -= channel.width
        elif debt > 0:
            self._credit -= debt
        channel.grant(tick)
