"""Lowered programs, run by the interpreter, against golden: every tensor, every bit."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from compiler.lowering import lower
from hw.bus.row_beats import least_rows
from hw.diannao.config import CONFIGS, Config
from hw.errors import UserError

from .networks import Network, check

FAST = settings(
    derandomize=True, deadline=None, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)  # fmt: skip

TINY = CONFIGS["tiny"]
PAPER = CONFIGS["diannao-16x16"]


@st.composite
def configs(draw) -> Config:
    """Small cores of all shapes, with buffers from ample to barely enough."""
    width = draw(st.sampled_from([16, 8]))
    drop = draw(st.sampled_from([0, 3, width - 2]))
    tn = draw(st.integers(1, 6))
    nbout_port = draw(st.sampled_from([32, 128]))
    fewest = least_rows(tn * width // 8, nbout_port // 8)
    return TINY.replace(
        tn=tn,
        ti=draw(st.integers(1, 6)),
        width=width,
        drop=drop,
        multiplier="array" if drop else "dsp",
        nbin_rows=draw(st.sampled_from([64, 32, 16])),
        sb_rows=draw(st.sampled_from([32, 16, 5, 2])),
        nbout_rows=draw(st.sampled_from([rows for rows in (16, 7, 2) if rows >= fewest])),
        bias_rows=draw(st.integers(1, 4)),
        segments=draw(st.sampled_from([8, 5, 2])),
        sb_port=draw(st.sampled_from([64, 32, 256])),
        nbout_port=nbout_port,
        queue=draw(st.integers(1, 3)),
    )


def windows(draw, height: int, width: int, *, inside: bool):
    """Kernel, strides and pads that fit a map; ``inside``: every window contains some input."""
    kernel = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    strides = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    most = [size - 1 if inside else 2 for size in kernel]
    pads = tuple(draw(st.integers(0, most[axis % 2])) for axis in range(4))
    assume(height + pads[0] + pads[2] >= kernel[0] and width + pads[1] + pads[3] >= kernel[1])
    if inside:
        assume(height >= pads[2] and width >= pads[3])
        assume(
            pads[0] + height > (height + pads[0] + pads[2] - kernel[0]) // strides[0] * strides[0]
        )
        assume(pads[1] + width > (width + pads[1] + pads[3] - kernel[1]) // strides[1] * strides[1])
    return kernel, strides, pads


@st.composite
def networks(draw, config: Config, layers: int):
    """A network of random layers whose inputs are any tensors before them."""
    net = Network(config, draw(st.integers(0, 1 << 30)))
    size = st.integers(1, 8)
    names = [net.input(draw(st.integers(1, 3)), draw(size), draw(size), draw(size))]
    for _ in range(layers):
        x = draw(st.sampled_from(names))
        shape = net.shape(x)
        kinds = ["gemm", "add", "concat"]
        kinds += ["conv", "local", "pool", "conv"] if len(shape) == 4 else []
        kind = draw(st.sampled_from(kinds))
        if kind == "conv":
            groups = draw(st.sampled_from([n for n in range(1, 15) if not shape[1] % n]))
            outputs = groups * draw(st.integers(1, 14 // groups))
            parameters = windows(draw, *shape[2:], inside=False)
            names.append(net.conv(x, outputs, *parameters, groups))
        elif kind == "local":
            names.append(
                net.local(x, draw(st.integers(1, 9)), *windows(draw, *shape[2:], inside=False))
            )
        elif kind == "gemm":
            names.append(net.gemm(x, draw(st.integers(1, 20))))
        elif kind == "pool":
            kind = draw(st.sampled_from(["max", "average"]))
            parameters = windows(draw, *shape[2:], inside=True)
            names.append(net.pool(x, kind, *parameters, draw(st.booleans())))
        elif kind == "add":
            same = [name for name in names if net.shape(name) == shape]
            names.append(net.add(x, draw(st.sampled_from(same))))
        else:
            like = [
                n for n in names if (net.shape(n)[0], net.shape(n)[2:]) == (shape[0], shape[2:])
            ]
            others = draw(st.lists(st.sampled_from(like), min_size=1, max_size=2))
            assume(sum(net.shape(n)[1] for n in others) < 50)
            names.append(net.concat(x, *others))
    return net.graph()


@given(st.data())
@settings(FAST, max_examples=150)
def test_one_layer(data):
    config = data.draw(configs())
    check(data.draw(networks(config, layers=1)), config)


@given(st.data())
@settings(FAST, max_examples=150)
def test_networks(data):
    config = data.draw(configs())
    check(data.draw(networks(config, layers=5)), config)


@pytest.mark.parametrize("channels", [1, 3, 17])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 5), (11, 11)])
@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize(
    "config", [TINY, TINY.replace(tn=3, ti=5), PAPER], ids=lambda c: f"{c.tn}x{c.ti}"
)
def test_convolution_shapes(config, channels, kernel, stride):
    net = Network(config, seed=channels)
    x = net.input(2, channels, 13, 12)
    net.conv(x, 19, kernel, (stride, stride), (1, 0, 2, 3))
    check(net.graph(), config)


@pytest.mark.parametrize("config", [TINY, PAPER.replace(drop=8)], ids=lambda c: f"{c.tn}x{c.ti}")
@pytest.mark.parametrize(
    ("channels", "outputs", "groups", "steps"),
    [
        # Steps on 16x16: groups that fill the lanes one by one, smaller ones several together.
        (96, 64, 2, 2 * 3 * 2),
        (48, 48, 48, 3),
        (40, 80, 40, 5),
        (24, 24, 4, 2 * 1),
        (35, 14, 7, 3),
    ],
)  # fmt: skip
def test_grouped_convolutions(config, channels, outputs, groups, steps):
    net = Network(config, seed=1)
    x = net.input(2, channels, 5, 4)
    net.conv(x, outputs, (1, 1), groups=groups)
    net.conv(x, outputs, (3, 2), (2, 1), (1, 0, 1, 1), groups)
    _, done = check(net.graph(), config)
    if config.tn == 16:
        assert done.layers[0].active == 2 * 5 * 4 * steps


@pytest.mark.parametrize(
    "config", [TINY, TINY.replace(tn=3, ti=5), PAPER], ids=lambda c: f"{c.tn}x{c.ti}"
)
@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize(
    ("kernel", "strides", "pads"),
    [
        ((2, 2), (2, 2), (0, 0, 0, 0)),
        ((3, 3), (2, 2), (1, 1, 1, 1)),
        ((3, 2), (1, 1), (2, 1, 0, 0)),
        ((7, 6), (1, 1), (0, 0, 0, 0)),
        ((2, 2), (3, 5), (0, 0, 0, 0)),
        ((1, 1), (2, 3), (0, 0, 0, 0)),
        ((1, 1), (1, 1), (0, 0, 0, 0)),
    ],
)  # fmt: skip
def test_pooling_shapes(config, kind, kernel, strides, pads):
    net = Network(config, seed=1)
    for channels in (1, 3, 17, 35):
        net.pool(net.input(2, channels, 7, 6), kind, kernel, strides, pads, channels == 3)
    check(net.graph(), config)


def test_a_reduction_of_25088():
    config = PAPER.replace(nbin_rows=16)
    net = Network(config, seed=1)
    net.gemm(net.input(2, 512, 7, 7), 20)
    check(net.graph(), config)


def test_classifiers_with_a_batch_read_their_weights_once():
    net = Network(PAPER, seed=1)
    net.gemm(net.input(64, 256), 256)
    program, done = check(net.graph(), PAPER)
    weights = 256 // 16 * 256 // 16 * PAPER.weight_row_bytes
    parameters = (PAPER.table_rows + 256 // 16) * PAPER.bias_row_bytes
    assert done.bytes["sb"] == weights + parameters
    assert program.layers[0].nfu_steps == done.active


def test_concatenation_costs_nothing():
    net = Network(PAPER, seed=1)
    x = net.input(1, 32, 8, 8)
    y = net.conv(x, 32, pads=(1, 1, 1, 1))
    net.conv(net.concat(y, net.conv(x, 48, (1, 1))), 16)
    program, _ = check(net.graph(), PAPER)
    assert [layer.op for layer in program.layers.values()] == ["Conv"] * 3


def test_a_tensor_in_two_concatenations_is_copied():
    net = Network(PAPER, seed=1)
    x = net.input(1, 5, 3, 3)
    net.concat(x, x)
    net.concat(net.pool(x, "max"), net.pool(x, "max"))
    net.concat(x, net.pool(x, "max", (1, 1), (1, 1)))
    program, _ = check(net.graph(), PAPER)
    assert [layer.op for layer in program.layers.values()].count("Copy") == 2


def test_halos_of_a_tensor_cover_all_its_readers():
    net = Network(PAPER, seed=1)
    x = net.input(2, 16, 9, 9)
    y = net.conv(x, 16, pads=(1, 1, 1, 1))
    net.conv(y, 16, (5, 5), pads=(2, 2, 2, 2))
    net.conv(y, 16, (1, 3), (2, 1), pads=(0, 0, 0, 1))
    net.gemm(y, 10)
    net.pool(y, "max", (3, 3), (2, 2), (1, 1, 1, 1))
    net.add(net.conv(y, 16, pads=(1, 1, 1, 1)), y)
    check(net.graph(), PAPER)


def test_tables_are_loaded_once_where_they_repeat():
    net = Network(PAPER, seed=1)
    x = net.input(1, 16, 8, 8)
    net.conv(net.conv(x, 16), 16)
    first, second = net.nodes
    same = replace(second, table=first.table)  # type: ignore
    _, done = check(net.graph(), PAPER)
    net.nodes[1] = same
    _, with_one = check(net.graph(), PAPER)
    assert done.parameters - with_one.parameters == PAPER.table_rows


def test_layers_describe_the_work():
    net = Network(PAPER, seed=1)
    x = net.input(2, 32, 10, 10)
    y = net.conv(x, 48, pads=(1, 1, 1, 1))
    z = net.pool(y, "max", (3, 3), (2, 2))
    net.gemm(z, 10)
    net.add(y, y)
    conv, pool, gemm, add = lower(net.graph(), PAPER).layers.values()
    assert conv.macs == 2 * 48 * 100 * 32 * 9
    assert conv.nfu_steps == conv.macs // 256
    assert conv.bytes == {"nbin": 6400 * 2, "sb": (48 * 288 + 2 * 48) * 2, "nbout": 9600 * 2}
    assert pool.macs == 0
    assert pool.nfu_steps == 2 * 16 * 9 * 48 // 16
    assert pool.bytes == {"nbin": 2 * 81 * 48 * 2, "sb": 0, "nbout": 2 * 16 * 48 * 2}
    assert gemm.macs == 2 * 768 * 10
    assert add.macs == 2 * 9600
    assert add.bytes["nbin"] == 9600 * 2


# Mistakes


def refuse(graph, config, message):
    with pytest.raises(UserError, match=message):
        lower(graph, config)


def test_other_number_formats_are_refused():
    net = Network(TINY, seed=1)
    net.gemm(net.input(1, 4), 4)
    refuse(net.graph(), TINY.replace(width=8), "width=8, drop=0 of the core, not for width=16")


def test_a_network_beyond_the_address_space_is_refused():
    config = PAPER.replace(address_width=20)
    net = Network(config, seed=1)
    net.gemm(net.input(1, 1024), 1024)
    refuse(net.graph(), config, r"'net' needs \d+ bytes .* 20 address bits .* set address_width=22")


def test_a_reduction_beyond_the_accumulator_is_refused():
    net = Network(TINY, seed=1)
    net.conv(net.input(1, 2000, 3, 3), 4)
    refuse(
        net.graph(), TINY, "sums 18000 products per output, but .* 4096; set max_reduction=18000"
    )


def test_a_table_with_too_many_segments_is_refused():
    net = Network(PAPER.replace(segments=40), seed=3)
    net.gemm(net.input(1, 4), 4)
    table = net.nodes[0].table  # type: ignore
    assert table.segments > 16
    refuse(net.graph(), PAPER.replace(drop=8), f"at most 16 segments, not {table.segments}")


def test_biases_at_their_limit_are_refused_when_idle_multipliers_shift_them():
    config = PAPER
    net = Network(config, seed=1)
    net.gemm(net.input(1, 1), 1)
    node = net.nodes[0]
    check(net.graph(), config)
    limit = np.array([-(1 << 31)])
    net.nodes[0] = replace(node, bias=limit)  # type: ignore
    refuse(net.graph(), config, "compensation of 15 idle multipliers must fit 32 bits")
