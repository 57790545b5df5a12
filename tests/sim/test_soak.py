"""A short soak with random memories; scripts/soak.py runs longer ones."""

from collections import Counter

import pytest

from tests.sim.rtl import CORES
from tests.sim.soak import soak_network, soak_program


@pytest.mark.parametrize("config", [c for c, _ in CORES], ids=lambda config: config.name)
def test_soak(config):
    """Seeds 0 to 11; ``scripts/soak.py --seed SEED --count 1 --config NAME`` repeats one.

    Most random programs hang in a core without queues, so more follow until two have run.
    """
    seen = Counter()
    for seed in range(12):
        seen[f"network {soak_network(config, seed)}"] += 1
        seen[f"program {soak_program(config, seed)}"] += 1
    assert seen["network runs"] >= 6, seen
    for seed in range(12, 40):
        if seen["program runs"] >= 2:
            break
        seen[f"program {soak_program(config, seed)}"] += 1
    assert seen["program runs"] >= 2, seen
