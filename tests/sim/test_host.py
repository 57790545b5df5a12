"""Conversion between floats and integers, and where host operators run."""

import numpy as np
import onnx.helper
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.arith.numbers import bounds
from sim import host
from sim.graph import Graph, Host, Tensor


@settings(derandomize=True, database=None, max_examples=300)
@given(st.floats(allow_nan=False, width=32), st.integers(-4, 20), st.sampled_from([8, 16]))
def test_quantise_rounds_to_the_nearest_number(value, frac, width):
    low, high = bounds(width)
    (result,), saturated = host.quantise(np.array([value]), frac, width)
    assert result == np.clip(np.rint(value * 2.0**frac), low, high)
    assert saturated == (not low <= np.rint(value * 2.0**frac) <= high)


@pytest.mark.parametrize(("frac", "width"), [(10, 16), (0, 8), (-3, 8), (20, 16)])
def test_every_number_survives_the_way_to_float_and_back(frac, width):
    low, high = bounds(width)
    integers = np.arange(low, high + 1)
    floats = host.dequantise(integers, frac)
    assert floats.dtype == np.float32
    assert floats[0] == low * 2.0**-frac
    result, saturated = host.quantise(floats, frac, width)
    np.testing.assert_array_equal(result, integers)
    assert result.dtype == np.int64
    assert saturated == 0


def test_halves_go_to_even_and_the_ends_saturate():
    values = [0.5, 1.5, -0.5, -1.5, 127.49, 127.5, -128.5, -128.51, np.inf, -np.inf]
    result, saturated = host.quantise(np.array(values), 0, 8)
    assert result.tolist() == [0, 2, 0, -2, 127, 127, -128, -128, 127, -128]
    assert saturated == 4


def test_nan_is_refused():
    with pytest.raises(ValueError, match="values must be numbers, but 2 of them are NaN"):
        host.quantise(np.array([1.0, np.nan, np.nan]), 0, 8)


def one_node(op: str, ir_version: int = 8) -> tuple[Host, Graph]:
    value = onnx.helper.make_tensor_value_info
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            [onnx.helper.make_node(op, ["x"], ["y"])], op,
            [value("x", onnx.TensorProto.FLOAT, [3])], [value("y", onnx.TensorProto.FLOAT, [3])],
        ),
        opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=ir_version,
    )  # fmt: skip
    tensors = {"x": Tensor("x", (3,), 4), "y": Tensor("y", (3,), 8)}
    return Host("n", ("x",), ("y",), model, op), Graph("g", 16, 0, tensors, ["x"], ["y"])


@pytest.mark.parametrize("ir_version", [8, 1000], ids=["onnxruntime", "reference"])
def test_operators_run_where_they_can(ir_version):
    """ONNX Runtime refuses models from the future; the reference evaluator then steps in."""
    node, graph = one_node("Neg", ir_version)
    if ir_version == 1000:
        with pytest.raises(Exception, match="IR version"):
            onnxruntime.InferenceSession(node.model.SerializeToString())
    outputs, saturated = host.evaluate(node, graph, {"x": np.array([1, -40, 2048])})
    assert outputs["y"].tolist() == [-16, 640, -32768]
    assert saturated == {"y": 0}


def test_nan_from_an_operator_names_it():
    node, graph = one_node("Sqrt")
    with pytest.raises(ValueError, match="output 'y' of host operator 'n': values must be numbers"):
        host.evaluate(node, graph, {"x": np.array([1, -40, 2048])})
