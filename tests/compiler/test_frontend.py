"""The front end: which nodes an ONNX model becomes, and what is left to the host and why."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from compiler.float_graph import Add, Concat, Conv, Gemm, Host, Mul, Pool
from compiler.frontend import load
from compiler.functions import IDENTITY, Clip, Function, LeakyRelu, Linear, Power
from hw.errors import UserError
from tests.compiler.onnx_models import compare, node, one_node, onnx_model, weights

RELU = Function((LeakyRelu(),))
W, B = weights(8, 3, 3, 3), weights(8)
IMAGE = {"x": ("N", 3, 12, 12)}


def kinds(model, **options) -> list[type]:
    return [type(n) for n in load(model, **options).nodes]


def reasons(model, **options) -> list[tuple[str, str]]:
    return [(n.op, n.reason) for n in load(model, **options).host]


# Fusion


def test_convolution_bias_batch_norm_and_activation_are_one_layer():
    """Conv, BatchNormalization, an Add of constants and Relu fold into one Conv."""
    gamma, beta, mean, variance = weights(4, 8, seed=3)
    variance = np.abs(variance) + 0.5
    shift = weights(8, 1, 1, seed=4)
    model = onnx_model(
        [
            node("Conv", ["x", "w", "b"], ["c"], "conv", pads=[1, 1, 1, 1]),
            node("BatchNormalization", ["c", "g", "h", "m", "v"], ["n"]),
            node("Add", ["n", "shift"], ["s"]),
            node("Relu", ["s"], ["y"]),
        ],
        IMAGE, {"y": 4},
        {"w": W, "b": B, "g": gamma, "h": beta, "m": mean, "v": variance, "shift": shift},
    )  # fmt: skip
    (conv,) = load(model).nodes
    assert isinstance(conv, Conv)
    assert (conv.name, conv.output, conv.raw) == ("conv", "y", "s")
    assert conv.function == RELU
    scale = gamma / np.sqrt(variance + 1e-5)
    np.testing.assert_allclose(conv.weight, W * scale[:, None, None, None], rtol=1e-5)
    np.testing.assert_allclose(conv.bias, B * scale + beta - mean * scale + shift[:, 0, 0], 1e-4)


def test_result_used_twice_is_not_absorbed():
    """A sum that somebody else reads, or that is an output, stays a tensor of its own."""
    nodes = [node("Conv", ["x", "w"], ["c"]), node("Relu", ["c"], ["y"])]
    assert kinds(onnx_model(nodes, IMAGE, {"y": 4}, {"w": W})) == [Conv]
    both = onnx_model(nodes, IMAGE, {"y": 4, "c": 4}, {"w": W})
    assert kinds(both) == [Conv, Pool]
    nodes.append(node("Add", ["c", "y"], ["z"]))
    assert kinds(onnx_model(nodes, IMAGE, {"z": 4}, {"w": W})) == [Conv, Pool, Add]


def test_batch_norm_behind_a_layer_that_is_used_elsewhere():
    """The layer keeps its weights, and the normalisation is a layer of its own."""
    values = np.abs(weights(4, 8, seed=3)) + 0.5
    model = onnx_model(
        [
            node("Conv", ["x", "w"], ["c"]),
            node("BatchNormalization", ["c", *"gbmv"], ["n"]),
            node("Add", ["c", "n"], ["y"]),
        ],
        IMAGE, {"y": 4}, {"w": W, **dict(zip("gbmv", values, strict=True))},
    )  # fmt: skip
    graph = load(model)
    assert [type(n) for n in graph.nodes] == [Conv, Conv, Add]
    first = graph.nodes[0]
    assert isinstance(first, Conv)
    np.testing.assert_array_equal(first.weight, W)


def test_lone_batch_norm_is_a_convolution_channel_by_channel():
    values = weights(4, 3, seed=1) ** 2 + 0.1
    model = one_node("BatchNormalization", (1, 3, 4, 4), dict(zip("gbmv", values, strict=True)))
    (conv,) = load(model).nodes
    assert isinstance(conv, Conv)
    assert conv.groups == 3
    np.testing.assert_allclose(conv.weight[:, 0, 0, 0], values[0] / np.sqrt(values[3] + 1e-5))


def test_uniform_scale_is_an_activation():
    """One factor for all channels goes into the table of the layer before, behind its ReLU."""
    nodes = [
        node("Conv", ["x", "w"], ["c"]),
        node("Relu", ["c"], ["r"]),
        node("Mul", ["r", "half"], ["m"]),
        node("Sub", ["one", "m"], ["y"]),
    ]
    constants = {"w": W, "half": np.float32(0.5), "one": np.ones(1, np.float32)}
    (conv,) = load(onnx_model(nodes, IMAGE, {"y": 4}, constants)).nodes
    assert isinstance(conv, Conv)
    assert conv.function == Function((LeakyRelu(), Linear(-0.5, 1.0)))


def test_matmul_and_add_are_one_layer():
    nodes = [node("MatMul", ["x", "w"], ["m"]), node("Add", ["b", "m"], ["y"])]
    constants = {"w": weights(20, 5), "b": weights(5)}
    (gemm,) = load(onnx_model(nodes, {"x": ("N", 20)}, {"y": 2}, constants)).nodes
    assert isinstance(gemm, Gemm)
    np.testing.assert_allclose(gemm.weight, constants["w"].T)
    np.testing.assert_allclose(gemm.bias, constants["b"])


def test_two_curved_activations_stay_apart():
    nodes = [
        node("Conv", ["x", "w"], ["c"]),
        node("Tanh", ["c"], ["t"]),
        node("Sigmoid", ["t"], ["s"]),
        node("Clip", ["s", "low", "high"], ["y"]),
    ]
    constants = {"w": W, "low": np.float32(0.2), "high": np.float32(0.6)}
    graph = load(onnx_model(nodes, IMAGE, {"y": 4}, constants))
    conv, pool = graph.nodes
    assert isinstance(conv, Conv)
    assert isinstance(pool, Pool)
    assert [type(step).__name__ for step in conv.function.steps] == ["Tanh"]
    assert [type(step).__name__ for step in pool.function.steps] == ["Sigmoid", "Clip"]


def test_relu6():
    model = one_node("Clip", (1, 3, 4, 4), {"a": np.float32(0), "b": np.float32(6)})
    (pool,) = load(model).nodes
    assert isinstance(pool, Pool)
    assert (pool.kind, pool.kernel, pool.function) == ("max", (1, 1), Function((Clip(0.0, 6.0),)))


# Padding


PADS = np.array([0, 0, 1, 2, 0, 0, 3, 0])


def padded(op, *, first=(), constants=None, inputs=(), **attributes):
    nodes = [*first, node("Pad", ["r" if first else "x", "pads"], ["p"])]
    nodes.append(node(op, ["p", *inputs], ["y"], **attributes))
    return onnx_model(nodes, IMAGE, {"y": 4}, {"pads": PADS, **(constants or {})})


def test_pad_before_convolution():
    model = padded("Conv", inputs=["w"], constants={"w": W}, pads=[1, 1, 1, 1])
    (conv,) = load(model).nodes
    assert isinstance(conv, Conv)
    assert conv.pads == (2, 3, 4, 1)


def test_pad_before_average():
    """Zeros of a Pad count; a pool's own padding must not mix with them unless it counts too."""
    (pool,) = load(padded("AveragePool", kernel_shape=[4, 4])).nodes
    assert isinstance(pool, Pool)
    assert pool.count_include_pad
    assert pool.pads == (1, 2, 3, 0)
    own = padded("AveragePool", kernel_shape=[4, 4], pads=[1, 0, 0, 0])
    assert kinds(own) == [Host, Pool]
    own = padded("AveragePool", kernel_shape=[4, 4], pads=[1, 0, 0, 0], count_include_pad=1)
    assert kinds(own) == [Pool]


