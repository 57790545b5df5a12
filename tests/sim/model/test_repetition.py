"""Excerpts stand for the whole, whatever the loops are."""

from itertools import chain

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.model.repetition import excerpt_of

BODIES = st.recursive(
    st.integers(0, 3).map(lambda n: [n]),
    lambda inner: st.one_of(
        st.tuples(inner, st.integers(1, 12)).map(lambda loop: loop[0] * loop[1]),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: list(chain(*parts))),
    ),
    max_leaves=6,
)


@settings(deadline=None)
@given(BODIES, st.integers(2, 6), st.sampled_from([1, 1000, 100_000]))
def test_weights_count_every_instruction(kinds, least, steps):
    kinds = np.array(kinds)
    excerpt = excerpt_of(kinds, np.full(len(kinds), steps), least)
    assert (np.diff(excerpt.kept) > 0).all()
    for kind in set(kinds.tolist()):
        counted = excerpt.weight[kinds[excerpt.kept] == kind].sum()
        assert abs(counted - (kinds == kind).sum()) < 1e-6
    for loop in excerpt.loops:
        assert loop.factor > 1
        for first, last in loop.iterations:
            assert 0 <= first <= last < len(excerpt.kept)


def test_long_loops_become_short():
    """The first iterations and the last one stay as they are."""
    kinds = np.array([7, *[1, 2, 2] * 100, 8])
    excerpt = excerpt_of(kinds, np.full(len(kinds), 10_000), 9)
    assert excerpt.kept.tolist() == [*range(13), 298, 299, 300, 301]
    assert excerpt.weight.tolist() == [1] * 7 + [48.5] * 6 + [1] * 4
    assert [loop.iterations for loop in excerpt.loops] == [[(7, 9), (10, 12)]]


def test_an_iteration_that_stands_alone_is_compared_with_the_one_before():
    kinds = np.array([7, *[1, 2, 2] * 100, 8])
    (loop,) = excerpt_of(kinds, np.full(len(kinds), 10_000), 5).loops
    assert loop.iterations == [(4, 6)]
    assert loop.alike == [(1, 3), (4, 6)]


def test_loops_in_loops():
    inner = [1] * 40 + [2]
    excerpt = excerpt_of(np.array(inner * 30), np.full(41 * 30, 10_000), 5)
    assert len(excerpt.kept) == 3 * 4
    assert excerpt.weight.sum() == 41 * 30


def test_little_work_needs_more_iterations_to_settle():
    kinds = np.zeros(1000, dtype=np.int64)
    assert len(excerpt_of(kinds, np.full(1000, 20), 5).kept) == 32
    assert len(excerpt_of(kinds, np.full(1000, 1000), 5).kept) == 9
