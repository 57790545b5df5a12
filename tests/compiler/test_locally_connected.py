"""The operator LocallyConnected, from ONNX to programs."""

import numpy as np
import onnx
import pytest

from compiler.float_graph import LocalConv
from compiler.frontend import load
from compiler.locally_connected import DOMAIN, NAME, with_function
from compiler.lowering import lower
from compiler.model import session
from hw.diannao.config import CONFIGS, Config
from hw.errors import UserError
from sim import graph as quantised
from tests.compiler.networks import Network, check
from tests.compiler.onnx_models import compare, node, onnx_model, weights

PAPER = CONFIGS["diannao-16x16"]
TRUNCATED = Config(multiplier="array", drop=8, name="truncated")
NARROW = Config(width=8, name="narrow")


def local(inputs: list[str], output: str, **attributes) -> onnx.NodeProto:
    return node(NAME, inputs, [output], output, domain=DOMAIN, **attributes)


def test_its_function_is_its_definition():
    """ONNX Runtime, on the function, against a loop over the output positions."""
    w, b, x = weights(5, 3, 2, 3, 4, 2), weights(5, 4, 2, seed=1), weights(2, 3, 4, 6, seed=2)
    model = onnx_model(
        [local(["x", "w", "b"], "y", strides=[1, 2], pads=[1, 0, 0, 0])],
        {"x": ("N", 3, 4, 6)}, {"y": 4}, {"w": w, "b": b},
    )  # fmt: skip
    (result,) = session(with_function(model)).run(None, {"x": x})
    y = np.array(result)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 0), (0, 0)))
    assert y.shape == (2, 5, 4, 2)
    for row in range(4):
        for column in range(2):
            window = padded[:, :, row : row + 2, 2 * column : 2 * column + 3]
            sums = np.einsum("nckl,ockl->no", window, w[..., row, column])
            np.testing.assert_allclose(y[..., row, column], sums + b[:, row, column], atol=1e-5)


@pytest.mark.parametrize("config", [Config(), TRUNCATED, NARROW], ids=lambda c: c.name)
def test_layers_equal_onnx_runtime(config):
    """Two layers, with padding, normalisation and activation around them that disappear."""
    values = np.abs(weights(4, 6, seed=3)) + 0.5
    model = onnx_model(
        [
            node("Pad", ["x", "pads"], ["p"]),
            local(["p", "w", "b"], "l"),
            node("BatchNormalization", ["l", *"ghuv"], ["n"]),
            node("Relu", ["n"], ["r"]),
            local(["r", "second", "none"], "y", strides=[2, 1]),
        ],
        {"x": (2, 3, 7, 6)}, {"y": 4},
        {
            "pads": np.array([0, 0, 1, 0, 0, 0, 1, 0]), "w": weights(6, 3, 3, 2, 7, 5),
            "b": weights(6, 7, 5, seed=1), "second": weights(4, 6, 3, 3, 3, 3, seed=2),
            "none": np.zeros((4, 3, 3), np.float32), **dict(zip("ghuv", values, strict=True)),
        },
    )  # fmt: skip
    result = compare(with_function(model), {"x": weights(2, 3, 7, 6, scale=1.0)}, config)
    assert result.ops == ["LocalConv", "LocalConv"]
    assert result.core
    first = result.graph.nodes[0]
    assert isinstance(first, quantised.LocalConv)
    assert first.pads == (1, 0, 1, 0)
    assert result.steps <= 1.5 + 0.35 * np.sqrt(6 * 9)


def test_weights_that_are_no_constants_stay_on_the_host():
    model = onnx_model(
        [local(["x", "w", "b"], "l"), node("Relu", ["l"], ["y"])],
        {"x": (2, 2, 3, 3), "w": (2, 2, 3, 3, 1, 1)}, {"y": 4}, {"b": weights(2, 1, 1)},
    )  # fmt: skip
    samples = {"x": weights(2, 2, 3, 3), "w": weights(2, 2, 3, 3, 1, 1, seed=1)}
    result = compare(with_function(model), samples)
    assert result.ops == [f"{DOMAIN}.{NAME}", "Pool"]
    assert result.error <= 1e-4


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ((4, 3, 3, 3, 4, 5), "shape [any, 3, any, any, 4, 4], a kernel for every output position"),
        ((4, 2, 3, 3, 4, 4), "shape [any, 3, any, any, 4, 4], a kernel for every output position"),
        ((4, 3, 3, 3), "6 axes (outputs, inputs, kernel and position of the output), not 4"),
    ],
)
def test_weights_of_other_shapes(shape, wanted):
    model = onnx_model(
        [local(["x", "w", "b"], "y")], {"x": (1, 3, 6, 6)}, {"y": 4},
        {"w": weights(*shape), "b": weights(1)},
    )  # fmt: skip
    with pytest.raises(UserError) as caught:
        load(model)
    message = str(caught.value)
    assert "\n" not in message
    assert f"the weight of 'y' must have {wanted}" in message


