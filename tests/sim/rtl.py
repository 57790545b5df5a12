"""Networks on the Verilated core, compared with golden tensor by tensor."""

import numpy as np

from compiler.lowering import lower
from hw.arith.numbers import bounds
from sim import golden
from sim.execution import Execution
from sim.graph import Graph
from sim.program import Program
from sim.verilator.target import VerilatorTarget

__all__ = ["check_rtl", "compiled"]

Tensors = dict[str, np.ndarray]


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
