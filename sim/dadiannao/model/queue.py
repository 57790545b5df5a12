"""The queues between decoder and units."""

__all__ = ["SlotQueue"]

_NEVER = -(1 << 60)
"""A time before everything: nothing to wait for."""


class SlotQueue:
    """hw.bus.streams.Queue, by the times of what goes in and out.

    Parameters
    ----------
    depth : slots that fit

    Members
    -------
    valid : when each slot put in so far could leave (grows with ``put`` and ``pop``)
    popped : when each slot left
    """

    def __init__(self, depth: int):
        self._depth = depth
        self._put: list[int] = []
        self.popped: list[int] = []

    @property
    def count(self) -> int:
        """Slots that have been put in."""
        return len(self._put)

    def room(self) -> int | None:
        """First cycle in which the next slot fits; None if that is not known yet."""
        before = len(self._put) - (self._depth - 1)
        if before < 0:
            return _NEVER
        inner = self._leaves(before)
        return None if inner is None else inner + 1

    def put(self, time: int) -> None:
        self._put.append(time)

    def valid(self, slot: int) -> int | None:
        """First cycle in which ``slot`` can leave; None if that is not known yet."""
        inner = self._leaves(slot)
        return None if inner is None else inner + 1

    def pop(self, time: int) -> None:
        self.popped.append(time)

    def _leaves(self, slot: int) -> int | None:
        """When a slot goes on to the output register: that must be empty, or emptied just then."""
        if slot >= len(self._put) or slot > len(self.popped):
            return None
        return max(self._put[slot] + 1, self.popped[slot - 1] if slot else _NEVER)
