"""Cutting an extent into nearly equal parts."""

from itertools import pairwise

__all__ = ["part_sizes", "split"]


def split(total: int, most: int) -> list[tuple[int, int]]:
    """(start, size) of as few parts of at most ``most`` as possible, of nearly equal size."""
    parts = -(-total // most)
    edges = [total * part // parts for part in range(parts + 1)]
    return [(start, end - start) for start, end in pairwise(edges)]


def part_sizes(total: int) -> list[int]:
    """Sizes of the largest part over all ways to cut ``total`` into nearly equal parts."""
    sizes = []
    parts = 1
    while not sizes or sizes[-1] > 1:
        sizes.append(-(-total // parts))
        # The fewest parts with a smaller largest one.
        parts = -(-total // (sizes[-1] - 1)) if sizes[-1] > 1 else parts
    return sizes[::-1]
