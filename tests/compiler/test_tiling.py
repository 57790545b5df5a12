"""The search for tiles: what it finds is legal, fills the lanes, and is near the bound."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boards.catalog import BOARDS
from compiler.blocks import Convolution, Patch, Tiling, passes_of
from compiler.tiling import candidates, choose
from compiler.trial import trial
from hw.diannao.config import CONFIGS, Config
from sim.memory import MemorySettings

CONFIG = CONFIGS["fpga-16x16"]
MEMORY = MemorySettings()


def convolution(batch, height, width, channels, outputs, kernel, stride=1, by_columns=False):
    """A convolution of a square kernel over a map without gaps."""
    pixel = 2 * channels
    wide, high = (extent * stride + kernel for extent in (width, height))
    row, pixel = (pixel, high * pixel) if by_columns else (wide * pixel, pixel)
    pitches = (wide * high * 2 * channels, row, pixel)
    return Convolution(
        batch, height, width, channels, outputs, (kernel, kernel), (stride, stride), pitches
    )


def classifier(batch, inputs, outputs):
    return Convolution(1, 1, batch, inputs, outputs, (1, 1), (1, 1), (0, 0, 2 * inputs))


def patches(shape: Convolution, tiling: Tiling, config: Config) -> list[Patch]:
    return [
        Patch.of(
            shape, tiling.window, passes, tiling.images, tiling.rows, tiling.columns, config.ti
        )
        for passes in passes_of(shape.channels, tiling.channels)
    ]


def steps(shape: Convolution, tiling: Tiling, config: Config) -> int:
    """NFU steps of the whole convolution."""
    passes = passes_of(shape.channels, tiling.channels)
    rows = [
        patch.rows_of_weights(part)
        for patch, part in zip(patches(shape, tiling, config), passes, strict=True)
    ]
    groups = -(-shape.outputs // config.tn)
    return shape.batch * shape.height * shape.width * groups * sum(rows)


LAYERS = {
    "AlexNet conv2": (convolution(1, 27, 27, 96, 256, 5), 1.0),
    "AlexNet conv3": (convolution(1, 13, 13, 256, 384, 3), 1.0),
    "VGG conv1_2": (convolution(1, 224, 224, 64, 64, 3), 1.0),
    "VGG conv5": (convolution(1, 14, 14, 512, 512, 3), 1.0),
    "ResNet 1x1": (convolution(1, 56, 56, 64, 256, 1), 1.0),
    "ResNet 1x1 reducing": (convolution(1, 14, 14, 1024, 256, 1), 1.0),
    "ResNet 7x7": (convolution(1, 7, 7, 512, 512, 3), 1.0),
    "paper CONV1": (convolution(1, 240, 240, 32, 64, 11), 1.0),
    "paper CONV3": (convolution(1, 100, 100, 100, 200, 3), 0.94),
    "paper CONV4": (convolution(1, 26, 26, 512, 512, 3), 1.0),
    "batch of 64": (classifier(64, 1024, 1024), 1.0),
    "first layer by columns": (convolution(1, 55, 55, 3, 96, 11, 4, by_columns=True), 0.98),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_layers_of_known_networks_fill_lanes_and_time(layer):
    shape, lanes = LAYERS[layer]
    cycles, tiling = choose(shape, CONFIG, MEMORY)
    bound = shape.macs / (CONFIG.tn * CONFIG.ti)
    assert bound / steps(shape, tiling, CONFIG) >= lanes
    assert bound / cycles >= 0.97 * lanes


def test_a_single_vector_is_bound_by_its_weights():
    shape = classifier(1, 9216, 4096)
    found = choose(shape, CONFIG, MEMORY).cycles
    assert found == pytest.approx(9216 * 4096 * 16 / CONFIG.sb_port, rel=0.01)


def test_slow_memory_is_spared():
    """With a tenth of the memory rate, tiles change such that each byte is used more often."""
    shape = convolution(1, 56, 56, 64, 64, 3)
    slow = MemorySettings(bandwidth=25)
    bound = shape.macs / (CONFIG.tn * CONFIG.ti)
    assert bound / choose(shape, CONFIG, slow).cycles >= 0.9


def test_the_model_decides():
    """It finds what the formula that ranks the candidates takes for second best."""
    shape = classifier(64, 1024, 1024)
    first = candidates(shape, CONFIG, MEMORY)[0].tiling
    cycles, tiling = choose(shape, CONFIG, MEMORY)
    assert tiling != first
    assert cycles == trial(shape, tiling, CONFIG, MEMORY)
    assert cycles < 0.99 * trial(shape, first, CONFIG, MEMORY)


def test_the_time_of_an_engine_counts():
    """A core of eight multipliers and an engine keeps them busy, whichever layer it is."""
    config = BOARDS["icebreaker"].config
    memory = MemorySettings(latency=2, bandwidth=4)
    for channels, outputs, size in ((16, 32, 8), (32, 32, 4)):
        shape = Convolution(
            1, size, size, channels, outputs, (3, 3), (1, 1),
            ((size + 2) ** 2 * channels, (size + 2) * channels, channels),
        )  # fmt: skip
        cycles = choose(shape, config, memory).cycles
        print(f"{shape.macs / 8:.0f} steps, {cycles:.0f} cycles")
        assert shape.macs / 8 >= 0.85 * cycles


def test_whole_windows_are_chosen_only_for_few_channels():
    assert choose(
        convolution(1, 55, 55, 3, 96, 11, 4, by_columns=True), CONFIG, MEMORY
    ).tiling.window
    assert not choose(convolution(1, 55, 55, 16, 96, 11, 4), CONFIG, MEMORY).tiling.window


@given(
    st.tuples(
        st.integers(1, 3),
        st.integers(1, 30),
        st.integers(1, 30),
        st.integers(1, 70),
        st.integers(1, 70),
    ),
    st.integers(1, 7),
    st.integers(1, 4),
    st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(2, 40), st.integers(2, 40)),
)
@settings(derandomize=True, database=None, deadline=None, max_examples=150)
def test_what_is_chosen_fits_the_buffers(sizes, kernel, stride, core):
    tn, ti, sb_rows, nbout_rows = core
    config = CONFIGS["tiny"].replace(
        tn=tn, ti=ti, nbin_rows=16, sb_rows=sb_rows, nbout_rows=nbout_rows
    )
    batch, height, width, channels, outputs = sizes
    shape = convolution(batch, height, width, channels, outputs, kernel, stride)
    for _, tiling in candidates(shape, config, MEMORY):
        positions = tiling.images * tiling.rows * tiling.columns
        assert positions * tiling.groups <= nbout_rows
        assert tiling.groups <= min(config.bias_rows, sb_rows)
        for patch in patches(shape, tiling, config):
            assert patch.reach <= config.nbin_elements
            assert sum(count > 1 for count in (tiling.groups, *(c for c, _ in patch.loops))) <= 6
        assert steps(shape, tiling, config) * tn * ti >= shape.macs


def test_equal_layers_are_searched_once():
    shape = convolution(1, 28, 28, 32, 32, 3)
    assert choose(shape, CONFIG, MEMORY) is choose(shape, CONFIG, MemorySettings())
