"""From a quantised graph to the programs of all nodes."""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from compiler.bound import layer_of
from compiler.grouping import slices_of
from compiler.parameters import adjusted_bias
from compiler.segments import inputs_of
from hw.arith.numbers import compensation
from hw.dadiannao.assembler import encode
from hw.dadiannao.config import NodeConfig
from hw.errors import UserError
from sim.dadiannao.program import MachineProgram
from sim.graph import Conv, Gemm, Graph, Host, LocalConv, Mul, Pairwise, Pool
from sim.memory import MemorySettings
from sim.program import Layer as ReportLayer
from sim.program import TensorLayout

from .areas import Share, common
from .conv import Layer, Piece, Plan, Region, emit_conv, plans
from .emitter import Emitter, HostImage
from .exchange import Exchange, Parcel, Step
from .gathering import sequence
from .host import clear_border, host_layout, load_rows, store_rows
from .maps import CentralMap, Space, extent
from .pairwise import emit_pairwise
from .placement import Placement, Worker
from .pool import emit_pool
from .windows import Windows

__all__ = ["lower"]


def lower(graph: Graph, config: NodeConfig, memory: MemorySettings | None = None) -> MachineProgram:
    """Compile a segment for all nodes of a machine.

    Parameters
    ----------
    graph : quantised graph without Host nodes
    config : the machine
    memory : not looked at; nothing of the mapping depends on the host's memory

    Raises
    ------
    UserError
        If the graph's numbers are not the machine's, it has a layer that nodes cannot do, or it
        does not fit the machine; then the message says how many nodes would do.
    """
    del memory
    if (graph.width, graph.drop) != (config.width, config.drop):
        raise UserError(
            f"graph must be quantised for width={config.width}, drop={config.drop} of the machine, "
            f"not for width={graph.width}, drop={graph.drop}"
        )
    _check_layers(graph, config)
    batch = max((t.shape[0] for t in graph.tensors.values()), default=1)
    images = batch
    while True:
        lowering = _Lowering(graph, config, images, batch, meet=False)
        if not lowering.fits() and config.nodes > 1:
            lowering = _Lowering(graph, config, images, batch, meet=True)
        if lowering.fits():
            return lowering.program()
        if images == 1:
            raise UserError(lowering.too_large())
        images = -(-images // 2)


def _check_layers(graph: Graph, config: NodeConfig) -> None:
    for node in graph.nodes:
        if isinstance(node, Host):
            raise UserError(f"{node.op} node {node.name!r} must run on the host")
        if isinstance(node, LocalConv):
            raise UserError(
                f"layer {node.name!r} has private kernels, which DaDianNao nodes do not run; take "
                "a DianNao configuration"
            )
        if isinstance(node, Mul) and not config.training:
            raise UserError(
                f"layer {node.name!r} multiplies neurons by neurons, which {config.name} cannot; "
                "set aggregate=true and training=true"
            )
        if isinstance(node, Conv | Gemm):
            terms = int(np.prod(node.weight.shape[1:4]))
            if terms > config.max_reduction:
                raise UserError(
                    f"layer {node.name!r} sums {terms} products per output, but the accumulator "
                    f"holds {config.max_reduction}; set max_reduction={terms}"
                )


@dataclass
class _Home:
    """Where a root tensor lies: a map per node (None: nothing), and what still needs it."""

    maps: list[CentralMap | None]
    readers: int
    leaves: int


@dataclass(frozen=True)
class _Slice:
    """An ordinary convolution that is a layer or a part of one.

    ``source`` are the channels' first block and number (None: all), ``first_block`` the first one
    of its outputs.
    """

    layer: Layer
    first_block: int
    source: tuple[int, int] | None


class _Lowering:
    """Programs for ``images`` images at a time.

    Parameters
    ----------
    batch : images in all
    meet : nodes meet after every exchange, so that room that they have given up is used again
    """

    def __init__(self, graph: Graph, config: NodeConfig, images: int, batch: int, *, meet: bool):
        self._graph = graph
        self._config = config
        self._images, self._batch = images, batch
        self._placement = Placement(graph, config)
        self._host = HostImage(config.bus_port // 8)
        self._emitters = [Emitter(config, node, self._host) for node in range(config.nodes)]
        self._rows = config.central_rows - 2 * (config.nodes > 1)
        self._spaces = [Space(self._rows) for _ in self._emitters]
        self._exchange = Exchange(self._emitters, (config.rows, config.columns), self._rows)
        self._meet = meet
        self._layouts = {
            name: self._reserve(name) for name in dict.fromkeys((*graph.inputs, *graph.outputs))
        }
        self._slices = {
            node.name: self._slices_of(node)
            for node in self._placement.nodes
            if isinstance(node, Conv | Gemm)
        }
        self._plans: dict[tuple[str, int, int], tuple[Plan, ...]] = {}
        self._choose()
        self._homes: dict[str, _Home] = {}
        self._steps: dict[int, list[Step]] = {}
        self._begin: list[int] = []
        self._made: list[str] = []
        self._freed: list[tuple[Space, CentralMap | None]] = []
        for first in range(0, batch, images):
            self._pass(first, min(images, batch - first))

    def _reserve(self, name: str) -> TensorLayout:
        tensor = self._graph.tensors[name]
        assert tensor.frac is not None
        layout = host_layout(
            name, tensor.shape, tensor.frac, 0, self._config, name in self._graph.inputs
        )
        return replace(layout, address=self._host.reserve(tensor.shape[0] * layout.strides[0]))

    # Results

    def fits(self) -> bool:
        """Whether the machine can hold it."""
        return self._missing() is None

    def _missing(self) -> str | None:
        """What is too small, in words."""
        config = self._config
        for emitter, space in zip(self._emitters, self._spaces, strict=True):
            if emitter.sb_rows > config.sb_rows:
                more = emitter.sb_rows - config.sb_rows
                return (
                    f"{emitter.sb_rows} rows of SB in every tile, {more} more than the "
                    f"{config.sb_rows} there are"
                )
            if max(space.peak) > self._rows:
                return (
                    f"{max(space.peak)} rows of a central memory, {max(space.peak) - self._rows} "
                    f"more than the {self._rows} there are"
                )
        return None

    def too_large(self) -> str:
        """Why it does not fit, and what would do."""
        missing, config = self._missing(), self._config
        for rows, columns in ((1, 2), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8)):
            if rows * columns > config.nodes:
                larger = config.replace(rows=rows, columns=columns)
                if _Lowering(self._graph, larger, 1, 1, meet=True).fits():
                    advice = (
                        f"{rows * columns} nodes would do: set rows={rows} and columns={columns}"
                    )
                    break
        else:
            advice = "no number of nodes would do"
        return f"{self._graph.name!r} needs {missing}; {advice}"

    def program(self) -> MachineProgram:
        """The programs."""
        config, graph = self._config, self._graph
        programs = []
        cursor = self._host.cursor
        for emitter in self._emitters:
            words = encode(emitter.program())
            address = -(-cursor // 4096) * 4096
            programs.append((address, words))
            cursor = address + 8 * len(words)
        if cursor > 1 << config.address_width:
            raise UserError(
                f"{graph.name!r} needs {cursor} bytes of memory, but {config.address_width} "
                f"address bits reach {1 << config.address_width}; set address_width="
                f"{(cursor - 1).bit_length()}"
            )
        return MachineProgram(
            config=config, words=programs[0][1], address=programs[0][0], image=self._host.pieces,
            memory_size=cursor, inputs={name: self._layouts[name] for name in graph.inputs},
            outputs={name: self._layouts[name] for name in graph.outputs},
            tensors=dict(self._layouts), layers=self._report_layers(), others=programs[1:],
            begin=[len(e.synapses) + n for e, n in zip(self._emitters, self._begin, strict=True)],
            sb_rows=[emitter.sb_rows for emitter in self._emitters],
            central_rows=[max(space.peak) for space in self._spaces],
        )  # fmt: skip

    def _report_layers(self) -> dict[int, ReportLayer]:
        """Layers by tag; bytes are those of the host's memory."""
        graph = self._graph
        whole = Graph(
            graph.name, graph.width, graph.drop, self._placement.tensors, graph.inputs,
            graph.outputs,
        )  # fmt: skip
        layers = {}
        for tag, node in enumerate(self._placement.nodes):
            layer = layer_of(node, tag, whole, self._config.core)
            inside = dict(layer.bytes)
            if not any(name in graph.inputs for name in inputs_of(node)):
                inside["nbin"] = 0
            if not any(node.output in self._placement.parts(name) for name in graph.outputs):
                inside["nbout"] = 0
            layers[tag] = replace(layer, bytes=inside)
        return layers

    # Plans

    def _slices_of(self, node: Conv | Gemm) -> list[_Slice]:
        config = self._config
        source = self._placement.segments(node.input)
        if isinstance(node, Gemm):
            _, c, h, w = self._placement.extents(node.input)
            weight = node.weight.reshape(-1, c, h, w)
            windows, pads, groups = Windows((h, w), (1, 1)), (0, 0), 1
        else:
            kh, kw = node.weight.shape[2:]
            windows = Windows((kh, kw), node.strides)
            weight, pads, groups = node.weight, node.pads[:2], node.groups

        def layer(weight: np.ndarray, bias: np.ndarray, blocks: int) -> Layer:
            return Layer(node.name, weight, bias, windows, pads, node.shift, node.table, blocks)

        blocks = extent(source, config.ti)
        if groups == 1:
            return [_Slice(layer(weight, node.bias, blocks), 0, None)]
        assert isinstance(node, Conv)
        parts = list(slices_of(node, config.core))
        whole = all(
            part.first_channel % config.ti == 0 and part.first_output % config.tn == 0
            for part in parts
        )
        if whole and len(source) == 1 and not (
            config.nodes > 1 and self._placement.is_pixel(node.output)
        ):  # fmt: skip
            return [
                _Slice(
                    layer(part.weight, part.bias, -(-part.channels // config.ti)),
                    part.first_output // config.tn,
                    (part.first_channel // config.ti, part.channels),
                )
                for part in parts
            ]  # fmt: skip
        return [_Slice(layer(*_dense(node, config), blocks), 0, None)]

    def _choose(self) -> None:
        """Take the fastest plans if SB can hold them, otherwise the smallest."""
        options: dict[tuple[str, int, int], list[tuple[Plan, ...]]] = {}
        for node in self._placement.nodes:
            if not isinstance(node, Conv | Gemm):
                continue
            slices = self._slices[node.name]
            root = self._placement.root(node.output)
            pixel = self._placement.is_pixel(node.output)
            exact = (
                len(slices) > 1
                or len(self._placement.leaves(root)) > 1
                or (pixel and self._config.nodes > 1)
            )
            for number, each in enumerate(slices):
                for at in range(self._config.nodes):
                    region = self._region(node, each, at)
                    if region is not None:
                        options[node.name, number, at] = plans(
                            each.layer,
                            region,
                            self._config,
                            exact=exact,
                            pieces=self._pieces(node, each.layer, at),
                            images=self._images,
                        )
        for key in ("cycles", "sb_rows"):

            def rank(found: tuple[Plan, ...], key: str = key) -> tuple[int, ...]:
                return tuple(
                    sum(getattr(plan, each) for plan in found)
                    for each in (key, "sb_rows", "cycles")
                )

            self._plans = {where: min(found, key=rank) for where, found in options.items()}
            used = [0] * self._config.nodes
            for (_, _, at), found in self._plans.items():
                used[at] += sum(plan.sb_rows for plan in found)
            spare = len(self._placement.nodes) * (self._config.table_rows + 3)
            if max(used) + spare <= self._config.sb_rows:
                return

    def _gathering(self, node: Conv | Gemm) -> bool:
        """Whether a layer works on the parts of its input as they come from other nodes."""
        placement, name = self._placement, node.input
        return placement.gathers(name) and placement.is_pixel(name) and placement.root(name) == name

    def _pieces(self, node: Conv | Gemm, layer: Layer, at: int) -> list[Piece] | None:
        """The parts of the reduction in the order in which they come to node ``at``."""
        if not self._gathering(node):
            return None
        shares = self._shares(node.input)
        order = sequence(self._config.rows, self._config.columns, at)
        parts = [Share.around(shares[origin] for origin in origins).blocks for origins in order]
        rows = layer.windows.kernel[0]
        return [Piece(0, rows, blocks.start, len(blocks)) for blocks in parts if blocks]

    def _shares(self, leaf: str) -> list[Share]:
        """What every node has made of a tensor, as far as any node gets it."""
        placement = self._placement
        shares = [placement.share(leaf, node) for node in range(self._config.nodes)]
        if not placement.gathers(leaf):
            return shares
        return [Share(s.area.common(placement.needed(leaf, 0)), s.blocks) for s in shares]

    def _region(self, node: Conv | Gemm, each: _Slice, at: int) -> Region | None:
        """What node number ``at`` makes of a slice, if anything."""
        share = self._placement.share(node.output, at)
        groups = range(-(-len(each.layer.weight) // self._config.tn))
        if share.empty:
            return None
        return Region(
            share.area, groups if each.source is not None else common(groups, share.blocks)
        )

    # Passes

    def _pass(self, first: int, images: int) -> None:
        """Emit all layers for some images."""
        placement = self._placement
        self._fence()
        self._homes.clear()
        for emitter in self._emitters:
            emitter.tag = 0
        for name in self._graph.inputs:
            self._allocate(placement.root(name), images, avoid=None)
            self._load(name, first)
        self._fence()
        if first == 0 and self._config.nodes > 1:
            # No node's first layer has to wait for synapses of another one.
            self._exchange.meet()
        if first == 0:
            self._begin = [len(emitter.instructions) for emitter in self._emitters]
        for name in self._graph.inputs:
            self._store(name, first)
            last = name == self._graph.inputs[-1]
            self._pass_on(name, self._layer(0) if last else None)
            self._made.append(placement.root(name))
        for tag, node in enumerate(placement.nodes):
            root = placement.root(node.output)
            source = self._homes[placement.root(inputs_of(node)[0])]
            bank = next(where.bank for where in source.maps if where is not None)
            for emitter in self._emitters:
                emitter.tag = tag
            self._allocate(root, images, avoid=bank)
            for emitter in self._emitters:
                self._emit(emitter, node)
                emitter.wait()
            self._fence()
            self._store(node.output, first)
            self._pass_on(node.output, self._layer(tag + 1))
            for read in {placement.root(name) for name in inputs_of(node)}:
                self._done(read, reader=True)
            self._made.append(root)

    def _layer(self, tag: int) -> Worker | None:
        nodes = self._placement.nodes
        return nodes[tag] if tag < len(nodes) else None

    def _allocate(self, root: str, images: int, avoid: int | None) -> None:
        """Find room for a tensor in all nodes, if it has none yet, and clear what is around it."""
        if root in self._homes:
            return
        placement = self._placement
        _, _, height, width = placement.extents(root)
        pitch = self._pitch(root)
        maps: list[CentralMap | None] = []
        for node, space in enumerate(self._spaces):
            held = placement.held(root, node)
            if held.empty:
                maps.append(None)
                continue
            where = CentralMap(
                0, 0, images, height, width, placement.segments(root), pitch,
                self._gap(root, len(held.columns) * pitch), held, self._config.ti,
            )  # fmt: skip
            bank, base = space.take(where.size, 0 if avoid is None else 1 - avoid)
            where = replace(where, bank=bank, base=base)
            clear_border(self._emitters[node], where)
            maps.append(where)
        readers = {
            id(layer): layer
            for name in {root, *placement.leaves(root)}
            for layer, _ in placement.readers(name)
        }
        self._homes[root] = _Home(maps, len(readers), len(placement.leaves(root)))

    def _gap(self, root: str, row: int) -> int:
        """Rows of the central memory to leave free behind each row of pixels, which takes ``row``.

        Windows are read a column after the other. What follows the last block of a pixel is the
        first one of the pixel below, or of the next column, and that should not be in the same
        bank, which is busy.
        """
        banks, ti = self._config.central_banks, self._config.ti
        steps: Counter[tuple[int, int]] = Counter()  # in rows of pixels and in blocks
        for name in {root, *self._placement.leaves(root)}:
            for layer, read in self._placement.readers(name):
                if isinstance(layer, Conv | Pool):
                    pool = isinstance(layer, Pool)
                    below = (layer.kernel if pool else layer.weight.shape[2:])[0] - 1
                    last = extent(self._placement.segments(read), ti) - 1
                    steps[1, -last] += below
                    steps[-below, self._pitch(root) - last] += 1

        def met(gap: int) -> int:
            return sum(
                times
                for (rows, blocks), times in steps.items()
                if (rows * (row + gap) + blocks) % banks == 0
            )

        return min(range(banks), key=met)

    def _pitch(self, root: str) -> int:
        """Blocks per pixel, with those that tiles make beyond the tensor's."""
        blocks = extent(self._placement.segments(root), self._config.ti)
        made = [
            plan.region.groups.start + plan.groups * plan.per_tile
            for (name, _, _), found in self._plans.items()
            for plan in found
            if any(node.name == name and node.output == root for node in self._placement.nodes)
        ]
        return max(blocks, *made, 1)

    def _map(self, name: str, node: int) -> CentralMap:
        """Where a tensor lies in a node that has it."""
        where = self._homes[self._placement.root(name)].maps[node]
        assert where is not None
        return where.part(self._placement.segments(name))

    def _emit(self, emitter: Emitter, node: Worker) -> None:
        at = emitter.node
        share = self._placement.share(node.output, at)
        if share.empty:
            for step in self._steps.pop(at, []):
                emitter.pass_on(step.waits, step.sends)
            return
        target = self._map(node.output, at)
        sources = [self._map(name, at) for name in inputs_of(node)]
        near = self._placement.near(node, at)
        if isinstance(node, Pairwise):
            if near != share.area:
                emitter.wait()
            emit_pairwise(emitter, node, share.area, (sources[0], sources[1]), target)
        elif isinstance(node, Pool):
            emit_pool(emitter, node, share.area, near, sources[0], target)
        else:
            steps = self._steps.pop(at, [])
            for number, each in enumerate(self._slices[node.name]):
                source = sources[0]
                if each.source is not None:
                    block, channels = each.source
                    start = source.segments[0].block + block
                    source = source.part(
                        (replace(source.segments[0], block=start, channels=channels),)
                    )
                for plan in self._plans[node.name, number, at]:
                    emit_conv(
                        emitter, each.layer, plan, source, target, near=near, steps=steps,
                        first_block=each.first_block,
                    )  # fmt: skip

    def _load(self, name: str, first: int) -> None:
        """Load every node's share of an input from the host."""
        config, channels = self._config, self._placement.extents(name)[1]
        self._fence()
        for emitter in self._emitters:
            share = self._placement.share(name, emitter.node)
            where = self._homes[self._placement.root(name)].maps[emitter.node]
            if share.empty or where is None:
                continue
            begin = share.blocks.start * config.ti
            count = min(share.blocks.stop * config.ti, channels) - begin
            load_rows(
                emitter, self._layouts[name], self._map(name, emitter.node), first, share.area,
                begin, count,
            )  # fmt: skip

    def _store(self, leaf: str, first: int) -> None:
        """Store what has just been made, if it is an output or a part of one."""
        for name in self._graph.outputs:
            parts = self._placement.parts(name)
            if leaf not in parts:
                continue
            sizes = [self._placement.extents(part)[1] for part in parts]
            offset = sum(sizes[: parts.index(leaf)])
            channels = sizes[parts.index(leaf)]
            for emitter in self._emitters:
                share = self._placement.share(leaf, emitter.node)
                if share.empty:
                    continue
                store_rows(
                    emitter, self._layouts[name], self._map(leaf, emitter.node), first, share.area,
                    share.blocks.start * self._config.ti,
                    min(share.blocks.stop * self._config.ti, channels), offset,
                )  # fmt: skip

    def _fence(self) -> None:
        """What comes next waits for all before it, stores and sends included."""
        for emitter in self._emitters:
            emitter.fence()
        made, self._made = self._made, []
        for root in made:
            self._done(root, reader=False)

    def _parcels(self, leaf: str) -> list[Parcel]:
        """What of a tensor goes from which node to which other one; nothing is passed on."""
        shares = self._shares(leaf)
        parcels = []
        for sender, share in enumerate(shares):
            for receiver in range(len(shares)):
                needed = self._placement.needed(leaf, receiver)
                part = Share(share.area.common(needed), share.blocks)
                if sender != receiver and not part.empty:
                    parcels.append(Parcel(sender, receiver, part))
        return parcels

    def _pass_on(self, leaf: str, following: Worker | None) -> None:
        """Send others what they need of what has just been made; ``following`` is the next layer.

        If that one works on things as they come, it sends them, too.
        """
        if self._config.nodes == 1:
            return
        segments = self._placement.segments(leaf)
        homes = self._homes[self._placement.root(leaf)].maps
        maps = [None if where is None else where.part(segments) for where in homes]
        if self._placement.gathers(leaf):
            steps = self._exchange.gather(self._shares(leaf), maps)
            if (
                not self._meet
                and isinstance(following, Conv | Gemm)
                and following.input == leaf
                and self._gathering(following)
            ):
                self._steps = dict(enumerate(steps))
                return
            self._exchange.pass_on(steps)
        else:
            self._exchange.send(self._parcels(leaf), maps)
        if self._meet:
            self._exchange.meet()
            self._release()

    def _done(self, root: str, *, reader: bool) -> None:
        """A layer has read, or made a part of, a tensor; give it up after the last one."""
        home = self._homes[root]
        if reader:
            home.readers -= 1
        else:
            home.leaves -= 1
        if home.readers == home.leaves == 0:
            self._freed += zip(self._spaces, home.maps, strict=True)
            if self._config.nodes == 1:
                self._release()

    def _release(self) -> None:
        """Give back rows that no node uses any more.

        That is known when they meet only: a node must not send rows to where another one still
        works on an earlier layer.
        """
        for space, where in self._freed:
            if where is not None:
                space.give(where.bank, where.base, where.size)
        self._freed.clear()


def _dense(node: Conv, config: NodeConfig) -> tuple[np.ndarray, np.ndarray]:
    """Weights and biases of a grouped convolution with zeros between its groups."""
    outputs, channels, ky, kx = node.weight.shape
    weight = np.zeros((outputs, channels * node.groups, ky, kx), dtype=node.weight.dtype)
    for group, part in enumerate(np.split(node.weight, node.groups)):
        rows = slice(group * len(part), (group + 1) * len(part))
        weight[rows, group * channels : (group + 1) * channels] = part
    idle = (node.groups - 1) * channels * ky * kx
    bias = adjusted_bias(
        node.bias, idle, compensation(config.width, config.drop), config.core, node.name
    )
    return weight, bias
