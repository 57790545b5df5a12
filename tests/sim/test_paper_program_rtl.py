"""The paper's example program on the RTL of the paper's core: counts, traffic and result."""

import numpy as np
import pytest

from compiler.bound import bound_cycles
from compiler.paper_program import TAG, paper_layer, paper_program
from hw.arith.numbers import bounds
from hw.diannao.assembler import decode
from hw.diannao.config import CONFIGS
from sim import golden
from sim.verilator.target import VerilatorTarget

CONFIG = CONFIGS["diannao-16x16"]


@pytest.fixture(scope="module")
def target():
    target = VerilatorTarget(CONFIG)
    yield target
    target.close()


def test_papers_program(target):
    """128 instructions, 8192 active cycles, 4 MiB of weights once, 512 bytes written (claim D6)."""
    graph = paper_layer(CONFIG)
    program = paper_program(graph, CONFIG)
    assert sum(instruction.tag == TAG for instruction in decode(program.words)) == 128
    x = np.random.default_rng(7).integers(*bounds(16), (1, 8192), endpoint=True)
    done = target.run(program, {"x": x})

    expected = golden.run(graph, {"x": x}).tensors["y"]
    np.testing.assert_array_equal(done.tensors["y"], expected)
    assert len(np.unique(expected)) > 200
    assert done.layers[TAG].active == target.driver.counters()["NFU_ACTIVE"] == 8192
    parameters = (256 // CONFIG.tn + CONFIG.table_rows) * CONFIG.bias_row_bytes
    assert done.bytes["nbin"] == 8192 * 2
    assert done.bytes["sb"] == 4 * 1024**2 + parameters
    assert done.bytes["nbout"] == 512
    assert done.bytes["cp"] == 8 * len(program.words)

    # An SB port of 1024 bits feeds a row every fourth cycle, which is the bound here.
    bound = bound_cycles(program.layers[TAG], CONFIG)
    print(f"{done.cycles} cycles, bound {bound:.0f}, efficiency {bound / done.cycles:.3f}")
    assert bound / done.cycles >= 0.95
