"""ONNX's own tests of operators on the core: which run where, and whether they pass.

``python -m tests.diannao.node_tests`` writes the record that test_onnx_backend.py compares with.
"""

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.case.test_case import TestCase
from onnx.backend.test.loader import load_model_tests

from compiler.formats import largest_frac
from compiler.operators import OPERATORS
from diannao import UserError, onnx_backend

__all__ = ["RECORD", "cases", "count", "outcome", "read_record"]

RECORD = Path(__file__).with_name("node_tests.txt")

KINDS = ("node", "pytorch-converted", "pytorch-operator", "simple")

LAYOUT = {"Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
"""Operators that compute nothing."""

# How far a result may be off: in units of the last place of the coarser of the formats of inputs
# and outputs, and absolutely.
TOLERANCES = {
    # The input is rounded, and then selected.
    **dict.fromkeys(["MaxPool", "GlobalMaxPool", "Relu", "Clip", "Concat"], (0.5, 0)),
    # Input and result are rounded, and the slope is at most one.
    **dict.fromkeys(["LeakyRelu", "HardSigmoid"], (1, 0)),
    # Two inputs and the result.
    **dict.fromkeys(["Add", "Sum", "Sub"], (1.5, 0)),
    # Input, argument of the table, the table's slope (one over the window's size), result.
    **dict.fromkeys(["AveragePool", "GlobalAveragePool"], (2, 0)),
    # Argument and result, and the roundings of inputs and weights, which together stay below one
    # where the result is as large as the largest product.
    **dict.fromkeys(["Conv", "Gemm", "MatMul", "BatchNormalization", "Mul", "Div"], (2, 0)),
    # Input and result, and the fit of 16 segments: below one unit of Q6.10 in any format.
    **dict.fromkeys(["Sigmoid", "Tanh"], (1, 2.0**-10)),
    **dict.fromkeys(LAYOUT, (0, 0)),
    "Pad": (0, 0),
}

_WIDTH = 16
_FLOAT = 1e-6
"""Relative error of a float32 result, and of the expected one."""


def cases() -> Iterator[tuple[TestCase, onnx.ModelProto, list[tuple[list, list]]]]:
    """Every test of which all operators are supported: model, and pairs of inputs and outputs."""
    for kind in KINDS:
        for case in load_model_tests(kind=kind):
            if case.model is None:
                model = onnx.load(Path(case.model_dir or "") / "model.onnx")
            else:
                model = case.model
            operators = {node.op_type for node in model.graph.node}
            if isinstance(model, onnx.ModelProto) and operators <= OPERATORS.keys():
                sets = [(list(inputs), list(outputs)) for inputs, outputs in case.data_sets or ()]
                yield case, model, sets or _stored(Path(case.model_dir or ""))


def _stored(folder: Path) -> list[tuple[list, list]]:
    def arrays(data: Path, what: str) -> list[np.ndarray]:
        paths = sorted(data.glob(f"{what}_*.pb"), key=lambda path: int(path.stem.split("_")[1]))
        return [numpy_helper.to_array(onnx.load_tensor(path)) for path in paths]

    return [
        (arrays(data, "input"), arrays(data, "output"))
        for data in sorted(folder.glob("test_data_set_*"))
    ]


def outcome(model: onnx.ModelProto, data_sets: list[tuple[list, list]], **options) -> str:
    """What becomes of a test.

    "core" if the core computes it, "host: why" if the host does, at least in part, "refused: why"
    if it cannot be run, "fails: how" if a result is wrong.
    """
    try:
        rep = onnx_backend.prepare(model, **options)
        results = [rep.run(inputs) for inputs, _ in data_sets]
    except UserError as error:
        return f"refused: {error}"
    host = [node for node in rep.report["host"] if node["op"] != "Reshape"]
    on_core = rep.report["layers"] or not host
    rep.close()
    for outputs, (inputs, expected) in zip(results, data_sets, strict=True):
        named = zip(rep.inputs, inputs, strict=True)
        data = [value for name, value in named if name not in rep.parameters]
        tolerance = _tolerance(model, [*data, *expected]) if on_core else 0.0
        if error := _error(outputs, expected, tolerance):
            return f"fails: {error}"
    if host:
        return "host: " + "; ".join(dict.fromkeys(node["reason"] for node in host))
    if {node.op_type for node in model.graph.node} <= LAYOUT:
        return "host: nothing to compute"
    return "core"


def _tolerance(model: onnx.ModelProto, values: list[np.ndarray]) -> float:
    """The sum over all operators, for formats that just hold ``values``."""
    operators = [TOLERANCES[node.op_type] for node in model.graph.node]
    frac = min(largest_frac((float(value.min()), float(value.max())), _WIDTH) for value in values)
    return sum(units * 2.0**-frac + absolute for units, absolute in operators)


def _error(outputs: Sequence[np.ndarray], expected: list[np.ndarray], tolerance: float) -> str:
    """How the outputs are wrong; nothing if they are right."""
    for got, wanted in zip(outputs, expected, strict=True):
        if (got.shape, got.dtype) != (wanted.shape, wanted.dtype):
            return f"{got.dtype} {got.shape} instead of {wanted.dtype} {wanted.shape}"
        difference = np.abs(got.astype(np.float64) - wanted.astype(np.float64))
        if (difference > tolerance + _FLOAT * (1 + np.abs(wanted.astype(np.float64)))).any():
            return "other numbers"
    return ""


def count(outcomes: dict[str, str]) -> str:
    """A line with the number of tests of each outcome."""
    totals = Counter(value.partition(":")[0] for value in outcomes.values())
    return ", ".join(f"{totals[kind]} {kind}" for kind in ("core", "host", "refused", "fails"))


def read_record() -> tuple[str, dict[str, str]]:
    """The version of ONNX that the record was made with, and the outcome of every test."""
    version, *lines = RECORD.read_text().splitlines()
    return version.split()[-1], dict(line.split(" ", 1) for line in lines)


def main() -> None:
    warnings.simplefilter("ignore")
    outcomes = {
        case.name: outcome(model, data_sets, config="tiny", target="golden")
        for case, model, data_sets in cases()
    }
    lines = [f"{name} {text}" for name, text in sorted(outcomes.items())]
    RECORD.write_text("\n".join([f"onnx {onnx.__version__}", *lines, ""]))
    print(count(outcomes))


if __name__ == "__main__":
    main()
