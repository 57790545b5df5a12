"""The number formats against bits, fractions and loops."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hw.arith.numbers import (
    Table,
    activate,
    bounds,
    compensation,
    error_bounds,
    interpolate,
    requantise,
    saturate,
    truncated_product,
    wrap,
)

reproducible = settings(derandomize=True, database=None, max_examples=300)


def array_of_bits(x: int, w: int, width: int, drop: int) -> int:
    """Sum of the partial-product array, bit by bit, from column ``drop`` on.

    A row is the neuron with its sign repeated up to the highest column, shifted to its place, and
    there if its bit of the weight is set. Highest bit of a row and row of the sign are negative.
    """
    total = 0
    for j in range(width):
        for i in range(2 * width):
            if i + j >= drop:
                negative = (i == 2 * width - 1) != (j == width - 1)
                bit = (x >> i & 1) * (w >> j & 1) << i + j
                total += -bit if negative else bit
    return total


def numbers(width: int):
    """Integers of ``width`` bits, often at the ends, at zero, or with long runs of equal bits."""
    low, high = bounds(width)
    corners = [low, low + 1, -1, 0, 1, high - 1, high]
    runs = st.integers(0, width).map(lambda n: wrap((1 << n) - 1, width))
    return st.sampled_from(corners) | runs | st.integers(low, high)


@pytest.mark.parametrize("width", [2, 3, 5])
def test_all_truncated_products_of_narrow_numbers(width):
    """Every pair: equal to its bits, error bounds that are reached, mean error about zero."""
    low, high = bounds(width)
    pairs = [(x, w) for x in range(low, high + 1) for w in range(low, high + 1)]
    for drop in range(width + 1):
        products = [truncated_product(x, w, width, drop) for x, w in pairs]
        constant = compensation(width, drop)
        assert products == [array_of_bits(x, w, width, drop) + constant for x, w in pairs]
        errors = [p - x * w for p, (x, w) in zip(products, pairs, strict=True)]
        assert (min(errors), max(errors)) == error_bounds(width, drop)
        assert abs(Fraction(sum(errors), len(errors))) <= Fraction(1, 2)
        assert min(products) >= bounds(2 * width)[0]
        assert max(products) <= bounds(2 * width)[1]


@pytest.mark.parametrize("width", [8, 16])
def test_truncated_products(width):
    @reproducible
    @given(numbers(width), numbers(width), st.integers(0, width))
    @example(bounds(width)[0], bounds(width)[0], 0)
    @example(bounds(width)[0], bounds(width)[0], width)
    @example(bounds(width)[1], bounds(width)[1], width)
    @example(-1, -1, width)
    def check(x, w, drop):
        product = truncated_product(x, w, width, drop)
        assert product == array_of_bits(x, w, width, drop) + compensation(width, drop)
        low, high = error_bounds(width, drop)
        assert low <= product - x * w <= high
        assert bounds(2 * width)[0] <= product <= bounds(2 * width)[1]

    check()


@pytest.mark.parametrize("width", [8, 16])
def test_error_bounds_are_reached(width):
    """Neurons of ones lose most: in all rows but that of the sign, or in that alone."""
    for drop in range(width + 1):
        ones = (1 << (width - 1)) - 1
        sign = -1 << (width - 1)
        errors = [truncated_product(-1, w, width, drop) + w for w in (ones, sign, 0)]
        assert (min(errors), max(errors)) == error_bounds(width, drop)


@pytest.mark.parametrize(("width", "drop"), [(8, 5), (16, 0), (16, 8), (16, 16)])
def test_truncated_products_of_arrays(width, drop):
    rng = np.random.default_rng(1)
    x, w = rng.integers(*bounds(width), (2, 50), endpoint=True)
    expected = [
        truncated_product(a, b, width, drop) for a, b in zip(x.tolist(), w.tolist(), strict=True)
    ]
    assert truncated_product(x, w, width, drop).tolist() == expected


@reproducible
@given(st.integers(-(1 << 50), 1 << 50), st.integers(0, 40), st.sampled_from([8, 16]))
@example(32767, 0, 16)
@example((32767 << 4) + 7, 4, 16)
@example((32767 << 4) + 8, 4, 16)
@example((-32768 << 4) - 8, 4, 16)
@example((-32768 << 4) - 9, 4, 16)
@example(-1, 1, 8)
@example(1, 1, 8)
def test_requantisation_rounds_halves_up_and_saturates(value, shift, width):
    low, high = bounds(width)
    exact = min(high, max(low, floor(Fraction(value, 1 << shift) + Fraction(1, 2))))
    assert requantise(value, shift, width) == exact
    assert requantise(np.array([value]), shift, width).tolist() == [exact]


@reproducible
@given(st.integers(-(1 << 40), 1 << 40), st.integers(1, 40))
def test_saturation_and_wrapping(value, width):
    low, high = bounds(width)
    assert (high - low + 1, low + high) == (1 << width, -1)
    assert saturate(value, width) == sorted((low, value, high))[1]
    assert saturate(np.array([value]), width).tolist() == [sorted((low, value, high))[1]]
    wrapped = wrap(value, width)
    assert low <= wrapped <= high
    assert (wrapped - value) % (1 << width) == 0
    assert wrap(np.array([value]), width).tolist() == [wrapped]


def evaluate(x: int, table: Table, width: int, drop: int) -> int:
    """One number through a table: what the documentation of Table says, in its words."""
    mirror = table.mirror if x < 0 else None
    segment = 0
    for breakpoint_ in table.breakpoints:
        segment += breakpoint_ <= (x if mirror is None else -x - 1)
    offset = table.b[segment]
    if mirror is not None:
        offset = (mirror << table.shift) - offset - 2 * compensation(width, drop)
        offset = (offset + (1 << 2 * width - 1)) % (1 << 2 * width) - (1 << 2 * width - 1)
    total = truncated_product(x, table.a[segment], width, drop) + offset
    rounded = (total + (1 << table.shift) // 2) // (1 << table.shift)
    return min(bounds(width)[1], max(bounds(width)[0], rounded))


@st.composite
def tables(draw, width: int):
    count = draw(st.integers(0, 15))
    mirror = st.none() | st.integers(0, (1 << width) - 2)
    return Table(
        tuple(sorted(draw(st.lists(numbers(width), min_size=count, max_size=count)))),
        tuple(draw(st.lists(numbers(width), min_size=count + 1, max_size=count + 1))),
        tuple(draw(st.lists(numbers(2 * width), min_size=count + 1, max_size=count + 1))),
        draw(st.integers(0, 2 * width - 1)),
        draw(mirror),
    )


@pytest.mark.parametrize("width", [8, 16])
def test_tables_equal_a_loop(width):
    """All segments, their ends, and both sides of zero."""

    @reproducible
    @given(tables(width), st.lists(numbers(width), min_size=1), st.integers(0, width))
    def check(table, xs, drop):
        low, high = bounds(width)
        ends = [max(low, min(high, p + d)) for p in table.breakpoints for d in (-1, 0)]
        xs = np.array([*xs, *ends, *(~x for x in ends), low, -1, 0, 1, high])
        expected = [evaluate(x, table, width, drop) for x in xs.tolist()]
        assert activate(xs, table, width, drop).tolist() == expected
        wide = interpolate(xs, table, width, drop)
        assert requantise(wide, table.shift, width).tolist() == expected

    check()


@pytest.mark.parametrize("mirror", [0, 1, 1024])
def test_mirrored_tables_are_symmetric(mirror):
    """f(x) + f(-x) = mirror before rounding, unless a breakpoint parts x from its mirror image."""
    table = Table((100, 1000, 9000), (30, 20, 7, -2), (0, 1000, 14000, 95000), 6, mirror=mirror)
    x = np.setdiff1d(np.arange(1, 32768), table.breakpoints)
    both = interpolate(x, table, 16, 0) + interpolate(-x, table, 16, 0)
    assert (both == mirror << 6).all()


def test_bad_tables_are_refused():
    with pytest.raises(ValueError, match="S slopes, S offsets and S-1 breakpoints, not 2, 2 and 2"):
        Table((0, 1), (1, 2), (1, 2), 0)
    with pytest.raises(ValueError, match="S slopes, S offsets and S-1 breakpoints, not 2, 1 and 1"):
        Table((0,), (1, 2), (1,), 0)
    with pytest.raises(ValueError, match=r"breakpoints must ascend, not \(1, 0\)"):
        Table((1, 0), (1, 2, 3), (1, 2, 3), 0)
    assert Table((0, 0), (1, 2, 3), (1, 2, 3), 0).segments == 3
