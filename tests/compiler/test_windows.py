"""Sliding windows along an axis against a list of every window's positions."""

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from compiler.split import part_sizes, split
from compiler.windows import covered, spans, taps

SIZES = st.tuples(
    st.integers(1, 12), st.integers(1, 5), st.integers(1, 6), st.integers(0, 4), st.integers(0, 4)
)


def naive(inputs, kernel, stride, before, after):
    """(positions inside the input, positions inside input and padding) of every window."""
    outputs = (inputs + before + after - kernel) // stride + 1
    for output in range(outputs):
        window = range(output * stride - before, output * stride - before + kernel)
        yield [p for p in window if 0 <= p < inputs], sum(p < inputs + after for p in window)


@given(SIZES, st.booleans())
@settings(derandomize=True, database=None, max_examples=300)
def test_spans_are_the_windows(sizes, include_pad):
    inputs, kernel, stride, before, after = sizes
    assume(inputs + before + after >= kernel)
    windows = list(naive(*sizes))
    assume(all(inside for inside, _ in windows))
    found = []
    for span in spans(inputs, len(windows), kernel, stride, (before, after), include_pad):
        assert span.first == len(found)
        for i in range(span.count):
            start = span.start + i * stride
            found.append((list(range(start, start + span.size)), span.divisor))
    assert found == [(i, padded if include_pad else len(i)) for i, padded in windows]
    arguments = inputs, len(windows), kernel, stride, before
    assert taps(*arguments) == sum(len(inside) for inside, _ in windows)
    assert covered(*arguments) == len({p for inside, _ in windows for p in inside})


def test_unclipped_windows_are_one_span():
    assert len(spans(100, 49, 3, 2, (0, 0), False)) == 1


@given(st.integers(1, 200), st.integers(1, 200))
@settings(derandomize=True, database=None)
def test_parts_are_few_and_nearly_equal(total, most):
    parts = split(total, most)
    sizes = [size for _, size in parts]
    assert [start for start, _ in parts] == [sum(sizes[:n]) for n in range(len(sizes))]
    assert sum(sizes) == total
    assert len(parts) == -(-total // most)
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= most


@given(st.integers(1, 300))
@settings(derandomize=True, database=None)
def test_part_sizes_are_all_there_are(total):
    assert part_sizes(total) == sorted({-(-total // parts) for parts in range(1, total + 1)})
