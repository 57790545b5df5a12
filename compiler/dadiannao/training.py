"""Programs that train a multilayer perceptron on a node.

Four programs share what is in the node's memories: ``setup`` loads synapses, tables and constants;
``forward`` and ``backward`` alternate, a batch each; ``weights`` gives the synapses back. Numbers
are joined if the network has twice the node's width.

The paper leaves open how a node finds the transposed weights, and where what an update needs comes
from. Here:

- Every layer but the first has its synapses twice, by outputs and by inputs, so that both ways
  through it are the same matrix product, in which each tile has the sums of its own outputs: no sum
  is spread over tiles. Both copies are updated, from the same exact sums.
- Biases are the synapses of one more neuron, which is always 1: a row of constants after each
  image's neurons.
- Neurons lie as rows ``[image][block]``. In SB, tile t has the outputs of ``groups`` blocks after
  each other, and a row of SB for each of them and of the layer's input blocks; joined, the second
  half of the blocks is in the second halves of the same rows.
- An update reads, for each row of SB, the deltas of the tile's block, image after image, into the
  tile alone, and the neurons of the other block into all tiles.
- The derivative is a table of the activation's result, so that no sums have to be kept.
- Trained synapses come back as the outputs for neurons that are 1 in one place and 0 elsewhere,
  since nothing else leads out of SB.
"""

from dataclasses import dataclass, field
from math import gcd

import numpy as np

from hw.arith.numbers import NO_MIRROR, Table, bounds
from hw.dadiannao.assembler import (
    NO_RUNS,
    Load,
    Loop,
    Read,
    RowLoop,
    Runs,
    Store,
    Tile,
    Write,
    encode,
    nest,
    row_levels,
)
from hw.dadiannao.config import NodeConfig
from hw.dadiannao.isa import LoadOp, ReadOp
from hw.errors import UserError
from hw.nfu.layouts import Held, Op
from sim.dadiannao.program import MachineProgram
from sim.program import TensorLayout
from sim.training.network import Linear, Network

from ..training.tables import IDENTITY
from .emitter import Emitter, HostImage

__all__ = ["TrainingPrograms", "lower_training"]

_FRONT, _BACK = 0, 1
"""The central memories of neurons, and of what comes back."""


@dataclass(frozen=True)
class _Span:
    """Blocks of outputs in one half of the SB rows: ``groups`` of each tile from ``first`` on."""

    half: int
    first: int
    groups: int


@dataclass
class _Matrix:
    """A layer's synapses in SB.

    Parameters
    ----------
    first : SB row
    blocks : of outputs, of all tiles together
    inputs : blocks of inputs
    spans : where the blocks are
    """

    first: int
    blocks: int
    inputs: int
    spans: list[_Span]

    @property
    def rows(self) -> int:
        """Of SB, in every tile."""
        return self.spans[0].groups * self.inputs


@dataclass(frozen=True)
class _Area:
    """Rows ``[image][block]`` in a central memory."""

    bank: int
    base: int
    stride: int


@dataclass
class _Layer:
    """What a layer has in the node."""

    linear: Linear
    weights: np.ndarray  # (outputs, inputs + 1), the bias last, as the blocks have them
    forward: _Matrix
    back: _Matrix | None
    inputs: _Area
    outputs: _Area
    delta: _Area
    slope: _Area | None
    scaled: _Area


