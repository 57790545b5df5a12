"""Random programs: what the interpreter does, the Verilated core does, too."""

from collections import Counter

import pytest

from sim.verilator.target import VerilatorTarget
from tests.sim.random_programs import Outcome, compare
from tests.sim.rtl import CORES

SYSTEMS = [(c, memory) for c, memory in CORES if c.name in ("tiny", "engine-4x3")]


@pytest.fixture(scope="module", params=SYSTEMS, ids=lambda system: system[0].name)
def target(request):
    target = VerilatorTarget(*request.param)
    yield target
    target.close()


def test_random_programs(target):
    """Same memory, same counters; hangs are seen before."""
    seen = Counter(compare(target, seed) for seed in range(300))
    assert seen[Outcome.RUNS] > 50
    assert seen[Outcome.HANGS] > 20
    assert seen[Outcome.HANGS_IN_INTERPRETER] < seen[Outcome.HANGS], seen
