"""Local response normalisation on DaDianNao machines: against ONNX Runtime, golden and RTL."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import diannao
from compiler.dadiannao import lower
from hw.arith.numbers import bounds
from hw.dadiannao.config import CONFIGS
from hw.errors import UserError
from sim import golden
from sim.icarus import IcarusTarget
from tests.compiler.networks import Network

SMALL = CONFIGS["dadiannao-tiny-training"].replace(central_rows=2048)
SHAPE = (3, 9, 10)


def model(size=5, alpha=0.5, beta=0.75, bias=1.0, operator="LRN", channels=12):
    """Convolution, Relu, normalisation of channels that fill no whole blocks, convolution."""
    rng = np.random.default_rng(size)
    attributes = {"size": size, "alpha": alpha, "beta": beta, "bias": bias}
    weights = {
        "v": rng.normal(0, 0.3, (channels, SHAPE[0], 3, 3)),
        "w": rng.normal(0, 0.2, (4, channels, 3, 3)),
    }
    nodes = [
        helper.make_node("Conv", ["x", "v"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node(operator, ["r"], ["n"], **(attributes if operator == "LRN" else {})),
        helper.make_node("Conv", ["n", "w"], ["y"], pads=[1, 1, 1, 1]),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", count, *SHAPE[1:]])
              for name, count in (("x", SHAPE[0]), ("n", channels), ("y", 4))]  # fmt: skip
    graph = helper.make_graph(
        nodes, "normalised", values[:1], values[1:],
        [numpy_helper.from_array(v.astype(np.float32), name) for name, v in weights.items()],
    )  # fmt: skip
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    ).SerializeToString()


def run(source, images=2, **options):
    """The session, which compares with golden, its normalised maps and those of ONNX Runtime."""
    x = np.random.default_rng(1).normal(0, 2, (images, *SHAPE)).astype(np.float32)
    session = diannao.Session(source, **options)
    found = session.run(["n"], {"x": x})[0]
    expected = onnxruntime.InferenceSession(source).run(["n"], {"x": x})[0]
    return session, found, np.asarray(expected)


@pytest.mark.parametrize(
    ("attributes", "limit"),
    [
        ({}, 0.01),
        ({"size": 3, "beta": 0.5, "bias": 2.0}, 0.005),
        ({"size": 9, "alpha": 1e-4}, 0.001),
        ({"size": 31, "alpha": 1.0, "channels": 5}, 0.01),
    ],
    ids=["steep", "root", "flat", "all"],
)
def test_accuracy(attributes, limit):
    """16 segments over all sums: the error is the table's, in parts of the largest neuron."""
    session, found, expected = run(model(**attributes), config=SMALL, target="isa")
    assert session.report["checked_tensors"] == 3
    assert session.report["host"] == []
    assert np.abs(found - expected).max() < limit * np.abs(expected).max()


def test_more_segments_are_closer():
    errors = []
    for segments in (16, 64):
        _, found, expected = run(model(), config=SMALL.replace(segments=segments), target="golden")
        errors.append(np.abs(found - expected).max())
    assert errors[1] < errors[0] / 4


@pytest.mark.parametrize("mesh", [(2, 1), (2, 2)])
def test_nothing_goes_between_nodes(mesh):
    """As many bytes on the links as with an activation in its place (DaDianNao, section V.C)."""
    config = CONFIGS["dadiannao-tiny-training"].replace(rows=mesh[0], columns=mesh[1])
    sent = []
    for operator in ("LRN", "Tanh"):
        session, found, expected = run(model(operator=operator), config=config, target="isa")
        np.testing.assert_allclose(found, expected, atol=0.02)
        accesses = session.report["accesses"]
        sent.append({name: size for name, size in accesses.items() if name.startswith("link_")})
    assert sent[0] == sent[1]
    assert sum(sent[0].values()) > 0


def test_other_machines_leave_it_to_the_host():
    session, _, _ = run(model(), config="dadiannao-tiny", target="golden")
    (host,) = session.report["host"]
    assert host["op"] == "LRN"
    assert "aggregate=true and training=true" in host["reason"]
    with pytest.raises(UserError, match="products of two tensors take DaDianNao nodes"):
        diannao.Session(model(), config="dadiannao-tiny", strict=True)


def products(config):
    """Squares and products of maps, of parts of a concatenation, and of vectors."""
    net = Network(config.core, 2)
    x = net.input(1, 5, 2, 3)
    y = net.mul(x, net.conv(net.mul(x, x), 5, (1, 1)))
    both = net.concat(y, x)
    z = net.mul(both, both)
    return net.graph(y, z, net.mul(net.gemm(y, 3), net.gemm(y, 3)))


def check(target, config) -> None:
    graph, rng = products(config), np.random.default_rng(0)
    low, high = bounds(graph.width)
    inputs = {name: rng.integers(low, high + 1, graph.tensors[name].shape) for name in graph.inputs}
    done = target.run(lower(graph, config), inputs)
    expected = golden.run(graph, inputs).tensors
    for name in graph.outputs:
        np.testing.assert_array_equal(done.tensors[name], expected[name])


def test_products_in_icarus():
    config = SMALL.replace(
        tiles=1, tn=2, ti=2, trunk=32, bus_port=32, central_rows=256, sb_rows=512, segments=4
    )
    check(IcarusTarget(config), config)


@pytest.mark.slow
@pytest.mark.parametrize("mesh", [(1, 1), (2, 1)])
def test_rtl(mesh):
    from sim.verilator.target import VerilatorTarget

    config = SMALL.replace(rows=mesh[0], columns=mesh[1])
    target = VerilatorTarget(config)
    check(target, config)
    target.close()
    session, _, _ = run(model(), images=1, config=config, target="verilator")
    assert session.report["checked_tensors"] == 3
