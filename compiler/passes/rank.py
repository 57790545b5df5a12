"""Bring tensors to the axes that the core knows: vectors (N, F) and maps (N, C, H, W)."""

from math import prod

from ..float_graph import Affine, FloatGraph, Gemm, Host, Node, Reshape

__all__ = ["lift_ranks"]

Shape = tuple[int, ...]


def lift_ranks(graph: FloatGraph) -> None:
    """Put a Reshape before and behind every operator on tensors of other axes.

    What has three axes is a map of height 1. So are maps of more axes, which only operators that
    treat all of a channel alike have here. A matrix product takes all axes but the last as images,
    and so does arithmetic with one constant for each element of the last axis.
    """
    known: dict[tuple[str, Shape], str] = {}
    for node in list(graph.nodes):
        if isinstance(node, Host | Reshape):
            continue
        lift = _matrix if _is_matrix(graph, node) else _map
        new: list[Node] = [node]
        for name in dict.fromkeys(node.inputs):
            shape = lift(graph.tensors[name].shape)
            if graph.tensors[name].shape == shape:
                continue
            if (name, shape) not in known:
                lifted = known[name, shape] = graph.new_tensor(name, "lifted", shape)
                new.insert(0, Reshape(name=lifted, inputs=[name], outputs=[lifted]))
            node.inputs = [known[name, shape] if n == name else n for n in node.inputs]
        name = node.output
        shape = lift(graph.tensors[name].shape)
        if graph.tensors[name].shape != shape:
            lifted = graph.new_tensor(name, "lifted", shape)
            new.append(Reshape(name=f"{node.name}.shape", inputs=[lifted], outputs=[name]))
            node.outputs = [lifted]
        graph.replace(node, *new)


def _is_matrix(graph: FloatGraph, node: Node) -> bool:
    if isinstance(node, Gemm):  # a Gemm of four axes flattens by itself
        return len(graph.tensors[node.output].shape) != 2
    return isinstance(node, Affine) and node.last


def _map(shape: Shape) -> Shape:
    if len(shape) in (2, 4):
        return shape
    if len(shape) < 2:
        return (1, prod(shape))
    return (*shape[:2], 1, prod(shape[2:]))


def _matrix(shape: Shape) -> Shape:
    return (prod(shape[:-1]), shape[-1])
