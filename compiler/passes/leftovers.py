"""Hand to the host what the other passes could not make disappear."""

import numpy as np
from onnx import helper

from ..float_graph import FloatGraph, Host, Pad, Reshape

__all__ = ["move_leftovers_to_host"]


def move_leftovers_to_host(graph: FloatGraph) -> None:
    """Replace every remaining Pad and Reshape by a host operator."""
    for node in list(graph.nodes):
        if isinstance(node, Pad):
            host = _pad(node)
        elif isinstance(node, Reshape):
            host = _reshape(graph, node)
        else:
            continue
        graph.replace(node, host)


def _pad(node: Pad) -> Host:
    name = f"{node.name}.pads"
    top, left, bottom, right = node.pads
    pads = np.array([0, 0, top, left, 0, 0, bottom, right], np.int64)
    return Host(
        name=node.name, inputs=node.inputs, outputs=node.outputs, op="Pad",
        proto=helper.make_node("Pad", [node.input, name], [node.output], node.name),
        constants={name: pads},
        reason="only a convolution, an average that has no uncounted padding, or a maximum over "
        "values that are never negative can take over its zeros",
    )  # fmt: skip


def _reshape(graph: FloatGraph, node: Reshape) -> Host:
    name = f"{node.name}.shape"
    shape = np.array(graph.tensors[node.output].shape, np.int64)
    return Host(
        name=node.name, inputs=node.inputs, outputs=node.outputs, op="Reshape",
        proto=helper.make_node("Reshape", [node.input, name], [node.output], node.name),
        constants={name: shape}, layout=True,
        reason="a host operator or a graph output needs the new shape",
    )  # fmt: skip
