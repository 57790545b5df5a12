"""Places in a ring."""

from amaranth.hdl import Mux, Value

__all__ = ["wrapped"]


def wrapped(place: Value, capacity: int) -> Value:
    """``place`` modulo ``capacity``, for 0 <= place < 2 * capacity.

    Nothing but a choice of bits if ``capacity`` is a power of two.
    """
    if not capacity & (capacity - 1):
        return place[: capacity.bit_length() - 1]
    return Mux(place >= capacity, place - capacity, place)
