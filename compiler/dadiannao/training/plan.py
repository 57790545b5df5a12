"""Plans the memories of a node for a network in training."""

from dataclasses import dataclass

import numpy as np

from hw.arith.numbers import Table, bounds
from hw.dadiannao.config import NodeConfig
from hw.errors import UserError
from sim.training.network import Linear, Network, Normalise, Pool

from ...training.tables import IDENTITY, NEGATIVE, at_least_zero, scaled
from .places import Halo, Map, Matrix, packed_table

__all__ = ["LinearPlan", "NormalisePlan", "Plan", "PoolPlan"]

_FRONT, _BACK = 0, 1
"""The central memories of neurons, and of what comes back."""


@dataclass
class LinearPlan:
    """A classifier or convolution.

    Parameters
    ----------
    layer : of the network
    weights, turned : its synapses by outputs with the biases in the last block, and by inputs, as
        (lanes of outputs, lanes of inputs)
    forward, back : their places; ``back`` is None for the first layer
    inputs, outputs : neurons
    delta : what the outputs are to change by
    slope, scaled : derivative of the activation, and delta times it; None and ``delta`` without.
        ``scaled`` has the pitch of the strides
    """

    layer: Linear
    weights: np.ndarray
    turned: np.ndarray
    forward: Matrix
    back: Matrix | None
    inputs: Map
    outputs: Map
    delta: Map
    slope: Map | None
    scaled: Map

    @property
    def kernel(self) -> tuple[int, int]:
        return self.layer.weight.shape[2], self.layer.weight.shape[3]


@dataclass
class PoolPlan:
    """Pooling; of its backward pass, maps as large as its inputs.

    ``spread`` is delta, and ``negative`` the maximum with the other sign, at every place of their
    windows; ``mask`` is 1 where the maximum was.
    """

    layer: Pool
    inputs: Map
    outputs: Map
    delta: Map
    negative: Map | None = None
    mask: Map | None = None
    spread: Map | None = None


@dataclass
class NormalisePlan:
    """Local response normalisation.

    All that it computes is in the same central memory, in maps without halo: ``copy`` of its
    inputs, ``factors``, ``change``, ``scratch`` and ``between``. From ``delta`` to ``factors``,
    from there to ``change`` and from there to ``copy`` it is equally far, as ``programs`` needs it.

    Parameters
    ----------
    layer : of the network
    inside, around : synapses that sum over the channels of each one's window, and, with the
        derivative's constant, over those in whose windows each one is; as (lanes of outputs, lanes
        of inputs)
    sums, changes : their places
    """

    layer: Normalise
    inputs: Map
    outputs: Map
    inside: np.ndarray
    around: np.ndarray
    sums: Matrix
    changes: Matrix
    delta: Map
    factors: Map
    change: Map
    copy: Map
    scratch: Map
    between: Map


