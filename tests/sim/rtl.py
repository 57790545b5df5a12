"""Networks on the Verilated core, compared with golden tensor by tensor."""

from typing import Any

import numpy as np

from compiler.lowering import lower
from hw.arith.numbers import bounds
from hw.diannao.config import CONFIGS, Config
from sim import golden
from sim.execution import Execution
from sim.graph import Graph
from sim.memory import MemorySettings
from sim.program import Program
from sim.verilator.target import VerilatorTarget

__all__ = ["CORES", "check_rtl", "compiled"]

Tensors = dict[str, np.ndarray]

SMALL: dict[str, Any] = {
    "sb_rows": 24, "nbout_rows": 16, "bias_rows": 4, "max_reduction": 4096, "outstanding": 6,
    "nbin_fifo": 8, "instruction_buffer": 512, "queue": 2,
}  # fmt: skip
CORES = [
    (CONFIGS["tiny"], MemorySettings(latency=20, bandwidth=16)),
    (
        Config(
            name="odd-3x5", tn=3, ti=5, drop=6, multiplier="array", nbin_port=64, sb_port=128,
            nbout_port=32, cp_port=32, nfu1_stages=2, nfu2_stages=1, nfu3_stages=4, **SMALL,
        ),
        MemorySettings(latency=3, bandwidth=255, stall=0.2),
    ),
    (
        Config(
            name="shared-4x4-8bit", tn=4, ti=4, width=8, nbin_port=64, sb_port=64, nbout_port=64,
            cp_port=64, shared_port=True, nfu3_lanes=2, nfu3_multiplier="array", paced=True,
            burst_cycles=2, operand_stages=5, **SMALL,
        ),
        MemorySettings(latency=60, bandwidth=8),
    ),
    (
        Config(
            name="tall-5x2-8bit", tn=5, ti=2, width=8, drop=8, multiplier="array", nbin_port=128,
            sb_port=32, nbout_port=128, cp_port=128, nfu1_stages=1, nfu2_stages=3, nfu3_stages=1,
            **SMALL,
        ),
        MemorySettings(latency=1, bandwidth=255, stall=0.4),
    ),
    (
        Config(
            name="least-2x4-8bit", tn=2, ti=4, width=8, nbin_port=32, sb_port=32, nbout_port=32,
            cp_port=32, shared_port=True, address_width=17, nfu3_lanes=1, counters=False,
            operand_stages=2,
            **{**SMALL, "outstanding": 1, "nbin_fifo": 2, "instruction_buffer": 256, "queue": 0},
        ),
        MemorySettings(latency=2, bandwidth=4),
    ),
    (
        Config(
            name="engine-3x5-8bit", tn=3, ti=5, width=8, nbin_port=32, sb_port=32, nbout_port=32,
            cp_port=32, shared_port=True, address_width=17, nfu3_lanes=1, nfu3_multiplier="adders",
            engine=True, operand_stages=2,
            **{**SMALL, "outstanding": 2, "queue": 1},
        ),
        MemorySettings(latency=9, bandwidth=4, stall=0.2),
    ),
    (
        Config(
            name="engine-4x3", tn=4, ti=3, nbin_port=64, sb_port=64, nbout_port=64, cp_port=64,
            shared_port=True, nfu3_lanes=2, paced=True, engine=True, **SMALL,
        ),
        MemorySettings(latency=20, bandwidth=8),
    ),
    (
        Config(name="single", tn=1, ti=1, nbin_port=32, sb_port=32, nbout_port=32, **SMALL),
        MemorySettings(latency=10, bandwidth=12),
    ),
]  # fmt: skip
"""Small cores that differ in all parameters, each with a memory of its own kind."""


def compiled(graph: Graph, target: VerilatorTarget, seed: int) -> tuple[Program, Tensors, Tensors]:
    """Program, random inputs, and what golden makes of them."""
    rng = np.random.default_rng(seed)
    low, high = bounds(graph.width)
    inputs = {name: rng.integers(low, high + 1, graph.tensors[name].shape) for name in graph.inputs}
    return lower(graph, target.driver.config), inputs, golden.run(graph, inputs).tensors


def check_rtl(graph: Graph, target: VerilatorTarget, seed: int) -> Execution:
    """Compile and run ``graph`` with random inputs; every tensor equals golden."""
    program, inputs, expected = compiled(graph, target, seed)
    done = target.run(program, inputs)
    assert set(done.tensors) == set(expected)
    for name, value in done.tensors.items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
    return done
