"""Batch normalisation and arithmetic with constants: into weights and biases."""

import numpy as np

from ..float_graph import Activation, Affine, Conv, FloatGraph, Gemm, LocalConv
from ..functions import IDENTITY, Function, Linear

__all__ = ["fold_affine"]


def fold_affine(graph: FloatGraph) -> None:
    """Remove all Affine nodes.

    Behind a convolution or classifier layer that nobody else reads, they change its weights and
    bias. Elsewhere, one scale and offset for all channels is an activation; different ones are a
    layer of one weight per channel. What is linear can be folded in one step after the other.
    """
    for node in [node for node in graph.nodes if isinstance(node, Affine)]:
        maker = graph.producer(node.input)
        if (
            isinstance(maker, Conv | LocalConv | Gemm)
            and maker.function == IDENTITY
            and graph.only_consumer(node.input)
        ):

            def spread(values: np.ndarray, like: np.ndarray) -> np.ndarray:
                """One value per output, for all that belongs to it."""
                return values.reshape(-1, *(1,) * (like.ndim - 1))

            weight, bias = maker.weight, maker.bias
            maker.weight = weight * spread(node.scale, weight)
            maker.bias = bias * spread(node.scale, bias) + spread(node.offset, bias)
            maker.outputs = [node.output]
            maker.raw = graph.tensors[node.output].source
            graph.replace(node)
        else:
            graph.replace(node, _standalone(graph, node))
    graph.drop_unused()


def _standalone(graph: FloatGraph, node: Affine) -> Activation | Conv | Gemm:
    common = {"name": node.name, "inputs": node.inputs, "outputs": node.outputs}
    raw = graph.tensors[node.output].source
    if (node.scale == node.scale[0]).all() and (node.offset == node.offset[0]).all():
        step = Linear(float(node.scale[0]), float(node.offset[0]))
        return Activation(**common, function=IDENTITY.then(Function((step,))))
    if len(graph.tensors[node.input].shape) == 2:
        return Gemm(**common, weight=np.diag(node.scale), bias=node.offset, raw=raw)
    weight = node.scale[:, None, None, None]
    return Conv(**common, weight=weight, bias=node.offset, groups=len(weight), raw=raw)