class Plan:
    """Everything that the programs have in common.

    Raises
    ------
    UserError
        If the node cannot train, or something is too small.
    """

    def __init__(self, network: Network, config: NodeConfig, batch: int):
        self.network = network
        self.config = config
        self.batch = batch
        self.halves = network.formats.width // config.width
        if network.formats.width not in (config.width, 2 * config.width):
            raise UserError(
                f"{config.name} computes with {config.width} or {2 * config.width} bits, not "
                f"{network.formats.width}"
            )
        if not config.training:
            raise UserError(
                f"{config.name} cannot train: set aggregate=true and training=true, or take "
                "dadiannao-training"
            )
        self.lanes = config.ti // self.halves
        self.central = [0, 0]
        """Rows in use of each central memory."""
        self.sb_rows = 1
        self.zero = 0
        """The row of SB with biases of 0, as which all biases begin."""
        self.one = self.map(_FRONT, 1, 1, 1, images=1)
        """The row of the neuron that is always 1."""
        self.units = self.map(_FRONT, self.lanes, 1, 1, images=1)
        """Rows of neurons that are 1 in one place."""
        self.layers = self._forward()
        self._backward()
        widest = max(each.forward.blocks for each in self.linears)
        self.readback = self.map(_BACK, self.lanes * widest, 1, 1, images=1)
        """Synapses on their way to the host."""
        self.tables: dict[Table, tuple[int, list[np.ndarray]]] = {}
        """First row of SB, and the rows of both tables."""
        for table in self._tables():
            if table not in self.tables:
                rows = packed_table(config, table, self.halves)
                self.tables[table] = (self.sb_rows, rows)
                self.sb_rows += sum(map(len, rows))
        self._check()

    @property
    def matrices(self) -> list[tuple[Matrix, np.ndarray]]:
        """All synapses and their places."""
        found = []
        for each in self.layers:
            if isinstance(each, LinearPlan):
                found.append((each.forward, each.weights))
                if each.back is not None:
                    found.append((each.back, each.turned))
            elif isinstance(each, NormalisePlan):
                found += [(each.sums, each.inside), (each.changes, each.around)]
        return found

    @property
    def linears(self) -> list[LinearPlan]:
        return [each for each in self.layers if isinstance(each, LinearPlan)]

    def map(
        self, bank: int, blocks: int, height: int, width: int, halo: Halo = (0, 0, 0, 0),
        images: int | None = None, pitch: tuple[int, int] = (1, 1),
    ) -> Map:  # fmt: skip
        """Take rows of a central memory for a batch of maps."""
        placed = Map(bank, self.central[bank], blocks, height, width, halo, pitch)
        self.central[bank] += (self.batch if images is None else images) * placed.image
        return placed

    def _matrix(self, blocks: int, inputs: int) -> Matrix:
        tiles = self.config.tiles * self.config.nodes
        matrix = Matrix.place(self.sb_rows, blocks, inputs, tiles, self.halves)
        self.sb_rows += matrix.rows
        return matrix

    def _halo(self, number: int) -> Halo:
        """What layer ``number`` needs around its inputs."""
        layers = self.network.layers
        layer = layers[number] if number < len(layers) else None
        return layer.pads if isinstance(layer, Linear) else (0, 0, 0, 0)

    def _forward(self) -> list[LinearPlan | PoolPlan | NormalisePlan]:
        """Neurons and synapses, from the inputs on; what comes back is placed later."""
        channels, height, width = self.network.shape
        blocks = -(-channels // self.lanes)
        inputs = self.map(_FRONT, blocks, height, width, self._halo(0))
        planned: list[LinearPlan | PoolPlan | NormalisePlan] = []
        for number, layer in enumerate(self.network.layers):
            halo = self._halo(number + 1)
            if isinstance(layer, Pool):
                height, width = inputs.height // layer.kernel[0], inputs.width // layer.kernel[1]
                outputs = self.map(_FRONT, inputs.blocks, height, width, halo)
                planned.append(PoolPlan(layer, inputs, outputs, outputs))
            elif isinstance(layer, Normalise):
                outputs = self.map(_FRONT, inputs.blocks, inputs.height, inputs.width, halo)
                planned.append(self._normalise(layer, inputs, outputs))
            else:
                _, _, ky, kx = layer.weight.shape
                top, left, bottom, right = layer.pads
                height = (inputs.height + top + bottom - ky) // layer.strides[0] + 1
                width = (inputs.width + left + right - kx) // layer.strides[1] + 1
                needed = -(-len(layer.weight) // self.lanes)
                forward = self._matrix(needed, ky * kx * inputs.blocks + 1)
                back = None
                if number:
                    back = self._matrix(inputs.blocks, ky * kx * forward.blocks)
                outputs = self.map(_FRONT, forward.blocks, height, width, halo)
                weights, turned = self._synapses(layer, inputs, forward, back)
                planned.append(
                    LinearPlan(
                        layer, weights, turned, forward, back, inputs, outputs, outputs, None,
                        outputs,
                    )
                )  # fmt: skip
            inputs = outputs
        return planned

    def _normalise(self, layer: Normalise, inputs: Map, outputs: Map) -> NormalisePlan:
        """The maps of a normalisation, and its synapses, which never change."""
        delta, factors, change, copy, scratch, between = (
            self.map(_BACK, inputs.blocks, inputs.height, inputs.width) for _ in range(6)
        )
        lanes = np.arange(inputs.blocks * self.lanes)
        distance = lanes[None, :] - lanes[:, None]
        before = (layer.size - 1) // 2
        window = (distance >= -before) & (distance < layer.size - before)
        one = 1 << self.network.formats.weight
        inside, around = one * window.astype(np.int64), layer.scale[0] * window.T.astype(np.int64)
        sums, changes = (self._matrix(inputs.blocks, inputs.blocks) for _ in range(2))
        return NormalisePlan(
            layer, inputs, outputs, inside, around, sums, changes, delta, factors, change, copy,
            scratch, between,
        )  # fmt: skip

    def _backward(self) -> None:
        """Places for what comes back."""
        for each in self.layers:
            outputs = each.outputs
            if isinstance(each, NormalisePlan):
                continue
            if isinstance(each, PoolPlan):
                each.delta = self.map(_BACK, outputs.blocks, outputs.height, outputs.width)
                if each.layer.scale is None:
                    size = each.inputs.blocks, each.inputs.height, each.inputs.width
                    each.negative = self.map(_FRONT, *size, each.inputs.halo)
                    each.mask, each.spread = self.map(_BACK, *size), self.map(_BACK, *size)
                continue
            # Windows over delta, with the zeros of strides between, hang over it as far as those
            # over the inputs did not.
            (ky, kx), (top, left, _, _) = each.kernel, each.layer.pads
            pitch = each.layer.strides
            bottom = each.inputs.height + top - ((outputs.height - 1) * pitch[0] + 1)
            right = each.inputs.width + left - ((outputs.width - 1) * pitch[1] + 1)
            halo = (ky - 1 - top, kx - 1 - left, bottom, right)
            if min(halo) < 0:
                raise UserError(f"layer {each.layer.name!r} has pads as large as its kernel")
            if each.back is None:
                halo, pitch = (0, 0, 0, 0), (1, 1)
            size = outputs.blocks, outputs.height, outputs.width
            if each.layer.derivative is None:
                each.delta = each.scaled = self.map(_BACK, *size, halo, pitch=pitch)
            else:
                each.delta, each.slope = self.map(_BACK, *size), self.map(_BACK, *size)
                each.scaled = self.map(_BACK, *size, halo, pitch=pitch)

    def _synapses(
        self, layer: Linear, inputs: Map, forward: Matrix, back: Matrix | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """By outputs and by inputs, as LinearPlan has them.

        Outputs that do not exist stay 0 whatever happens, since the activation of 0 is 0. A sigmoid
        of them begins at its lower end, where it is flat, so that nothing ever comes back
        through it.
        """
        lanes = self.lanes
        outputs, channels, ky, kx = layer.weight.shape
        whole = np.zeros((forward.blocks * lanes, ky, kx, inputs.blocks * lanes), np.int64)
        whole[:outputs, :, :, :channels] = layer.weight.transpose(0, 2, 3, 1)
        biases = np.zeros((len(whole), lanes), dtype=np.int64)
        biases[:outputs, 0] = layer.bias
        if layer.function is not None and layer.function.b[0] == 0:
            biases[outputs:, 0] = bounds(self.network.formats.width)[0]
        weights = np.concatenate([whole.reshape(len(whole), -1), biases], axis=1)
        turned = whole[:, ::-1, ::-1].transpose(3, 1, 2, 0).reshape(inputs.blocks * lanes, -1)
        if back is not None:
            turned = np.pad(turned, ((0, back.blocks * lanes - len(turned)), (0, 0)))
        return weights, turned

    def _tables(self) -> list[Table]:
        tables = [IDENTITY]
        for each in self.layers:
            if isinstance(each, LinearPlan):
                tables += [table for table in (each.layer.function, each.layer.derivative) if table]
            elif isinstance(each, NormalisePlan):
                tables += [each.layer.power, each.layer.slope]
            elif each.layer.scale is None:
                tables += [NEGATIVE, at_least_zero(self.network.formats.activation)]
            else:
                tables.append(scaled(each.layer.scale))
        return tables

    def _check(self) -> None:
        config = self.config
        longest = max(2 * max(each.outputs.width for each in self.linears),
                      *(matrix.inputs for matrix, _ in self.matrices))  # fmt: skip
        for what, count, limit in (
            ("SB rows", self.sb_rows, config.sb_rows),
            ("rows of each central memory", max(self.central), config.central_rows),
            ("rows of NBin", longest, config.nbin_rows),
        ):
            if count > limit:
                raise UserError(
                    f"training this network in batches of {self.batch} needs {count} {what}, "
                    f"{config.name} has {limit}"
                )
