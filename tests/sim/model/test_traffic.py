"""Bursts and words of descriptors, against the rules told byte by byte."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.bus.bursts import burst_bytes
from hw.diannao.assembler import Instruction, NbinLoad, Runs, encode
from hw.diannao.words import columns
from sim.model.traffic import bursts_of, runs_of, words_of

RUNS = st.builds(
    Runs,
    address=st.integers(0, 20_000),
    run=st.integers(1, 9_000),
    count=st.tuples(*[st.integers(1, 3)] * 3),
    stride=st.tuples(*[st.integers(0, 5_000)] * 3),
)


def ranges(runs: Runs) -> list[tuple[int, int]]:
    """First and one past the last byte of every run."""
    return [
        (begin, begin + runs.run)
        for begin in (
            runs.address + a * runs.stride[0] + b * runs.stride[1] + c * runs.stride[2]
            for c in range(runs.count[2])
            for b in range(runs.count[1])
            for a in range(runs.count[0])
        )
    ]


def slots_of(descriptors: list[Runs]):
    return columns(
        encode([*(Instruction(nbin=NbinLoad(each)) for each in descriptors), Instruction(end=True)])
    )["nbin"]


@settings(deadline=None)
@given(
    st.lists(RUNS, min_size=1, max_size=3),
    st.sampled_from([32, 64, 256, 2048]),
    st.sampled_from([1, 3, 16, 64]),
)
def test_bursts_cover_the_runs(descriptors, port, longest):
    """Every burst ends with its run or at a multiple of the burst size, and none sooner."""
    beat = port // 8
    size = burst_bytes(port, longest * beat)
    runs = runs_of(slots_of(descriptors))
    bursts = bursts_of(runs, port, longest * beat)
    expected = []
    number = 0
    for descriptor in descriptors:
        for begin, end in ranges(descriptor):
            at = begin
            while at < end:
                stop = min(end, (at // size + 1) * size)
                beats = (stop - 1) // beat - at // beat + 1
                expected.append((number, beats, stop - at, at == begin))
                at = stop
            number += 1
    found = zip(bursts.run, bursts.beats, bursts.bytes, bursts.first, strict=True)
    assert [tuple(map(int, each)) for each in found] == expected
    assert runs.last.sum() == len(descriptors)


@settings(deadline=None)
@given(st.lists(RUNS, min_size=1, max_size=3), st.sampled_from([32, 128, 1024]))
def test_words_come_with_the_beat_that_holds_their_last_byte(descriptors, port):
    """A word that is the whole rest of its beat waits a cycle, one of two beats does not."""
    beat = port // 8
    words = words_of(runs_of(slots_of(descriptors)), port)
    expected = []
    beats = number = 0
    for descriptor in descriptors:
        for begin, end in ranges(descriptor):
            first = begin // beat
            for at in range(begin, end, beat):
                stop = min(end, at + beat)
                last = (stop - 1) // beat
                held = last == at // beat
                # A whole word from the middle of a beat needs the next beat, if there is one.
                expected.append((number, stop - at, beats + last - first, held, stop == end))
            beats += (end - 1) // beat - first + 1
            number += 1
    found = zip(words.run, words.size, words.beat, words.delay, words.last, strict=True)
    assert [tuple(map(int, each)) for each in found] == expected


def test_nothing_to_do():
    slots = columns(encode([Instruction(end=True)]))["nbin"]
    runs = runs_of(slots)
    assert (
        len(runs.slot) == len(bursts_of(runs, 64, 512).beats) == len(words_of(runs, 64).beat) == 0
    )
    assert np.array_equal(runs.last, np.zeros(0, dtype=bool))
