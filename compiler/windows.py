"""Sliding windows along one axis, clipped to the input."""

from dataclasses import dataclass, replace

from .access import COUNT_LIMIT

__all__ = ["Span", "covered", "spans", "taps"]


@dataclass(frozen=True)
class Span:
    """Successive windows of equal size, one stride apart.

    Parameters
    ----------
    first, count : outputs that they make
    start : input position where the first window begins
    size : input positions per window
    divisor : positions that an average counts per window
    """

    first: int
    count: int
    start: int
    size: int
    divisor: int


def _extents(inputs: int, outputs: int, kernel: int, stride: int, pad: int):
    """First and last-but-one input position of every window."""
    for output in range(outputs):
        start = output * stride - pad
        yield max(0, start), min(inputs, start + kernel)


def spans(
    inputs: int,
    outputs: int,
    kernel: int,
    stride: int,
    pads: tuple[int, int],
    include_pad: bool,
) -> list[Span]:
    """Cut the outputs of an axis into spans.

    Parameters
    ----------
    inputs, outputs : extents of the axis
    kernel, stride, pads : of the windows (pads before and behind)
    include_pad : whether padding counts in the divisor
    """
    result: list[Span] = []
    for output, (start, end) in enumerate(_extents(inputs, outputs, kernel, stride, pads[0])):
        begin = output * stride - pads[0]
        padded = min(inputs + pads[1], begin + kernel) - begin
        this = Span(output, 1, start, end - start, padded if include_pad else end - start)
        if result:
            last = result[-1]
            following = Span(output, 1, last.start + last.count * stride, last.size, last.divisor)
            if last.count < COUNT_LIMIT and following == this:
                result[-1] = replace(last, count=last.count + 1)
                continue
        result.append(this)
    return result


def taps(inputs: int, outputs: int, kernel: int, stride: int, pad: int) -> int:
    """Input positions of all windows together."""
    return sum(end - start for start, end in _extents(inputs, outputs, kernel, stride, pad))


def covered(inputs: int, outputs: int, kernel: int, stride: int, pad: int) -> int:
    """Input positions that belong to at least one window."""
    total = reached = 0
    for start, end in _extents(inputs, outputs, kernel, stride, pad):
        total += max(0, end - max(start, reached))
        reached = max(reached, end)
    return total
