"""Whole networks: the program, interpreted or on RTL, equals the golden model in every tensor."""

import warnings

import numpy as np
import onnx
import pytest

from compiler.bound import host_macs
from compiler.frontend import load
from diannao import CONFIGS, Session, UserError, zoo
from tests.compiler.onnx_models import node, onnx_model, weights

# The rest is for scripts/networks: it takes minutes.
WHOLE = {"squeezenet": ("verilator", {"Softmax"}), "shufflenet": ("isa", {"Softmax", "Transpose"})}


@pytest.mark.parametrize("name", WHOLE)
def test_programs_equal_golden(name):
    target, left = WHOLE[name]
    model = zoo.network(name)
    x = zoo.image(model)
    session = Session(model, CONFIGS["diannao-16x16"], target, calibration=x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no value leaves its format
        (scores,) = session.run(None, x)
    assert scores.shape[:2] == (1, 1000)
    np.testing.assert_allclose(scores.sum(), 1, atol=1e-3)
    report = session.report
    assert {host["op"] for host in report["host"]} - {"Reshape"} == left
    assert report["checked_tensors"] >= 39
    assert report["saturated"] == {}
    assert target == "isa" or report["efficiency"] >= 0.97


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_inputs_fit(name):
    """Every topology is there, with one image as its input, the same for the same seed."""
    model = zoo.network(name, seed=5) if name == "squeezenet" else onnx.load(zoo.topology(name))
    ((tensor, x),) = zoo.image(model).items()
    assert tensor in {value.name for value in model.graph.input}
    assert x.shape == (1, 3, 224, 224)
    np.testing.assert_array_equal(x, zoo.image(model)[tensor])
    assert np.abs(x.mean()) < 0.01


def test_same_seed_same_network():
    first, second, third = (zoo.network("squeezenet", seed) for seed in (1, 1, 2))
    assert first == second
    assert first != third


def test_unknown_network():
    with pytest.raises(UserError, match=r"unknown network 'lenet'; known: alexnet, .*densenet121"):
        zoo.network("lenet")


@pytest.mark.parametrize(
    ("op", "inputs", "constants", "attributes", "macs"),
    [
        ("Conv", {"x": (2, 3, 8, 8)}, {"w": weights(4, 3, 3, 3)}, {"dilations": [2, 2]},
         2 * 4 * 16 * 27),
        ("Gemm", {"x": (5, 2)}, {"w": weights(5, 7)}, {"transA": 1}, 2 * 7 * 5),
        ("MatMul", {"x": (2, 3, 4), "z": (2, 4, 5)}, {}, {}, 2 * 3 * 5 * 4),
        ("Softmax", {"x": (2, 3)}, {}, {}, 0),
    ],
)  # fmt: skip
def test_work_on_the_host(op, inputs, constants, attributes, macs):
    nodes = [node(op, [*inputs, *constants], ["y"], **attributes)]
    graph = load(onnx_model(nodes, inputs, {"y": {"Conv": 4, "MatMul": 3}.get(op, 2)}, constants))
    (host,) = graph.host
    assert host_macs(host, graph) == macs
