"""Concatenation without copying: its inputs are channel slices of its output."""

from dataclasses import replace

from hw.arith.numbers import Table, compensation
from hw.errors import UserError
from sim.graph import Concat, Graph, Node, Pairwise, Pool, Tensor

__all__ = ["Sliced"]


class Sliced:
    """A graph whose concatenated tensors know where they lie, with copies where they must.

    A tensor that is to be in two places is copied; so is an operand of a sum or product if the
    pixels of the two would lie at unequal distances.

    Members
    -------
    nodes : the graph's nodes, with copies in front of those that need one
    tensors : the graph's tensors and the copies

    Raises
    ------
    UserError
        If a copy is needed that the number format cannot make.
    """

    def __init__(self, graph: Graph):
        self.nodes: list[Node] = []
        self.tensors: dict[str, Tensor] = dict(graph.tensors)
        self._width, self._drop = graph.width, graph.drop
        self._parents: dict[str, tuple[str, int]] = {}
        for node in graph.nodes:
            if isinstance(node, Concat):
                node = self._concatenate(node)
            self.nodes.append(node)
        nodes, self.nodes = self.nodes, []
        for node in nodes:
            if isinstance(node, Pairwise):
                node = self._align(node)
            self.nodes.append(node)

    def root(self, name: str) -> tuple[str, int]:
        """The tensor that ``name`` is a slice of, itself no slice, and its first channel there."""
        first = 0
        while name in self._parents:
            name, offset = self._parents[name]
            first += offset
        return name, first

    def _concatenate(self, node: Concat) -> Concat:
        inputs = []
        first = 0
        for name in node.inputs:
            part = self._copy(name, node) if name in self._parents else name
            self._parents[part] = (node.output, first)
            inputs.append(part)
            first += self.tensors[name].shape[1]
        return replace(node, inputs=tuple(inputs))

    def _align(self, node: Pairwise) -> Pairwise:
        channels = {self.tensors[self.root(name)[0]].shape[1] for name in node.inputs}
        if len(channels) == 1:
            return node
        a, b = (self._copy(name, node) if name in self._parents else name for name in node.inputs)
        return replace(node, inputs=(a, b))

    def _copy(self, name: str, node: Node) -> str:
        """Emit a 1x1 maximum that copies tensor ``name`` exactly; returns the copy's name."""
        if self._drop > self._width - 2:
            raise UserError(
                f"tensor {name!r} must be copied for {node.name!r}, which takes drop of at most "
                f"{self._width - 2}, not {self._drop}"
            )
        copy = f"{name} for {node.name}"
        while copy in self.tensors:
            copy += "'"
        self.tensors[copy] = replace(self.tensors[name], name=copy)
        # A power of two with all dropped columns below it is multiplied without error.
        table = Table((), (1 << self._drop,), (-compensation(self._width, self._drop),), self._drop)
        self.nodes.append(
            Pool(
                name=copy, input=name, output=copy, kind="max", kernel=(1, 1), strides=(1, 1),
                pads=(0, 0, 0, 0), count_include_pad=False, scales={1: (0, table)}, op="Copy",
            )
        )  # fmt: skip
        return copy
