"""Training: against floating point, on machines against golden, and what a user may do wrong."""

from itertools import pairwise

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import diannao
from compiler.training import tables
from compiler.training.frontend import read_model
from diannao.cli import main
from diannao.training.run import FORMATS
from hw.arith import wide
from hw.arith.numbers import activate
from hw.dadiannao.config import CONFIGS
from hw.errors import UserError
from sim.training.golden import Golden
from sim.training.loss import Loss, Rate
from sim.training.network import Network, Normalise

TINY = CONFIGS["dadiannao-tiny-training"]
SMALL = TINY.replace(central_rows=2048)  # for the RTL


def _model(nodes, initializers, shape, outputs, output):
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", outputs])],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in initializers.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def perceptron(sizes, function="Tanh", seed=1):
    rng = np.random.default_rng(seed)
    nodes, weights, value = [], {}, "x"
    for n, (inputs, outputs) in enumerate(pairwise(sizes)):
        weights[f"w{n}"] = rng.normal(0, inputs**-0.5, (outputs, inputs)).astype(np.float32)
        weights[f"b{n}"] = rng.normal(0, 0.1, outputs).astype(np.float32)
        nodes.append(helper.make_node("Gemm", [value, f"w{n}", f"b{n}"], [f"s{n}"], transB=1))
        value = f"s{n}"
        if n < len(sizes) - 2:
            nodes.append(helper.make_node(function, [value], [f"y{n}"]))
            value = f"y{n}"
    return _model(nodes, weights, [sizes[0]], sizes[-1], value)


