"""The golden model against loops over single products, as slow and plain as can be written."""

import itertools
from math import prod

import numpy as np
import onnx.helper
import pytest

from hw.arith.numbers import Table, activate, bounds, requantise, truncated_product
from sim import golden
from sim.graph import Add, Concat, Conv, Gemm, Graph, Host, LocalConv, Mul, Pool, Tensor

IDENTITY = Table((0,), (1, 1), (0, 0), 0)
BENT = Table((-300, 0, 500), (-3, 1, 7, 2), (40, -5, 0, 900), 2)


def graph_of(node, inputs, outputs, width=16, drop=0, frac=8) -> Graph:
    """A graph of one node; ``inputs`` and ``outputs`` map names to shapes."""
    tensors = {n: Tensor(n, s, frac) for n, s in {**inputs, **outputs}.items()}
    return Graph("test", width, drop, tensors, list(inputs), list(outputs), [node])


def integers(rng, shape, width):
    """Random integers over the whole range, with many at its ends and at zero."""
    low, high = bounds(width)
    values = rng.integers(low, high + 1, shape)
    corners = rng.choice([low, -1, 0, 1, high], shape)
    return np.where(rng.random(shape) < 0.3, corners, values)


def finish(total: int, shift: int, table: Table, width: int, drop: int) -> int:
    x = np.array([requantise(int(total), shift, width)])
    return int(activate(x, table, width, drop)[0])


def naive_conv(node: Conv, x, shape, width, drop):
    y = np.zeros(shape, dtype=np.int64)
    outputs, channels, kh, kw = node.weight.shape
    for n, o, i, j in itertools.product(*map(range, shape)):
        total = int(node.bias[o])
        first = o // (outputs // node.groups) * channels
        for c, u, v in itertools.product(range(channels), range(kh), range(kw)):
            row = i * node.strides[0] + u - node.pads[0]
            column = j * node.strides[1] + v - node.pads[1]
            inside = 0 <= row < x.shape[2] and 0 <= column < x.shape[3]
            value = int(x[n, first + c, row, column]) if inside else 0
            total += truncated_product(value, int(node.weight[o, c, u, v]), width, drop)
        y[n, o, i, j] = finish(total, node.shift, node.table, width, drop)
    return y


@pytest.mark.parametrize(("width", "drop"), [(16, 0), (16, 8), (16, 16), (8, 0), (8, 3), (8, 8)])
@pytest.mark.parametrize("chunk", [1 << 22, 20])
def test_conv_equals_loop_over_products(width, drop, chunk, monkeypatch):
    monkeypatch.setattr(golden, "_CHUNK", chunk)
    rng = np.random.default_rng(1)
    for shape, kernel, strides, pads in (
        ((2, 3, 5, 4), (3, 2), (1, 1), (1, 0, 2, 1)),
        ((1, 1, 7, 6), (1, 1), (2, 3), (0, 0, 0, 0)),
        ((3, 2, 4, 4), (4, 4), (1, 1), (0, 0, 0, 0)),
        ((2, 4, 3, 5), (3, 5), (2, 4), (2, 4, 2, 4)),
    ):
        node = Conv(
            "n", "x", "y", integers(rng, (3, shape[1], *kernel), width),
            integers(rng, 3, 2 * width), strides, pads, width - 2, BENT,
        )  # fmt: skip
        out = tuple(
            (shape[2 + a] + pads[a] + pads[2 + a] - kernel[a]) // strides[a] + 1 for a in (0, 1)
        )
        x = integers(rng, shape, width)
        graph = graph_of(node, {"x": shape}, {"y": (shape[0], 3, *out)}, width, drop)
        result = golden.run(graph, {"x": x})
        expected = naive_conv(node, x, (shape[0], 3, *out), width, drop)
        np.testing.assert_array_equal(result.tensors["y"], expected)
        assert result.tensors["y"].dtype == np.int64


@pytest.mark.parametrize(("width", "drop"), [(16, 0), (16, 9), (8, 8)])
@pytest.mark.parametrize("chunk", [1 << 22, 60])
def test_local_conv_equals_convolutions_of_one_position(width, drop, chunk, monkeypatch):
    monkeypatch.setattr(golden, "_CHUNK", chunk)
    rng = np.random.default_rng(3)
    shape, out, pads = (2, 3, 5, 6), (2, 4, 3, 3), (1, 0, 1, 1)
    node = LocalConv(
        "n", "x", "y", integers(rng, (4, 3, 3, 2, 3, 3), width),
        integers(rng, (4, 3, 3), 2 * width), (2, 2), pads, width - 1, BENT,
    )  # fmt: skip
    x = integers(rng, shape, width)
    graph = graph_of(node, {"x": shape}, {"y": out}, width, drop)
    result = golden.run(graph, {"x": x}).tensors["y"]
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (0, 1)))
    for row, column in itertools.product(range(3), range(3)):
        one = Conv(
            "n", "x", "y", node.weight[..., row, column], node.bias[:, row, column], (1, 1),
            (0, 0, 0, 0), width - 1, BENT,
        )  # fmt: skip
        window = padded[:, :, 2 * row : 2 * row + 3, 2 * column : 2 * column + 2]
        expected = naive_conv(one, window, (2, 4, 1, 1), width, drop)
        np.testing.assert_array_equal(result[..., row, column], expected[..., 0, 0])


