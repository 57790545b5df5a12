"""Small ONNX models for tests, and the way from a model through golden to its error."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import NodeProto, TensorProto, helper, numpy_helper

from compiler.float_graph import FloatGraph
from compiler.frontend import load
from compiler.model import session
from compiler.quantise import quantise
from hw.diannao.config import Config
from sim import golden, host
from sim.graph import Graph

__all__ = ["Comparison", "compare", "node", "one_node", "onnx_model", "weights"]

node = helper.make_node

Shape = tuple[int | str, ...]


def onnx_model(
    nodes: list[NodeProto],
    inputs: dict[str, Shape],
    outputs: dict[str, int],
    constants: Mapping[str, ArrayLike] | None = None,
    *,
    opset: int = 13,
    elem_type: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """A model; ``outputs`` maps names to numbers of axes, shapes may hold names of dimensions."""
    domains = {n.domain for n in nodes} - {""}
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(name, elem_type, shape) for name, shape in inputs.items()],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [f"{name}{i}" for i in range(n)])
            for name, n in outputs.items()
        ],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(name, 1) for name in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def one_node(
    op: str,
    shape: Shape,
    constants: Mapping[str, ArrayLike] | None = None,
    *,
    rank: int | None = None,
    opset: int = 13,
    **attributes,
) -> onnx.ModelProto:
    """A model y = op(x, constants...)."""
    constants = constants or {}
    nodes = [node(op, ["x", *constants], ["y"], "the_node", **attributes)]
    return onnx_model(nodes, {"x": shape}, {"y": rank or len(shape)}, constants, opset=opset)


def weights(*shape: int, seed: int = 0, scale: float = 0.3) -> np.ndarray:
    """Normal random float32 weights."""
    return (np.random.default_rng(seed).normal(size=shape) * scale).astype(np.float32)


@dataclass
class Comparison:
    """A quantised model beside its float original, on one batch of inputs.

    ``error`` is the largest difference between golden and ONNX Runtime over all outputs, ``steps``
    the same in units of each output's last place (outputs of the core only).
    """

    float_graph: FloatGraph
    graph: Graph
    result: golden.Result
    error: float
    steps: float

    @property
    def ops(self) -> list[str]:
        return [node.op for node in self.graph.nodes]

    @property
    def core(self) -> bool:
        return not self.float_graph.host


def compare(
    model: onnx.ModelProto,
    samples: dict[str, np.ndarray],
    config: Config | None = None,
    *,
    batch: int | None = None,
    preset: str | None = None,
) -> Comparison:
    """Quantise ``model`` on ``samples`` and compare golden with ONNX Runtime on the first batch."""
    config = config or Config()
    batch = batch or len(next(iter(samples.values())))
    float_graph = load(model, batch=batch)
    graph = quantise(float_graph, samples, config, preset=preset)
    feeds = {name: samples[name][:batch].astype(np.float32) for name in graph.inputs}
    integers = {}
    for name, value in feeds.items():
        frac = graph.tensors[name].frac
        integers[name] = value if frac is None else host.quantise(value, frac, config.width)[0]
    result = golden.run(graph, integers)
    expected = session(model).run(graph.outputs, feeds)
    error = steps = 0.0
    for name, value in zip(graph.outputs, expected, strict=True):
        assert isinstance(value, np.ndarray)
        got, frac = result.tensors[name], graph.tensors[name].frac
        assert got.shape == value.shape, f"{name}: {got.shape} is not {value.shape}"
        floats = got if frac is None else host.dequantise(got, frac)
        difference = float(np.abs(floats - value).max())
        error = max(error, difference)
        if frac is not None:
            steps = max(steps, difference * 2.0**frac)
    return Comparison(float_graph, graph, result, error, steps)
