"""Run the float model on sample inputs to learn the range of every tensor."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import onnx

from hw.errors import UserError

from .float_graph import Computation, FloatGraph, Host
from .model import session

__all__ = ["Range", "Runner", "calibrate"]

Range = tuple[float, float]
"""Smallest and largest value seen."""


class Runner:
    """The float model in ONNX Runtime, with any of its tensors as outputs.

    Parameters
    ----------
    graph : whose ONNX model is run
    samples : one array per input, by name; axis 0 may have any length and is cut into batches (the
        last one is filled up with samples from the front), as many for each input

    Raises
    ------
    UserError
        If a sample array is missing, unknown, of a wrong shape or type, or not finite.
    """

    def __init__(self, graph: FloatGraph, samples: Mapping[str, np.ndarray]):
        self.graph = graph
        self.samples = _checked(graph, samples)

    def batches(self, names: list[str]) -> Iterator[dict[str, np.ndarray]]:
        """Values of the ONNX tensors ``names``, batch by batch."""
        model = onnx.ModelProto()
        model.CopyFrom(self.graph.model)
        del model.graph.output[:]
        produced = [name for name in names if name not in self.graph.inputs]
        model.graph.output.extend(
            onnx.helper.make_value_info(name, onnx.TypeProto()) for name in produced
        )
        runtime = self._attempt(session, model) if produced else None
        for feed in self._feeds():
            values = {name: feed[name] for name in names if name in feed}
            if runtime is not None:
                results = self._attempt(runtime.run, produced, feed)
                values.update(zip(produced, results, strict=True))
            yield values

    def _attempt(self, action: Callable, *arguments):
        try:
            return action(*arguments)
        except Exception as error:  # ONNX Runtime's exceptions have no common base but this
            reason = str(error).splitlines()[0]
            raise UserError(
                f"ONNX Runtime cannot run {self.graph.name!r} for calibration: {reason}"
            ) from error

    def _feeds(self) -> Iterator[dict[str, np.ndarray]]:
        shapes = {name: self.graph.tensors[name].shape for name in self.graph.inputs}
        runs = max((_runs(self.samples[name], shape) for name, shape in shapes.items()), default=1)
        for run in range(runs):
            feed = {}
            for name, shape in shapes.items():
                value = self.samples[name]
                if shape:
                    at = np.arange(run * shape[0], (run + 1) * shape[0]) % len(value)
                    value = value[at]
                feed[name] = value
            yield feed


def _runs(value: np.ndarray, shape: tuple[int, ...]) -> int:
    """How many runs it takes to use all samples of an input of ``shape``."""
    return -(-len(value) // shape[0]) if shape else 1


def _checked(graph: FloatGraph, samples: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    expected = {name: graph.tensors[name].shape for name in graph.inputs}
    if set(samples) != set(expected):
        wanted = ", ".join(f"{name!r} {list(shape)}" for name, shape in expected.items())
        raise UserError(f"sample inputs must be {wanted}, not {', '.join(map(repr, samples))}")
    checked = {}
    for name, shape in expected.items():
        value = np.asarray(samples[name])
        if value.ndim != len(shape) or value.shape[1:] != shape[1:] or not value.size:
            wanted = ", ".join(("any", *map(str, shape[1:]))) if shape else ""
            raise UserError(
                f"samples of input {name!r} must have shape [{wanted}], not {list(value.shape)}"
            )
        if value.dtype.kind not in "fiub":
            raise UserError(f"samples of input {name!r} must be numbers, not {value.dtype}")
        if not np.isfinite(value).all():
            raise UserError(f"samples of input {name!r} must be finite")
        checked[name] = value.astype(np.float32)
    runs = {name: _runs(value, expected[name]) for name, value in checked.items()}
    if len(set(runs.values())) > 1:
        raise UserError(f"samples must make the same number of runs for all inputs, not {runs}")
    return checked


def calibrate(graph: FloatGraph, runner: Runner) -> dict[str, Range]:
    """Range of every ONNX tensor that the core computes or reads.

    Raises
    ------
    UserError
        If the float model itself computes NaN or infinity.
    """
    names = set()
    for node in graph.nodes:
        if not isinstance(node, Host):
            names |= {graph.tensors[name].source for name in [*node.inputs, *node.outputs]}
        if isinstance(node, Computation):
            names.add(node.raw)
    ranges: dict[str, Range] = {}
    for values in runner.batches(sorted(names)):
        for name, value in values.items():
            low, high = float(value.min()), float(value.max())
            if not np.isfinite([low, high]).all():
                raise UserError(f"tensor {name!r} becomes NaN or infinite on the sample inputs")
            if name in ranges:
                low, high = min(low, ranges[name][0]), max(high, ranges[name][1])
            ranges[name] = (low, high)
    return ranges
