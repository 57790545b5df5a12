"""Parts of the performance model on their own; test_rtl.py holds all of it to the RTL."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.dadiannao import lower
from hw.dadiannao.config import CONFIGS
from sim.dadiannao.model import MachineModel
from sim.dadiannao.model.fetch import Fetch, FetchPort
from sim.dadiannao.model.network import Line
from tests.compiler.networks import Network

TINY = CONFIGS["dadiannao-tiny-4"]


@given(
    trains=st.lists(
        st.lists(st.integers(0, 300), min_size=1, max_size=60).map(sorted), min_size=1, max_size=6
    ),
    interval=st.sampled_from([Fraction(1), Fraction(3, 2), Fraction(959, 633), Fraction(7)]),
)
def test_words_keep_their_order_and_the_rate(trains, interval):
    """Nobody goes before it comes, or before the one in front; together they keep the rate."""
    line, gone = Line(interval), []
    for channel, train in enumerate(trains):
        times = line.pass_on(np.array(train), channel)
        assert (times >= train).all()
        assert (np.diff(times) > 0).all()
        gone.extend(times.tolist())
    gone.sort()
    for first in range(len(gone)):
        for last in range(first + 1, len(gone)):
            assert gone[last] - gone[first] > (last - first) * interval - 1


def test_later_words_find_the_gaps():
    line = Line(Fraction(1))
    assert line.pass_on(np.array([0, 2, 4, 6])).tolist() == [0, 2, 4, 6]
    assert line.pass_on(np.array([0, 0, 0, 4]), 1).tolist() == [1, 3, 5, 7]


@pytest.mark.parametrize("count", [50, 68, 69, 300])
def test_a_window_is_open_until_it_is_full(count):
    """Credits of 68 places that come back after 103 cycles."""
    line = Line(Fraction(1), window=68, back=103)
    times = [line.pass_on(np.zeros(some, dtype=np.int64)) for some in (20, count - 20)]
    rounds, place = np.divmod(np.arange(count), 68)
    np.testing.assert_array_equal(np.concatenate(times), rounds * 103 + place)


def read(nodes: int, words: int, latency: int) -> list[list[int]]:
    """When greedy decoders of several nodes take the words of programs as long as ``words``."""
    fetches = [Fetch(TINY, 4096 * node, words) for node in range(nodes)]
    port = FetchPort(fetches, latency)
    taken: list[list[int]] = [[] for _ in fetches]
    for fetch in fetches:
        fetch.start(0)
    while any(fetch.taken < words for fetch in fetches):
        for fetch, times in zip(fetches, taken, strict=True):
            while fetch.taken < words and (there := fetch.available()) is not None:
                times.append(max(there, times[-1] + 1 if times else 0))
                fetch.take(times[-1])
        if port.request is not None:
            port.serve()
    return taken


def test_a_buffer_full_of_words_is_there_at_once():
    buffered = TINY.instruction_buffer // 8
    assert read(1, buffered, 100) == [list(range(buffered))]


@pytest.mark.parametrize("nodes", [1, 2, 4])
def test_nodes_share_the_port(nodes):
    """Behind what is in the buffers all nodes together get a word per cycle."""
    buffered, words = TINY.instruction_buffer // 8, 1024
    for times in read(nodes, words, 20):
        assert times[-1] == pytest.approx(nodes * (words - buffered), abs=200)


def test_a_slow_memory_holds_up_a_node():
    """A buffer's worth of words in every round trip."""
    buffered, words, latency = TINY.instruction_buffer // 8, 1280, 1000
    (times,) = read(1, words, latency)
    assert times[-1] == pytest.approx((words // buffered - 1) * latency, rel=0.05)


@pytest.mark.parametrize("width", range(14, 19))
@pytest.mark.parametrize("channels", [4, 8])
def test_windows_meet_no_busy_banks(width, channels):
    """Whatever a map's width: rows of pixels lie so that neighbours are in different banks."""
    config = CONFIGS["dadiannao-tiny"]
    net = Network(config.core, 0)
    x = net.pool(net.conv(net.input(1, 4, 12, width), channels, (1, 1)), "max")
    model = MachineModel(config)
    model.run(lower(net.graph(net.conv(x, 4, (1, 1))), config))
    node = model.nodes[0]
    assert node.layers[1] <= node.active[1] + 90  # which begin and end take
