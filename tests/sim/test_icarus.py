"""The target icarus: golden's integers, and the cycles that Verilator counts."""

import shutil

import numpy as np
import pytest

from compiler.lowering import lower
from hw.diannao.config import CONFIGS, Config
from hw.diannao.isa import ErrorCode
from hw.errors import UserError
from sim import golden
from sim.driver import CoreError
from sim.icarus import IcarusTarget
from sim.memory import MemorySettings
from sim.verilator.target import VerilatorTarget
from tests.compiler.networks import Network

SHARED = Config(
    name="shared", tn=3, ti=2, width=8, nbin_port=32, sb_port=32, nbout_port=32, cp_port=32,
    shared_port=True, sb_rows=16, nbout_rows=8, bias_rows=2, max_reduction=1024, outstanding=4,
    nbin_fifo=8, instruction_buffer=512, queue=2,
)  # fmt: skip


@pytest.mark.parametrize(
    ("config", "memory"),
    [
        (CONFIGS["tiny"], MemorySettings(latency=9)),
        pytest.param(SHARED, MemorySettings(latency=20, bandwidth=3), marks=pytest.mark.slow),
    ],
    ids=["separate", "shared"],
)
def test_results_cycles_and_traffic_equal_verilator(config, memory):
    net = Network(config, 5)
    x = net.input(2, 3, 6, 5)
    y = net.pool(net.conv(x, 5, (3, 3), (1, 1), (1, 1, 1, 1)), "max")
    net.gemm(y, 7)
    graph = net.graph()
    program = lower(graph, config, memory)
    values = {x: np.random.default_rng(1).integers(-128, 128, graph.tensors[x].shape)}
    expected = golden.run(graph, values).tensors
    icarus = IcarusTarget(config, memory)
    verilator = VerilatorTarget(config, memory)
    try:
        got, other = icarus.run(program, values), verilator.run(program, values)
    finally:
        icarus.close()
        verilator.close()
    assert set(got.tensors) == set(expected)
    for name, value in got.tensors.items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
    assert (got.source, got.cycles, got.bytes) == (other.source, other.cycles, other.bytes)
    for tag, layer in got.layers.items():
        same = other.layers[tag]
        assert (layer.cycles, layer.active, layer.bytes) == (same.cycles, same.active, same.bytes)
        assert layer.stalls == {name: n for name, n in same.stalls.items() if n}


def test_error_of_the_core_reaches_the_caller():
    config = CONFIGS["tiny"]
    net = Network(config, 1)
    net.gemm(net.input(1, 8), 2)
    program = lower(net.graph(), config)
    program.words[0] ^= np.uint64(1)
    target = IcarusTarget(config)
    with pytest.raises(CoreError, match="ILLEGAL_INSTRUCTION") as caught:
        target.run(program, {"t0": np.zeros((1, 8), np.int64)})
    assert caught.value.code is ErrorCode.ILLEGAL_INSTRUCTION
    target.close()


def test_missing_simulator(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="install it: apt-get install iverilog"):
        IcarusTarget(CONFIGS["tiny"])


def test_random_pauses_are_refused():
    with pytest.raises(UserError, match="use verilator"):
        IcarusTarget(CONFIGS["tiny"], MemorySettings(stall=0.5))