def test_shapes_are_known_from_the_weights():
    model = onnx_model(
        [local(["x", "w", "b"], "m"), local(["m", "v", "b"], "y")],
        {"x": ("N", 3, 6, 5)}, {"y": 4},
        {"w": weights(4, 3, 3, 2, 4, 4), "v": weights(2, 4, 1, 1, 4, 4), "b": weights(1)},
    )  # fmt: skip
    graph = load(model, batch=3)
    assert [type(n) for n in graph.nodes] == [LocalConv, LocalConv]
    assert graph.tensors["m"].shape == (3, 4, 4, 4)
    assert graph.tensors["y"].shape == (3, 2, 4, 4)


@pytest.mark.parametrize(
    "config",
    [CONFIGS["tiny"], CONFIGS["tiny"].replace(tn=3, ti=5, sb_rows=5, nbout_rows=7), PAPER,
     PAPER.replace(sb_port=2048)],
    ids=lambda c: f"{c.tn}x{c.ti}-{c.sb_port}",
)  # fmt: skip
@pytest.mark.parametrize(
    ("shape", "outputs", "kernel", "strides", "pads"),
    [
        ((1, 8, 9, 21), 8, (3, 3), (1, 1), (0, 0, 0, 0)),
        ((2, 3, 6, 7), 19, (3, 2), (2, 1), (1, 0, 1, 2)),
        ((3, 17, 4, 4), 5, (1, 1), (1, 1), (0, 0, 0, 0)),
        ((1, 40, 3, 3), 40, (3, 3), (1, 1), (1, 1, 1, 1)),
        ((1, 2, 5, 17), 1, (4, 3), (1, 3), (0, 1, 1, 1)),
        ((1, 7, 7, 24), 8, (3, 3), (2, 2), (0, 0, 0, 0)),
    ],
)
def test_programs_equal_golden(config, shape, outputs, kernel, strides, pads):
    net = Network(config, seed=1)
    net.local(net.input(*shape), outputs, kernel, strides, pads)
    check(net.graph(), config)


def test_neighbours_share_rows_of_synapses():
    """The paper's CONV2* in small: 8 outputs on 16 neurons, windows of 18x18x8.

    A row of the pair's kernel is 19*8 synapses wide, 18 rows of it are 171 SB rows. Half rows would
    be fewer bytes, but with so few reads in flight they come too slowly.
    """
    config = PAPER.replace(outstanding=32)
    net = Network(config, seed=1)
    net.local(net.input(1, 8, 21, 21), 8, (18, 18))
    program, done = check(net.graph(), config)
    assert done.active == 4 * 2 * 171
    needed = program.layers[0].bytes["sb"]
    assert 19 / 18 <= done.bytes["sb"] / needed <= 19 / 18 + 0.01


def test_slices_of_a_concatenation_do_not_share_rows():
    """There the results of neighbours are no neighbours in memory."""
    net = Network(PAPER, seed=1)
    x = net.input(1, 8, 6, 6)
    net.concat(net.local(x, 8, (3, 3)), net.local(x, 8, (3, 3)))
    _, done = check(net.graph(), PAPER)
    # A kernel row of 24 synapses takes two reads, or the window of 72 five.
    assert done.active == 2 * 16 * min(3 * 2, 5)


def test_weights_that_memory_cannot_hold():
    """Refused before anything of that size is built."""
    net = Network(PAPER, seed=1)
    x = net.input(1, 256, 20, 20)
    net.local(x, 1, (11, 11))
    node = net.nodes[0]
    assert isinstance(node, quantised.LocalConv)
    many = np.broadcast_to(np.int16(0), (1 << 18, *node.weight.shape[1:]))
    net.nodes[0] = quantised.LocalConv(**{**vars(node), "weight": many})
    with pytest.raises(UserError, match="memory, but 32 address bits reach"):
        lower(net.graph(), PAPER)