def test_pad_before_maximum():
    """Zeros change a maximum unless the input is known not to be negative."""
    assert kinds(padded("MaxPool", kernel_shape=[4, 4])) == [Host, Pool]
    relu = [node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]), node("Relu", ["c"], ["r"])]
    model = padded("MaxPool", kernel_shape=[4, 4], first=relu, constants={"w": W})
    assert kinds(model) == [Conv, Pool]


@pytest.mark.parametrize(
    ("attributes", "constants", "reason"),
    [
        ({"mode": "reflect"}, {"p": PADS}, "mode must be constant, not reflect"),
        ({}, {"p": np.array([0, 1, 0, 0, 0, 0, 0, 0])}, "only the map's height and width"),
        ({}, {"p": -PADS}, "negative pads are not supported"),
        ({}, {"p": PADS, "v": np.float32(1)}, "only zeros can be padded, not 1.0"),
    ],
)
def test_pads_for_the_host(attributes, constants, reason):
    ((op, why),) = reasons(one_node("Pad", (1, 3, 6, 6), constants, **attributes))
    assert op == "Pad"
    assert reason in why


@pytest.mark.parametrize(
    ("mode", "size", "kernel", "stride", "pads"),
    [
        ("SAME_UPPER", 12, 3, 1, (1, 1, 1, 1)),
        ("SAME_UPPER", 12, 3, 2, (0, 0, 1, 1)),
        ("SAME_LOWER", 12, 3, 2, (1, 1, 0, 0)),
        ("SAME_UPPER", 11, 4, 3, (1, 1, 1, 1)),
        ("VALID", 12, 3, 2, (0, 0, 0, 0)),
    ],
)
def test_auto_pad(mode, size, kernel, stride, pads):
    model = one_node(
        "Conv", (1, 3, size, size), {"w": weights(2, 3, kernel, kernel)},
        auto_pad=mode, strides=[stride, stride],
    )  # fmt: skip
    (conv,) = load(model).nodes
    assert isinstance(conv, Conv)
    assert conv.pads == pads


