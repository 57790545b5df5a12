"""Memory access patterns: from any nest of strided loops to the three that a descriptor holds."""

from collections.abc import Sequence

from hw.diannao.assembler import Runs

__all__ = ["COUNT_LIMIT", "PatternError", "pattern"]

COUNT_LIMIT = (1 << 16) - 1
"""Largest count of a loop, in descriptors and in nests."""
_LOOPS = 3
_RUN_LIMIT = (1 << 32) - 1
_STRIDE_LIMIT = (1 << 31) - 1


class PatternError(ValueError):
    """An access pattern that one descriptor cannot hold."""


def pattern(
    address: int, run: int, loops: Sequence[tuple[int, int]], *, granule: int | None = 1
) -> Runs:
    """The descriptor of runs of ``run`` bytes in a nest of ``loops``, merged where possible.

    Parameters
    ----------
    address, run : of the first run, in bytes
    loops : (count, stride in bytes), innermost first, any number of them
    granule : runs that follow each other in memory become one if their length is a multiple of
        this (bytes); None keeps every run as it is (in SB, a run is a row)

    Raises
    ------
    PatternError
        If more than three loops remain, or a number does not fit its field.
    """
    merged: list[tuple[int, int]] = []
    for count, stride in loops:
        if count == 1:
            continue
        contiguous = granule is not None and run % granule == 0 and stride == run
        if not merged and contiguous and run * count <= _RUN_LIMIT:
            run *= count
        elif (
            merged
            and stride == merged[-1][0] * merged[-1][1]
            and count * merged[-1][0] <= COUNT_LIMIT
        ):
            merged[-1] = (count * merged[-1][0], merged[-1][1])
        else:
            merged += _factors(count, stride)
    if len(merged) > _LOOPS:
        raise PatternError(f"a descriptor has {_LOOPS} loops, but {len(merged)} are needed")
    if any(abs(stride) > _STRIDE_LIMIT for _, stride in merged):
        raise PatternError(f"strides must be below 2 GiB, not {[s for _, s in merged]}")
    merged += [(1, 0)] * (_LOOPS - len(merged))
    counts, strides = zip(*merged, strict=True)
    return Runs(address, run, counts, strides)


def _factors(count: int, stride: int) -> list[tuple[int, int]]:
    """A loop whose count may be too large for its field, as one loop or as two."""
    if count <= COUNT_LIMIT:
        return [(count, stride)]
    for inner in range(COUNT_LIMIT, 1, -1):
        if count % inner == 0 and count // inner <= COUNT_LIMIT:
            return [(inner, stride), (count // inner, inner * stride)]
    raise PatternError(f"{count} runs cannot be counted in two 16-bit loops")
