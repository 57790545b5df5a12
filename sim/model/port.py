"""A read port: from bursts that may go to the times of their beats."""

import numpy as np

__all__ = ["NEVER", "ReadPort", "running"]

NEVER = -(1 << 60)
"""A time before everything: nothing to wait for."""


def running(earliest: np.ndarray, first: int, interval: int = 1) -> np.ndarray:
    """Times of events at least ``interval`` cycles apart, in order, none before ``earliest``.

    The first of them does not happen before ``first``.
    """
    count = interval * np.arange(len(earliest))
    times = earliest - count
    times[0] = max(times[0], first)
    np.maximum.accumulate(times, out=times)
    times += count
    return times


class ReadPort:
    """Bursts of a ReadDma, and their beats.

    Parameters
    ----------
    beats : beats of all its bursts, in order
    outstanding : most bursts in flight
    burst_cycles : cycles for each burst
    latency : of a memory that always has bandwidth; None if somebody else calls ``deliver``

    Members
    -------
    count : bursts, all together
    beats : of each burst
    first_beat : number of the first beat of each burst
    issued : bursts that have been sent
    taken : for each of them the cycle in which it was sent on to AR
    known : beats that have come
    beat : for each of them its cycle on R
    served : bursts that have come as a whole
    """

    def __init__(self, beats: np.ndarray, outstanding: int, burst_cycles: int, latency: int | None):
        self.count = len(beats)
        self.beats = beats
        self.first_beat = np.concatenate([[0], np.cumsum(beats)])
        self._outstanding = outstanding
        self._burst_cycles = burst_cycles
        self._latency = latency
        self.issued = self.served = self.known = 0
        self.taken = np.empty(self.count, dtype=np.int64)
        self.beat = np.empty(self.first_beat[-1], dtype=np.int64)
        # The last beat of each burst, after as many bursts that are no obstacle to the first ones.
        self._ends = np.full(outstanding + self.count, NEVER, dtype=np.int64)

    @property
    def open(self) -> int:
        """How many bursts could be sent as far as those in flight are concerned."""
        return min(self.served + self._outstanding, self.count) - self.issued

    @property
    def previous(self) -> int:
        """When the last burst was sent."""
        return int(self.taken[self.issued - 1]) if self.issued else NEVER

    def end(self, burst: int) -> int:
        """Cycle of the last beat of a burst that was served."""
        return int(self._ends[self._outstanding + burst])

    def issue(self, earliest: np.ndarray) -> None:
        """Send the next ``len(earliest)`` bursts (at most ``open``), permitted from then on."""
        first, last = self.issued, self.issued + len(earliest)
        cycles = self._burst_cycles
        earliest = np.maximum(earliest + (cycles - 1), self._ends[first:last] + 1)
        self.taken[first:last] = running(earliest, self.previous + cycles, cycles)
        self.issued = last
        if self._latency is not None:
            # AR follows a cycle after ``taken``. Beats come one per cycle.
            at = self.first_beat[first : last + 1]
            shift = self.taken[first:last] + (1 + self._latency) - at[:-1]
            if first:
                shift[0] = max(shift[0], self.beat[at[0] - 1] + 1 - at[0])
            np.maximum.accumulate(shift, out=shift)
            times = np.repeat(shift, self.beats[first:last])
            times += np.arange(at[0], at[-1])
            self.deliver(times)

    def deliver(self, times: np.ndarray) -> None:
        """The next beats come."""
        self.beat[self.known : self.known + len(times)] = times
        self.known += len(times)
        first = self.served
        self.served = int(np.searchsorted(self.first_beat, self.known, "right")) - 1
        ends = self._ends[self._outstanding + first : self._outstanding + self.served]
        ends[:] = self.beat[self.first_beat[first + 1 : self.served + 1] - 1]