# Changes of shape


def test_flatten_goes_into_the_classifier():
    """Between map and classifier, changes of shape, Dropout and Identity leave nothing behind."""
    nodes = [
        node("MaxPool", ["x"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Identity", ["p"], ["i"]),
        node("Unsqueeze", ["i", "axes"], ["u"]),
        node("Reshape", ["u", "shape"], ["f"]),
        node("Dropout", ["f"], ["d"]),
        node("Relu", ["d"], ["r"]),
        node("Gemm", ["r", "w"], ["y"], transB=1),
    ]
    constants = {"w": weights(5, 108), "axes": np.array([4]), "shape": np.array([-1, 108])}
    graph = load(onnx_model(nodes, IMAGE, {"y": 2}, constants), batch=3)
    pool, gemm = graph.nodes
    assert isinstance(pool, Pool)
    assert isinstance(gemm, Gemm)
    assert pool.function == RELU
    assert graph.tensors[gemm.input].shape == (3, 3, 6, 6)


def test_dynamic_shape_arithmetic_disappears():
    """What exporters write for x.view(x.size(0), -1) is a Flatten once the batch is known."""
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Gather", ["s", "zero"], ["n"]),
        node("Unsqueeze", ["n", "axes"], ["n1"]),
        node("Concat", ["n1", "minus"], ["shape"], axis=0),
        node("Reshape", ["x", "shape"], ["f"]),
        node("MatMul", ["f", "w"], ["y"]),
    ]
    constants = {
        "zero": np.array(0), "axes": np.array([0]), "minus": np.array([-1]),
        "w": weights(432, 4),
    }  # fmt: skip
    model = onnx_model(nodes, IMAGE, {"y": 2}, constants)
    graph = load(model, batch=7)
    assert [type(n) for n in graph.nodes] == [Gemm]
    assert graph.tensors["y"].shape == (7, 4)


def test_squeeze_and_excitation_needs_no_host_for_its_shapes():
    """(N, C, 1, 1) and (N, C) are the same to classifier layers and 1x1 convolutions."""
    nodes = [
        node("GlobalAveragePool", ["x"], ["a"]),
        node("Flatten", ["a"], ["f"]),
        node("Gemm", ["f", "w"], ["g"], transB=1),
        node("Relu", ["g"], ["r"]),
        node("Reshape", ["r", "shape"], ["q"]),
        node("Conv", ["q", "w2"], ["c"]),
        node("Sigmoid", ["c"], ["s"]),
        node("Squeeze", ["s", "axes"], ["y"]),
    ]
    constants = {
        "w": weights(6, 3), "w2": weights(4, 6, 1, 1), "axes": np.array([2, 3]),
        "shape": np.array([0, 6, 1, 1]),
    }  # fmt: skip
    graph = load(onnx_model(nodes, IMAGE, {"y": 2}, constants))
    assert [type(n) for n in graph.nodes] == [Pool, Gemm, Gemm]
    assert graph.nodes[-1].outputs == ["y"]


def test_concatenation_of_vectors():
    nodes = [
        node("GlobalAveragePool", ["x"], ["a"]),
        node("GlobalMaxPool", ["x"], ["b"]),
        node("Flatten", ["a"], ["fa"]),
        node("Flatten", ["b"], ["fb"]),
        node("Concat", ["fa", "fb"], ["c"], axis=-1),
        node("Gemm", ["c", "w"], ["y"], transB=1),
    ]
    graph = load(onnx_model(nodes, IMAGE, {"y": 2}, {"w": weights(4, 6)}))
    assert [type(n) for n in graph.nodes] == [Pool, Pool, Concat, Gemm]


def test_shape_of_an_output_is_made_on_the_host():
    """A flattened output is a copy on the host, which does not count as unsupported."""
    nodes = [node("GlobalAveragePool", ["x"], ["a"]), node("Flatten", ["a"], ["y"])]
    graph = load(onnx_model(nodes, IMAGE, {"y": 2}), strict=True)
    pool, reshape = graph.nodes
    assert isinstance(pool, Pool)
    assert isinstance(reshape, Host)
    assert reshape.layout
    assert reshape.op == "Reshape"


def test_layout_transposes():
    """A Transpose that moves only axes of size one is free, any other is not."""
    model = onnx_model(
        [node("Transpose", ["x"], ["t"], perm=[0, 2, 3, 1]), node("Flatten", ["t"], ["f"]),
         node("MatMul", ["f", "w"], ["y"])],
        {"x": (1, 5, 1, 1)}, {"y": 2}, {"w": weights(5, 2)},
    )  # fmt: skip
    assert kinds(model) == [Gemm]
    ((op, why),) = reasons(one_node("Transpose", (1, 5, 4, 4), perm=[0, 2, 3, 1]))
    assert op == "Transpose"
    assert "moves data" in why


def test_identity_between_input_and_output():
    assert kinds(one_node("Identity", (2, 3, 4, 4))) == [Host]


# Other numbers of axes


def compared(model, *shape: int):
    """What the model becomes; its results on the core are those of ONNX Runtime."""
    result = compare(model, {"x": weights(*shape, scale=1.0)})
    assert all(host.layout for host in result.float_graph.host)
    assert result.error < 0.01
    return [type(n) for n in result.float_graph.nodes]


def test_sequences_are_maps_of_height_one():
    """Windows along one axis; the reshapes stay at the edges."""
    model = onnx_model(
        [
            node("Conv", ["x", "w", "b"], ["c"], pads=[2, 1], strides=[2]),
            node("BatchNormalization", ["c", *"ghuv"], ["n"]),
            node("LeakyRelu", ["n"], ["r"]),
            node("MaxPool", ["r"], ["m"], kernel_shape=[3], auto_pad="SAME_UPPER"),
            node("AveragePool", ["m"], ["a"], kernel_shape=[2]),
            node("Concat", ["a", "a"], ["d"], axis=1),
            node("GlobalAveragePool", ["d"], ["p"]),
            node("Flatten", ["p"], ["f"]),
            node("Gemm", ["f", "k"], ["y"]),
        ],
        {"x": ("N", 3, 20)}, {"y": 2},
        {"w": weights(8, 3, 4), "b": B, "k": weights(16, 5),
         **dict(zip("ghuv", np.abs(weights(4, 8)) + 0.5, strict=True))},
    )  # fmt: skip
    assert compared(model, 2, 3, 20) == [Host, Conv, Pool, Pool, Concat, Pool, Gemm]


def test_matrix_products_take_leading_axes_as_images():
    """The layers of a perceptron on (batch, time, features), biases on the last axis."""
    model = onnx_model(
        [
            node("MatMul", ["x", "w"], ["m"]),
            node("Add", ["b", "m"], ["a"]),
            node("Relu", ["a"], ["r"]),
            node("MatMul", ["r", "v"], ["n"]),
            node("Add", ["n", "x"], ["y"]),
        ],
        {"x": (2, 5, 6)}, {"y": 3}, {"w": weights(6, 8), "b": B, "v": weights(8, 6)},
    )  # fmt: skip
    assert [kind for kind in compared(model, 2, 5, 6) if kind != Host] == [Gemm, Gemm, Add]


@pytest.mark.parametrize("shape", [(7,), (2, 3, 4), (2, 3, 2, 2, 2)], ids=len)
def test_elementwise_operators_take_any_axes(shape):
    model = onnx_model(
        [
            node("Mul", ["x", "two"], ["m"]),
            node("Sigmoid", ["m"], ["s"]),
            node("Add", ["s", "x"], ["y"]),
        ],
        {"x": shape}, {"y": len(shape)}, {"two": np.float32(2)},
    )  # fmt: skip
    assert compared(model, *shape) == [Host, Pool, Add, Host]


@pytest.mark.parametrize("shape", [(7,), (2, 3, 7), (2, 3, 4, 7)], ids=len)
def test_constants_of_the_last_axis(shape):
    model = one_node("Sub", shape, {"b": weights(7)})
    (layer,) = (n for n in load(model).nodes if not isinstance(n, Host))
    assert isinstance(layer, Gemm)
    compared(model, *shape)


# Products of tensors


@pytest.mark.parametrize("size", [1, 3, 4, 9])
def test_normalisation_is_written_out(size):
    """Squares, a convolution whose activation is the power, products."""
    attributes = {"size": size, "alpha": 0.7, "beta": 0.6, "bias": 1.5}
    model = one_node("LRN", (2, 6, 3, 3), {}, **attributes)
    graph = load(model, multiplies=True)
    squares, sums, products = graph.nodes
    assert [type(each) for each in graph.nodes] == [Mul, Conv, Mul]
    assert squares.inputs == ["x", "x"]
    assert isinstance(sums, Conv)
    assert sums.function.steps == (Clip(1.5, np.inf), Power(-float(np.float32(0.6)), 1.5))
    assert products.inputs == ["x", sums.output]
    x = np.random.default_rng(0).normal(size=(2, 6, 3, 3)).astype(np.float32)
    outputs = ReferenceEvaluator(graph.model).run(None, {"x": x})
    assert isinstance(outputs, list)
    found = np.asarray(outputs[0])
    for c in range(6):  # ONNX's own reference leaves channels out
        window = x[:, max(0, c - (size - 1) // 2) : c + size // 2 + 1]
        expected = x[:, c] * (1.5 + 0.7 / size * (window**2).sum(1)) ** -0.6
        np.testing.assert_allclose(found[:, c], expected, rtol=1e-5)


def test_products_are_the_hosts_unless_the_core_multiplies():
    for model in (
        one_node("LRN", (1, 6, 3, 3), {}, size=3),
        onnx_model([node("Mul", ["x", "x"], ["y"])], IMAGE, {"y": 4}),
    ):
        assert "products of two tensors take DaDianNao nodes" in reasons(model)[0][1]
        assert reasons(model, multiplies=True) == []


def test_powers_need_a_positive_base():
    def power(low, exponent):
        nodes = [node("Clip", ["x", "low"], ["c"]), node("Pow", ["c", "e"], ["y"])]
        constants = {"low": np.float32(low), "e": np.float32(exponent)}
        return onnx_model(nodes, IMAGE, {"y": 4}, constants)

    (pool,) = load(power(0.5, -0.5)).nodes
    assert isinstance(pool, Pool)
    assert pool.function.steps == (Clip(0.5, np.inf), Power(-0.5, 0.5))
    assert "must keep its base positive" in reasons(power(0, -0.5))[0][1]
    assert "must be below 1, not 2" in reasons(power(0.5, 2))[0][1]


# The host


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (one_node("Softmax", (1, 5)), "the core has no such operator"),
        (
            one_node("Conv", (1, 3, 8, 8), {"w": weights(2, 3, 3, 3)}, dilations=[2, 1]),
            "dilations must be 1, not [2, 1]",
        ),
        (
            one_node("Conv", (1, 3, 8, 8, 8), {"w": weights(2, 3, 3, 3, 3)}),
            "must have 3 or 4 axes, not 5",
        ),
        (one_node("Gemm", (4, 3), {"w": weights(4, 2)}, transA=1), "transA is not supported"),
        (one_node("Gemm", (2, 3), {"w": weights(3, 2), "b": weights(2, 2)}), "whole batch"),
        (one_node("MatMul", (4,), {"w": weights(4, 2)}, rank=1), "must have at least 2 axes"),
        (one_node("MatMul", (2, 3, 4), {"w": weights(2, 4, 2)}), "factor must be a matrix"),
        (one_node("Add", (1, 3, 4, 4), {"b": weights(3, 4, 4)}), "one value per channel"),
        (one_node("LRN", (1, 3, 4, 4), {}, size=3, bias=-1.0), "products of two tensors"),
        (one_node("Pow", (1, 3, 4, 4), {"e": np.float32(0.5)}), "a Clip in front of it"),
        (one_node("Div", (1, 3, 4, 4), {"b": np.zeros(1, np.float32)}), "division by zero"),
        (one_node("MaxPool", (1, 1, 5, 5), kernel_shape=[2, 2], dilations=[2, 2]), "dilations"),
        (one_node("Concat", (1, 3, 4, 4), {"c": weights(1, 3, 4, 4)}, axis=1), "'c' is constant"),
    ],
)
def test_reasons(model, reason):
    ((op, why),) = reasons(model)
    assert op == model.graph.node[0].op_type
    assert reason in why


def test_empty_tensors_stay_on_the_host():
    nodes = [node("Slice", ["x", "zero", "zero"], ["e"]), node("Relu", ["e"], ["y"])]
    model = onnx_model(nodes, {"x": (2, 3)}, {"y": 2}, {"zero": np.zeros(1, np.int64)})
    assert reasons(model)[1] == ("Relu", "input 'e' has no elements")


def test_sums_of_unlike_shapes_and_of_activations_on_wrong_axes():
    model = onnx_model(
        [node("Add", ["a", "b"], ["y"])], {"a": (1, 3, 4, 4), "b": (1, 3, 1, 1)}, {"y": 4}
    )
    assert "same shape" in reasons(model)[0][1]
    model = onnx_model(
        [node("Concat", ["a", "b"], ["y"], axis=2)],
        {"a": (1, 3, 4, 4), "b": (1, 3, 1, 4)},
        {"y": 4},
    )
    assert "only axis 1 (channels)" in reasons(model)[0][1]


def test_second_output_of_max_pool():
    model = onnx_model(
        [node("MaxPool", ["x"], ["y", "i"], kernel_shape=[2, 2]), node("Cast", ["i"], ["z"], to=1)],
        IMAGE, {"y": 4, "z": 4},
    )  # fmt: skip
    assert ("MaxPool", "output 'i' is used") in reasons(model)


def test_host_nodes_keep_their_constants_and_follow_renamed_tensors():
    """Removing an Identity must not leave a host operator reading a tensor that is gone."""
    model = onnx_model(
        [
            node("Relu", ["x"], ["r"]),
            node("Identity", ["r"], ["i"]),
            node("Pow", ["i", "e"], ["y"], "power"),
        ],
        IMAGE, {"y": 4}, {"e": np.float32(2)},
    )  # fmt: skip
    graph = load(model)
    pool, power = graph.nodes
    assert isinstance(power, Host)
    assert power.inputs == ["r"] == pool.outputs
    assert list(power.proto.input) == ["r", "e"]
    assert list(power.constants) == ["e"]
    assert [n.input[0] for n in graph.model.graph.node if n.op_type == "Pow"] == ["i"]


def test_subgraphs_know_what_they_take_from_outside():
    """An If reads tensors of the main graph; they are inputs of its host node."""
    branch = helper.make_graph(
        [node("Neg", ["r"], ["z"])], "branch", [],
        [helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, ["a", "b", "c", "d"])],
    )  # fmt: skip
    model = onnx_model(
        [
            node("Relu", ["x"], ["r"]),
            node("ReduceMax", ["x"], ["m"], keepdims=0),
            node("Greater", ["m", "zero"], ["g"]),
            node("If", ["g"], ["y"], then_branch=branch, else_branch=branch),
        ],
        IMAGE, {"y": 4}, {"zero": np.float32(0)},
    )  # fmt: skip
    graph = load(model)
    assert graph.host[-1].op == "If"
    assert set(graph.host[-1].inputs) == {"g", "r"}