@dataclass
class TrainingPrograms:
    """What trains on a node; all tensors are integers of the network's width.

    Parameters
    ----------
    setup : without inputs and outputs
    forward : ``x`` (images, inputs) to ``y`` (images, outputs)
    backward : ``delta`` (images, outputs)
    weights : gives ``w0``, ``w1`` ..., which ``synapses`` turns into weights and biases
    """

    setup: MachineProgram
    forward: MachineProgram
    backward: MachineProgram
    weights: MachineProgram
    _layers: list[_Layer] = field(default_factory=list)
    _lanes: int = 0
    _tiles: int = 0

    def synapses(self, tensors: dict[str, np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        """(outputs, inputs) weights and (outputs,) biases of every layer."""
        found = []
        for number, layer in enumerate(self._layers):
            raw, matrix, lanes = tensors[f"w{number}"], layer.forward, self._lanes
            whole = np.zeros((matrix.blocks, lanes, matrix.inputs, lanes), dtype=np.int64)
            raw = raw.reshape(matrix.inputs, -1, lanes)
            at = 0
            for span in matrix.spans:
                count = self._tiles * span.groups
                part = raw[:, at : at + lanes * count].reshape(matrix.inputs, lanes, count, lanes)
                whole[span.first : span.first + count] = part.transpose(2, 3, 0, 1)
                at += lanes * count
            flat = whole.reshape(matrix.blocks * lanes, -1)
            outputs, inputs = len(layer.linear.bias), layer.linear.weight[0].size
            found.append((flat[:outputs, :inputs], flat[:outputs, (matrix.inputs - 1) * lanes]))
        return found


def lower_training(network: Network, config: NodeConfig, batch: int, shift: int):
    """The programs that train ``network`` in batches of ``batch`` images on ``config``.

    ``shift`` is that of the learning rate, see ``sim.training.golden.Golden.backward``.

    Raises
    ------
    UserError
        If the network is no multilayer perceptron, or something is too small for it.
    """
    return _Compiler(network, config, batch, shift).programs()


class _Compiler:
    def __init__(self, network: Network, config: NodeConfig, batch: int, shift: int):
        self._network = network
        self._config = config
        self._batch = batch
        self._shift = shift
        formats = network.formats
        self._joined = formats.width == 2 * config.width
        if not self._joined and formats.width != config.width:
            raise UserError(
                f"{config.name} computes with {config.width} or {2 * config.width} bits, not "
                f"{formats.width}"
            )
        if not config.training or config.nodes != 1:
            raise UserError(
                f"{config.name} cannot train: that takes one node with aggregate=true and "
                "training=true"
            )
        self._lanes = config.ti // (1 + self._joined)
        self._used = [0, 0]
        self._sb = 0
        self._tables: dict[Table, tuple[int, list[np.ndarray]]] = {}
        self._zero = self._take_sb(1)  # a row of biases
        self._layers = self._place()
        self._units = self._area(_FRONT, 1, self._lanes)
        widest = max(layer.forward.blocks for layer in self._layers)
        self._readback = self._area(_BACK, 1, self._lanes * widest)
        for layer in self._layers:
            for table in (layer.linear.function, layer.linear.derivative, IDENTITY):
                if table is not None and table not in self._tables:
                    rows = self._packed(table)
                    self._tables[table] = (self._sb, rows)
                    self._sb += sum(map(len, rows))
        for what, count, limit in (
            ("SB rows", self._sb, config.sb_rows),
            ("rows of each central memory", max(self._used), config.central_rows),
            ("rows of NBin", max([2 * batch, *(m.inputs for m in self._matrices())]),
             config.nbin_rows),
        ):  # fmt: skip
            if count > limit:
                raise UserError(
                    f"training this network in batches of {batch} needs {count} {what}, "
                    f"{config.name} has {limit}"
                )

    # Where everything is

    def _matrices(self) -> list[_Matrix]:
        both = [[layer.forward, layer.back] for layer in self._layers]
        return [matrix for pair in both for matrix in pair if matrix is not None]

    def _take_sb(self, rows: int) -> int:
        first, self._sb = self._sb, self._sb + rows
        return first

    def _area(self, bank: int, images: int, stride: int) -> _Area:
        base = self._used[bank]
        self._used[bank] += images * stride
        return _Area(bank, base, stride)

    def _matrix(self, blocks: int, inputs: int) -> _Matrix:
        tiles = self._config.tiles
        groups = -(-blocks // tiles)
        counts = [-(-groups // 2), groups // 2] if self._joined else [groups]
        spans, first = [], 0
        for half, count in enumerate(counts):
            if count:
                spans.append(_Span(half, first, count))
            first += tiles * count
        matrix = _Matrix(self._sb, tiles * groups, inputs, spans)
        self._sb += matrix.rows
        return matrix

    def _place(self) -> list[_Layer]:
        linears = []
        shape = self._network.shape
        for layer in self._network.layers:
            if not isinstance(layer, Linear) or layer.weight.shape[1:] != shape or any(layer.pads):
                raise UserError(
                    f"layer {layer.name!r}: a machine trains classifiers only; train this network "
                    "with the target golden"
                )
            linears.append(layer)
            shape = (len(layer.weight), 1, 1)
        blocks = -(-linears[0].weight[0].size // self._lanes)
        matrices: list[tuple[_Matrix, _Matrix | None]] = []
        counts = [blocks]
        for number, linear in enumerate(linears):
            needed = -(-len(linear.weight) // self._lanes)
            forward = self._matrix(needed, blocks + 1)
            back = self._matrix(blocks, forward.blocks) if number else None
            matrices.append((forward, back))
            blocks = forward.blocks
            counts.append(blocks)
        areas = [
            self._area(_FRONT, self._batch, 1 + max(count, back.blocks if back else 0))
            for count, (_, back) in zip(counts[:-1], matrices, strict=True)
        ]
        areas.append(self._area(_FRONT, self._batch, counts[-1]))
        placed, delta = [], self._area(_BACK, self._batch, counts[-1])
        for number in reversed(range(len(linears))):
            linear, (forward, back) = linears[number], matrices[number]
            slope, scaled = None, delta
            if linear.derivative is not None:
                slope = self._area(_BACK, self._batch, delta.stride)
                scaled = self._area(_BACK, self._batch, forward.blocks)
            placed.append(
                _Layer(
                    linear, self._weights(linear, counts[number], forward), forward, back,
                    areas[number], areas[number + 1], delta, slope, scaled,
                )
            )  # fmt: skip
            if back is not None:
                delta = self._area(_BACK, self._batch, back.blocks)
        return placed[::-1]

    def _weights(self, linear: Linear, blocks: int, matrix: _Matrix) -> np.ndarray:
        """(lanes of outputs, lanes of inputs) with the biases in the last block.

        Outputs that do not exist are 0, whatever the activation does with a sum of 0: a sigmoid of
        them begins at its lower end, where it is flat, so that nothing ever comes back.
        """
        lanes = self._lanes
        outputs, inputs = len(linear.weight), linear.weight[0].size
        whole = np.zeros((matrix.blocks * lanes, (blocks + 1) * lanes), dtype=np.int64)
        whole[:outputs, :inputs] = linear.weight.reshape(outputs, -1)
        whole[:outputs, blocks * lanes] = linear.bias
        if linear.function is not None and linear.function.b[0] == 0:
            whole[outputs:, blocks * lanes] = bounds(self._network.formats.width)[0]
        return whole

    # Rows of SB

    def _packed(self, table: Table) -> list[np.ndarray]:
        """The rows (bytes) of a table; joined, those of the first and those of the second one."""
        core, width = self._config.core, self._network.formats.width
        missing = core.segments - table.segments
        if missing < 0:
            raise UserError(f"segments must be at least {table.segments}, not {core.segments}")
        lowest = bounds(width)[0]
        starts = [NO_MIRROR, *[lowest] * missing, *table.breakpoints]
        slopes = [0] * missing + list(table.a)
        offsets = [0] * missing + list(table.b)
        size, rows = core.width, []
        mask = (1 << size) - 1
        for part in range(1 + self._joined):
            words = []
            for start, slope, offset in zip(starts, slopes, offsets, strict=True):
                start, slope = start >> part * size & mask, slope >> part * size & mask
                words += [slope << size | start, offset >> part * 2 * size & (1 << 2 * size) - 1]
            words = [0] * (core.table_rows * core.tn - len(words)) + words
            content = b"".join(word.to_bytes(size // 4, "little") for word in words)
            raw = np.frombuffer(content, np.uint8).reshape(core.table_rows, -1)
            rows.append(np.pad(raw, ((0, 0), (0, core.sb_row_bits // 8 - raw.shape[1]))))
        return rows

    def _rows(self, matrix: _Matrix, weights: np.ndarray, tile: int) -> np.ndarray:
        """The SB rows (rows, bytes) of a tile."""
        lanes, config = self._lanes, self._config
        blocks = weights.reshape(-1, lanes, matrix.inputs, lanes).transpose(0, 2, 1, 3)
        halves = 1 + self._joined
        rows = np.zeros((matrix.spans[0].groups, matrix.inputs, lanes, halves, lanes), np.int64)
        for span in matrix.spans:
            first = span.first + tile * span.groups
            rows[: span.groups, :, :, span.half] = blocks[first : first + span.groups]
        kind = f"<i{halves * config.element_bytes}"
        raw = np.ascontiguousarray(rows.astype(kind)).view(np.uint8).reshape(matrix.rows, -1)
        return np.pad(raw, ((0, 0), (0, config.core.sb_row_bits // 8 - raw.shape[1])))

    # Programs

    def programs(self) -> TrainingPrograms:
        return TrainingPrograms(
            self._setup(), self._forward(), self._backward(), self._read_weights(), self._layers,
            self._lanes, self._config.tiles,
        )  # fmt: skip

    def _begin(self) -> Emitter:
        emitter = Emitter(self._config, 0, HostImage(self._config.bus_port // 8))
        emitter.reserve("all", self._sb)
        return emitter

    def _parameters(self, emitter: Emitter) -> None:
        """Biases are not used as such: sums start at 0."""
        emitter.emit(tile=Tile(nest(Op.BIAS, sb=self._zero), emitter.all_tiles))

    def _table(self, emitter: Emitter, table: Table) -> None:
        first, rows = self._tables[table]
        for part, each in enumerate(rows):
            slot = nest(
                Op.TABLE, [Loop(count=len(each), sb=1)], sb=first + part * len(each),
                derivative=bool(part),
            )  # fmt: skip
            emitter.emit(tile=Tile(slot, emitter.all_tiles))

    def _finish(
        self, emitter: Emitter, inputs: list[TensorLayout], outputs: list[TensorLayout]
    ) -> MachineProgram:
        words = encode(emitter.program())
        address = emitter.host.reserve(8 * len(words))
        tensors = {tensor.name: tensor for tensor in (*inputs, *outputs)}
        return MachineProgram(
            config=self._config, words=words, address=address, image=emitter.host.pieces,
            memory_size=emitter.host.cursor, inputs={each.name: each for each in inputs},
            outputs={each.name: each for each in outputs}, tensors=tensors,
        )  # fmt: skip

    def _tensor(self, emitter: Emitter, name: str, shape: tuple[int, ...], rows: int):
        """A tensor whose first index goes over ``rows`` rows each."""
        size = self._network.formats.width // 8
        pitch = rows * self._config.row_bytes
        address = emitter.host.reserve(shape[0] * pitch)
        row = self._config.row_bytes
        strides = (pitch, size, 0, 0) if len(shape) == 2 else (pitch, row, size, 0)
        return TensorLayout(name, shape, 0, address, strides, size)

    def _load(self, emitter: Emitter, tensor: TensorLayout, rows: int, area: _Area) -> None:
        """A tensor of ``rows`` rows per image into ``area``."""
        emitter.emit(
            load=Load(
                Runs(tensor.address, tensor.shape[0] * tensor.strides[0]), LoadOp.CENTRAL,
                bank=area.bank, address=area.base,
                levels=row_levels(
                    [RowLoop(count=rows, rows=1), RowLoop(count=tensor.shape[0], rows=area.stride)]
                ),
            )
        )  # fmt: skip

    def _setup(self) -> MachineProgram:
        emitter, config = self._begin(), self._config
        row = config.core.sb_row_bits // 8
        common = [np.zeros((1, row), np.uint8)]
        emitter.load_synapses(emitter.all_tiles, self._zero, common[0])
        for first, rows in self._tables.values():
            emitter.load_synapses(emitter.all_tiles, first, np.concatenate(rows))
        for layer in self._layers:
            for tile in range(config.tiles):
                rows = self._rows(layer.forward, layer.weights, tile)
                emitter.load_synapses(1 << tile, layer.forward.first, rows)
                if layer.back is not None:
                    inputs = (layer.forward.inputs - 1) * self._lanes
                    turned = layer.weights[:, :inputs].T
                    missing = layer.back.blocks * self._lanes - inputs
                    turned = np.pad(turned, ((0, missing), (0, 0)))
                    rows = self._rows(layer.back, turned, tile)
                    emitter.load_synapses(1 << tile, layer.back.first, rows)
        for bank, count in enumerate(self._used):
            clear = row_levels([RowLoop(count=count, rows=1)])
            emitter.emit(load=Load(NO_RUNS, LoadOp.CLEAR, bank=bank, levels=clear))
        emitter.fence()
        kind = f"<i{self._network.formats.width // 8}"
        one = np.zeros(self._lanes, kind)
        one[0] = 1 << self._network.formats.activation
        address = emitter.host.place(np.frombuffer(one.tobytes() * self._batch, np.uint8))
        for layer in self._layers:
            area = layer.inputs
            levels = row_levels([RowLoop(count=self._batch, rows=area.stride)])
            emitter.emit(
                load=Load(
                    Runs(address, self._batch * config.row_bytes), LoadOp.CENTRAL, bank=area.bank,
                    address=area.base + layer.forward.inputs - 1, levels=levels,
                )
            )  # fmt: skip
        units = np.eye(self._lanes, dtype=kind)
        address = emitter.host.place(np.frombuffer(units.tobytes(), np.uint8))
        emitter.emit(
            load=Load(
                Runs(address, units.nbytes), LoadOp.CENTRAL, bank=self._units.bank,
                address=self._units.base, levels=row_levels([RowLoop(count=self._lanes, rows=1)]),
            )
        )  # fmt: skip
        return self._finish(emitter, [], [])

    def _multiply(
        self,
        emitter: Emitter,
        matrix: _Matrix,
        source: _Area,
        target: _Area,
        shift: int,
        scale: int,
    ) -> None:
        """``target = table(matrix x source)``, image by image."""
        config, ti = self._config, self._config.ti
        everyone = emitter.masks([emitter.all_tiles])
        for image in range(self._batch):
            for span in matrix.spans:
                last = span is matrix.spans[-1]
                slot = nest(
                    Op.MAC,
                    [
                        Loop(count=matrix.inputs, nbin=ti, sb=1, reduce=True),
                        Loop(count=span.groups, sb=matrix.inputs),
                    ],
                    sb=matrix.first, shift=shift, scale=scale, joined=self._joined,
                    half=span.half, nbin_free=matrix.inputs * ti if last else 0,
                )  # fmt: skip
                read = Read(
                    ReadOp.BROADCAST, bank=source.bank, mask=everyone,
                    address=source.base + image * source.stride,
                    levels=row_levels([RowLoop(count=matrix.inputs, rows=1)]),
                )  # fmt: skip
                write = Write(
                    bank=target.bank, burst=span.groups, tiles=emitter.all_tiles,
                    address=target.base + image * target.stride + span.first,
                    levels=row_levels([RowLoop(count=config.tiles * span.groups, rows=1)]),
                )  # fmt: skip
                first = span is matrix.spans[0]
                emitter.emit(
                    read=read if first else None, tile=Tile(slot, emitter.all_tiles), write=write
                )

    def _forward(self) -> MachineProgram:
        emitter = self._begin()
        formats = self._network.formats
        first, last = self._layers[0], self._layers[-1]
        blocks = first.forward.inputs - 1
        inputs = first.linear.weight[0].size
        x = self._tensor(emitter, "x", (self._batch, inputs), blocks)
        self._parameters(emitter)
        self._load(emitter, x, blocks, first.inputs)
        for layer in self._layers:
            function = layer.linear.function or IDENTITY
            emitter.fence()
            self._table(emitter, function)
            self._multiply(
                emitter, layer.forward, layer.inputs, layer.outputs, formats.weight, function.shift
            )
        blocks = last.forward.blocks
        y = self._tensor(emitter, "y", (self._batch, len(last.linear.weight)), blocks)
        emitter.fence()
        self._store(emitter, y, last.outputs, self._batch * blocks)
        return self._finish(emitter, [x], [y])

    def _store(self, emitter: Emitter, tensor: TensorLayout, area: _Area, rows: int, at: int = 0):
        """So many rows from the beginning of ``area`` to the ``at``-th part of the tensor."""
        emitter.emit(
            store=Store(
                Runs(tensor.address + at * tensor.strides[0], rows * self._config.row_bytes),
                bank=area.bank, address=area.base,
                levels=row_levels([RowLoop(count=rows, rows=1)]),
            )
        )  # fmt: skip

    def _backward(self) -> MachineProgram:
        emitter = self._begin()
        formats, last = self._network.formats, self._layers[-1]
        blocks = last.forward.blocks
        delta = self._tensor(emitter, "delta", (self._batch, len(last.linear.weight)), blocks)
        self._parameters(emitter)
        self._load(emitter, delta, blocks, last.delta)
        update = formats.gradient + formats.activation - formats.weight + self._shift
        for layer in reversed(self._layers):
            emitter.fence()
            if layer.slope is not None and layer.linear.derivative is not None:
                self._scale(emitter, layer, layer.slope, layer.linear.derivative)
            if layer.back is not None:
                target = next(each.delta for each in self._layers if each.outputs == layer.inputs)
                self._table(emitter, IDENTITY)
                self._multiply(emitter, layer.back, layer.scaled, target, formats.weight, 0)
                emitter.fence()
                self._update(emitter, layer.back, layer.inputs, layer.scaled, update)
            self._update(emitter, layer.forward, layer.scaled, layer.inputs, update)
        return self._finish(emitter, [delta], [])

    def _scale(self, emitter: Emitter, layer: _Layer, slope: _Area, table: Table) -> None:
        """Delta times the derivative, as many images at a time as there are tiles."""
        ti, blocks = self._config.ti, layer.forward.blocks
        tiles = gcd(self._config.tiles, self._batch)
        turns = self._batch // tiles
        masks = emitter.masks([1 << tile for tile in range(tiles)])

        def images(stride: int) -> list[RowLoop]:
            return [
                RowLoop(count=tiles, rows=stride, mask=1),
                RowLoop(count=turns, rows=tiles * stride),
            ]

        def work(source: _Area, pair: list[RowLoop], target: _Area, slot) -> None:
            levels = row_levels([*pair, RowLoop(count=blocks, rows=1), *images(source.stride)])
            written = row_levels(
                [RowLoop(count=blocks, rows=1), RowLoop(count=self._batch, rows=target.stride)]
            )
            all_of_them = (1 << tiles) - 1
            emitter.emit(
                read=Read(ReadOp.BROADCAST, bank=source.bank, mask=masks, address=source.base,
                          levels=levels),
                tile=Tile(slot, all_of_them),
                write=Write(bank=target.bank, burst=blocks, tiles=all_of_them,
                            address=target.base, levels=written),
            )  # fmt: skip

        count = turns * blocks
        self._table(emitter, table)
        work(
            layer.outputs, [], slope,
            nest(Op.SUM, [Loop(count=count, nbin=ti, nbin_free=ti)], scale=table.shift,
                 joined=self._joined),
        )  # fmt: skip
        emitter.fence()
        self._table(emitter, IDENTITY)
        pair = Loop(count=2, nbin=ti)
        work(
            layer.delta, [RowLoop(count=2, rows=slope.base - layer.delta.base)], layer.scaled,
            nest(Op.MAC, [pair, Loop(count=count, nbin=2 * ti, nbin_free=2 * ti)],
                 shift=self._network.formats.activation, joined=self._joined, held=Held.EACH),
        )  # fmt: skip
        emitter.fence()

    def _update(
        self, emitter: Emitter, matrix: _Matrix, own: _Area, common: _Area, shift: int
    ) -> None:
        """``matrix[o][i] += sum over images of own[o] x common[i]``."""
        config, ti, batch = self._config, self._config.ti, self._batch
        everyone = emitter.masks([emitter.all_tiles])
        singles = emitter.masks([1 << tile for tile in range(config.tiles)])
        for span in matrix.spans:
            emitter.fence()  # both halves are in the same rows
            for row in range(matrix.rows if span.half == 0 else span.groups * matrix.inputs):
                group, block = divmod(row, matrix.inputs)
                mine = [
                    RowLoop(count=config.tiles, rows=span.groups, mask=1),
                    RowLoop(count=batch, rows=own.stride),
                ]
                slot = nest(
                    Op.MAC,
                    [Loop(count=2, nbin=batch * ti), Loop(count=batch, nbin=ti, reduce=True)],
                    sb=matrix.first + row, shift=shift, joined=self._joined, half=span.half,
                    held=Held.ALL, nbin_free=2 * batch * ti,
                )  # fmt: skip
                emitter.emit(
                    read=Read(ReadOp.BROADCAST, bank=own.bank, mask=singles,
                              address=own.base + span.first + group, levels=row_levels(mine)),
                )  # fmt: skip
                emitter.emit(
                    read=Read(
                        ReadOp.BROADCAST, bank=common.bank, mask=everyone,
                        address=common.base + block,
                        levels=row_levels([RowLoop(count=batch, rows=common.stride)]),
                    ),
                    tile=Tile(slot, emitter.all_tiles),
                )  # fmt: skip
        emitter.fence()

    def _read_weights(self) -> MachineProgram:
        emitter, config, lanes = self._begin(), self._config, self._lanes
        self._parameters(emitter)
        self._table(emitter, IDENTITY)
        everyone = emitter.masks([emitter.all_tiles])
        outputs = []
        for number, layer in enumerate(self._layers):
            matrix = layer.forward
            rows = lanes * matrix.blocks
            tensor = self._tensor(emitter, f"w{number}", (matrix.inputs, rows, lanes), rows)
            outputs.append(tensor)
            for block in range(matrix.inputs):
                emitter.fence()
                at = self._readback.base
                for span in matrix.spans:
                    slot = nest(
                        Op.MAC,
                        [
                            Loop(count=span.groups, sb=matrix.inputs),
                            Loop(count=lanes, nbin=config.ti, nbin_free=config.ti),
                        ],
                        sb=matrix.first + block, joined=self._joined, half=span.half,
                    )  # fmt: skip
                    count = lanes * config.tiles * span.groups
                    emitter.emit(
                        read=Read(
                            ReadOp.BROADCAST, bank=self._units.bank, mask=everyone,
                            address=self._units.base,
                            levels=row_levels([RowLoop(count=lanes, rows=1)]),
                        ),
                        tile=Tile(slot, emitter.all_tiles),
                        write=Write(bank=self._readback.bank, burst=span.groups,
                                    tiles=emitter.all_tiles, address=at,
                                    levels=row_levels([RowLoop(count=count, rows=1)])),
                    )  # fmt: skip
                    at += count
                emitter.fence()
                self._store(emitter, tensor, self._readback, rows, block)
        return self._finish(emitter, [], outputs)
