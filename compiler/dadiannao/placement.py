"""Which node makes, holds and needs what of every tensor, and where it lies there.

Feature maps are cut into regions of rows, one per node; what consists of single pixels (the outputs
of classifier layers) into runs of channel blocks. A node holds what it makes and what its windows
need beyond; the difference is what others send.
"""

from dataclasses import dataclass

from compiler.segments import inputs_of
from compiler.slices import Sliced
from hw.dadiannao.config import NodeConfig
from sim.graph import Add, Concat, Conv, Gemm, Graph, Pool

from .maps import Segment, extent

__all__ = ["Extents", "Placement", "Share", "Worker"]

Extents = tuple[int, int, int, int]
"""Batch, channels, height and width; a tensor (N, F) has one pixel."""


Worker = Conv | Gemm | Pool | Add
"""The layers that nodes have."""


@dataclass(frozen=True)
class Share:
    """What a node makes of a tensor: rows of pixels and channel blocks, first and last but one."""

    first_row: int
    end_row: int
    first_block: int
    end_block: int

    @property
    def empty(self) -> bool:
        return self.first_row >= self.end_row or self.first_block >= self.end_block


def _part(total: int, parts: int, number: int) -> tuple[int, int]:
    """Part ``number`` of as equal parts as can be; the first ones are larger."""
    size, more = divmod(total, parts)
    start = number * size + min(number, more)
    return start, start + size + (number < more)