def test_strict():
    load(onnx_model([node("Conv", ["x", "w"], ["y"])], IMAGE, {"y": 4}, {"w": W}), strict=True)
    with pytest.raises(
        UserError,
        match=r"^node 'the_node' \(Softmax\) cannot run on the core: the core has no such "
        r"operator; supported operators: Add, AveragePool, .*Conv, .*Transpose, Unsqueeze, "
        r"diannao.LocallyConnected$",
    ):
        load(one_node("Softmax", (1, 5)), strict=True)


# Opsets


def add_relu(opset: int, **options) -> onnx.ModelProto:
    nodes = [node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]), node("Relu", ["c"], ["y"])]
    return onnx_model(nodes, IMAGE, {"y": 4}, {"w": W}, opset=opset, **options)


@pytest.mark.parametrize("opset", [7, 9, 11, *range(13, onnx.defs.onnx_opset_version() + 1)])
def test_every_opset(opset):
    """From opset 13 to ONNX's newest, and older ones through the converter."""
    assert kinds(add_relu(opset)) == [Conv]


def test_newest_ir_version():
    model = add_relu(13)
    model.ir_version = onnx.IR_VERSION
    assert kinds(model) == [Conv]


def test_average_pool_of_opset_22():
    """Attributes and schema of newer opsets are understood: dilations of an AveragePool."""
    model = one_node("AveragePool", (1, 3, 8, 8), kernel_shape=[2, 2], dilations=[1, 1], opset=22)
    assert kinds(model) == [Pool]
    model = one_node("AveragePool", (1, 3, 8, 8), kernel_shape=[2, 2], dilations=[2, 2], opset=22)
    assert kinds(model) == [Host]


