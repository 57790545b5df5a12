"""Cutting graphs into core segments and host nodes."""

import numpy as np
import onnx
import pytest

from compiler.segments import segments
from sim.graph import Add, Graph, Host, Node, Pool, Tensor


def core(name: str, source: str) -> Pool:
    return Pool(name, source, name, "max", (1, 1), (1, 1), (0, 0, 0, 0), False, {})


def host(name: str, *sources: str) -> Host:
    return Host(name, sources, (name,), onnx.ModelProto(), "Softmax")


def graph(nodes: list[Node], outputs: list[str]) -> Graph:
    names = {"x"}.union(*({n.output} if not isinstance(n, Host) else n.outputs for n in nodes))
    tensors = {name: Tensor(name, (1, 1, 1, 1), 0) for name in names}
    return Graph("net", 16, 0, tensors, ["x"], outputs, nodes)


def shape(parts: list[Graph | Host]) -> list:
    """Names: of a host node, or of inputs, nodes and outputs of a segment."""
    return [
        part.name
        if isinstance(part, Host)
        else (part.inputs, [node.name for node in part.nodes], part.outputs)
        for part in parts
    ]


def test_a_graph_for_the_core_is_one_segment():
    parts = segments(graph([core("a", "x"), core("b", "a")], ["b"]))
    assert shape(parts) == [(["x"], ["a", "b"], ["b"])]


def test_intermediate_outputs_of_the_graph_are_outputs_of_the_segment():
    parts = segments(graph([core("a", "x"), core("b", "a")], ["a", "b"]))
    assert shape(parts) == [(["x"], ["a", "b"], ["a", "b"])]


def test_host_node_in_the_middle():
    parts = segments(graph([core("a", "x"), host("h", "a"), core("b", "h")], ["b"]))
    assert shape(parts) == [(["x"], ["a"], ["a"]), "h", (["h"], ["b"], ["b"])]


def test_branches_beside_a_host_node_join_the_first_segment():
    add = Add("sum", ("h", "c"), "sum", (1, 1), 0, None)  # type: ignore
    nodes = [core("a", "x"), host("h", "a"), core("c", "x"), add]
    parts = segments(graph(nodes, ["sum"]))
    assert shape(parts) == [(["x"], ["a", "c"], ["a", "c"]), "h", (["h", "c"], ["sum"], ["sum"])]


def test_independent_host_nodes_do_not_cut_twice():
    nodes = [host("g", "x"), core("a", "g"), host("h", "x"), core("b", "h")]
    parts = segments(graph(nodes, ["a", "b"]))
    assert shape(parts) == ["g", "h", (["g", "h"], ["a", "b"], ["a", "b"])]


def test_every_node_once_and_in_order_for_random_graphs():
    rng = np.random.default_rng(1)
    for _ in range(50):
        names = ["x"]
        nodes = []
        for number in range(12):
            name = f"n{number}"
            source = names[rng.integers(len(names))]
            nodes.append((host if rng.random() < 0.3 else core)(name, source))
            names.append(name)
        parts = segments(graph(nodes, [names[-1]]))
        known = {"x"}
        run = []
        for part in parts:
            assert known.issuperset(part.inputs)
            known.update(part.outputs)
            run += [part.name] if isinstance(part, Host) else [node.name for node in part.nodes]
        assert sorted(run) == sorted(names[1:])
        assert names[-1] in known


def test_missing_producer_is_named():
    with pytest.raises(ValueError, match=r"topological order, but nothing makes \['nowhere'\]"):
        segments(graph([core("a", "nowhere")], ["a"]))
