"""Where the tensors of a core segment lie in memory.

Feature maps are stored (n, y, x, c), with a halo of zeros as wide as the padding of any
convolution that reads them. The tensors of a Concat are channel slices of its output, so that it
costs nothing. The operands of an Add are laid out alike.
"""

from dataclasses import dataclass, field, replace

from hw.arith.numbers import Table, compensation
from hw.diannao.config import Config
from hw.errors import UserError
from sim.graph import Add, Concat, Conv, Gemm, Graph, Node, Pool, Tensor
from sim.program import TensorLayout

from .maps import Map, Region
from .segments import inputs_of

__all__ = ["Layout", "place"]


def _extents(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Batch, channels, height, width; a tensor (N, F) has one pixel."""
    n, c, h, w = (*shape, 1, 1)[:4]
    return n, c, h, w


@dataclass
class _Storage:
    """One piece of memory: a tensor that is no slice of another."""

    extents: tuple[int, int, int, int]
    halo: tuple[int, int, int, int] = (0, 0, 0, 0)
    packed: bool = False
    """Rows follow each other without gaps, as a classifier layer wants them."""
    by_columns: bool = False
    """Stored (n, x, y, c), see ``place``."""
    address: int = 0
    pitches: tuple[int, int, int] = (0, 0, 0)

    def allocate(self, cursor: int, config: Config) -> int:
        """Take memory from ``cursor`` on; returns the first byte behind."""
        beat = max(config.nbin_port, config.nbout_port) // 8
        n, c, h, w = self.extents
        top, left, bottom, right = self.halo
        element = c * config.element_bytes
        extents = left + w + right, top + h + bottom
        if self.by_columns:
            extents = extents[::-1]
        line = extents[0] * element
        if not self.packed:
            line = -(-line // beat) * beat
        image = extents[1] * line
        row, pixel = (element, line) if self.by_columns else (line, element)
        self.pitches = (image, row, pixel)
        start = -(-cursor // beat) * beat
        self.address = start + top * row + left * pixel
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
    maps: dict[str, Map] = field(default_factory=dict)
    end: int = 0

    def tensor_layout(self, name: str, config: Config) -> TensorLayout:
        """The same as ``maps[name]``, in the terms of the host."""
        tensor, where = self.tensors[name], self.maps[name]
        assert tensor.frac is not None
        image, row, pixel = where.pitches
        return TensorLayout(
            name, tensor.shape, tensor.frac, where.address,
            (image, config.element_bytes, row, pixel), config.element_bytes,
        )  # fmt: skip


class _Slices:
    """Which tensor is a channel slice of which."""

    def __init__(self):
        self._parents: dict[str, tuple[str, int]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._parents

    def add(self, name: str, parent: str, first: int) -> None:
        self._parents[name] = (parent, first)

    def root(self, name: str) -> tuple[str, int]:
        """The storage of a tensor and its first channel there."""
        first = 0
        while name in self._parents:
            name, offset = self._parents[name]
            first += offset
        return name, first


def _copy_of(name: str, width: int, drop: int, copy: str) -> Pool:
    """A 1x1 maximum that copies a tensor exactly."""
    if drop > width - 2:
        raise UserError(
            f"tensor {name!r} must be copied, which takes drop of at most {width - 2}, not {drop}"
        )
    exact = Table((), (1 << drop,), (-compensation(width, drop),), drop)
    return Pool(
        name=copy, input=name, output=copy, kind="max", kernel=(1, 1), strides=(1, 1),
        pads=(0, 0, 0, 0), count_include_pad=False, scales={1: (0, exact)}, op="Copy",
    )  # fmt: skip


def _sliced(graph: Graph) -> tuple[Layout, _Slices]:
    """Decide who is a slice of whom; copy what cannot be in two places at once."""
    layout = Layout([], dict(graph.tensors))
    slices = _Slices()

    def copied(name: str, node: Node) -> str:
        copy = f"{name} for {node.name}"
        while copy in layout.tensors:
            copy += "'"
        layout.tensors[copy] = replace(layout.tensors[name], name=copy)
        layout.nodes.append(_copy_of(name, graph.width, graph.drop, copy))
        return copy

    for node in graph.nodes:
        if isinstance(node, Concat):
            first = 0
            inputs = []
            for name in node.inputs:
                part = copied(name, node) if name in slices else name
                slices.add(part, node.output, first)
                inputs.append(part)
                first += layout.tensors[name].shape[1]
            node = replace(node, inputs=tuple(inputs))
        layout.nodes.append(node)
    return layout, slices


def place(graph: Graph, config: Config) -> Layout:
    """Lay out all tensors of a segment, from address 0 upwards.

    An input image of few channels for convolutions only is stored by columns: the (ky, c) neurons
    of a window are then contiguous, and whole windows, which fill the lanes best, cost few runs.

    Raises
    ------
    UserError
        If a copy is needed that the number format cannot make.
    """
    layout, slices = _sliced(graph)
    _separate_operands(layout, slices, graph)
    storages = {
        name: _Storage(_extents(tensor.shape))
        for name, tensor in layout.tensors.items()
        if name not in slices and tensor.frac is not None
    }

    def storage(name: str) -> _Storage:
        return storages[slices.root(name)[0]]

    for node in layout.nodes:
        if isinstance(node, Conv):
            here = storage(node.input)
            here.halo = tuple(map(max, here.halo, node.pads))  # type: ignore
        elif isinstance(node, Gemm):
            storage(node.input).packed = True
    for name in graph.inputs:
        readers = [node for node in layout.nodes if name in inputs_of(node)]
        if name in storages and all(
            isinstance(node, Conv) and node.weight.shape[2] > 1 for node in readers
        ):
            storages[name].by_columns = graph.tensors[name].shape[1] < config.ti
    pairs = [
        (storage(a), storage(b)) for node in layout.nodes if isinstance(node, Add)
        for a, b in [node.inputs]
    ]  # fmt: skip
    while any((a.halo, a.packed) != (b.halo, b.packed) for a, b in pairs):
        for a, b in pairs:
            a.halo = b.halo = tuple(map(max, a.halo, b.halo))  # type: ignore
            a.packed = b.packed = a.packed or b.packed

    for here in storages.values():
        layout.end = here.allocate(layout.end, config)
    for name, tensor in layout.tensors.items():
        if tensor.frac is None:
            continue
        root, first = slices.root(name)
        here = storages[root]
        n, c, h, w = _extents(tensor.shape)
        layout.maps[name] = Map(
            here.address + first * config.element_bytes, n, h, w, c, here.pitches,
            Region(root, first, first + c),
        )  # fmt: skip
    return layout


def _separate_operands(layout: Layout, slices: _Slices, graph: Graph) -> None:
    """Copy operands of an Add out of a Concat if its pixels would lie at unequal distances."""
    nodes = layout.nodes
    layout.nodes = []
    for node in nodes:
        if isinstance(node, Add):
            roots = [slices.root(name)[0] for name in node.inputs]
            if len({layout.tensors[root].shape[1] for root in roots}) > 1:
                inputs = []
                for name in node.inputs:
                    if name in slices:
                        copy = f"{name} for {node.name}"
                        layout.tensors[copy] = replace(layout.tensors[name], name=copy)
                        layout.nodes.append(_copy_of(name, graph.width, graph.drop, copy))
                        name = copy
                    inputs.append(name)
                node = replace(node, inputs=tuple(inputs))
        layout.nodes.append(node)
