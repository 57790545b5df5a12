"""Quantised graphs on golden against ONNX Runtime, per operator and for whole networks.

Tolerances are in units of the output's last place (``steps``). With dynamic fixed point, an
operator's error comes from rounding its inputs, weights and result, and is a few units; what the
activation tables add is in test_tables.
"""

import numpy as np
import onnx
import pytest

from compiler.formats import argument_frac, largest_frac, preset_frac
from compiler.frontend import load
from compiler.functions import IDENTITY, Clip, Function, LeakyRelu, Linear, Sigmoid
from compiler.quantise import SaturationWarning, quantise
from hw.diannao.config import CONFIGS, Config
from hw.errors import UserError
from sim.graph import Add, Concat, Conv, Gemm, Host, Pool
from tests.compiler.onnx_models import compare, node, one_node, onnx_model, weights

NARROW = Config(width=8, name="narrow")
TRUNCATED = Config(multiplier="array", drop=8, name="truncated")


def images(*shape, seed=7, scale=1.0):
    return {"x": weights(*shape, seed=seed, scale=scale)}


# Operators


@pytest.mark.parametrize("config", [Config(), TRUNCATED, NARROW], ids=lambda c: c.name)
@pytest.mark.parametrize(
    ("channels", "kernel", "attributes"),
    [
        (1, (1, 1), {}),
        (3, (3, 5), {"strides": [2, 1], "pads": [1, 0, 2, 3]}),
        (17, (3, 3), {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
        (4, (11, 11), {"pads": [5, 5, 5, 5], "strides": [4, 4]}),
    ],
)
def test_convolution(channels, kernel, attributes, config):
    model = one_node(
        "Conv", (2, channels, 13, 12),
        {"w": weights(6, channels, *kernel), "b": weights(6, seed=1)}, **attributes,
    )  # fmt: skip
    result = compare(model, images(2, channels, 13, 12), config)
    assert result.ops == ["Conv"]
    # Sums of rounded products: their error grows with the root of the number of taps.
    taps = channels * np.prod(kernel)
    assert result.steps <= 1.5 + 0.35 * np.sqrt(taps)


@pytest.mark.parametrize("config", [Config(), TRUNCATED, NARROW], ids=lambda c: c.name)
@pytest.mark.parametrize(("channels", "outputs", "groups"), [(4, 6, 2), (6, 6, 6), (3, 12, 3)])
def test_grouped_convolution(channels, outputs, groups, config):
    """Also what truncation adds on average, which differs from group to group."""
    model = one_node(
        "Conv", (2, channels, 9, 8),
        {"w": weights(outputs, channels // groups, 3, 3), "b": weights(outputs, seed=1)},
        pads=[1, 1, 1, 1], group=groups,
    )  # fmt: skip
    image = images(2, channels, 9, 8)
    image["x"] *= np.linspace(0.2, 1, channels, dtype=np.float32)[:, None, None]
    result = compare(model, image, config)
    assert result.ops == ["Conv"]
    assert result.steps <= 1.5 + 0.35 * np.sqrt(9 * channels / groups)


@pytest.mark.parametrize("config", [Config(), TRUNCATED], ids=lambda c: c.name)
@pytest.mark.parametrize("op", ["Relu", "LeakyRelu", "Sigmoid", "Tanh", "HardSigmoid", "Clip"])
@pytest.mark.parametrize("alone", [True, False])
def test_activations(op, alone, config):
    """Each activation by itself (on maps and vectors) and behind a convolution."""
    extra = {"lo": np.float32(-0.5), "hi": np.float32(0.7)} if op == "Clip" else {}
    if alone:
        maps = compare(one_node(op, (2, 3, 5, 5), extra), images(2, 3, 5, 5), config)
        result = compare(one_node(op, (4, 30), extra), images(4, 30), config)
        assert maps.ops == result.ops == ["Pool"]
        assert maps.error <= 1e-3
    else:
        model = onnx_model(
            [node("Conv", ["x", "w"], ["c"]), node(op, ["c", *extra], ["y"])],
            {"x": (2, 3, 8, 8)}, {"y": 4}, {"w": weights(5, 3, 3, 3), **extra},
        )  # fmt: skip
        result = compare(model, images(2, 3, 8, 8), config)
        assert result.ops == ["Conv"]
    # Sixteen segments come within 0.72 units of Q6.10 for tanh, in whatever format.
    assert result.error <= 1.0 * 2.0**-10
    assert result.result.saturated == {}


@pytest.mark.parametrize("config", [Config(), TRUNCATED, NARROW], ids=lambda c: c.name)
@pytest.mark.parametrize("attributes", [
    {"kernel_shape": [2, 2]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 0, 1]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 0, 1, 0], "count_include_pad": 1},
    {"kernel_shape": [3, 2], "strides": [2, 3], "ceil_mode": 1},
    {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 1, 1, 1], "ceil_mode": 1,
     "count_include_pad": 1},
    {"kernel_shape": [5, 5], "auto_pad": "SAME_UPPER", "strides": [3, 3]},
])  # fmt: skip
def test_average_pool(attributes, config):
    model = one_node("AveragePool", (1, 3, 10, 11), opset=19, **attributes)
    result = compare(model, images(1, 3, 10, 11), config)
    assert result.ops == ["Pool"]
    # The input's rounding, seen in the output's format, and the roundings of sum and result.
    graph = result.graph
    coarser = max(0, (graph.tensors["y"].frac or 0) - (graph.tensors["x"].frac or 0))
    assert result.steps <= 1.1 + 0.5 * 2**coarser


@pytest.mark.parametrize(
    ("shape", "attributes", "divisors"),
    [
        ((1, 1, 2, 2), {"pads": [1, 1, 1, 1], "count_include_pad": 1}, {9}),
        ((1, 1, 2, 2), {"pads": [1, 1, 1, 1]}, {4}),
        ((1, 1, 4, 5), {"pads": [1, 0, 1, 0]}, {6, 9}),
        ((1, 1, 6, 5), {"strides": [2, 2], "ceil_mode": 1, "count_include_pad": 1}, {6, 9}),
    ],
)
def test_divisors_of_averages(shape, attributes, divisors):
    """One table per number of elements that a window is divided by, and no other."""
    result = compare(
        one_node("AveragePool", shape, kernel_shape=[3, 3], opset=19, **attributes), images(*shape)
    )
    (pool,) = result.graph.nodes
    assert isinstance(pool, Pool)
    assert set(pool.scales) == divisors


@pytest.mark.parametrize("attributes", [
    {"kernel_shape": [2, 2]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
    {"kernel_shape": [4, 3], "auto_pad": "SAME_LOWER", "strides": [3, 2]},
])  # fmt: skip
def test_max_pool_is_exact(attributes):
    """A maximum selects: it keeps the format of its input and adds no error."""
    model = one_node("MaxPool", (2, 3, 10, 11), **attributes)
    result = compare(model, images(2, 3, 10, 11))
    tensors = result.graph.tensors
    assert tensors["x"].frac == tensors["y"].frac
    assert result.steps <= 0.5


def test_global_pools():
    for op in ("GlobalAveragePool", "GlobalMaxPool"):
        result = compare(one_node(op, (3, 5, 7, 9)), images(3, 5, 7, 9))
        assert result.ops == ["Pool"]
        assert result.error <= 2.0**-13


@pytest.mark.parametrize("config", [Config(), TRUNCATED, NARROW], ids=lambda c: c.name)
@pytest.mark.parametrize("attributes", [{"transB": 1}, {"alpha": 0.5, "beta": -2.0}])
def test_gemm(attributes, config):
    w = weights(7, 40) if "transB" in attributes else weights(40, 7)
    model = one_node("Gemm", (5, 40), {"w": w, "b": weights(7, seed=2)}, **attributes)
    result = compare(model, images(5, 40), config)
    assert result.ops == ["Gemm"]
    assert result.steps <= 4


@pytest.mark.parametrize("config", [Config(), TRUNCATED, NARROW], ids=lambda c: c.name)
@pytest.mark.parametrize("scale", [1.0, 60.0])
def test_residual(scale, config):
    """Operands of different ranges are aligned by the multipliers, then added."""
    model = onnx_model([node("Add", ["a", "b"], ["s"]), node("Relu", ["s"], ["y"])],
                       {"a": (2, 3, 6, 6), "b": (2, 3, 6, 6)}, {"y": 4})  # fmt: skip
    samples = {"a": weights(2, 3, 6, 6), "b": weights(2, 3, 6, 6, seed=1, scale=scale)}
    result = compare(model, samples, config)
    (add,) = result.graph.nodes
    assert isinstance(add, Add)
    fracs = [result.graph.tensors[name].frac or 0 for name in add.inputs]
    ratio = np.log2(add.multipliers)
    assert ratio[0] + fracs[0] == ratio[1] + fracs[1]
    assert max(add.multipliers) == 1 << (config.width - 2)
    assert result.steps <= 2


def test_residual_of_extremely_unlike_operands():
    """Where no multipliers could align the formats, the finer operand gives up fraction bits."""
    model = onnx_model([node("Add", ["a", "b"], ["y"])],
                       {"a": (1, 4), "b": (1, 4)}, {"y": 2})  # fmt: skip
    samples = {"a": weights(1, 4, scale=1e-6), "b": weights(1, 4, seed=1, scale=1e3)}
    result = compare(model, samples)
    assert result.steps <= 1.5
    compare(model, {"a": np.zeros((1, 4), np.float32), "b": samples["b"]})


@pytest.mark.parametrize("drop", [4, 12, 16])
def test_residual_without_the_compensation(drop):
    """Products with powers of two lose little or nothing, so their compensation is taken back."""
    model = onnx_model([node("Add", ["a", "b"], ["y"])], {"a": (1, 400), "b": (1, 400)}, {"y": 2})
    samples = {"a": weights(1, 400), "b": weights(1, 400, seed=1)}
    result = compare(model, samples, Config(multiplier="array", drop=drop))
    got = result.result.tensors["y"] * 2.0 ** -(result.graph.tensors["y"].frac or 0)
    mean = (got - samples["a"] - samples["b"]).mean() * 2.0 ** (result.graph.tensors["y"].frac or 0)
    assert result.steps <= (2 if drop < 15 else 8)
    assert abs(mean) <= (0.6 if drop < 15 else 4)


def test_concatenation_shares_one_format():
    """All tensors that a chain of concatenations and maxima connects have the same frac."""
    model = onnx_model(
        [
            node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
            node("MaxPool", ["c"], ["p"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
            node("Concat", ["x", "p"], ["d"], axis=1),
            node("Concat", ["d", "z"], ["y"], axis=1),
        ],
        {"x": (1, 3, 6, 6), "z": (1, 2, 6, 6)}, {"y": 4}, {"w": weights(4, 3, 3, 3, scale=2)},
    )  # fmt: skip
    samples = images(1, 3, 6, 6) | {"z": weights(1, 2, 6, 6, scale=30)}
    result = compare(model, samples)
    assert result.ops == ["Conv", "Pool", "Concat", "Concat"]
    assert len({result.graph.tensors[name].frac for name in "xcpdyz"}) == 1
    assert result.steps <= 10  # the convolution's input is as coarse as the widest tensor needs


def test_batch_norm_without_a_layer():
    values = weights(4, 3, seed=1) ** 2 + 0.1
    model = one_node("BatchNormalization", (1, 3, 4, 4), dict(zip("gbmv", values, strict=True)))
    result = compare(model, images(1, 3, 4, 4))
    assert result.ops == ["Conv"]
    assert result.steps <= 2


def test_scaled_activations():
    """A factor, an offset and a clip in one table behind a pool: x in units of a sum."""
    model = onnx_model(
        [
            node("AveragePool", ["x"], ["a"], kernel_shape=[3, 3]),
            node("Mul", ["a", "k"], ["m"]),
            node("Add", ["m", "o"], ["s"]),
            node("Sigmoid", ["s"], ["y"]),
        ],
        {"x": (1, 3, 9, 9)}, {"y": 4}, {"k": np.float32(-3), "o": np.float32(0.5)},
    )  # fmt: skip
    result = compare(model, images(1, 3, 9, 9))
    assert result.ops == ["Pool"]
    # The offset takes the centre of symmetry away, so the table cannot be mirrored.
    assert result.error <= 2e-3


# Host operators


def test_host_between_core_segments():
    """Tensors that the core never sees keep their type; those it reads have a format."""
    model = onnx_model(
        [
            node("Conv", ["x", "w"], ["c"]),
            node("Softplus", ["c"], ["s"]),
            node("Relu", ["s"], ["r"]),
            node("ArgMax", ["r"], ["i"], axis=1, keepdims=0),
            node("Cast", ["i"], ["y"], to=onnx.TensorProto.FLOAT),
        ],
        {"x": (1, 3, 6, 6)}, {"y": 3, "r": 4}, {"w": weights(4, 3, 3, 3)},
    )  # fmt: skip
    samples = images(1, 3, 6, 6)
    float_graph = load(model)
    graph = quantise(float_graph, samples, Config())
    assert [n.op for n in graph.nodes] == ["Conv", "Softplus", "Pool", "ArgMax", "Cast"]
    tensors = graph.tensors
    assert tensors["i"].frac is None
    assert tensors["i"].dtype == "int64"
    assert tensors["y"].frac is None
    assert None not in (tensors["c"].frac, tensors["s"].frac, tensors["r"].frac)
    assert [n.op for n in float_graph.host] == ["Softplus", "ArgMax", "Cast"]
    for host in graph.nodes:
        if isinstance(host, Host):
            onnx.checker.check_model(host.model)
            assert [v.name for v in host.model.graph.input] == list(host.inputs)
            assert [v.name for v in host.model.graph.output] == list(host.outputs)


def test_host_only_input():
    """An input that only the host reads stays what it is."""
    model = onnx_model(
        [node("Relu", ["x"], ["r"]), node("Pow", ["r", "e"], ["y"])],
        {"x": (1, 3), "e": (1, 3)}, {"y": 2},
    )  # fmt: skip
    samples = {"x": weights(1, 3), "e": np.full((1, 3), 2, np.float32)}
    result = compare(model, samples)
    assert result.graph.tensors["e"].frac is None
    assert result.error <= 1e-3


# Formats


@pytest.mark.parametrize("width", [8, 16])
def test_largest_frac(width):
    high = (1 << (width - 1)) - 1
    assert largest_frac((0.0, float(high)), width) == 0
    assert largest_frac((0.0, high + 0.4), width) == 0
    assert largest_frac((0.0, high + 0.6), width) == -1
    assert largest_frac((-1.0, 0.5), width) == width - 1
    assert largest_frac((-1.0, 1.0), width) == width - 2
    assert largest_frac((0.0, 0.0), width) == width - 2
    assert largest_frac((1e-30, 1e-30), width) == 64
    rng = np.random.default_rng(5)
    for reach in 2.0 ** rng.uniform(-20, 20, 200):
        frac = largest_frac((0.0, reach), width)
        assert round(reach * 2.0**frac) <= high < round(reach * 2.0 ** (frac + 1))


def test_argument_frac():
    """Selecting functions keep the result's format; saturating ones waste no bits on tails."""
    relu = Function((LeakyRelu(),))
    assert argument_frac(relu, (-100.0, 3.0), 13, 16, most=40) == 13
    assert argument_frac(IDENTITY, (-3.0, 3.0), 13, 16, most=11) == 11
    sigmoid = Function((Sigmoid(),))
    wide = argument_frac(sigmoid, (-1000.0, 1000.0), 10, 16, most=40)
    assert wide == 11  # within 16 of zero, as far as ten fraction bits can tell values apart
    assert argument_frac(sigmoid, (-3.0, 3.0), 10, 16, most=40) == 13
    hard = Function((Linear(0.2, 0.5), Clip(0.0, 1.0)))
    assert argument_frac(hard, (-50.0, 50.0), 15, 16, most=40) == 13
    steep = Function((Linear(1000.0), Clip(0.0, 1.0)))
    frac = argument_frac(steep, (-50.0, 50.0), 14, 16, most=40)
    assert 1000 * 2.0 ** (14 - frac) < 1 << 15


def test_everything_is_zero():
    """A network that computes nothing but zeros on the samples still gets formats."""
    model = onnx_model([node("Conv", ["x", "w"], ["c"]), node("Sigmoid", ["c"], ["y"])],
                       {"x": (1, 2, 4, 4)}, {"y": 4},
                       {"w": np.zeros((3, 2, 3, 3), np.float32)})  # fmt: skip
    result = compare(model, {"x": np.zeros((1, 2, 4, 4), np.float32)})
    assert result.error <= 2.0**-10


@pytest.mark.parametrize(
    ("input_scale", "weight_scale", "bias_scale"),
    [(1e-6, 1, 1e3), (1e6, 1e-9, 0), (1e-3, 1e-8, 1e-9), (1e4, 1e4, 1e8)],
)
@pytest.mark.parametrize("config", [Config(), TRUNCATED, NARROW], ids=lambda c: c.name)
def test_extreme_ranges(input_scale, weight_scale, bias_scale, config):
    """Whatever the ranges, shifts and words stay within what the hardware has."""
    model = one_node("Conv", (1, 4, 6, 6), {
        "w": weights(3, 4, 3, 3, scale=weight_scale), "b": weights(3, seed=1, scale=bias_scale),
    })  # fmt: skip
    result = compare(model, images(1, 4, 6, 6, scale=input_scale), config)
    (conv,) = result.graph.nodes
    assert isinstance(conv, Conv)
    assert 0 <= conv.shift <= 63
    assert 0 <= conv.table.shift < 2 * config.width
    assert np.abs(conv.weight).max() < 1 << (config.width - 1)
    assert np.abs(conv.bias).max() < 1 << (2 * config.width - 1)
    assert result.steps <= 6


def test_preset():
    """Q6.10 means ten fraction bits for tensors, weights and arguments alike."""
    model = onnx_model(
        [node("Conv", ["x", "w", "b"], ["c"]), node("Tanh", ["c"], ["t"]),
         node("Flatten", ["t"], ["f"]), node("MatMul", ["f", "v"], ["y"])],
        {"x": (1, 3, 8, 8)}, {"y": 2},
        {"w": weights(4, 3, 3, 3), "b": weights(4), "v": weights(144, 5)},
    )  # fmt: skip
    result = compare(model, images(1, 3, 8, 8), preset="Q6.10")
    conv, gemm = result.graph.nodes
    assert isinstance(conv, Conv)
    assert isinstance(gemm, Gemm)
    assert {t.frac for t in result.graph.tensors.values()} == {10}
    assert conv.shift == gemm.shift == 10
    np.testing.assert_allclose(conv.weight * 2.0**-10, weights(4, 3, 3, 3), atol=2.0**-11)
    np.testing.assert_allclose(conv.bias * 2.0**-20, weights(4), atol=2.0**-21)
    assert result.error <= 0.05


def test_preset_that_does_not_fit_warns():
    """Tensors and weights beyond the preset's range are named."""
    model = one_node("Gemm", (2, 6), {"w": weights(6, 3, scale=40)})
    with pytest.warns(SaturationWarning) as caught:
        compare(model, images(2, 6), preset="Q6.10")
    texts = [str(w.message) for w in caught]
    assert any(text.startswith("tensor 'y' reaches ") for text in texts)
    assert any("values of the weights of 'the_node' do not fit 16 bits" in text for text in texts)


@pytest.mark.parametrize("preset", ["Q6.11", "6.10", "Q6", "Q-6.22", "q6.10", ""])
def test_wrong_presets(preset):
    with pytest.raises(UserError, match=r"preset must be Qm.n with m \+ n = 16, like Q6.10"):
        preset_frac(preset, 16)


# Mistakes


def test_reduction_too_long():
    model = one_node("Conv", (1, 8, 6, 6), {"w": weights(2, 8, 3, 3)})
    config = Config(max_reduction=71, name="small")
    with pytest.raises(
        UserError, match="'the_node' adds up 72 values; the core 'small' holds sums"
    ):
        compare(model, images(1, 8, 6, 6), config)
    assert compare(model, images(1, 8, 6, 6), Config(max_reduction=72)).ops == ["Conv"]
    model = one_node("GlobalAveragePool", (1, 2, 9, 9))
    with pytest.raises(UserError, match="adds up 81 values"):
        compare(model, images(1, 2, 9, 9), config)


def test_wrong_samples():
    graph = load(one_node("Relu", ("N", 3)), batch=4)
    good = weights(4, 3)
    mistakes = {
        r"sample inputs must be 'x' \[4, 3\], not 'z'": {"z": good},
        r"samples of input 'x' must have shape \[any, 3\], not \[4, 4\]": {"x": weights(4, 4)},
        r"must have shape \[any, 3\], not \[0, 3\]": {"x": good[:0]},
        "samples of input 'x' must be numbers, not <U1": {"x": np.full((4, 3), "a")},
        "samples of input 'x' must be finite": {"x": np.full((4, 3), np.nan)},
    }
    for message, samples in mistakes.items():
        with pytest.raises(UserError, match=message):
            quantise(graph, samples, Config())


def test_overflow_in_the_float_model():
    model = onnx_model([node("Exp", ["x"], ["e"]), node("Relu", ["e"], ["y"])], {"x": (1, 2)},
                       {"y": 2})  # fmt: skip
    with pytest.raises(UserError, match="tensor 'e' becomes NaN or infinite on the sample inputs"):
        compare(model, {"x": np.full((1, 2), 1000, np.float32)})


def test_too_few_segments():
    model = one_node("HardSigmoid", (1, 3))
    with pytest.raises(UserError, match="segments must be at least 3"):
        compare(model, images(1, 3, scale=20), Config(segments=2))


# Calibration


def test_samples_of_any_number():
    """More samples than a batch are all used, fewer are repeated."""
    model = one_node("Relu", ("N", 2))
    samples = np.array([[1, 1], [1, 1], [1, 1], [1, 1], [1, 100]], np.float32)
    graph = load(model, batch=2)
    assert quantise(graph, {"x": samples}, Config()).tensors["x"].frac == 8
    assert quantise(graph, {"x": samples[:4]}, Config()).tensors["x"].frac == 14
    assert quantise(graph, {"x": samples[4:]}, Config()).tensors["x"].frac == 8
    assert quantise(graph, {"x": -samples[:0:-1]}, Config()).tensors["x"].frac == 8
    assert quantise(graph, {"x": samples[:0:-1]}, Config()).tensors["x"].frac == 8


def test_bias_takes_back_the_error_of_truncation():
    """Behind a ReLU truncated products are biased, which the layer's bias makes good."""
    model = onnx_model(
        [node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]), node("Relu", ["c"], ["r"]),
         node("Conv", ["r", "v", "b"], ["y"], pads=[1, 1, 1, 1])],
        {"x": (2, 8, 10, 10)}, {"y": 4},
        {"w": weights(32, 8, 3, 3), "v": weights(16, 32, 3, 3, seed=1), "b": weights(16) - 3},
    )  # fmt: skip
    samples = images(2, 8, 10, 10)
    exact = compare(model, samples, Config())
    truncated = compare(model, samples, Config(multiplier="array", drop=12))
    difference = truncated.result.tensors["y"] - exact.result.tensors["y"]
    assert np.abs(difference.mean(axis=(0, 2, 3))).max() < 2
    before, after = exact.graph.nodes[-1], truncated.graph.nodes[-1]
    assert isinstance(before, Conv)
    assert isinstance(after, Conv)
    assert before.shift == after.shift
    # Without the correction every output would be off by far more than what is left.
    assert ((before.bias - after.bias) / 2**after.shift).min() > 10


# Networks


def test_small_network_with_everything():
    """Branches, residuals, shapes, a host operator, and several images at once."""
    rng = np.random.default_rng(11)

    def w(*shape):
        return (rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:]))).astype(np.float32)

    values = np.abs(rng.normal(size=(4, 8)).astype(np.float32)) + 0.2
    model = onnx_model(
        [
            node("Conv", ["x", "w1"], ["c1"], pads=[1, 1, 1, 1], strides=[2, 2]),
            node("BatchNormalization", ["c1", "g", "h", "m", "v"], ["n1"]),
            node("Relu", ["n1"], ["r1"]),
            node("Conv", ["r1", "w2", "b2"], ["c2"], auto_pad="SAME_UPPER"),
            node("Add", ["c2", "r1"], ["a"]),
            node("LeakyRelu", ["a"], ["r2"], alpha=0.1),
            node("MaxPool", ["r2"], ["p1"], kernel_shape=[2, 2], strides=[2, 2]),
            node("Conv", ["p1", "w3"], ["c3"]),
            node("Tanh", ["c3"], ["t3"]),
            node("AveragePool", ["p1"], ["p2"], kernel_shape=[3, 3], strides=[1, 1],
                 pads=[1, 1, 1, 1]),
            node("Concat", ["t3", "p2"], ["k"], axis=1),
            node("GlobalAveragePool", ["k"], ["q"]),
            node("Flatten", ["q"], ["f"]),
            node("Gemm", ["f", "w4", "b4"], ["l"], transB=1),
            node("Softmax", ["l"], ["y"]),
        ],
        {"x": ("N", 3, 16, 16)}, {"y": 2, "l": 2},
        {"w1": w(8, 3, 3, 3), "w2": w(8, 8, 3, 3), "b2": w(8), "w3": w(6, 8, 1, 1),
         "w4": w(10, 14), "b4": w(10), **dict(zip("ghmv", values, strict=True))},
    )  # fmt: skip
    for config in (Config(), CONFIGS["diannao-16x16"], CONFIGS["tiny"], NARROW):
        result = compare(model, images(5, 3, 16, 16), config, batch=3)
        ops = ["Conv", "Conv", "Add", "Pool", "Conv", "Pool", "Concat", "Pool", "Gemm", "Softmax"]
        assert sorted(result.ops) == sorted(ops)
        assert [type(n) for n in result.graph.nodes if isinstance(n, Concat | Pool)].count(
            Pool
        ) == 3
        assert result.error <= (4e-3 if config.width == 16 else 0.3)