def test_functions_of_the_model_are_inlined():
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("local", 1)]
    function = helper.make_function(
        "local", "ConvRelu", ["a", "k"], ["r"],
        [node("Conv", ["a", "k"], ["c"]), node("Relu", ["c"], ["r"])], opsets[:1],
    )  # fmt: skip
    model = onnx_model([node("ConvRelu", ["x", "w"], ["y"], domain="local")], IMAGE, {"y": 4},
                       {"w": W})  # fmt: skip
    model.functions.append(function)
    del model.opset_import[:]
    model.opset_import.extend(opsets)
    (conv,) = load(model).nodes
    assert isinstance(conv, Conv)
    assert conv.function == RELU


def test_constants_of_all_kinds():
    """Weights may be initializers that are listed as inputs, Constant nodes, or be computed."""
    nodes = [
        node("Constant", [], ["w0"], value=numpy_helper.from_array(W)),
        node("Mul", ["w0", "two"], ["w"]),
        node("Conv", ["x", "w", "b"], ["y"]),
    ]
    model = onnx_model(nodes, IMAGE, {"y": 4}, {"two": np.float32(2), "b": B})
    model.graph.input.append(helper.make_tensor_value_info("b", onnx.TensorProto.FLOAT, [8]))
    graph = load(model)
    (conv,) = graph.nodes
    assert isinstance(conv, Conv)
    assert conv.function == IDENTITY
    np.testing.assert_allclose(conv.weight, 2 * W)
    np.testing.assert_allclose(conv.bias, B)
    assert graph.inputs == ["x"]


