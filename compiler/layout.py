"""Where the tensors of a core segment lie in memory.

Feature maps are stored (n, y, x, c), with a halo of zeros as wide as the padding of any
convolution that reads them. The tensors of a Concat are channel slices of its output, so that it
costs nothing. The operands of an Add are laid out alike.
"""

from dataclasses import dataclass, field, replace

from hw.diannao.config import Config
from sim.graph import Add, Conv, Gemm, Graph, LocalConv, Node, Tensor
from sim.memory import MemorySettings
from sim.program import TensorLayout

from .conv import estimate
from .maps import Map, Region
from .segments import inputs_of
from .slices import Sliced

__all__ = ["Layout", "place"]


def _extents(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Batch, channels, height, width; a tensor (N, F) has one pixel."""
    n, c, h, w = (*shape, 1, 1)[:4]
    return n, c, h, w


@dataclass
class _Storage:
    """One piece of memory: a tensor that is no slice of another.

    Parameters
    ----------
    extents : batch, channels, height, width
    halo : at the top, on the left, at the bottom, on the right
    packed : rows follow each other without gaps, as a classifier layer wants them
    by_columns : stored (n, x, y, c)
    """

    extents: tuple[int, int, int, int]
    halo: tuple[int, int, int, int] = (0, 0, 0, 0)
    packed: bool = False
    by_columns: bool = False
    map: Map = field(init=False)

    def allocate(self, cursor: int, name: str, config: Config) -> int:
        """Take memory from ``cursor`` on; returns the first byte behind."""
        beat = max(config.nbin_port, config.nbout_port) // 8
        n, c, h, w = self.extents
        top, left, bottom, right = self.halo
        element = c * config.element_bytes
        inner, outer = left + w + right, top + h + bottom
        if self.by_columns:
            inner, outer = outer, inner
        line = inner * element
        if not self.packed:
            line = -(-line // beat) * beat
        image = outer * line
        row, pixel = (element, line) if self.by_columns else (line, element)
        start = -(-cursor // beat) * beat
        address = start + top * row + left * pixel
        self.map = Map(address, n, h, w, c, (image, row, pixel), Region(name, 0, c))
        return start + n * image


@dataclass
class Layout:
    """Memory of one segment.

    Parameters
    ----------
    nodes : the graph's nodes, with copies in front of those that need one
    tensors : the graph's tensors and the copies
    maps : every tensor in memory
    end : first byte behind all of them
    """

    nodes: list[Node]
    tensors: dict[str, Tensor]
    maps: dict[str, Map]
    end: int

    def tensor_layout(self, name: str, config: Config) -> TensorLayout:
        """The same as ``maps[name]``, in the terms of the host."""
        tensor, where = self.tensors[name], self.maps[name]
        assert tensor.frac is not None
        image, row, pixel = where.pitches
        return TensorLayout(
            name, tensor.shape, tensor.frac, where.address,
            (image, config.element_bytes, row, pixel), config.element_bytes,
        )  # fmt: skip


def place(graph: Graph, config: Config, memory: MemorySettings) -> Layout:
    """Lay out all tensors of a segment, from address 0 upwards.

    Raises
    ------
    UserError
        If a copy is needed that the number format cannot make.
    """
    sliced = Sliced(graph)
    roots = {name: sliced.root(name) for name, t in sliced.tensors.items() if t.frac is not None}
    storages = {name: _Storage(_extents(sliced.tensors[name].shape)) for name, _ in roots.values()}
    for node in sliced.nodes:
        if isinstance(node, Conv | LocalConv):
            here = storages[roots[node.input][0]]
            here.halo = tuple(map(max, here.halo, node.pads))  # type: ignore
        elif isinstance(node, Gemm):
            storages[roots[node.input][0]].packed = True
    pairs = [
        tuple(storages[roots[name][0]] for name in node.inputs)
        for node in sliced.nodes
        if isinstance(node, Add)
    ]
    while any((a.halo, a.packed) != (b.halo, b.packed) for a, b in pairs):
        for a, b in pairs:
            a.halo = b.halo = tuple(map(max, a.halo, b.halo))  # type: ignore
            a.packed = b.packed = a.packed or b.packed
    for name in graph.inputs:
        if name in storages:
            storages[name].by_columns = _by_columns(name, storages[name], sliced, config, memory)

    end = 0
    for name, here in storages.items():
        end = here.allocate(end, name, config)
    maps = {}
    for name, (root, first) in roots.items():
        whole, channels = storages[root].map, _extents(sliced.tensors[name].shape)[1]
        maps[name] = whole.slice(first, channels, config.element_bytes)
    return Layout(sliced.nodes, sliced.tensors, maps, end)


def _by_columns(
    name: str, storage: _Storage, sliced: Sliced, config: Config, memory: MemorySettings
) -> bool:
    """Whether an input of the segment had better be stored (n, x, y, c).

    The (ky, c) neurons of a column of a window are then contiguous. With few channels, convolutions
    may load whole windows from there, which fills the lanes best, in few runs.
    """
    readers = [node for node in sliced.nodes if name in inputs_of(node)]
    if storage.extents[1] >= config.ti or not all(
        isinstance(node, Conv) and node.groups == 1 for node in readers
    ):
        return False
    estimates = []
    for by_columns in (False, True):
        trial = replace(storage, by_columns=by_columns)
        trial.allocate(0, name, config)
        estimates.append(
            sum(
                estimate(node, trial.map, sliced.tensors[node.output].shape, config, memory)
                for node in readers
                if isinstance(node, Conv)
            )
        )
    return estimates[1] < estimates[0]
