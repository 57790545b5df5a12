"""The wide mode's arithmetic against Python's integers, and against ``numbers`` where that fits."""

import random

import numpy as np
import pytest

from hw.arith import numbers, wide
from hw.arith.numbers import Table
from hw.arith.wide import Wide

LOW, HIGH = numbers.bounds(32)


def corners(rng, width, count):
    low, high = numbers.bounds(width)
    extremes = (low, low + 1, -1, 0, 1, high - 1, high)
    return [rng.choice((rng.choice(extremes), rng.randint(low, high))) for _ in range(count)]


def test_matmul():
    rng = random.Random(1)
    for count in (1, 7, 64):
        x = np.array(corners(rng, 32, 5 * count)).reshape(5, count)
        w = np.array(corners(rng, 32, 3 * count)).reshape(count, 3)
        assert wide.matmul(x, w).tolist() == (x.astype(object) @ w.astype(object)).tolist()


@pytest.mark.parametrize(("x", "w"), [(LOW, LOW), (LOW, HIGH), (HIGH, HIGH), (-1, LOW)])
def test_longest_sum(x, w):
    count = 32768
    sums = wide.matmul(np.full((1, count), x), np.full((count, 1), w))
    assert sums.tolist() == [[count * x * w]]


def test_sums_and_differences():
    rng = random.Random(2)
    a, b = corners(rng, 64, 500), corners(rng, 64, 500)
    x, y = Wide.of(np.array(a)), Wide.of(np.array(b))
    assert (x + y).tolist() == [p + q for p, q in zip(a, b, strict=True)]
    assert (x - y).tolist() == [p - q for p, q in zip(a, b, strict=True)]


@pytest.mark.parametrize("width", [32, 16])
def test_requantise(width):
    rng = random.Random(3)
    low, high = numbers.bounds(width)
    for shift in range(79):
        half = (1 << shift) >> 1
        edges = [(limit << shift) + d for limit in (low, high + 1, 0) for d in (-half - 1, -half)]
        values = edges + [v + 1 for v in edges] + corners(rng, 80, 30)
        limbs = [(v >> 32, v & ((1 << 32) - 1)) for v in values if -(1 << 94) <= v < 1 << 94]
        high_limbs, low_limbs = np.array([[*limb] for limb in limbs], dtype=np.int64).T
        got = Wide(high_limbs, low_limbs).requantise(shift, width)
        expected = [numbers.requantise((a << 32) + b, shift, width) for a, b in limbs]
        assert got.tolist() == expected, shift


@pytest.mark.parametrize("mirror", [None, 0, 12345, (1 << 32) - 2])
def test_activate(mirror):
    """Python's integers need no wide ones: ``numbers`` with them is the definition."""
    rng = random.Random(4)
    for shift in (0, 1, 16, 31, 32, 33, 62, 63):
        starts = sorted(rng.randint(LOW if mirror is None else 0, HIGH) for _ in range(15))
        table = Table(
            breakpoints=tuple(starts),
            a=tuple(corners(rng, 32, 16)),
            b=tuple(corners(rng, 64, 16)),
            shift=shift,
            mirror=mirror,
        )
        x = corners(rng, 32, 40) + starts + [start - 1 for start in starts]
        expected = []
        for value in x:
            key = ~value if mirror is not None and value < 0 else value
            segment = sum(start <= key for start in starts)
            b = table.b[segment]
            if mirror is not None and value < 0:
                b = numbers.wrap((mirror << table.shift) - b, 64)
            expected.append(numbers.requantise(value * table.a[segment] + b, table.shift, 32))
        assert wide.activate(np.array(x), table).tolist() == expected
