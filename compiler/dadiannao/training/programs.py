"""Programs that train a network on a machine.

Four programs of each node share what is in its memories: ``setup`` loads synapses, tables and
constants; ``forward`` and ``backward`` alternate, a batch each; ``weights`` gives the synapses
back. Numbers are joined if the network has twice the node's width.

The paper leaves open how a node finds the transposed weights, and where what an update needs comes
from. Here:

- Every layer but the first has its synapses twice, by outputs and by inputs, so that both ways
  through it are the same matrix product, in which each tile has the sums of its own outputs: no sum
  is spread over tiles. Both copies are updated, from the same exact sums.
- Biases are the synapses of one more neuron, which is always 1.
- A convolution is a classifier at every position: its window is broadcast to all tiles. Backward it
  is one over delta, with the kernel turned round and, for strides, zeros between.
- An update reads, for each row of SB, the factor of the tile's own block, position after position,
  into the tile alone, and the other factor into all tiles.
- The derivative is a table of the activation's result, so that no sums have to be kept.
- Trained synapses come back as the outputs for neurons that are 1 in one place and 0 elsewhere,
  since nothing else leads out of SB.

Several nodes share a layer's outputs as the tiles of a node do, and each has all neurons: what a
matrix product makes, every node sends to all others. All else, which is place by place, each
node does for itself. As no sum is spread, results do not depend on the number of nodes either.
In a program a map is sent once, and only after all have done with what it held in the program
before; so nobody need be asked whether it is free.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from hw.arith.numbers import Table
from hw.dadiannao.assembler import (
    NO_RUNS,
    CopyLoop,
    Instruction,
    Load,
    Loop,
    Read,
    RowLoop,
    Runs,
    Send,
    Store,
    Tile,
    TileNest,
    Write,
    copy_levels,
    encode,
    nest,
    row_levels,
)
from hw.dadiannao.config import NodeConfig
from hw.dadiannao.isa import LoadOp, ReadOp
from hw.diannao.isa import NfuIn, NfuOut
from hw.nfu.layouts import Held, Op
from sim.dadiannao.program import MachineProgram
from sim.program import TensorLayout
from sim.training.network import Network

from ...training.tables import IDENTITY, NEGATIVE, at_least_zero, scaled
from ..emitter import Emitter, HostImage
from .places import Map, Matrix, View, packed_rows
from .plan import LinearPlan, NormalisePlan, Plan, PoolPlan

__all__ = ["TrainingPrograms", "lower_training"]


@dataclass
class TrainingPrograms:
    """What trains on a node; all tensors are integers of the network's width.

    Parameters
    ----------
    setup : without inputs and outputs
    forward : ``x`` (images, channels, height, width) to ``y`` (images, outputs)
    backward : ``delta`` (images, outputs)
    weights : gives ``w0``, ``w1`` ..., which ``synapses`` turns into weights and biases
    plan : of the memories
    """

    setup: MachineProgram
    forward: MachineProgram
    backward: MachineProgram
    weights: MachineProgram
    plan: Plan

    def synapses(self, tensors: dict[str, np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        """(outputs, channels, ky, kx) weights and (outputs,) biases of every layer."""
        found, lanes, config = [], self.plan.lanes, self.plan.config
        for number, each in enumerate(self.plan.linears):
            raw, matrix = tensors[f"w{number}"], each.forward
            whole = np.zeros((matrix.blocks, lanes, matrix.inputs, lanes), dtype=np.int64)
            at = 0
            for node, span in product(range(config.nodes), matrix.spans):
                count = config.tiles * span.groups
                part = raw[:, at : at + lanes * count].reshape(matrix.inputs, lanes, count, lanes)
                first = span.first + node * count
                whole[first : first + count] = part.transpose(2, 3, 0, 1)
                at += lanes * count
            outputs, channels, ky, kx = each.layer.weight.shape
            flat = whole.reshape(matrix.blocks * lanes, -1)[:outputs]
            biases = flat[:, (matrix.inputs - 1) * lanes]
            weights = flat[:, : (matrix.inputs - 1) * lanes].reshape(outputs, ky, kx, -1)
            found.append((weights[..., :channels].transpose(0, 3, 1, 2), biases))
        return found


def lower_training(
    network: Network, config: NodeConfig, batch: int, shift: int
) -> TrainingPrograms:
    """The programs that train ``network`` in batches of ``batch`` images on ``config``.

    ``shift`` is that of the learning rate, see ``sim.training.golden.Golden.backward``.

    Raises
    ------
    UserError
        If the node cannot train, or something is too small for the network.
    """
    plan = Plan(network, config, batch)

    def backward(plan: Plan, node: int, memory: "_Memory") -> "_Backward":
        return _Backward(plan, node, memory, shift)

    return TrainingPrograms(
        _of_all_nodes(plan, _Setup), _of_all_nodes(plan, _Forward), _of_all_nodes(plan, backward),
        _of_all_nodes(plan, _Weights), plan,
    )  # fmt: skip


@dataclass
class _Memory:
    """The host's, of the programs of all nodes: constants, and tensors by name."""

    image: HostImage
    inputs: dict[str, TensorLayout] = field(default_factory=dict)
    outputs: dict[str, TensorLayout] = field(default_factory=dict)


