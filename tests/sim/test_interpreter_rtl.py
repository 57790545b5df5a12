"""Random programs: what the interpreter does, the Verilated core does, too."""

from collections import Counter

import pytest

from hw.diannao.config import CONFIGS
from sim.memory import MemorySettings
from sim.verilator.target import VerilatorTarget
from tests.sim.random_programs import Outcome, compare


@pytest.fixture(scope="module")
def target():
    target = VerilatorTarget(CONFIGS["tiny"], MemorySettings(latency=20, bandwidth=16))
    yield target
    target.close()


def test_random_programs(target):
    """Same memory, same counters; hangs are seen before."""
    seen = Counter(compare(target, seed) for seed in range(300))
    assert seen[Outcome.RUNS] > 50
    assert seen[Outcome.HANGS] > 20
    assert seen[Outcome.HANGS_IN_INTERPRETER] < seen[Outcome.HANGS], seen
