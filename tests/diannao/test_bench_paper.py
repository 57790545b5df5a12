"""Efficiency on the paper's core: crops on RTL, layers in full by the performance model."""

import pytest

from diannao import CONFIGS
from diannao.bench import LAYERS, Bench

CORE = CONFIGS["diannao-16x16"]
WIDE = CORE.replace(sb_port=2048)
"""With an SB port that is not the limit."""

RTL = {"CONV1": 0.95, "CONV3": 0.93, "CONV4": 0.95, "POOL5": 0.95, "ALEXNET-CONV3": 0.97}
MODEL = {"CONV3": 0.93, "CONV4": 0.95, "POOL5": 0.95, "PROGRAM": 0.95, "FC1024-B64": 0.9,
         "ALEXNET-CONV1": 0.95}  # fmt: skip


@pytest.fixture(scope="module")
def crops():
    with Bench(CORE, most=50_000) as made:
        yield made


@pytest.mark.slow
@pytest.mark.parametrize("name", RTL)
def test_crops_on_rtl(crops, name):
    (cut, rtl), _ = crops.measure(LAYERS[name]).runs
    print(f"{cut.shape}: {rtl.cycles} cycles, efficiency {rtl.efficiency:.3f}")
    assert rtl.efficiency is not None
    assert rtl.efficiency >= RTL[name]


@pytest.mark.slow
def test_the_peers_classifier():
    """Short and by nature without a crop; the bus alone takes 65,664 cycles."""
    with Bench(CORE) as bench:
        ((layer, rtl),) = bench.measure(LAYERS["FC1024"]).runs
    assert layer.memory.bandwidth == 32
    assert rtl.cycles is not None
    assert 65_664 <= rtl.cycles <= 66_400


@pytest.mark.parametrize("name", MODEL)
def test_layers_in_the_model(name):
    ((_, entry),) = Bench(WIDE, model_only=True).measure(LAYERS[name]).runs
    print(f"{name}: {entry.cycles} cycles, efficiency {entry.efficiency:.3f}")
    assert entry.efficiency is not None
    assert entry.efficiency >= MODEL[name]


@pytest.mark.parametrize(
    ("name", "rows", "least"), [("POOL1", 246 * 183 * 4, 0.99), ("POOL3", 8 * 8 * 16 * 7, 0.94)]
)
def test_pooling_reads_a_row_per_cycle(name, rows, least):
    """POOL1 has 12 maps for 16 lanes, POOL3 100 for 7 x 16, so neither can use them all; a row they
    can read in each cycle."""
    ((_, entry),) = Bench(WIDE, model_only=True).measure(LAYERS[name]).runs
    assert entry.active == rows
    assert entry.cycles is not None
    assert rows / entry.cycles >= least
