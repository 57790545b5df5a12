"""The timeline of the units, recorded from the RTL, against the program and the counters."""

import json
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from compiler.lowering import lower
from hw.arith.numbers import bounds
from hw.diannao.config import CONFIGS
from hw.diannao.words import columns
from hw.errors import UserError
from sim.memory import MemorySettings
from sim.verilator.target import VerilatorTarget
from tests.compiler.networks import Network

TINY = CONFIGS["tiny"]
TRACKS = {"nbin": 0, "sb": 1, "nfu": 2, "nbout": 3}
CAUSES = {
    "waits for NBin": "nbin", "waits for SB": "sb", "waits for NBout": "nbout",
    "waits for a store": "store", "waits for an instruction": "instruction",
}  # fmt: skip


def program_and_inputs():
    """Two layers, so that the second waits for the stores of the first."""
    net = Network(TINY, 3)
    net.pool(net.conv(net.input(1, 5, 7, 7), 6), "max")
    graph = net.graph()
    low, high = bounds(TINY.width)
    shape = graph.tensors["t0"].shape
    rng = np.random.default_rng(2)
    return lower(graph, TINY), {"t0": rng.integers(low, high, shape, endpoint=True)}


def traced(path, runs: int = 1, **options):
    """The slices of a trace, and the executions."""
    program, inputs = program_and_inputs()
    target = VerilatorTarget(TINY, MemorySettings(latency=9, bandwidth=6), trace=path, **options)
    done = [target.run(program, inputs) for _ in range(runs)]
    assert not path.exists(), "the file must appear when it is complete"
    target.close()
    trace = json.loads(path.read_text())
    named = {
        event["args"]["name"] for event in trace["traceEvents"] if event["name"] == "thread_name"
    }
    assert named == {"NBin DMA", "SB DMA", "NFU", "NBout DMA"}
    return program, done, [event for event in trace["traceEvents"] if event["ph"] == "X"]


def of(events, unit):
    """The slots of a unit, without the NFU's waits."""
    return [e for e in events if e["tid"] == TRACKS[unit] and e["name"] not in CAUSES]


def test_every_slot_has_its_slice(tmp_path):
    """In the program's order, one after the other, with what it moves and the layer's name."""
    program, (done,), events = traced(tmp_path / "t.json")
    slots = columns(program.words)
    for unit in TRACKS:
        slices = of(events, unit)
        assert [e["args"]["instruction"] for e in slices] == slots[unit].owners.tolist()
        for before, after in pairwise(slices):
            assert before["ts"] + before["dur"] <= after["ts"]
        assert all(e["dur"] > 0 and e["args"]["taken"] <= e["ts"] for e in slices)
        names = {layer.name for layer in program.layers.values()}
        assert {e["name"].split(" ", 1)[1] for e in slices} == names
        if unit != "nfu":
            assert sum(e["args"]["bytes"] for e in slices) == done.bytes[unit]
    for event in of(events, "nfu"):
        word = program.words[event["args"]["offset"] // 8]
        assert int(word) & 0xFF == 0xD1, "the offset must be that of an instruction"


def test_nfu_time_is_steps_and_waits(tmp_path):
    """A nest's slice lasts its steps and the waits inside; all waits agree with the counters."""
    _, (done,), events = traced(tmp_path / "t.json")
    waits = [e for e in events if e["name"] in CAUSES]
    for nest in of(events, "nfu"):
        start, end = nest["ts"], nest["ts"] + nest["dur"]
        inside = [e for e in waits if start <= e["ts"] and e["ts"] + e["dur"] <= end]
        assert nest["dur"] == nest["args"]["steps"] + sum(e["dur"] for e in inside)
        overlapping = [e for e in waits if e["ts"] < end and e["ts"] + e["dur"] > start]
        assert overlapping == inside
    seen = Counter()
    for wait in waits:
        seen[CAUSES[wait["name"]]] += wait["dur"]
    counted = Counter()
    for layer in done.layers.values():
        counted.update(layer.stalls)
    assert +seen == +counted
    assert {"nbin", "sb", "store", "instruction"} <= set(+seen)


def test_runs_follow_each_other_and_a_window_cuts(tmp_path):
    _, done, events = traced(tmp_path / "a.json", runs=2)
    first, second = done
    assert first.cycles == second.cycles
    nests = of(events, "nfu")
    half = len(nests) // 2
    shift = nests[half]["ts"] - nests[0]["ts"]
    assert shift > first.cycles
    for early, late in zip(nests[:half], nests[half:], strict=True):
        assert late["ts"] == early["ts"] + shift
        assert late["dur"] == early["dur"]
    begin, end = nests[2]["ts"] + 1, nests[4]["ts"] + nests[4]["dur"]
    _, _, cut = traced(tmp_path / "b.json", runs=2, window=(begin, end))
    assert of(cut, "nfu") == nests[2:5]
    assert max(e["ts"] + e["dur"] for e in cut) <= end
    assert all(e in events for e in of(cut, "sb"))


def test_other_endings_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"a trace must end in .vcd, .fst or .json, not 'a.trc'"):
        VerilatorTarget(TINY, trace=tmp_path / "a.trc")