class Placement:
    """Placement of all tensors of a segment.

    Members
    -------
    nodes : the graph's nodes without concatenations, with copies in front of those that need one
    """

    def __init__(self, graph: Graph, config: NodeConfig):
        self._config = config
        sliced = Sliced(graph)
        self.tensors = sliced.tensors
        self._root = {name: sliced.root(name)[0] for name in sliced.tensors}
        self._concats = {n.output: n for n in sliced.nodes if isinstance(n, Concat)}
        self.nodes: list[Worker] = [n for n in sliced.nodes if isinstance(n, Worker)]
        self._makers = {node.output: node for node in self.nodes}
        self._segments: dict[str, tuple[Segment, ...]] = {}
        self._regions: dict[str, list[int]] = {}
        for name in self.tensors:
            if self._root[name] == name:
                self._assign(name, 0)

    def _form(self, name: str) -> tuple[Segment, ...]:
        """The segments of a tensor from block 0 on."""
        if name in self._concats:
            return self._joined([self._form(part) for part in self._concats[name].inputs])
        maker = self._makers.get(name)
        if isinstance(maker, Pool | Add):  # neurons stay in their lanes
            return self._form(inputs_of(maker)[0])
        return (Segment(0, self.extents(name)[1]),)

    def _joined(self, forms: list[tuple[Segment, ...]]) -> tuple[Segment, ...]:
        """Segments behind one another."""
        result: list[Segment] = []
        block = 0
        for form in forms:
            result += [Segment(block + part.block, part.channels) for part in form]
            block += extent(form, self._config.ti)
        return tuple(result)

    def _assign(self, name: str, block: int) -> None:
        """Give a tensor and its parts their places, from ``block`` on."""
        form = self._form(name)
        self._segments[name] = tuple(Segment(block + s.block, s.channels) for s in form)
        for part in self._concats[name].inputs if name in self._concats else ():
            self._assign(part, block)
            block += extent(self._form(part), self._config.ti)

    def extents(self, name: str) -> Extents:
        n, c, h, w = (*self.tensors[name].shape, 1, 1)[:4]
        return n, c, h, w

    def segments(self, name: str) -> tuple[Segment, ...]:
        """Where the channels of a tensor are among the blocks of its root."""
        return self._segments[name]

    def root(self, name: str) -> str:
        """The tensor that ``name`` is a part of; itself, if of no other."""
        return self._root[name]

    def leaves(self, root: str) -> list[str]:
        """The tensors that are made where ``root`` lies."""
        return self.parts(root)

    def parts(self, name: str) -> list[str]:
        """The tensors that ``name`` is made of, in order: itself, or what is concatenated."""
        if name not in self._concats:
            return [name]
        return [leaf for part in self._concats[name].inputs for leaf in self.parts(part)]

    def is_pixel(self, name: str) -> bool:
        """Whether nodes share a tensor by its channel blocks."""
        maker = self._makers.get(name)
        single = self.extents(name)[2:] == (1, 1)
        return single and (maker is None or isinstance(maker, Conv | Gemm))

    def share(self, name: str, node: int) -> Share:
        """What ``node`` makes (or loads) of a tensor that is no concatenation."""
        blocks = extent(self._segments[name], self._config.ti)
        if self.is_pixel(name):
            return Share(0, 1, *_part(blocks, self._config.nodes, node))
        edges = self._edges(name)
        return Share(edges[node], edges[node + 1], 0, blocks)

    def _edges(self, name: str) -> list[int]:
        """Where the nodes' regions of a map begin, and its height.

        If a single layer of windows reads the map, regions begin where the windows of that layer's
        regions do, so that only rows that two windows share go from node to node.
        """
        if name not in self._regions:
            height, nodes = self.extents(name)[2], self._config.nodes
            edges = [_part(height, nodes, node)[0] for node in range(nodes)]
            readers = self.readers(name)
            if len(readers) == 1 and self._root[name] == name:
                layer, read = readers[0]
                if (
                    isinstance(layer, Conv | Pool)
                    and read == name
                    and not self.is_pixel(layer.output)
                ):
                    inside = self._edges(layer.output)[:-1]
                    edges = [min(height, edge * layer.strides[0]) for edge in inside]
            self._regions[name] = [*edges, height]
        return self._regions[name]

    def input_rows(self, layer: Worker, name: str, node: int) -> tuple[int, int] | None:
        """Rows of input ``name`` under the windows of what ``node`` makes; may begin above 0."""
        share = self.share(layer.output, node)
        if share.empty:
            return None
        height = self.extents(name)[2]
        if isinstance(layer, Gemm):
            return 0, height
        if isinstance(layer, Add):
            return share.first_row, share.end_row
        assert isinstance(layer, Conv | Pool)
        kernel = layer.kernel if isinstance(layer, Pool) else layer.weight.shape[2:]
        first = share.first_row * layer.strides[0] - layer.pads[0]
        end = (share.end_row - 1) * layer.strides[0] - layer.pads[0] + kernel[0]
        return (first, end) if isinstance(layer, Conv) else (max(0, first), min(height, end))

    def readers(self, name: str) -> list[tuple[Worker, str]]:
        """Layers that read ``name`` or a tensor that it is a part of, and what they read."""
        within = {name}
        for concat in self._concats.values():  # in topological order
            if within & set(concat.inputs):
                within.add(concat.output)
        return [(n, read) for n in self.nodes for read in set(inputs_of(n)) & within]

    def needed(self, name: str, node: int) -> tuple[int, int]:
        """Rows of a tensor that ``node`` reads, first and last but one."""
        ranges = [self.input_rows(layer, read, node) for layer, read in self.readers(name)]
        known = [r for r in ranges if r is not None]
        return (min(r[0] for r in known), max(r[1] for r in known)) if known else (0, 0)

    def held(self, root: str, node: int) -> tuple[int, int]:
        """Rows of a root tensor that ``node`` has a place for; zeros outside the map included."""
        ranges = [self.needed(name, node) for name in (root, *self.leaves(root))]
        shares = [self.share(name, node) for name in self.leaves(root)]
        ranges += [(s.first_row, s.end_row) for s in shares if not s.empty]
        known = [r for r in ranges if r[0] < r[1]]
        return (min(r[0] for r in known), max(r[1] for r in known)) if known else (0, 0)

    def columns(self, root: str) -> tuple[int, int]:
        """Columns of zeros on the left and on the right."""
        left = right = 0
        for name in (root, *self.leaves(root)):
            for layer, _ in self.readers(name):
                if isinstance(layer, Conv):
                    left, right = max(left, layer.pads[1]), max(right, layer.pads[3])
        return left, right
