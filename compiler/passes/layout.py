"""Move changes of shape out of the way of the core.

A Reshape copies nothing on the core if whoever reads it can read its input instead. Operators that
treat every element alike move in front of it; classifier layers flatten by themselves. What remains
stands before a host operator or a graph output, and runs on the host.
"""

from ..float_graph import (
    Activation,
    Add,
    Affine,
    Concat,
    Conv,
    FloatGraph,
    Gemm,
    Mul,
    Node,
    Reshape,
)

__all__ = ["sink_reshapes"]


def sink_reshapes(graph: FloatGraph) -> None:
    """Move every Reshape towards the outputs as far as it goes, and drop those that do nothing."""
    again = True
    while again:
        again = False
        for node in list(graph.nodes):
            if any(node is kept for kept in graph.nodes):
                again |= _drop(graph, node) if isinstance(node, Reshape) else _sink(graph, node)
        graph.drop_unused()


def _origin(graph: FloatGraph, tensor: str) -> str | None:
    """The tensor before the Reshape that makes ``tensor``, if one does."""
    node = graph.producer(tensor)
    return node.input if isinstance(node, Reshape) else None


def _drop(graph: FloatGraph, node: Reshape) -> bool:
    """Join a Reshape with the one before it, or remove it if it changes nothing."""
    before = _origin(graph, node.input)
    if before is not None:
        node.inputs = [before]
        return True
    x, y = node.input, node.output
    if graph.tensors[x].shape != graph.tensors[y].shape:
        return False
    if y in graph.outputs:
        if x in graph.inputs or x in graph.outputs:
            return False
        x, y = y, x
    graph.nodes = [other for other in graph.nodes if other is not node]
    for other in graph.nodes:
        other.rename(y, x)
    return True


def _sink(graph: FloatGraph, node: Node) -> bool:
    """Let ``node`` read what was there before a Reshape; its result is reshaped instead."""
    if not isinstance(node, Activation | Affine | Add | Mul | Concat | Conv | Gemm):
        return False
    origins = [_origin(graph, name) for name in node.inputs]
    if any(origin is None for origin in origins):
        return False
    inputs = [origin for origin in origins if origin is not None]
    before = [graph.tensors[name].shape for name in inputs]
    after = [graph.tensors[name].shape for name in node.inputs]
    shape = before[0]
    if any(len(s) not in (2, 4) for s in before):
        return False
    if isinstance(node, Activation | Add | Mul):
        if any(s != shape for s in before):
            return False
        _reshape_result(graph, node, inputs, shape)
        return True
    if any(s[0] != a[0] for s, a in zip(before, after, strict=True)):
        return False
    if isinstance(node, Gemm):
        node.inputs = inputs
        return True
    if isinstance(node, Conv):
        return _conv_of_vector(graph, node, inputs)
    if any(s[1] != a[1] for s, a in zip(before, after, strict=True)):
        return False
    if isinstance(node, Concat):
        if any(len(s) != len(shape) or s[2:] != shape[2:] for s in before):
            return False
        shape = (shape[0], sum(s[1] for s in before), *shape[2:])
    _reshape_result(graph, node, inputs, shape)
    return True


def _reshape_result(
    graph: FloatGraph, node: Node, inputs: list[str], shape: tuple[int, ...]
) -> None:
    """Compute ``node`` from ``inputs`` in ``shape``, then reshape to what it was."""
    output = node.output
    node.inputs = inputs
    node.outputs = [graph.new_tensor(output, "unshaped", shape)]
    reshape = Reshape(name=f"{node.name}.shape", inputs=list(node.outputs), outputs=[output])
    graph.replace(node, node, reshape)


def _conv_of_vector(graph: FloatGraph, node: Conv, inputs: list[str]) -> bool:
    """A convolution of a (N, F) tensor taken as (N, F, 1, 1) is a classifier layer."""
    (x,) = inputs
    shape, result = graph.tensors[node.input].shape, graph.tensors[node.output].shape
    if len(graph.tensors[x].shape) != 2 or shape[2:] != (1, 1) or result[2:] != (1, 1):
        return False
    if node.groups != 1:
        return False
    top, left = node.pads[:2]
    gemm = Gemm(
        name=node.name, inputs=[x], outputs=[node.output], weight=node.weight[:, :, top, left],
        bias=node.bias, function=node.function, raw=node.raw,
    )  # fmt: skip
    graph.replace(node, gemm)
    _reshape_result(graph, gemm, [x], result[:2])
    return True