def test_output_that_is_constant():
    graph = load(onnx_model([node("Neg", ["c"], ["y"])], IMAGE, {"y": 1}, {"c": B}))
    (constant,) = graph.nodes
    assert isinstance(constant, Host)
    assert constant.op == "Constant"


def test_bytes_paths_and_models(tmp_path):
    model = add_relu(13)
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    before = model.SerializeToString()
    assert kinds(model) == kinds(path) == kinds(str(path)) == kinds(before) == [Conv]
    assert model.SerializeToString() == before  # the user's model stays as it is


def test_external_data(tmp_path):
    onnx.save(add_relu(13), tmp_path / "model.onnx", save_as_external_data=True,
              location="weights.bin", size_threshold=0)  # fmt: skip
    (conv,) = load(tmp_path / "model.onnx").nodes
    assert isinstance(conv, Conv)
    np.testing.assert_array_equal(conv.weight, W)


# Mistakes


def broken(change) -> onnx.ModelProto:
    model = add_relu(13)
    change(model)
    return model


def set_weight(value):
    def change(model):
        array = W.copy()
        array[1, 2, 0, 1] = value
        model.graph.initializer[0].CopyFrom(numpy_helper.from_array(array, "w"))

    return change


def set_axis(axis, **dim):
    def change(model):
        model.graph.input[0].type.tensor_type.shape.dim[axis].CopyFrom(
            onnx.TensorShapeProto.Dimension(**dim)
        )

    return change


