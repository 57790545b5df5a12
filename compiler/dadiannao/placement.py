"""Which node makes, holds and needs what of every tensor, and where it lies there.

Feature maps are cut into rectangles, one per node, as the nodes lie in the mesh; what consists of
single pixels (the outputs of classifier layers) into runs of channel blocks. A node holds what it
makes and what its windows need beyond; the difference is what others send.
"""

from itertools import pairwise

from compiler.segments import inputs_of
from compiler.slices import Sliced
from hw.dadiannao.config import NodeConfig
from sim.graph import Concat, Conv, Gemm, Graph, Pairwise, Pool

from .areas import Area, Share, inside, joined
from .maps import Segment, extent

__all__ = ["Extents", "Placement", "Worker"]

Extents = tuple[int, int, int, int]
"""Batch, channels, height and width; a tensor (N, F) has one pixel."""


Worker = Conv | Gemm | Pool | Pairwise
"""The layers that nodes have."""


_NOTHING = Area(range(0), range(0))


def _part(total: int, parts: int, number: int) -> range:
    """Part ``number`` of as equal parts as can be; the first ones are larger."""
    size, more = divmod(total, parts)
    start = number * size + min(number, more)
    return range(start, start + size + (number < more))


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
        self._cuts: dict[tuple[str, int], list[range]] = {}
        for name in self.tensors:
            if self._root[name] == name:
                self._assign(name, 0)

    def _form(self, name: str) -> tuple[Segment, ...]:
        """The segments of a tensor from block 0 on."""
        if name in self._concats:
            return self._joined([self._form(part) for part in self._concats[name].inputs])
        maker = self._makers.get(name)
        if isinstance(maker, Pool | Pairwise):  # neurons stay in their lanes
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

    def area(self, name: str) -> Area:
        """All pixels of a tensor."""
        _, _, height, width = self.extents(name)
        return Area(range(height), range(width))

    def share(self, name: str, node: int) -> Share:
        """What ``node`` makes (or loads) of a tensor that is no concatenation."""
        blocks = extent(self._segments[name], self._config.ti)
        if self.is_pixel(name):
            return Share(self.area(name), _part(blocks, self._config.nodes, node))
        y, x = divmod(node, self._config.columns)
        return Share(Area(self._cut(name, 0)[y], self._cut(name, 1)[x]), range(blocks))

    def _cut(self, name: str, axis: int) -> list[range]:
        """The rows (axis 0) of the rows of nodes, or the columns (1) of the columns of nodes.

        If a single layer of windows reads the map, they begin where the windows of that layer's
        outputs in the node do, so that only what two windows share goes from node to node.
        """
        if (name, axis) not in self._cuts:
            size = self.extents(name)[2 + axis]
            parts = (self._config.rows, self._config.columns)[axis]
            edges = [_part(size, parts, number).start for number in range(parts)]
            readers = self.readers(name)
            if len(readers) == 1 and self._root[name] == name:
                layer, read = readers[0]
                if (
                    isinstance(layer, Conv | Pool)
                    and read == name
                    and not self.is_pixel(layer.output)
                ):
                    within = [part.start for part in self._cut(layer.output, axis)]
                    edges = [min(size, edge * layer.strides[axis]) for edge in within]
            self._cuts[name, axis] = [range(a, b) for a, b in pairwise([*edges, size])]
        return self._cuts[name, axis]

    def _windows(self, layer: Conv | Pool, area: Area) -> Area:
        """The inputs under the windows of ``area``; of convolutions, with zeros around the map."""
        kernel = layer.kernel if isinstance(layer, Pool) else layer.weight.shape[2:]
        reach = Area(
            *(
                range(
                    outputs.start * layer.strides[axis] - layer.pads[axis],
                    (outputs.stop - 1) * layer.strides[axis] - layer.pads[axis] + kernel[axis],
                )
                for axis, outputs in enumerate(area)
            )
        )
        return reach if isinstance(layer, Conv) else reach.common(self.area(layer.input))

    def inputs(self, layer: Worker, name: str, node: int) -> Area:
        """Pixels of input ``name`` that ``node`` reads for what it makes."""
        share = self.share(layer.output, node)
        if share.empty:
            return _NOTHING
        if isinstance(layer, Gemm):
            return self.area(name)
        return share.area if isinstance(layer, Pairwise) else self._windows(layer, share.area)

    def near(self, layer: Worker, node: int) -> Area:
        """Outputs of ``layer`` in ``node``, a rectangle, for which it has all inputs itself."""
        share = self.share(layer.output, node)
        parts = {part for name in inputs_of(layer) for part in self.parts(name)}
        if share.empty or self._config.nodes == 1:
            return share.area
        if isinstance(layer, Gemm) or any(self.is_pixel(part) for part in parts):
            return _NOTHING
        area = share.area
        for part in parts:
            here, whole = self.share(part, node).area, self.area(part)
            if isinstance(layer, Pairwise):
                area = area.common(here)
                continue
            runs = []
            for axis, outputs in enumerate(area):
                # Beyond the edges of the map are zeros, and nobody has to send those.
                reach = range(
                    here[axis].start if here[axis].start > 0 else -layer.pads[axis],
                    here[axis].stop if here[axis].stop < whole[axis].stop else 1 << 30,
                )

                def has(output: int, axis: int = axis, reach: range = reach) -> bool:
                    one = range(output, output + 1)
                    return inside(self._windows(layer, Area(one, one))[axis], reach)

                runs.append(joined(range(n, n + 1) for n in outputs if has(n)))
            area = Area(*runs) if not here.empty else _NOTHING
        return area

    def gathers(self, name: str) -> bool:
        """Whether every node gets all of a tensor that any of them needs."""
        return self._config.nodes > 1 and any(
            isinstance(layer, Gemm) or (isinstance(layer, Conv) and self.is_pixel(layer.output))
            for layer, _ in self.readers(name)
        )

    def readers(self, name: str) -> list[tuple[Worker, str]]:
        """Layers that read ``name`` or a tensor that it is a part of, and what they read."""
        within = {name}
        for concat in self._concats.values():  # in topological order
            if within & set(concat.inputs):
                within.add(concat.output)
        return [(n, read) for n in self.nodes for read in set(inputs_of(n)) & within]

    def needed(self, name: str, node: int) -> Area:
        """Pixels of a tensor that ``node`` gets; the smallest rectangle that holds them."""
        nodes = range(self._config.nodes) if self.gathers(name) else [node]
        return Area.around(
            self.inputs(layer, read, each) for layer, read in self.readers(name) for each in nodes
        )

    def held(self, root: str, node: int) -> Area:
        """Pixels of a root tensor that ``node`` has a place for; zeros outside included."""
        leaves = self.leaves(root)
        areas = [self.needed(name, node) for name in (root, *leaves)]
        shares = [self.share(name, node) for name in leaves]
        return Area.around([*areas, *(share.area for share in shares if not share.empty)])
