"""How close a small node's RTL comes to its bound, with every output compared with golden."""

import pytest

from hw.dadiannao.config import CONFIGS
from scripts.node_efficiency import measure
from sim.verilator.target import VerilatorTarget


@pytest.fixture(scope="module")
def target():
    return VerilatorTarget(CONFIGS["dadiannao-tiny"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layer", "least"),
    [("class:896:32", 0.99), ("conv:10:24:8:16:5", 0.95)],
)
def test_efficiency(layer, least, target):
    """CLASS: rows of synapses are the bound. CONV: windows that overlap, from one broadcast."""
    found = measure(layer, target, CONFIGS["dadiannao-tiny"])
    assert found["active"] >= found["macs"]
    assert found["bound"] >= least * found["steps"], found
    assert found["efficiency"] >= least - 0.15, found
