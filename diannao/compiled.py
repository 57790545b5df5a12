"""A model compiled for one batch size: quantised graph, and programs for the core's part of it."""

import os
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import onnx
import onnxruntime

from compiler.bound import layer_of
from compiler.float_graph import FloatGraph
from compiler.frontend import load
from compiler.model import session
from compiler.quantise import quantise
from compiler.segments import segments
from sim.graph import Concat, Graph, Host
from sim.memory import MemorySettings
from sim.program import Layer, Program

from .accelerators import MachineConfig, accelerator_of

__all__ = ["Compiled", "Source", "is_batched"]

Source = str | os.PathLike | bytes | onnx.ModelProto

_BATCHED = frozenset(
    "Abs Acos Acosh Asin Asinh Atan Atanh AveragePool BatchNormalization Cast Ceil Celu Clip Conv "
    "ConvTranspose Cos Cosh DepthToSpace Dropout Elu Erf Exp Floor Gelu GlobalAveragePool "
    "GlobalLpPool GlobalMaxPool HardSigmoid HardSwish Identity InstanceNormalization LRN LeakyRelu "
    "Log LpPool MaxPool Mish Neg PRelu Reciprocal Relu Round Selu Sigmoid Sign Sin Sinh Softplus "
    "Softsign SpaceToDepth Sqrt Swish Tan Tanh ThresholdedRelu".split()
)
_BATCHED_UNLESS_AXIS_0 = {"Softmax": -1, "LogSoftmax": -1, "Hardmax": -1, "Concat": None}
"""Operators that mix images only along axis 0, with the default of their attribute ``axis``."""


def is_batched(graph: FloatGraph, batch: int) -> bool:
    """Whether image n of every output depends on image n of the inputs alone.

    The core's operators are of that kind; host operators only as far as they are known to be.
    """
    if any(graph.tensors[name].shape[:1] != (batch,) for name in (*graph.inputs, *graph.outputs)):
        return False
    for node in graph.host:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.proto.attribute}
        if node.op in _BATCHED:
            continue
        if node.op in _BATCHED_UNLESS_AXIS_0:
            axis = attributes.get("axis", _BATCHED_UNLESS_AXIS_0[node.op])
            if axis not in (0, -len(graph.tensors[node.inputs[0]].shape)):
                continue
        if node.op == "Transpose" and attributes.get("perm", [1])[0] == 0:
            continue
        if node.op == "Reshape":
            shapes = [graph.tensors[name].shape for name in (node.inputs[0], node.outputs[0])]
            if all(shape[:1] == (batch,) for shape in shapes):
                continue
        return False
    return True


@dataclass
class Compiled:
    """``source`` for images by the ``batch``.

    Parameters
    ----------
    floats : the graph before quantisation, with the ONNX model it was made from
    graph : the quantised graph
    config, memory : what it is compiled for
    """

    floats: FloatGraph
    graph: Graph
    config: MachineConfig
    memory: MemorySettings

    @classmethod
    def make(
        cls,
        source: Source,
        batch: int,
        samples: dict[str, np.ndarray],
        config: MachineConfig,
        memory: MemorySettings,
        *,
        strict: bool,
        preset: str | None,
    ) -> "Compiled":
        """Compile up to quantisation; lowering follows when a program is asked for."""
        accelerator = accelerator_of(config)
        floats = load(source, batch=batch, strict=strict, multiplies=accelerator.multiplies(config))
        arithmetic = accelerator.arithmetic(config)
        graph = quantise(floats, samples, arithmetic, preset=preset)
        return cls(floats, graph, config, memory)

    @cached_property
    def segments(self) -> list[Graph | Host]:
        return segments(self.graph)

    @cached_property
    def programs(self) -> dict[str, Program]:
        """Program of every core segment by the segment's name."""
        return {
            segment.name: accelerator_of(self.config).lower(segment, self.config, self.memory)
            for segment in self.segments
            if isinstance(segment, Graph)
        }

    @cached_property
    def layers(self) -> list[Layer]:
        """The core's layers in the order of the graph, each tagged with its number."""
        nodes = [node for node in self.graph.nodes if not isinstance(node, Host | Concat)]
        arithmetic = accelerator_of(self.config).arithmetic(self.config)
        return [layer_of(node, tag, self.graph, arithmetic) for tag, node in enumerate(nodes)]

    @cached_property
    def _float_session(self) -> onnxruntime.InferenceSession:
        return session(self.floats.model)

    def floating(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs in floating point, from ONNX Runtime."""
        names = list(self.floats.outputs)
        return dict(zip(names, self._float_session.run(names, feeds), strict=True))  # type: ignore
