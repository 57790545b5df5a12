"""Freeing under a nest: nothing is freed that is read later, and nothing is kept in vain."""

from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.ring import reach, slides, with_frees
from hw.diannao.assembler import Loop, nest
from hw.nfu.layouts import Op

NESTS = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 20)), min_size=1, max_size=5)


def walk(loops):
    """Index vectors, innermost first, in the order of the steps."""
    for index in product(*(range(count) for count, _ in reversed(loops))):
        yield index[::-1]


def at(index, strides) -> int:
    return sum(i * s for i, s in zip(index, strides, strict=True))


@given(NESTS)
@settings(derandomize=True, database=None, max_examples=300)
def test_the_tail_only_advances_and_never_passes_a_later_read(loops):
    moves = slides(loops)
    reads = [at(index, [stride for _, stride in loops]) for index in walk(loops)]
    tails = [at(index, moves) for index in walk(loops)]
    assert tails == sorted(tails)
    assert all(tail <= min(reads[step:]) for step, tail in enumerate(tails))
    assert reach(loops, moves, 7) == 7 + max(r - t for r, t in zip(reads, tails, strict=True))


@given(NESTS, st.integers(0, 9))
@settings(derandomize=True, database=None, max_examples=300)
def test_a_nest_frees_as_its_loops_slide_and_everything_in_the_end(loops, more):
    moves = slides(loops)
    steps = list(walk(loops))
    held = max(at(index, [stride for _, stride in loops]) for index in steps) + 1 + more
    freeing, rest = with_frees([Loop(count=c, nbin=s) for c, s in loops], "nbin", held)
    slot = nest(Op.MAX, freeing, nbin_free=rest)

    counts = [count for count, _ in loops if count > 1]
    tail = 0
    for index in steps:
        assert tail == at(index, moves)
        live = [i for i, (count, _) in zip(index, loops, strict=True) if count > 1]
        advancing = [n for n, i in enumerate(live) if i + 1 < counts[n]]
        tail += slot.levels[advancing[0]].nbin_free if advancing else slot.nbin_free
    assert tail == held


def test_streams_are_freed_read_by_read():
    assert slides([(5, 16), (3, 80)]) == [16, 80]


def test_overlapping_windows_keep_what_the_next_row_of_the_kernel_needs():
    # x, y, kernel row of a 3x3 convolution: rows go one by one, positions keep everything.
    assert slides([(8, 16), (4, 160), (3, 160)]) == [0, 0, 160]


def test_outputs_that_read_the_same_keep_it():
    assert slides([(8, 16), (4, 0)]) == [0, 0]
