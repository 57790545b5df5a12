"""A read port: from bursts that may go to the times of their beats."""

import numpy as np

__all__ = ["NEVER", "ReadPort", "running"]

NEVER = -(1 << 60)
"""A time before everything: nothing to wait for."""


def running(earliest: np.ndarray, first: int) -> np.ndarray:
    """Times of events that happen one per cycle at most, in order, none before ``earliest``.

    The first of them does not happen before ``first``.
    """
    count = np.arange(len(earliest))
    times = earliest - count
    times[0] = max(times[0], first)
    np.maximum.accumulate(times, out=times)
    times += count
    return times


class ReadPort:
    """Bursts of a ReadDma on a memory that always has bandwidth.

    Parameters
    ----------
    beats : beats of all its bursts, in order
    outstanding : most bursts in flight
    latency : of the memory

    Members
    -------
    issued : bursts that have been sent
    taken : for every burst the cycle in which it was sent on to AR
    beat : for every beat its cycle on R, known for the bursts that were ``served``
    """

    def __init__(self, beats: np.ndarray, outstanding: int, latency: int):
        self.count = len(beats)
        self._beats = beats
        self.first_beat = np.concatenate([[0], np.cumsum(beats)])
        self._outstanding = outstanding
        self._latency = latency
        self.issued = 0
        self.served = 0
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
        """Send the next ``len(earliest)`` bursts (at most ``open``), none before its time."""
        first, last = self.issued, self.issued + len(earliest)
        earliest = np.maximum(earliest, self._ends[first:last] + 1)
        self.taken[first:last] = running(earliest, self.previous + 1)
        self.issued = last
        self._serve()

    def _serve(self) -> None:
        first, last = self.served, self.issued
        beats, at = self._beats[first:last], self.first_beat[first : last + 1]
        # AR follows a cycle after ``taken``. Beats come one per cycle.
        shift = self.taken[first:last] + (1 + self._latency) - at[:-1]
        if at[0]:
            shift[0] = max(shift[0], self.beat[at[0] - 1] + 1 - at[0])
        np.maximum.accumulate(shift, out=shift)
        self.beat[at[0] : at[-1]] = np.repeat(shift, beats) + np.arange(at[0], at[-1])
        self._ends[self._outstanding + first : self._outstanding + last] = shift + at[1:] - 1
        self.served = last