def other_channels(model):
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights(8, 5, 3, 3), "w"))


def other_rank(model):
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights(8, 3, 3), "w"))


def no_type(model):
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.INT64


def future(model):
    model.opset_import[0].version = 99


def ancient(model):
    model.opset_import[0].version = 1


def unknown_input(model):
    model.graph.node[1].input[0] = "nowhere"


MISTAKES = [
    (set_weight(np.nan), "constant 'w' contains NaN; weights must be finite"),
    (set_weight(np.inf), "constant 'w' (weight of 'c') contains infinite values"),
    (set_axis(2, dim_param="height"), "axis 2 of input 'x' of model 'test' has no fixed size"),
    (other_channels, "the weight of 'c' must have shape [any, 3, any, any] for 3 input channels"),
    (other_rank, "the shapes in model 'test' contradict each other"),
    (no_type, "of model 'test' must be of type float, not int64"),
    (future, "uses opset 99"),
    (unknown_input, "model 'test' is not a valid ONNX model"),
]


@pytest.mark.parametrize(("change", "message"), MISTAKES)
def test_mistakes(change, message):
    with pytest.raises(UserError) as caught:
        load(broken(change))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unusable_files(tmp_path):
    with pytest.raises(UserError, match=r"^there is no model file"):
        load(tmp_path / "missing.onnx")
    with pytest.raises(UserError, match=r"^there is no model file"):
        load(tmp_path)
    path = tmp_path / "model.onnx"
    for content in (b"", b"not a model at all", add_relu(13).SerializeToString()[:-200]):
        path.write_bytes(content)
        with pytest.raises(UserError) as caught:
            load(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    onnx.save(add_relu(13), path, save_as_external_data=True, location="w.bin", size_threshold=0)
    (tmp_path / "w.bin").unlink()
    with pytest.raises(UserError, match="cannot be read as ONNX"):
        load(path)


def test_batch():
    with pytest.raises(UserError, match="batch must be at least 1, not 0"):
        load(add_relu(13), batch=0)
    assert load(add_relu(13), batch=5).tensors["y"].shape == (5, 8, 12, 12)
    fixed = broken(set_axis(0, dim_value=2))
    assert load(fixed, batch=5).tensors["y"].shape == (2, 8, 12, 12)


@pytest.mark.parametrize("nodes", [
    [node("Frobnicate", ["x"], ["y"], name="f", domain="com.example")],
    [node("Frobnicate", ["x"], ["t"], name="f", domain="com.example"), node("Relu", ["t"], ["y"])],
], ids=["with shape", "without shape"])  # fmt: skip
def test_operator_of_somebody_else(nodes):
    model = onnx_model(nodes, IMAGE, {"y": 4})
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", 1, [1, 4]))
    model.opset_import.append(onnx.helper.make_opsetid("com.example", 1))
    with pytest.raises(UserError, match=r"node 'f' \(com.example.Frobnicate\) can run neither"):
        load(model)


def test_data_dependent_shape():
    model = onnx_model([node("NonZero", ["x"], ["n"]), node("Cast", ["n"], ["y"], to=1)], IMAGE,
                       {"y": 2})  # fmt: skip
    with pytest.raises(UserError, match="tensor 'n' of 'test' has no fixed shape"):
        load(model)
