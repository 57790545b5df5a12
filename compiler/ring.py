"""Ring buffers under a loop nest: what may be freed when, and how much must be held at once."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from hw.diannao.assembler import Loop

__all__ = ["reach", "slides", "with_frees"]


def slides(loops: Sequence[tuple[int, int]]) -> list[int]:
    """How far the tail of the ring may move in one iteration of each loop.

    Step (i0, i1, ...) of a nest of ``loops`` (count, stride >= 0; innermost first) reads at
    ``sum(i * stride)``. The tail at that step, ``sum(i * slide)``, never passes what a later step
    reads: from the outermost loop inwards, the tail follows a loop's stride as long as all inner
    movement stays below what the next iteration of any outer loop starts over from.
    """
    result = [0] * len(loops)
    room: list[int] = []
    for level in range(len(loops) - 1, -1, -1):
        count, stride = loops[level]
        if count == 1:
            continue
        moved = (count - 1) * stride
        if any(moved > left for left in room):
            break
        result[level] = stride
        room = [left - moved for left in room] + [stride]
    return result


def reach(loops: Sequence[tuple[int, int]], slide: Sequence[int], width: int) -> int:
    """Places from the tail to the end of the farthest read of ``width`` places, over all steps."""
    span = sum(
        (count - 1) * (stride - moved) for (count, stride), moved in zip(loops, slide, strict=True)
    )
    return span + width


def with_frees(
    loops: Sequence[Loop], ring: Literal["nbin", "sb"], held: int
) -> tuple[list[Loop], int]:
    """Free a ring under a nest as early as is safe.

    Parameters
    ----------
    loops : nest, innermost first, without frees of this ring
    held : what the ring holds for this nest (elements or rows), all of which is freed

    Returns
    -------
    the loops with their frees, and what is left to be freed after the last step
    """
    moves = slides([(loop.count, getattr(loop, ring)) for loop in loops])
    result = []
    freed = 0
    for loop, move in zip(loops, moves, strict=True):
        if loop.count > 1:
            loop = replace(loop, **{f"{ring}_free": move - freed})
            freed = move * loop.count
        result.append(loop)
    return result, held - freed
