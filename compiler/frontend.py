"""The front end: an ONNX model becomes a graph of operators that the core has."""

import os
from functools import cache

import onnx
from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

from hw.errors import UserError

from .float_graph import FloatGraph, Tensor
from .model import Model, prepare
from .normalisation import write_out_normalisations
from .operators import OPERATORS, import_node
from .passes.activation import fuse_activations
from .passes.affine import fold_affine
from .passes.layout import sink_reshapes
from .passes.leftovers import move_leftovers_to_host
from .passes.padding import fold_padding
from .passes.rank import lift_ranks

__all__ = ["load"]


def load(
    source: str | os.PathLike | bytes | onnx.ModelProto,
    *,
    batch: int = 1,
    strict: bool = False,
    multiplies: bool = False,
) -> FloatGraph:
    """Import an ONNX model.

    Operators that the core does not have become Host nodes; ``FloatGraph.host`` lists them with the
    reasons.

    Parameters
    ----------
    source : path of an .onnx file, its content, or a model
    batch : images per run, for models that leave axis 0 of their inputs open
    strict : refuse operators that would run on the host (changes of shape excepted)
    multiplies : the core can multiply tensors by each other

    Raises
    ------
    UserError
        If the model is unusable (see ``compiler.model.prepare``), or with ``strict`` if the core
        cannot run all of it.
    """
    model = prepare(source, batch)
    if multiplies:
        write_out_normalisations(model)
    graph = _import(model, multiplies)
    lift_ranks(graph)
    sink_reshapes(graph)
    fold_affine(graph)
    fuse_activations(graph)
    fold_padding(graph)
    move_leftovers_to_host(graph)
    if strict:
        _refuse_host(graph)
    return graph


def _import(model: Model, multiplies: bool) -> FloatGraph:
    proto = model.proto.graph
    for node in proto.node:
        kind = f"{node.domain}.{node.op_type}"
        if node.domain not in ("", "ai.onnx") and kind not in OPERATORS.keys() | _on_host():
            raise UserError(
                f"node {node.name!r} ({kind}) can run neither on the core nor on the host; "
                f"supported operators: {', '.join(sorted(OPERATORS))}"
            )
    read = {name for node in proto.node for name in node.input} | set(model.outputs)
    nodes = [import_node(node, model, read, multiplies=multiplies) for node in proto.node]
    nodes += [_constant_output(model, name) for name in model.outputs if name in model.constants]
    tensors = {}
    for name in [*model.inputs, *(name for node in nodes for name in node.outputs)]:
        if name not in model.shapes:
            raise UserError(
                f"tensor {name!r} of {proto.name!r} has no fixed shape; only the batch may be "
                "dynamic, and its size is fixed when the model is compiled"
            )
        tensors[name] = Tensor(model.shapes[name], model.dtypes[name], name)
    graph = FloatGraph(
        proto.name, model.proto, tensors, list(model.inputs), list(model.outputs), nodes
    )
    graph.drop_unused()
    return graph


@cache
def _on_host() -> frozenset[str]:
    """The operators that ONNX Runtime has, with their domains."""
    return frozenset(f"{schema.domain}.{schema.name}" for schema in get_all_operator_schema())


def _constant_output(model: Model, name: str):
    """An output that does not depend on any input."""
    value = onnx.numpy_helper.from_array(model.constants[name], name)
    proto = onnx.helper.make_node("Constant", [], [name], name, value=value)
    return import_node(proto, model, set())


def _refuse_host(graph: FloatGraph) -> None:
    for node in graph.host:
        if not node.layout:
            raise UserError(
                f"node {node.name!r} ({node.op}) cannot run on the core: {node.reason}; "
                f"supported operators: {', '.join(sorted(OPERATORS))}"
            )