def convolutions(pooling, stride=2, seed=1):
    """Padding, strides, pooling, a Flatten in front of the classifier."""
    rng = np.random.default_rng(seed)
    weights = {
        "w0": rng.normal(0, 0.4, (4, 2, 3, 3)), "b0": rng.normal(0, 0.1, 4),
        "w1": rng.normal(0, 0.3, (3, 4, 3, 2)), "b1": rng.normal(0, 0.1, 3),
        "w2": rng.normal(0, 0.3, (3 * (2 // stride + 1) * 3, 5)), "b2": rng.normal(0, 0.1, 5),
    }  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["x", "w0", "b0"], ["s0"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["s0"], ["y0"]),
        helper.make_node(pooling, ["y0"], ["p0"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node(
            "Conv", ["p0", "w1", "b1"], ["s1"], strides=[stride, 1], pads=[1, 0, 0, 0]
        ),
        helper.make_node("Relu", ["s1"], ["y1"]),
        helper.make_node("Flatten", ["y1"], ["f"]),
        helper.make_node("MatMul", ["f", "w2"], ["m"]),
        helper.make_node("Add", ["m", "b2"], ["y"]),
    ]
    weights = {name: value.astype(np.float32) for name, value in weights.items()}
    return _model(nodes, weights, [2, 8, 8], 5, "y")


def normalised(seed=1, **attributes):
    """Two normalisations, one between padded convolutions, one in front of pooling."""
    rng = np.random.default_rng(seed)
    values = {"size": 3, "alpha": 0.9, "beta": 0.75, "bias": 1.0} | attributes
    weights = {
        "w0": rng.normal(0, 0.6, (7, 2, 3, 3)), "b0": rng.normal(0, 0.1, 7),
        "w1": rng.normal(0, 0.3, (3, 7, 3, 3)), "b1": rng.normal(0, 0.1, 3),
        "w2": rng.normal(0, 0.3, (4, 3 * 2 * 3)), "b2": rng.normal(0, 0.1, 4),
    }  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["x", "w0", "b0"], ["s0"]),
        helper.make_node("Tanh", ["s0"], ["y0"]),
        helper.make_node("LRN", ["y0"], ["n0"], **values),
        helper.make_node("Conv", ["n0", "w1", "b1"], ["s1"], pads=[1, 1, 1, 1]),
        helper.make_node("LRN", ["s1"], ["n1"], **values | {"size": 4, "beta": 1.2}),
        helper.make_node("MaxPool", ["n1"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "w2", "b2"], ["y"], transB=1),
    ]
    weights = {name: value.astype(np.float32) for name, value in weights.items()}
    return _model(nodes, weights, [2, 6, 8], 4, "y")


def _weights(model):
    return {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}


@pytest.mark.parametrize("pooling", ["MaxPool", "AveragePool"])
def test_gradients(pooling):
    """Golden's change of every weight is what central differences of the loss say."""
    model = convolutions(pooling)
    formats = FORMATS[32]
    rng = np.random.default_rng(2)
    x = rng.normal(size=(6, 2, 8, 8))
    labels = rng.integers(0, 5, 6)
    scaled = np.floor(x * 2.0**formats.activation + 0.5).astype(np.int64)
    rate = 2.0**-3

    def loss_of(changed):
        network = read_model(changed, formats).network
        step = Loss("cross-entropy", formats, Rate.of(rate, len(x)))
        return step(Golden(network).forward(scaled), labels)

    read = read_model(model, formats)
    step = Loss("cross-entropy", formats, Rate.of(rate, len(x)))
    golden = Golden(read.network)
    _, _, delta = step(golden.forward(scaled), labels)
    golden.backward(delta, step.rate.shift)
    before, after = _weights(model), _weights(read.trained())
    for name, value in before.items():
        change = (after[name] - value) / -rate
        pairs = []
        for at in rng.permutation(list(np.ndindex(value.shape)))[:16].tolist():
            losses = []
            for sign in (1, -1):
                moved = onnx.ModelProto()
                moved.CopyFrom(model)
                for each in moved.graph.initializer:
                    if each.name == name:
                        shifted = value.copy()
                        shifted[tuple(at)] += sign * 2.0**-10
                        each.CopyFrom(numpy_helper.from_array(shifted, name))
                losses.append(loss_of(moved)[0])
            pairs.append((change[tuple(at)], (losses[0] - losses[1]) * 2.0**9))
        found, slopes = np.array(pairs).T
        assert found @ slopes > 0.999 * np.linalg.norm(found) * np.linalg.norm(slopes), name
        assert np.linalg.norm(found) == pytest.approx(np.linalg.norm(slopes), rel=0.01), name


@pytest.mark.parametrize("width", [32, 16])
@pytest.mark.parametrize(
    ("size", "alpha", "beta", "bias"),
    [(3, 0.9, 0.75, 1.0), (5, 1e-4, 0.75, 2.0), (4, 0.5, 0.6, 1.2), (1, 0.8, 1.3, 1.0)],
)
def test_normalisation(size, alpha, beta, bias, width):
    """Outputs, and what comes back through them, against floating point."""
    formats, rng = FORMATS[width], np.random.default_rng(size)
    x, delta = rng.normal(0, 0.9, (4, 9, 2, 3)), rng.normal(0, 0.5, (4, 9, 2, 3))
    before = (size - 1) // 2
    inside = np.array([[c - before <= j < c - before + size for j in range(9)] for c in range(9)])
    u = bias + alpha / size * np.einsum("cj,njhw->nchw", inside, x**2)
    others = np.einsum("cj,nchw->njhw", inside, delta * x * u ** (-beta - 1))
    change = -2 * alpha / size * beta * x * others

    parts = tables.normalisation(alpha / size, beta, bias, formats.activation, width)
    network = Network(formats, x.shape[1:], [Normalise("n", size, *parts)])
    golden = Golden(network)
    y = golden.forward(np.rint(x * 2.0**formats.activation).astype(np.int64)).reshape(x.shape)
    assert np.abs(y * 2.0**-formats.activation - x * u**-beta).max() < 0.01 * np.abs(x).max()
    integers = np.rint(delta * 2.0**formats.gradient).astype(np.int64)
    back = golden.backward(integers, 0) * 2.0**-formats.gradient
    error = np.abs(back - (delta * u**-beta + change)).max()
    # Both tables' errors; below that lie some units of the last place.
    assert error < 0.07 * np.abs(change).max() + 4 * 2.0**-formats.activation


@pytest.mark.parametrize("width", [32, 16])
@pytest.mark.parametrize("name", ["Sigmoid", "Tanh"])
def test_tables(name, width):
    """Chords are near the curve, and the derivative near that of the curve."""
    frac = FORMATS[width].activation
    x = np.linspace(-9, 9, 4001)
    curve = np.tanh(x) if name == "Tanh" else 1 / (1 + np.exp(-x))
    slope = 1 - curve**2 if name == "Tanh" else curve * (1 - curve)
    scaled = np.floor(x * 2.0**frac).astype(np.int64)

    def evaluate(values, table):
        return wide.activate(values, table) if width == 32 else activate(values, table, 16, 0)

    y = evaluate(scaled, tables.activation(name, frac, width))
    assert np.abs(y * 2.0**-frac - curve).max() < 0.01
    assert y[0] == (0 if name == "Sigmoid" else -1 << frac)
    zero = evaluate(np.zeros(1, dtype=np.int64), tables.activation(name, frac, width))
    assert zero[0] == (1 << frac - 1 if name == "Sigmoid" else 0)
    g = evaluate(y, tables.derivative(name, frac, width))
    assert np.abs(g * 2.0**-frac - slope).max() < 0.02
    assert g[0] == g[-1] == 0


def test_learns_and_needs_32_bits():
    """A small learning rate: with 32 bits it learns, with 16 changes are rounded away."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(4, 12))
    labels = rng.integers(0, 4, 400)
    x = centres[labels] + rng.normal(scale=0.7, size=(400, 12))
    accuracy = {}
    for width in (32, 16):
        done = diannao.train(
            perceptron((12, 16, 4)), x[:300], labels[:300], test=(x[300:], labels[300:]),
            epochs=30, batch=4, rate=0.002, width=width,
        )  # fmt: skip
        accuracy[width] = done.epochs[-1].test_accuracy
        assert done.epochs[-1].loss < done.epochs[0].loss
    assert accuracy[32] > 0.9
    assert accuracy[16] < accuracy[32] - 0.05


@pytest.mark.parametrize("width", [32, 16])
@pytest.mark.parametrize("function", ["Sigmoid", "Relu"])
def test_machine(width, function):
    """Three batches in the interpreter: every weight as in golden. Layers fill no blocks."""
    rng = np.random.default_rng(width)
    x, labels = rng.normal(size=(24, 11)), rng.integers(0, 5, 24)
    found = []
    for target in ("golden", "isa"):
        done = diannao.train(
            perceptron((11, 13, 9, 5), function), x, labels, epochs=1, batch=8, rate=0.3,
            width=width, target=target,
        )  # fmt: skip
        found.append(_weights(done.model))
    for name, value in found[0].items():
        np.testing.assert_array_equal(found[1][name], value)


@pytest.mark.parametrize(
    ("model", "shape", "outputs", "width"),
    [
        (perceptron((7, 9, 3), "Sigmoid"), (7,), 3, 32),
        (perceptron((7, 9, 3), "Tanh"), (7,), 3, 16),
        (convolutions("MaxPool", stride=2), (2, 8, 8), 5, 32),
        (normalised(), (2, 6, 8), 4, 32),
    ],
    ids=["perceptron-32", "perceptron-16", "convolutions-32", "normalised-32"],
)
def test_rtl(model, shape, outputs, width):
    """Two batches on the Verilog of a node, with the squared error: every weight as in golden."""
    batch = 4 if len(shape) == 1 else 1
    rng = np.random.default_rng(width)
    x, wanted = rng.normal(size=(8, *shape)), rng.normal(size=(8, outputs))
    found = []
    for target in ("golden", "verilator"):
        done = diannao.train(
            model, x, wanted, epochs=1, batch=batch, batches=2, rate=0.3, width=width,
            target=target, config=SMALL, loss="squared-error",
        )  # fmt: skip
        found.append(_weights(done.model))
    for name, value in found[0].items():
        np.testing.assert_array_equal(found[1][name], value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 24}, "width must be one of 16, 32, not 24"),
        ({"batch": 40}, "batch must be at most the 24 images"),
        ({"rate": 0.0}, "rate must be more than 0"),
        ({"loss": "hinge"}, "loss must be one of"),
        ({"target": "isa", "config": "dadiannao-tiny"}, "dadiannao-tiny cannot train"),
        ({"target": "isa", "config": "diannao-8x8"}, "is no DaDianNao machine"),
        ({"target": "isa", "config": TINY.replace(sb_rows=64)}, "SB rows"),
        ({"loss": "squared-error"}, "labels must have the shape"),
    ],
)
def test_refused(changes, message):
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(24, 11)), rng.integers(0, 5, 24)
    with pytest.raises(UserError, match=message):
        diannao.train(perceptron((11, 13, 5)), x, labels, **changes)


@pytest.mark.parametrize(("pooling", "stride"), [("MaxPool", 1), ("AveragePool", 2)])
def test_convolutions_on_a_machine(pooling, stride):
    """Two batches of convolutions and pooling: every weight as in golden."""
    rng = np.random.default_rng(5)
    x, labels = rng.normal(size=(8, 2, 8, 8)), rng.integers(0, 5, 8)
    found = []
    for target in ("golden", "isa"):
        done = diannao.train(
            convolutions(pooling, stride), x, labels, epochs=1, batch=4, rate=0.3, target=target,
            config=TINY,
        )  # fmt: skip
        found.append(_weights(done.model))
    for name, value in found[0].items():
        np.testing.assert_array_equal(found[1][name], value)


@pytest.mark.parametrize(
    ("kernel", "strides", "pads", "function"),
    [
        ((3, 3), (2, 3), (1, 1, 1, 1), None),
        ((2, 3), (3, 2), (0, 2, 0, 0), "Relu"),  # strides beyond the kernel, unused inputs
        ((1, 1), (2, 2), (0, 0, 0, 0), None),
        ((5, 4), (1, 4), (4, 0, 0, 3), "Tanh"),
    ],
    ids=["3x3", "beyond", "1x1", "pads"],
)
def test_strides_on_a_machine(kernel, strides, pads, function):
    """A strided layer between two others, with and without an activation: as in golden."""
    rng = np.random.default_rng(kernel[0])
    height, width = (
        (size + pads[axis] + pads[axis + 2] - kernel[axis]) // strides[axis] + 1
        for axis, size in enumerate((7, 8))
    )
    weights = {
        "w0": rng.normal(0, 0.4, (6, 1, 2, 2)), "b0": rng.normal(0, 0.1, 6),
        "w1": rng.normal(0, 0.3, (5, 6, *kernel)), "b1": rng.normal(0, 0.1, 5),
        "w2": rng.normal(0, 0.3, (5 * height * width, 3)), "b2": rng.normal(0, 0.1, 3),
    }  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["x", "w0", "b0"], ["s0"]),
        helper.make_node("Relu", ["s0"], ["y0"]),
        helper.make_node("Conv", ["y0", "w1", "b1"], ["s1"], strides=strides, pads=pads),
        helper.make_node(function or "Identity", ["s1"], ["y1"]),
        helper.make_node("Flatten", ["y1"], ["f"]),
        helper.make_node("Gemm", ["f", "w2", "b2"], ["y"]),
    ]
    weights = {name: value.astype(np.float32) for name, value in weights.items()}
    model = _model(nodes, weights, [1, 8, 9], 3, "y")
    x, labels = rng.normal(size=(4, 1, 8, 9)), rng.integers(0, 3, 4)
    found = [
        _weights(diannao.train(model, x, labels, epochs=1, batch=2, target=target).model)
        for target in ("golden", "isa")
    ]
    for name, value in found[0].items():
        np.testing.assert_array_equal(found[1][name], value)
    assert any((found[0][name] != weights[name]).any() for name in ("w0", "b0"))


@pytest.mark.parametrize("width", [32, pytest.param(16, marks=pytest.mark.slow)])
def test_normalisation_on_a_machine(width):
    """Forward and backward through two of them: every weight as in golden."""
    rng = np.random.default_rng(width)
    x, labels = rng.normal(size=(4, 2, 6, 8)), rng.integers(0, 4, 4)
    found = [
        _weights(
            diannao.train(
                normalised(), x, labels, epochs=1, batch=2, rate=0.3, width=width, target=target
            ).model
        )
        for target in ("golden", "isa")
    ]
    for name, value in found[0].items():
        np.testing.assert_array_equal(found[1][name], value)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"alpha": 0.0}, "must have positive alpha, beta and bias"),
        ({"bias": 1e-3}, "has an alpha, beta or bias that the number format cannot hold"),
    ],
)
def test_normalisation_that_is_refused(attributes, message):
    with pytest.raises(UserError, match=message):
        read_model(normalised(**attributes), FORMATS[32])


@pytest.mark.parametrize(
    ("mesh", "model", "shape", "width"),
    [
        ((2, 1), normalised(), (2, 6, 8), 32),
        ((2, 2), perceptron((9, 13, 4), "Sigmoid"), (9,), 32),
        ((1, 3), perceptron((9, 13, 4), "Tanh"), (9,), 16),
        pytest.param((2, 2), normalised(), (2, 6, 8), 16, marks=pytest.mark.slow),
    ],
    ids=["2x1", "2x2", "1x3-16", "2x2-16"],
)
def test_several_nodes(mesh, model, shape, width):
    """Nodes share the outputs of layers: every weight as in golden."""
    config = TINY.replace(rows=mesh[0], columns=mesh[1], tiles=2, sb_rows=1024)
    rng = np.random.default_rng(width)
    x, labels = rng.normal(size=(2, *shape)), rng.integers(0, 4, 2)
    found = [
        _weights(
            diannao.train(
                model, x, labels, epochs=2, batch=1, rate=0.3, width=width, target=target,
                config=config,
            ).model
        )
        for target in ("golden", "isa")
    ]  # fmt: skip
    for name, value in found[0].items():
        np.testing.assert_array_equal(found[1][name], value)


@pytest.mark.slow
def test_rtl_of_two_nodes():
    rng = np.random.default_rng(0)
    for model, shape in ((normalised(), (2, 6, 8)), (perceptron((9, 13, 4), "Sigmoid"), (9,))):
        x, labels = rng.normal(size=(2, *shape)), rng.integers(0, 4, 2)
        found = [
            _weights(
                diannao.train(
                    model, x, labels, epochs=1, batch=1, rate=0.3, target=target,
                    config=SMALL.replace(rows=2, tiles=2),
                ).model
            )
            for target in ("golden", "verilator")
        ]  # fmt: skip
        for name, value in found[0].items():
            np.testing.assert_array_equal(found[1][name], value)


def _cli(monkeypatch, *arguments) -> int:
    monkeypatch.setattr("sys.argv", ["diannao", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code if isinstance(ended.value.code, int) else 0


def test_refuses_bad_numbers():
    x, labels = np.full((24, 11), np.nan), np.zeros(24, dtype=np.int64)
    with pytest.raises(UserError, match="images must be finite numbers"):
        diannao.train(perceptron((11, 13, 5)), x, labels)


def test_command(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(64, 6)).astype(np.float32), rng.integers(0, 3, 64)
    model, data, output = (tmp_path / name for name in ("m.onnx", "d.npz", "o.onnx"))
    onnx.save(perceptron((6, 8, 3)), model)
    np.savez(data, x=x, labels=labels, test_x=x, test_labels=labels)
    report = tmp_path / "r.json"
    assert _cli(monkeypatch, "train", model, "--data", data, "-o", output, "--epochs", 2,
                "--report", report) == 0  # fmt: skip
    assert "on the test images" in capsys.readouterr().out
    trained = onnx.load(output)
    onnx.checker.check_model(trained)
    assert not np.array_equal(_weights(trained)["w0"], _weights(onnx.load(model))["w0"])
    assert '"test_accuracy"' in report.read_text()

    np.savez(data, x=x)
    output.unlink()
    assert _cli(monkeypatch, "train", model, "--data", data, "-o", output) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "has no array 'labels'" in error
    assert not output.exists()