@pytest.mark.parametrize(("channels", "outputs", "groups"), [(4, 6, 2), (3, 3, 3), (2, 6, 2)])
def test_grouped_conv_equals_loop_over_products(channels, outputs, groups):
    rng = np.random.default_rng(2)
    node = Conv(
        "n", "x", "y", integers(rng, (outputs, channels // groups, 2, 3), 16),
        integers(rng, outputs, 32), (1, 2), (0, 1, 1, 1), 14, BENT, groups,
    )  # fmt: skip
    x = integers(rng, (2, channels, 4, 5), 16)
    graph = graph_of(node, {"x": x.shape}, {"y": (2, outputs, 4, 3)}, 16, 8)
    expected = naive_conv(node, x, (2, outputs, 4, 3), 16, 8)
    np.testing.assert_array_equal(golden.run(graph, {"x": x}).tensors["y"], expected)


@pytest.mark.parametrize(("width", "drop"), [(16, 0), (16, 11), (8, 8)])
def test_gemm_equals_loop_over_products(width, drop):
    """Two-axis inputs, and four-axis ones that are flattened on the way."""
    rng = np.random.default_rng(2)
    for shape in ((3, 10), (2, 3, 2, 2)):
        length = prod(shape[1:])
        w = integers(rng, (5, length), width)
        node = Gemm("n", "x", "y", w, integers(rng, 5, 2 * width), width, BENT)
        x = integers(rng, shape, width)
        graph = graph_of(node, {"x": shape}, {"y": (shape[0], 5)}, width, drop)
        flat = x.reshape(shape[0], length)
        expected = [
            [
                finish(
                    node.bias[o]
                    + sum(truncated_product(int(a), int(b), width, drop)
                          for a, b in zip(row, w[o], strict=True)),
                    width, BENT, width, drop,
                )
                for o in range(5)
            ]
            for row in flat
        ]  # fmt: skip
        result = golden.run(graph, {"x": x}).tensors["y"]
        np.testing.assert_array_equal(result, expected)


def test_matrix_product_is_exact_beyond_the_mantissa():
    """Sums that leave the 53 bits of a float64 are cut into pieces that do not."""
    rng = np.random.default_rng(3)
    a = rng.integers(0, 1 << 25, (2, 100)) * 2 + 1
    b = rng.integers(0, 1 << 25, (100, 3)) * 2 + 1
    expected = a.astype(object) @ b.astype(object)
    assert expected.max() > 1 << 56
    np.testing.assert_array_equal(golden._exact_matmul(a, b, 1 << 52), expected)


def naive_pool(node: Pool, x, shape, width, drop):
    y = np.zeros(shape, dtype=np.int64)
    height, breadth = x.shape[2:]
    top, left, bottom, right = node.pads
    for n, c, i, j in itertools.product(*map(range, shape)):
        values, padded = [], 0
        for u, v in itertools.product(*map(range, node.kernel)):
            row, column = i * node.strides[0] + u - top, j * node.strides[1] + v - left
            if 0 <= row < height and 0 <= column < breadth:
                values.append(int(x[n, c, row, column]))
            padded += -top <= row < height + bottom and -left <= column < breadth + right
        total, divisor = (max(values), 1) if node.kind == "max" else (sum(values), len(values))
        if node.kind == "average" and node.count_include_pad:
            divisor = padded
        shift, table = node.scales[divisor]
        y[n, c, i, j] = finish(total, shift, table, width, drop)
    return y


@pytest.mark.parametrize("kind", ["max", "average", "average with padding"])
@pytest.mark.parametrize(("width", "drop"), [(16, 0), (8, 5)])
def test_pool_equals_loop_over_windows(kind, width, drop):
    """Overlapping, gapped, padded and, as with ceil_mode, overhanging windows."""
    rng = np.random.default_rng(4)
    scales = {d: (d % 3, Table((0,), (100 // d, 90 // d), (d, -d), 5)) for d in range(1, 17)}
    for size, kernel, strides, pads, out in (
        ((6, 6), (2, 2), (2, 2), (0, 0, 0, 0), (3, 3)),
        ((7, 5), (3, 3), (2, 2), (0, 0, 0, 0), (3, 2)),
        ((6, 7), (3, 2), (2, 2), (0, 0, 0, 0), (3, 4)),  # the last windows overhang
        ((6, 6), (3, 4), (2, 1), (1, 2, 1, 1), (3, 6)),
        ((6, 6), (3, 3), (2, 2), (1, 1, 1, 1), (4, 4)),  # overhangs the padding too
        ((9, 9), (1, 2), (4, 3), (0, 0, 0, 0), (3, 3)),
        ((4, 4), (4, 4), (1, 1), (0, 0, 0, 0), (1, 1)),
    ):
        node = Pool(
            "n", "x", "y", kind.split()[0], kernel, strides, pads, kind.endswith("padding"), scales
        )
        shape, result_shape = (2, 3, *size), (2, 3, *out)
        x = integers(rng, shape, width)
        graph = graph_of(node, {"x": shape}, {"y": result_shape}, width, drop)
        result = golden.run(graph, {"x": x}).tensors["y"]
        np.testing.assert_array_equal(result, naive_pool(node, x, result_shape, width, drop))


def test_pool_window_without_input_is_refused():
    node = Pool("p", "x", "y", "max", (1, 1), (2, 2), (0, 0, 0, 0), False, {1: (0, IDENTITY)})
    graph = graph_of(node, {"x": (1, 1, 2, 2)}, {"y": (1, 1, 2, 2)})
    with pytest.raises(ValueError, match="'p' has windows without any input position"):
        golden.run(graph, {"x": np.zeros((1, 1, 2, 2), int)})


@pytest.mark.parametrize(("width", "drop"), [(16, 0), (16, 8), (8, 8)])
def test_add_equals_loop_over_products(width, drop):
    rng = np.random.default_rng(5)
    shape = (2, 3, 2, 2)
    high = bounds(width)[1]
    node = Add("n", ("a", "b"), "y", (high, -7), width - 3, BENT)
    a, b = integers(rng, shape, width), integers(rng, shape, width)
    graph = graph_of(node, {"a": shape, "b": shape}, {"y": shape}, width, drop)
    expected = [
        finish(truncated_product(int(p), high, width, drop)
               + truncated_product(int(q), -7, width, drop), width - 3, BENT, width, drop)
        for p, q in zip(a.ravel(), b.ravel(), strict=True)
    ]  # fmt: skip
    result = golden.run(graph, {"a": a, "b": b}).tensors["y"]
    np.testing.assert_array_equal(result.ravel(), expected)


@pytest.mark.parametrize(("width", "drop"), [(16, 0), (16, 8), (8, 3)])
def test_mul_equals_loop_over_products(width, drop):
    rng, shape = np.random.default_rng(7), (2, 3, 4, 5)
    node = Mul("n", ("a", "b"), "y", width - 3, BENT)
    a, b = integers(rng, shape, width), integers(rng, shape, width)
    graph = graph_of(node, {"a": a.shape, "b": b.shape}, {"y": shape}, width, drop)
    expected = [
        finish(truncated_product(int(p), int(q), width, drop), width - 3, BENT, width, drop)
        for p, q in zip(a.ravel(), b.ravel(), strict=True)
    ]
    result = golden.run(graph, {"a": a, "b": b}).tensors["y"]
    np.testing.assert_array_equal(result.ravel(), expected)


def test_concat_joins_channels_and_wants_equal_frac():
    rng = np.random.default_rng(6)
    node = Concat("n", ("a", "b"), "y")
    a, b = integers(rng, (2, 1, 2, 3), 16), integers(rng, (2, 4, 2, 3), 16)
    graph = graph_of(node, {"a": a.shape, "b": b.shape}, {"y": (2, 5, 2, 3)})
    result = golden.run(graph, {"a": a, "b": b}).tensors["y"]
    np.testing.assert_array_equal(result[:, :1], a)
    np.testing.assert_array_equal(result[:, 1:], b)
    graph.tensors["b"] = Tensor("b", b.shape, 9)
    with pytest.raises(ValueError, match="'n' must have equal frac"):
        golden.run(graph, {"a": a, "b": b})


def test_saturation_is_counted_before_and_after_the_activation():
    """Values at the rails that were not clipped do not count."""
    low, high = bounds(16)
    node = Gemm("n", "x", "y", np.array([[1]]), np.array([0]), 0, Table((0,), (1, 2), (0, 0), 0))
    graph = graph_of(node, {"x": (6, 1)}, {"y": (6, 1)})
    x = np.array([low, -1, 0, high // 2, high // 2 + 1, high])[:, None]
    result = golden.run(graph, {"x": x})
    assert result.tensors["y"].ravel().tolist() == [low, -1, 0, high - 1, high, high]
    assert (result.saturated, result.saturated_sums) == ({"y": 2}, {})
    graph.nodes[0] = Gemm("n", "x", "y", np.array([[-1]]), np.array([0]), 0, IDENTITY)
    result = golden.run(graph, {"x": x})
    assert (result.saturated, result.saturated_sums) == ({}, {"y": 1})


@pytest.mark.parametrize(
    ("table", "counted"),
    [
        (IDENTITY, 2),
        (Table((0,), (0, 1), (0, 0), 0), 1),  # Relu
        (Table((0,), (1, 100), (0, 0), 7), 2),  # LeakyRelu with 0.01
        (Table((-9, 9), (0, 1, 0), (-9, 0, 9), 0), 0),  # Clip
        (Table((9,), (1, 0), (0, 9), 0, mirror=0), 0),  # its upper half
        (Table((9,), (0, 1), (0, 9), 0, mirror=0), 2),
    ],
    ids=["identity", "relu", "leaky", "clip", "mirrored", "mirrored slope"],
)
def test_sums_beyond_a_flat_end_do_not_count(table, counted):
    """One sum beyond either end of the number range."""
    low, high = bounds(16)
    node = Gemm("n", "x", "y", np.array([[2]]), np.array([0]), 0, table)
    graph = graph_of(node, {"x": (3, 1)}, {"y": (3, 1)})
    result = golden.run(graph, {"x": np.array([[low], [1], [high]])})
    assert result.saturated_sums == ({"y": counted} if counted else {})


def host_node(op, inputs, outputs, **attributes) -> Host:
    node = onnx.helper.make_node(op, inputs, outputs, **attributes)
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [node], op,
        [value(name, onnx.TensorProto.FLOAT, [2, 3]) for name in inputs],
        [value(name, onnx.TensorProto.FLOAT, None) for name in outputs],
    )  # fmt: skip
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8
    )
    return Host(op, tuple(inputs), tuple(outputs), model, op)


def test_host_operator_between_core_layers():
    """Integers in, float operator, integers out; a host-only tensor stays float32."""
    shape = (2, 3)
    softmax = host_node("Softmax", ["x"], ["s"], axis=1)
    exp = host_node("Exp", ["s"], ["e"])
    graph = graph_of(softmax, {"x": shape}, {"s": shape}, frac=8)
    graph.tensors["s"] = Tensor("s", shape, 15)
    graph.tensors["e"] = Tensor("e", shape, None)
    graph.nodes.append(exp)
    x = np.array([[0, 256, 512], [0, 0, 32767]])
    result = golden.run(graph, {"x": x})
    powers = np.exp(np.float32(x / 256) - np.float32(x.max(1, keepdims=True) / 256))
    expected = powers / powers.sum(1, keepdims=True)
    s = result.tensors["s"]
    assert s.dtype == np.int64
    assert np.abs(s - np.minimum(expected * 2**15, 32767)).max() <= 0.51
    assert s[1, 2] == 32767
    assert result.saturated == {"s": 1}  # 1.0 is one more than the largest value of frac 15
    assert result.tensors["e"].dtype == np.float32
    np.testing.assert_allclose(result.tensors["e"], np.exp(s / 2**15), rtol=1e-6)


def test_inputs_are_checked():
    node = Gemm("n", "x", "y", np.array([[1]]), np.array([0]), 0, IDENTITY)
    graph = graph_of(node, {"x": (1, 1)}, {"y": (1, 1)})
    for inputs, message in (
        ({}, r"inputs must be \['x'\], not \[\]"),
        ({"x": np.zeros((1, 1), int), "z": 0}, r"inputs must be \['x'\], not \['x', 'z'\]"),
        ({"x": np.zeros((1, 2), int)}, r"'x' must have shape \(1, 1\), not \(1, 2\)"),
        ({"x": np.zeros((1, 1))}, "'x' must be of integers, not of float64"),
        ({"x": np.full((1, 1), 32768)}, "'x' must be within -32768 to 32767, not 32768 to 32768"),
    ):
        with pytest.raises(ValueError, match=message):
            golden.run(graph, inputs)


def test_declared_shape_is_checked():
    node = Gemm("n", "x", "y", np.array([[1], [2]]), np.array([0, 0]), 0, IDENTITY)
    graph = graph_of(node, {"x": (1, 1)}, {"y": (1, 3)})
    with pytest.raises(ValueError, match=r"'n' makes shape \(1, 2\), but 'y' is declared .*3"):
        golden.run(graph, {"x": np.zeros((1, 1), int)})
