"""Access patterns: merged descriptors touch the same runs in the same order."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.access import PatternError, pattern
from hw.diannao.assembler import Runs


def bytes_of(runs: Runs) -> list[int]:
    return [byte for start in starts(runs) for byte in range(start, start + runs.run)]


def starts(runs: Runs) -> list[int]:
    return [
        runs.address + sum(i * s for i, s in zip(index[::-1], runs.stride, strict=True))
        for index in product(*(range(count) for count in runs.count[::-1]))
    ]


LOOPS = st.lists(st.tuples(st.integers(1, 4), st.sampled_from([2, 4, 6, 8, 12, 24, 48, 100, -4])))


@given(LOOPS.filter(lambda loops: len(loops) <= 5), st.sampled_from([2, 4, 6]))
@settings(derandomize=True, database=None, max_examples=300)
def test_merging_keeps_every_byte_in_order(loops, run):
    everything = [
        1000 + sum(i * s for i, (_, s) in zip(index[::-1], loops, strict=True)) + byte
        for index in product(*(range(count) for count, _ in loops[::-1]))
        for byte in range(run)
    ]
    try:
        merged = pattern(1000, run, loops)
    except PatternError:
        assert sum(count > 1 for count, _ in loops) > 3
        return
    assert bytes_of(merged) == everything


def test_contiguous_runs_become_one():
    assert pattern(0, 6, [(10, 6), (4, 60), (2, 300)]) == Runs(0, 240, (2, 1, 1), (300, 0, 0))


def test_runs_merge_only_in_whole_granules():
    assert pattern(0, 6, [(10, 6)], granule=4) == Runs(0, 6, (10, 1, 1), (6, 0, 0))
    assert pattern(0, 8, [(10, 8)], granule=4) == Runs(0, 80)


def test_rows_stay_apart_without_a_granule():
    assert pattern(0, 8, [(10, 8), (5, 80)], granule=None) == Runs(0, 8, (50, 1, 1), (8, 0, 0))


def test_counts_beyond_a_field_take_two_loops():
    runs = pattern(0, 2, [(3 * 50_000, 4)])
    assert runs.count[0] * runs.count[1] == 150_000
    assert runs.stride == (4, 4 * runs.count[0], 0)
    assert max(runs.count) <= 65535


def test_too_many_loops_are_refused():
    with pytest.raises(PatternError, match="3 loops, but 4 are needed"):
        pattern(0, 2, [(2, 10), (2, 30), (2, 100), (2, 500)])


def test_uncountable_and_distant_runs_are_refused():
    with pytest.raises(PatternError, match="65537 runs cannot"):
        pattern(0, 2, [(65537, 4)])
    with pytest.raises(PatternError, match="below 2 GiB"):
        pattern(0, 2, [(2, 1 << 31)])
