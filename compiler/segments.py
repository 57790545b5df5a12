"""Cut a graph into what runs on the core and what runs on the host."""

from collections.abc import Sequence

from sim.graph import Concat, Graph, Host, Node, Pairwise

__all__ = ["inputs_of", "outputs_of", "segments"]


def inputs_of(node: Node) -> Sequence[str]:
    """Tensors that a node reads."""
    return node.inputs if isinstance(node, Pairwise | Concat | Host) else (node.input,)


def outputs_of(node: Node) -> Sequence[str]:
    """Tensors that a node makes."""
    return node.outputs if isinstance(node, Host) else (node.output,)


def segments(graph: Graph) -> list[Graph | Host]:
    """Core segments and host nodes, in an order in which they can run.

    Each segment takes as many nodes as possible, so that there are few. Its inputs are the tensors
    that it reads and does not make, its outputs those that others read or the graph returns.
    """
    result: list[Graph | Host] = []
    known = set(graph.inputs)
    remaining = list(graph.nodes)
    while remaining:
        hosts = [n for n in _ready(remaining, known, host=True) if isinstance(n, Host)]
        result += hosts
        core = _ready(remaining, known, host=False)
        if core:
            result.append(_segment(graph, core, f"{graph.name}.{len(result)}"))
        if not hosts and not core:
            missing = sorted({name for node in remaining for name in inputs_of(node)} - known)
            raise ValueError(f"nodes must be in topological order, but nothing makes {missing}")
    return result


def _ready(remaining: list[Node], known: set[str], *, host: bool) -> list[Node]:
    """Take the nodes of one kind that can run from ``remaining``; their outputs become known."""
    taken = []
    for node in remaining[:]:
        if isinstance(node, Host) == host and known.issuperset(inputs_of(node)):
            taken.append(node)
            remaining.remove(node)
            known.update(outputs_of(node))
    return taken


def _segment(graph: Graph, nodes: list[Node], name: str) -> Graph:
    made = [tensor for node in nodes for tensor in outputs_of(node)]
    read = list(dict.fromkeys(tensor for node in nodes for tensor in inputs_of(node)))
    inside = {id(node) for node in nodes}
    wanted = set(graph.outputs).union(
        *(inputs_of(node) for node in graph.nodes if id(node) not in inside)
    )
    inputs = [tensor for tensor in read if tensor not in made]
    return Graph(
        name, graph.width, graph.drop, {t: graph.tensors[t] for t in inputs + made}, inputs,
        [tensor for tensor in made if tensor in wanted], nodes,
    )  # fmt: skip
