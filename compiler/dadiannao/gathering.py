"""How everything that nodes have made comes to all of them: by computing and forwarding.

The paper passes the neurons of classifier layers on along a ring, each node working on what it has
while it passes that on and gets the next (section V.E). A single ring through 64 nodes has 63 links
of 80 ns one behind the other, more than three times what the paper's own figures leave for it; they
agree with a path as long as the mesh is wide and high. So here neurons go along the rows of the
mesh first, both ways, then along its columns what a whole row has. Every link carries what it would
carry in a ring, and no way is longer than it must be.
"""

from functools import cache
from typing import NamedTuple

__all__ = ["Hop", "hops", "sequence"]


class Hop(NamedTuple):
    """A node passes on to its neighbour what the nodes of ``origins`` have made."""

    sender: int
    receiver: int
    origins: tuple[int, ...]


def _along(line: list[int], origins: list[list[tuple[int, ...]]]) -> list[Hop]:
    """Everybody's ``origins`` to everybody in a line, nearest first."""
    result = []
    for distance in range(len(line) - 1):
        for at, node in enumerate(line):
            for there, start in ((at + 1, at - distance), (at - 1, at + distance)):
                if 0 <= there < len(line) and 0 <= start < len(line):
                    result += [Hop(node, line[there], which) for which in origins[start]]
    return result


@cache
def hops(rows: int, columns: int) -> tuple[Hop, ...]:
    """All hops in a mesh, in an order in which none needs a later one.

    What a row of nodes has goes along the columns in two halves, so that one is passed on while the
    other is still coming.
    """
    lines = [[y * columns + x for x in range(columns)] for y in range(rows)]
    result = []
    for line in lines:
        result += _along(line, [[(node,)] for node in line])
    half = -(-columns // 2)
    for x in range(columns):
        # The half that a node is in has come to it first.
        near = range(half) if x < half else range(half, columns)
        far = [other for other in range(columns) if other not in near]
        parts = [[tuple(line[n] for n in part) for part in (near, far) if part] for line in lines]
        result += _along([line[x] for line in lines], parts)
    return tuple(result)


def sequence(rows: int, columns: int, node: int) -> list[tuple[int, ...]]:
    """What ``node`` has of everything, in order: its own, and what hops bring."""
    return [(node,), *(hop.origins for hop in hops(rows, columns) if hop.receiver == node)]