def _of_all_nodes(
    plan: Plan, writer: Callable[[Plan, int, _Memory], "_Writer"]
) -> MachineProgram:  # fmt: skip
    config = plan.config
    memory = _Memory(HostImage(config.bus_port // 8))
    words = [encode(writer(plan, node, memory).program()) for node in range(config.nodes)]
    image = memory.image
    (address, first), *others = [(image.reserve(8 * len(each)), each) for each in words]
    return MachineProgram(
        config=config, words=first, address=address, others=others, image=image.pieces,
        memory_size=image.cursor, inputs=memory.inputs, outputs=memory.outputs,
        tensors=memory.inputs | memory.outputs,
    )  # fmt: skip


class _Writer:
    """What the programs of a node have in common."""

    def __init__(self, plan: Plan, node: int, memory: _Memory):
        self.plan = plan
        self.node = node
        self.config = plan.config
        self.formats = plan.network.formats
        self.joined = plan.halves == 2
        self.memory = memory
        self.emitter = Emitter(plan.config, node, memory.image)

    def program(self) -> list[Instruction]:
        """All instructions."""
        raise NotImplementedError

    def begin(self) -> None:
        """Biases are not used as such: sums start at 0."""
        self.emitter.emit(tile=Tile(nest(Op.BIAS, sb=self.plan.zero), self.emitter.all_tiles))

    def table(self, table: Table) -> None:
        """Make ``table`` the function of all outputs that follow."""
        first, rows = self.plan.tables[table]
        for part, each in enumerate(rows):
            slot = nest(
                Op.TABLE, [Loop(count=len(each), sb=1)], sb=first + part * len(each),
                derivative=bool(part),
            )  # fmt: skip
            self.emitter.emit(tile=Tile(slot, self.emitter.all_tiles))

    def images(
        self, tensors: dict[str, TensorLayout], name: str, shape: tuple[int, ...], place: Map
    ) -> TensorLayout:
        """A tensor in the host's memory, one of ``tensors``, as ``place`` without its halo."""
        if name in tensors:  # another node's program has put it there
            return tensors[name]
        row, size = self.config.row_bytes, self.formats.width // 8
        x = place.blocks * row
        y, image = place.width * x, place.height * place.width * x
        address = self.emitter.host.reserve(shape[0] * image)
        tensors[name] = TensorLayout(name, shape, 0, address, (image, size, y, x), size)
        return tensors[name]

    def load(self, tensor: TensorLayout, place: Map) -> None:
        """A tensor of ``images`` into its place."""
        image = tensor.strides[0]
        self.emitter.emit(
            load=Load(
                Runs(tensor.address, tensor.shape[0] * image), LoadOp.CENTRAL, bank=place.bank,
                address=place.at(), levels=row_levels(self.rows(place, tensor.shape[0])),
            )
        )  # fmt: skip

    def rows(self, place: Map, images: int = 1) -> list[RowLoop]:
        """All rows of some images, without halo."""
        return [
            RowLoop(count=place.blocks, rows=1),
            RowLoop(count=place.width, rows=place.x),
            RowLoop(count=place.height, rows=place.y),
            RowLoop(count=images, rows=place.image),
        ]

    def broadcast(self, bank: int, address: int, loops: list[RowLoop], masks: list[int]) -> Read:
        """Rows to the tiles of ``masks``, through which the loops go."""
        return Read(
            ReadOp.BROADCAST, bank=bank, mask=self.emitter.masks(masks), address=address,
            levels=row_levels(loops),
        )  # fmt: skip

    def multiply(
        self,
        matrix: Matrix,
        source: Map,
        window: tuple[int, int],
        first: tuple[int, int],
        strides: tuple[int, int],
        target: Map,
        table: Table,
        *,
        bias: bool = False,
        shift: int | None = None,
    ) -> None:
        """``target = table(matrix x windows over source)``; the first window is at ``first``.

        Behind it, every node has all of ``target``. With ``bias``, the last block of inputs is the
        neuron that is always 1. ``shift`` are the fraction bits of the synapses, if not those of
        the network's weights.
        """
        ti, emitter = self.config.ti, self.emitter
        everyone = [emitter.all_tiles]
        self.table(table)
        positions = product(range(self.plan.batch), range(target.height), range(target.width))
        for image, y, x in positions:
            at = source.at(image, first[0] + y * strides[0], first[1] + x * strides[1])
            loops = [
                RowLoop(count=source.blocks, rows=1),
                RowLoop(count=window[1], rows=source.x),
                RowLoop(count=window[0], rows=source.y),
            ]
            read = self.broadcast(source.bank, at, loops, everyone)
            if bias:
                emitter.emit(read=read)
                one = self.plan.one
                read = self.broadcast(one.bank, one.base, [RowLoop(count=1)], everyone)
            for span in matrix.spans:
                last = span is matrix.spans[-1]
                slot = nest(
                    Op.MAC,
                    [
                        Loop(count=matrix.inputs, nbin=ti, sb=1, reduce=True),
                        Loop(count=span.groups, sb=matrix.inputs),
                    ],
                    sb=matrix.first, shift=self.formats.weight if shift is None else shift,
                    scale=table.shift,
                    joined=self.joined, half=span.half,
                    nbin_free=matrix.inputs * ti if last else 0,
                )  # fmt: skip
                count = self.config.tiles * span.groups
                write = Write(
                    bank=target.bank, burst=span.groups, tiles=emitter.all_tiles,
                    address=target.at(image, y, x, span.first + self.node * count),
                    levels=row_levels([RowLoop(count=count, rows=1)]),
                )  # fmt: skip
                emitter.emit(read=read, tile=Tile(slot, emitter.all_tiles), write=write)
                read = None
        self.emitter.fence()
        self.pass_on(matrix, target)

    def pass_on(self, matrix: Matrix, target: Map) -> None:
        """Send this node's blocks of ``target`` to all others, and wait for theirs."""
        batch = self.plan.batch
        for other in set(range(self.config.nodes)) - {self.node}:
            for span in matrix.spans:
                count = self.config.tiles * span.groups
                loops = [
                    CopyLoop(count=count, rows=1, to=1),
                    CopyLoop(count=target.width, rows=target.x, to=target.x),
                    CopyLoop(count=target.height, rows=target.y, to=target.y),
                    CopyLoop(count=batch, rows=target.image, to=target.image),
                ]
                address = target.at(block=span.first + self.node * count)
                self.emitter.emit(
                    send=Send(
                        bank=target.bank, to_bank=target.bank, node=other, address=address,
                        to_address=address, levels=copy_levels(loops),
                    )
                )  # fmt: skip
                self.emitter.expect(other, count * target.width * target.height * batch)
        self.emitter.wait()

    def one_by_one(
        self,
        number: int,
        source: Map,
        address: int,
        loops: list[RowLoop],
        slot: TileNest,
        target: Map,
        y: int | None = None,
    ) -> None:
        """Rows of ``source`` through a nest of one tile into image ``number``, or its row ``y``.

        Tiles take turns.
        """
        work = number * (1 if y is None else target.height) + (y or 0)
        mask = 1 << work % self.config.tiles
        written = self.rows(target)
        if y is not None:
            written = written[:2]
        self.emitter.emit(
            read=self.broadcast(source.bank, address, loops, [mask]),
            tile=Tile(slot, mask),
            write=Write(bank=target.bank, burst=65535, tiles=mask,
                        address=target.at(number, y or 0), levels=row_levels(written)),
        )  # fmt: skip

    def pass_through(self, count: int, scale: int = 0) -> TileNest:
        """So many rows through the table."""
        ti = self.config.ti
        return nest(
            Op.SUM, [Loop(count=count, nbin=ti, nbin_free=ti)], scale=scale, joined=self.joined
        )

    def through(self, source: Map, table: Table, target: Map) -> None:
        """``target = table(source)``."""
        self.table(table)
        slot = self.pass_through(source.blocks * source.height * source.width, table.shift)
        for image in range(self.plan.batch):
            self.one_by_one(image, source, source.at(image), self.rows(source), slot, target)
        self.emitter.fence()

    def products(self, a: Map, b: Map, target: Map) -> None:
        """``target = a x b``, of which ``b`` has the activations' format."""
        ti = self.config.ti
        assert (a.x, a.y, a.image) == (b.x, b.y, b.image)
        assert a.bank == b.bank
        self.table(IDENTITY)
        count = a.blocks * a.height * a.width
        slot = nest(
            Op.MAC,
            [Loop(count=2, nbin=ti), Loop(count=count, nbin=2 * ti, nbin_free=2 * ti)],
            shift=self.formats.activation, joined=self.joined, held=Held.EACH,
        )  # fmt: skip
        for image in range(self.plan.batch):
            loops = [RowLoop(count=2, rows=b.base - a.base), *self.rows(a)[:3]]
            self.one_by_one(image, a, a.at(image), loops, slot, target)
        self.emitter.fence()


class _Setup(_Writer):
    def program(self) -> list[Instruction]:
        """Synapses, tables, zeros around maps, and constants."""
        plan, emitter, config = self.plan, self.emitter, self.config
        emitter.load_synapses(
            emitter.all_tiles, plan.zero, np.zeros((1, config.core.sb_row_bits // 8), np.uint8)
        )
        for first, rows in plan.tables.values():
            emitter.load_synapses(emitter.all_tiles, first, np.concatenate(rows))
        for matrix, weights in plan.matrices:
            for tile in range(config.tiles):
                each = self.node * config.tiles + tile
                rows = packed_rows(config, matrix, weights, each, plan.halves)
                emitter.load_synapses(1 << tile, matrix.first, rows)
        for bank, count in enumerate(plan.central):
            clear = row_levels([RowLoop(count=count, rows=1)])
            emitter.emit(load=Load(NO_RUNS, LoadOp.CLEAR, bank=bank, levels=clear))
        emitter.fence()
        one = np.zeros((1, plan.lanes), dtype=np.int64)
        one[0, 0] = 1 << self.formats.activation
        units = np.eye(plan.lanes, dtype=np.int64)
        for place, rows in ((plan.one, one), (plan.units, units)):
            content = rows.astype(f"<i{self.formats.width // 8}").view(np.uint8)
            address = emitter.host.place(content)
            levels = row_levels([RowLoop(count=len(rows), rows=1)])
            emitter.emit(
                load=Load(Runs(address, content.size), LoadOp.CENTRAL, bank=place.bank,
                          address=place.base, levels=levels)
            )  # fmt: skip
        return self.emitter.program()


class _Forward(_Writer):
    def program(self) -> list[Instruction]:
        """Inputs to outputs."""
        plan = self.plan
        self.begin()
        first, last = plan.layers[0].inputs, plan.layers[-1].outputs
        count = len(plan.linears[-1].layer.weight)
        x = self.images(self.memory.inputs, "x", (plan.batch, *plan.network.shape), first)
        y = self.images(self.memory.outputs, "y", (plan.batch, count), last)
        self.load(x, first)
        for each in plan.layers:
            self.emitter.fence()
            if isinstance(each, PoolPlan):
                self._pool(each)
                continue
            if isinstance(each, NormalisePlan):
                self._normalise(each)
                continue
            top, left, _, _ = each.layer.pads
            self.multiply(
                each.forward, each.inputs, each.kernel, (-top, -left), each.layer.strides,
                each.outputs, each.layer.function or IDENTITY, bias=True,
            )  # fmt: skip
        self.emitter.fence()
        if self.node:
            return self.emitter.program()
        self.emitter.emit(
            store=Store(
                Runs(y.address, plan.batch * last.image * self.config.row_bytes), bank=last.bank,
                address=last.base, levels=row_levels(self.rows(last, plan.batch)),
            )
        )  # fmt: skip
        return self.emitter.program()

    def _pool(self, each: PoolPlan) -> None:
        source, target, ti = each.inputs, each.outputs, self.config.ti
        ky, kx = each.layer.kernel
        table = IDENTITY if each.layer.scale is None else scaled(each.layer.scale)
        self.table(table)
        size = ky * kx * ti
        slot = nest(
            Op.MAX if each.layer.scale is None else Op.SUM,
            [
                Loop(count=ky * kx, nbin=ti, reduce=True),
                Loop(count=target.width * target.blocks, nbin=size, nbin_free=size),
            ],
            scale=table.shift, joined=self.joined,
        )  # fmt: skip
        for image, y in product(range(self.plan.batch), range(target.height)):
            loops = [
                RowLoop(count=kx, rows=source.x),
                RowLoop(count=ky, rows=source.y),
                RowLoop(count=source.blocks, rows=1),
                RowLoop(count=target.width, rows=kx * source.x),
            ]
            self.one_by_one(image, source, source.at(image, y * ky), loops, slot, target, y)

    def _normalise(self, each: NormalisePlan) -> None:
        """Squares, the power of their sums over windows of channels, products."""
        self.through(each.inputs, IDENTITY, each.copy)
        self.products(each.copy, each.copy, each.scratch)
        self.multiply(
            each.sums, each.scratch, (1, 1), (0, 0), (1, 1), each.factors, each.layer.power
        )
        self.products(each.copy, each.factors, each.outputs)


class _Backward(_Writer):
    def __init__(self, plan: Plan, node: int, memory: _Memory, shift: int):
        super().__init__(plan, node, memory)
        formats = self.formats
        self._shift = formats.gradient + formats.activation - formats.weight + shift

    def program(self) -> list[Instruction]:
        """What the outputs are to change by, into the synapses."""
        plan = self.plan
        self.begin()
        last = plan.linears[-1]
        shape = plan.batch, len(last.layer.weight)
        delta = self.images(self.memory.inputs, "delta", shape, last.delta)
        self.load(delta, last.delta)
        for number in reversed(range(len(plan.layers))):
            each = plan.layers[number]
            target = plan.layers[number - 1].delta if number else None
            self.emitter.fence()
            if isinstance(each, PoolPlan):
                if target is not None:
                    self._pool(each, target)
            elif isinstance(each, NormalisePlan):
                assert target is not None
                self._normalise(each, target)
            else:
                self._linear(each, target)
        return self.emitter.program()

    def _linear(self, each: LinearPlan, target: Map | None) -> None:
        if each.slope is not None and each.layer.derivative is not None:
            self.through(each.outputs, each.layer.derivative, each.slope)
            self.products(each.delta, each.slope, each.scaled)
        (ky, kx), (top, left, _, _) = each.kernel, each.layer.pads
        if each.back is not None and target is not None:
            first = (top + 1 - ky, left + 1 - kx)
            self.multiply(
                each.back, each.scaled.dense, each.kernel, first, (1, 1), target, IDENTITY
            )
            for row in range(each.back.inputs):
                place, block = divmod(row, each.scaled.blocks)
                y, x = ky - 1 - place // kx, kx - 1 - place % kx
                own = each.inputs.view(0, y - top, x - left, each.layer.strides)
                self._update(each, each.back, row, own, each.scaled.view(block))
        for row in range(each.forward.inputs):
            place, block = divmod(row, each.inputs.blocks)
            y, x = divmod(place, kx)
            common = View(self.plan.one.bank, self.plan.one.base, 0, 0, 0)
            if row < each.forward.inputs - 1:
                common = each.inputs.view(block, y - top, x - left, each.layer.strides)
            self._update(each, each.forward, row, each.scaled.view(0), common)

    def _update(self, each: LinearPlan, matrix: Matrix, row: int, own: View, common: View) -> None:
        """Every SB row of input ``row``: the sum over positions of own blocks x a common one."""
        for span in matrix.spans:
            self.emitter.fence()  # both halves are in the same rows
            mine = span.first + self.node * self.config.tiles * span.groups
            for group in range(span.groups):
                pieces = self._pieces(each.outputs)
                for number, (start, counts) in enumerate(pieces):
                    self._piece(
                        matrix.first + group * matrix.inputs + row, span.half,
                        View(own.bank, own.address + mine + group, own.x, own.y, own.image),
                        common, span.groups, start, counts, number == 0, number == len(pieces) - 1,
                    )  # fmt: skip
        self.emitter.fence()

    def _pieces(self, outputs: Map) -> list[tuple[tuple[int, int], tuple[int, int, int]]]:
        """Positions that fit NBin together: first image and y; counts of x, y and images."""
        batch, room = self.plan.batch, self.config.nbin_rows // 2
        image = outputs.height * outputs.width
        if image <= room:
            most = room // image
            return [
                ((n, 0), (outputs.width, outputs.height, min(most, batch - n)))
                for n in range(0, batch, most)
            ]
        most = room // outputs.width
        return [
            ((n, y), (outputs.width, min(most, outputs.height - y), 1))
            for n in range(batch)
            for y in range(0, outputs.height, most)
        ]

    def _piece(
        self, row: int, half: int, own: View, common: View, groups: int, start: tuple[int, int],
        counts: tuple[int, int, int], first: bool, last: bool,
    ) -> None:  # fmt: skip
        ti, emitter = self.config.ti, self.emitter
        total = int(np.prod(counts))

        def read(view: View, tiles: list[RowLoop], masks: list[int]) -> Read:
            loops = [
                RowLoop(count=count, rows=step)
                for count, step in zip(counts, (view.x, view.y, view.image), strict=True)
            ]
            address = view.address + start[0] * view.image + start[1] * view.y
            return self.broadcast(view.bank, address, [*tiles, *loops], masks)

        each_tile = [1 << tile for tile in range(self.config.tiles)]
        turn = [RowLoop(count=len(each_tile), rows=groups, mask=1)]
        slot = nest(
            Op.MAC, [Loop(count=2, nbin=total * ti), Loop(count=total, nbin=ti, reduce=True)],
            sb=row, shift=self._shift, joined=self.joined, half=half, held=Held.ALL,
            nbin_free=2 * total * ti, source=NfuIn.BIAS if first else NfuIn.NBOUT,
            target=NfuOut.NFU3 if last else NfuOut.NBOUT,
        )  # fmt: skip
        emitter.emit(read=read(own, turn, each_tile))
        emitter.emit(read=read(common, [], [emitter.all_tiles]), tile=Tile(slot, emitter.all_tiles))

    def _pool(self, each: PoolPlan, target: Map) -> None:
        source = each.delta
        if each.layer.scale is not None:
            table = scaled(each.layer.scale)
            self._spread(each, source, target, table)
            return
        assert each.negative is not None
        assert each.mask is not None
        assert each.spread is not None
        # The places of the maxima: x - max is 0.
        self._spread(each, each.outputs, each.negative, NEGATIVE)
        self._spread(each, source, each.spread, IDENTITY)
        self.emitter.fence()
        x, negative, ti = each.inputs, each.negative, self.config.ti
        table = at_least_zero(self.formats.activation)
        self.table(table)
        slot = nest(
            Op.SUM,
            [
                Loop(count=2, nbin=ti, reduce=True),
                Loop(count=x.blocks * x.height * x.width, nbin=2 * ti, nbin_free=2 * ti),
            ],
            scale=table.shift, joined=self.joined,
        )  # fmt: skip
        for image in range(self.plan.batch):
            loops = [RowLoop(count=2, rows=negative.base - x.base), *self.rows(x)[:3]]
            self.one_by_one(image, x, x.at(image), loops, slot, each.mask)
        self.emitter.fence()
        self.products(each.spread, each.mask, target)

    def _normalise(self, each: NormalisePlan, target: Map) -> None:
        """Delta times the factors, and the inputs times what their squares change in all windows.

        Both products of a neuron are one sum: pairs of delta and factors, of changes and inputs.
        """
        ti = self.config.ti
        self.through(each.factors, each.layer.slope, each.scratch)
        self.products(each.copy, each.scratch, each.between)
        self.products(each.delta, each.between, each.scratch)
        self.multiply(
            each.changes, each.scratch, (1, 1), (0, 0), (1, 1), each.change, IDENTITY,
            shift=each.layer.scale[1],
        )  # fmt: skip
        self.table(IDENTITY)
        rows = each.delta.image
        slot = nest(
            Op.MAC,
            [
                Loop(count=2, nbin=ti),
                Loop(count=2, nbin=2 * ti, reduce=True),
                Loop(count=rows, nbin=4 * ti, nbin_free=4 * ti),
            ],
            shift=self.formats.activation, joined=self.joined, held=Held.EACH,
        )  # fmt: skip
        for image in range(self.plan.batch):
            loops = [
                RowLoop(count=2, rows=each.factors.base - each.delta.base),
                RowLoop(count=2, rows=each.change.base - each.delta.base),
                RowLoop(count=rows, rows=1),
            ]
            self.one_by_one(image, each.delta, each.delta.at(image), loops, slot, target)

    def _spread(self, each: PoolPlan, source: Map, target: Map, table: Table) -> None:
        """What is at a position, through the table to every place of its window."""
        ky, kx = each.layer.kernel
        self.table(table)
        slot = self.pass_through(target.blocks * target.width, table.shift)
        for image, y in product(range(self.plan.batch), range(target.height)):
            loops = [
                RowLoop(count=source.blocks, rows=1),
                RowLoop(count=kx, rows=0),
                RowLoop(count=source.width, rows=source.x),
            ]
            self.one_by_one(image, source, source.at(image, y // ky), loops, slot, target, y)


class _Weights(_Writer):
    def program(self) -> list[Instruction]:
        """The synapses by outputs: the columns for neurons that are 1 in one place."""
        plan, lanes, config = self.plan, self.plan.lanes, self.config
        self.begin()
        self.table(IDENTITY)
        everyone = self.emitter.all_tiles
        for number, each in enumerate(plan.linears):
            matrix = each.forward
            rows, size = lanes * matrix.blocks // config.nodes, self.formats.width // 8
            part, pitch = rows * config.row_bytes, lanes * matrix.blocks * config.row_bytes
            tensors, name = self.memory.outputs, f"w{number}"
            if name not in tensors:
                tensors[name] = TensorLayout(
                    name, (matrix.inputs, lanes * matrix.blocks, lanes), 0,
                    self.emitter.host.reserve(matrix.inputs * pitch),
                    (pitch, config.row_bytes, size, 0), size,
                )  # fmt: skip
            address = tensors[name].address + self.node * part
            for block in range(matrix.inputs):
                self.emitter.fence()
                at = plan.readback.base
                for span in matrix.spans:
                    slot = nest(
                        Op.MAC,
                        [
                            Loop(count=span.groups, sb=matrix.inputs),
                            Loop(count=lanes, nbin=config.ti, nbin_free=config.ti),
                        ],
                        sb=matrix.first + block, joined=self.joined, half=span.half,
                    )  # fmt: skip
                    count = lanes * config.tiles * span.groups
                    units = [RowLoop(count=lanes, rows=1)]
                    self.emitter.emit(
                        read=self.broadcast(plan.units.bank, plan.units.base, units, [everyone]),
                        tile=Tile(slot, everyone),
                        write=Write(bank=plan.readback.bank, burst=span.groups, tiles=everyone,
                                    address=at, levels=row_levels([RowLoop(count=count, rows=1)])),
                    )  # fmt: skip
                    at += count
                self.emitter.fence()
                self.emitter.emit(
                    store=Store(
                        Runs(address + block * pitch, part), bank=plan.readback.bank,
                        address=plan.readback.base,
                        levels=row_levels([RowLoop(count=rows, rows=1)]),
                    )
                )  # fmt: skip
        return self.emitter.program()
