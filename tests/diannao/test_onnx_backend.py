"""The ONNX backend: ONNX's own tests of every supported operator, and the interface."""

import warnings
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.backend.base import Backend, BackendRep

from diannao import UserError, onnx_backend
from tests.compiler.onnx_models import node, onnx_model, weights

from .models import images, network
from .node_tests import cases, count, outcome, read_record

OPTIONS: dict[str, Any] = {"config": "tiny", "target": "golden"}

ON_RTL = {
    "test_Conv1d_pad1",
    "test_Conv2d_padding",
    "test_Linear",
    "test_add",
    "test_averagepool_2d_precomputed_same_upper",
    "test_batchnorm_example",
    "test_conv_with_strides_and_asymmetric_padding",
    "test_gemm_transposeB",
    "test_globalaveragepool",
    "test_leakyrelu",
    "test_maxpool_2d_precomputed_pads",
    "test_tanh",
}


@pytest.fixture(scope="module")
def onnx_tests():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ONNX computes infinities for tests of other operators
        return {case.name: (model, data_sets) for case, model, data_sets in cases()}


# ONNX's tests


def test_onnx_node_tests(onnx_tests):
    """Every test has the recorded outcome, so that the number of those that pass only grows."""
    version, recorded = read_record()
    outcomes = {name: outcome(*test, **OPTIONS) for name, test in onnx_tests.items()}
    print(f"ONNX {onnx.__version__}: {count(outcomes)}")
    changed = [
        f"{name}: recorded {recorded[name]!r}, now {now!r}"
        for name, now in outcomes.items()
        if recorded.get(name, now) != now
    ]
    assert not changed, (
        "\n".join(changed) + "\nif these are gains: python -m tests.diannao.node_tests"
    )
    # Another version of ONNX may have other tests; those that nobody has looked at must not fail.
    if version == onnx.__version__:
        assert outcomes.keys() == recorded.keys()
    fails = {name for name, now in outcomes.items() if now.startswith("fails")}
    # Dropout in training has the random numbers of ONNX's reference, nobody else's.
    assert all(name.startswith("test_training_dropout") for name in fails)


def test_onnx_node_tests_on_rtl(onnx_tests):
    """Within the same tolerances on the Verilog; golden's integers, as Session checks."""
    assert onnx_tests.keys() >= ON_RTL
    for name in sorted(ON_RTL):
        assert (name, outcome(*onnx_tests[name], config="tiny", target="verilator")) == (
            name,
            "core",
        )


def test_wrong_results_are_found(onnx_tests):
    """A result that is off by twice the tolerance fails, one off by less passes."""
    model, [(inputs, (expected,))] = onnx_tests["test_add"]
    lsb = 2.0**-13
    for off, passes in ((0.2 * lsb, True), (3 * lsb, False), (-3 * lsb, False)):
        wrong = expected.copy()
        wrong[2, 1, 0] += off
        assert (outcome(model, [(inputs, [wrong])], **OPTIONS) == "core") is passes
    assert outcome(model, [(inputs, [expected[0]])], **OPTIONS) == (
        "fails: float32 (3, 4, 5) instead of float32 (4, 5)"
    )


# The interface


def test_classes_are_those_of_onnx():
    assert issubclass(onnx_backend.DiannaoBackend, Backend)
    assert isinstance(onnx_backend.prepare(network(), **OPTIONS), BackendRep)


def test_results_are_those_of_a_session():
    from diannao import Session

    x = images(3)
    expected = Session(network(), **OPTIONS).run(None, {"x": x})
    rep = onnx_backend.prepare(network(), **OPTIONS)
    for inputs in ([x], x, {"x": x}):
        outputs = rep.run(inputs)
        np.testing.assert_array_equal(outputs[0], expected[0])
        np.testing.assert_array_equal(outputs["p"], expected[1])  # type: ignore
    assert rep.report["images"] == 9
    again = onnx_backend.run_model(network(), [x], **OPTIONS)
    np.testing.assert_array_equal(again["y"], expected[0])  # type: ignore


def test_new_parameters_compile_anew():
    """Weights that are inputs of the graph may change from run to run."""
    model = onnx_model(
        [node("MatMul", ["x", "w"], ["m"]), node("Add", ["m", "x"], ["y"])],
        {"x": ("N", 3), "w": (3, 3)}, {"y": 2},
    )  # fmt: skip
    rep = onnx_backend.prepare(model, **OPTIONS)
    assert (rep.inputs, rep.parameters) == (["x", "w"], ["w"])
    with pytest.raises(UserError, match="no report before the first run"):
        _ = rep.report
    x = weights(4, 3)
    for seed in (1, 2):
        w = weights(3, 3, seed=seed)
        for runs in (1, 2):
            np.testing.assert_allclose(rep.run([x, w])[0], x @ w + x, atol=1e-3)
            assert rep.report["images"] == 4 * runs


def test_an_input_that_also_flows_is_no_parameter():
    model = onnx_model([node("MatMul", ["x", "x"], ["y"])], {"x": (3, 3)}, {"y": 2})
    x = weights(3, 3)
    rep = onnx_backend.prepare(model, **OPTIONS)
    assert rep.parameters == []
    np.testing.assert_allclose(rep.run(x)[0], x @ x, rtol=1e-5)
    assert rep.report["host"][0]["op"] == "MatMul"


def test_run_node():
    x, w = weights(2, 3, 6, 6), weights(4, 3, 3, 3)
    conv = node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])
    (y,) = onnx_backend.run_node(conv, [x, w], **OPTIONS)
    assert y.shape == (2, 4, 6, 6)
    assert np.abs(y).max() > 1
    (named,) = onnx_backend.run_node(conv, {"x": x, "w": w}, opset_version=11, **OPTIONS)
    np.testing.assert_array_equal(named, y)


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda: onnx_backend.prepare(network(), "CUDA"), "^device must be CPU, not 'CUDA'"),
        (
            lambda: onnx_backend.run_model(network(), [], **OPTIONS),
            r"^expected 1 inputs \(x\), not 0",
        ),
        (
            lambda: onnx_backend.run_model(network(), {}, **OPTIONS),
            "^input 'x' is missing; expected: 'x' float32",
        ),
        (
            lambda: onnx_backend.run_node(node("Nothing", ["x"], ["y"]), weights(2), **OPTIONS),
            "^operator 'Nothing' cannot take these inputs",
        ),
        (
            lambda: onnx_backend.run_node(
                node("MatMul", ["x", "w"], ["y"]), [weights(2, 3), weights(2, 3)], **OPTIONS
            ),
            "^operator 'MatMul' cannot take these inputs",
        ),
        (
            lambda: onnx_backend.run_node(node("Relu", ["x"], ["y"]), [], **OPTIONS),
            r"^operator 'Relu' reads 1 tensors \(x\), not 0",
        ),
    ],
    ids=["device", "count", "missing", "operator", "shapes", "node inputs"],
)
def test_mistakes(attempt, message):
    with pytest.raises(UserError, match=message):
        attempt()


def test_compatibility():
    assert onnx_backend.is_compatible(network())
    assert onnx_backend.supports_device("CPU:0")
    assert not onnx_backend.is_compatible(network(), "CUDA")
    integers = onnx_model(
        [node("Relu", ["x"], ["y"])], {"x": (2,)}, {"y": 1}, elem_type=onnx.TensorProto.INT32
    )
    assert not onnx_backend.is_compatible(integers)
