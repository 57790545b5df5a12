"""The five ports of a router, and which of them leads to a node."""

from enum import IntEnum

from amaranth.hdl import Cat, Value, ValueLike

__all__ = ["OFFSETS", "PORTS", "Port", "dimension_order"]


class Port(IntEnum):
    """LOCAL is the node's own; rows grow southwards, columns eastwards."""

    LOCAL = 0
    EAST = 1
    WEST = 2
    NORTH = 3
    SOUTH = 4

    @property
    def opposite(self) -> "Port":
        """The port of the neighbour behind this one that leads back."""
        opposites = {Port.EAST: Port.WEST, Port.NORTH: Port.SOUTH}
        return (opposites | {west: east for east, west in opposites.items()})[self]


PORTS = len(Port)

OFFSETS = {Port.EAST: (1, 0), Port.WEST: (-1, 0), Port.NORTH: (0, -1), Port.SOUTH: (0, 1)}
"""Steps in x and y to the node behind a port."""


def dimension_order(x: ValueLike, y: ValueLike, to_x: ValueLike, to_y: ValueLike) -> Value:
    """Where a packet leaves the router at (x, y): first along the row, then along the column.

    One-hot, a bit for each ``Port``. No packet turns from a column into a row, so that the
    channels that wait for one another never form a cycle.
    """
    x, y, to_x, to_y = map(Value.cast, (x, y, to_x, to_y))
    there = x == to_x
    way = {
        Port.LOCAL: there & (y == to_y),
        Port.EAST: to_x > x,
        Port.WEST: to_x < x,
        Port.NORTH: there & (to_y < y),
        Port.SOUTH: there & (to_y > y),
    }
    return Cat(way[port] for port in Port)
