"""Golden model of training: forward, backward and weight update on integers, layer by layer.

What it says is right by definition. It knows nothing of tiles, nests or programs. Every sum of
products is exact and rounded once: neurons to the activations' format, what comes back to the
gradients', the change of a weight, over a whole batch, to the weights'. Rounding is to nearest
(half up) and never stochastic; what does not fit is saturated.
"""

from dataclasses import dataclass

import numpy as np

from hw.arith import wide
from hw.arith.numbers import Table, activate, requantise, saturate

from .network import Linear, Network, Normalise, Pool

__all__ = ["Golden"]


def _matmul(x: np.ndarray, w: np.ndarray, shift: int, width: int) -> np.ndarray:
    """``x @ w`` exactly, then shifted, rounded and saturated."""
    if width == wide.WIDTH:
        return wide.matmul(x, w).requantise(shift)
    exact = x.astype(np.float64) @ w.astype(np.float64)
    return requantise(exact.astype(np.int64), shift, width)


def _product(x: np.ndarray, y: np.ndarray, shift: int, width: int) -> np.ndarray:
    """The same for single products."""
    if width == wide.WIDTH:
        return wide.product(x, y).requantise(shift)
    return requantise(x * y, shift, width)


def _two_products(
    first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray], shift: int,
    width: int,
) -> np.ndarray:  # fmt: skip
    """The same for the sum of two products."""
    if width == wide.WIDTH:
        return (wide.product(*first) + wide.product(*second)).requantise(shift)
    return requantise(first[0] * first[1] + second[0] * second[1], shift, width)


def _evaluate(x: np.ndarray, table: Table, width: int) -> np.ndarray:
    return wide.activate(x, table) if width == wide.WIDTH else activate(x, table, width, 0)


@dataclass
class _Step:
    """What a layer's backward pass needs of its forward pass: inputs, windows, outputs.

    The windows of pooling and normalisation are their inputs. ``factors`` are normalisation's.
    """

    shape: tuple[int, ...]
    windows: np.ndarray
    outputs: np.ndarray
    factors: np.ndarray | None = None


class Golden:
    """Trains ``network``, whose weights it changes.

    ``forward`` and ``backward`` alternate; each takes a whole batch.
    """

    def __init__(self, network: Network):
        self.network = network
        self._steps: list[_Step] = []

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Outputs (images, outputs) of the inputs (images, channels, height, width)."""
        self._steps = []
        for layer in self.network.layers:
            factors = None
            if isinstance(layer, Pool):
                y, windows = self._pool(layer, x)
            elif isinstance(layer, Normalise):
                (y, factors), windows = self._normalise(layer, x), x
            else:
                y, windows = self._linear(layer, x)
            self._steps.append(_Step(x.shape, windows, y, factors))
            x = y
        return x.reshape(len(x), -1)

    def backward(self, delta: np.ndarray, shift: int) -> np.ndarray:
        """Change all weights; returns what the first layer's inputs would, if it has no weights.

        Parameters
        ----------
        delta : (images, outputs), what the outputs are to change by, in the gradients' format
        shift : the learning rate is two to the power of minus this
        """
        delta = delta.reshape(self._steps[-1].outputs.shape)
        for number in reversed(range(len(self._steps))):
            layer, step = self.network.layers[number], self._steps[number]
            if isinstance(layer, Pool):
                delta = self._pool_back(layer, step, delta)
            elif isinstance(layer, Normalise):
                delta = self._normalise_back(layer, step, delta)
            else:
                delta = self._linear_back(layer, step, delta, shift, number > 0)
        return delta

    # Classifiers and convolutions

    def _linear(self, layer: Linear, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        formats = self.network.formats
        outputs, _, ky, kx = layer.weight.shape
        windows = _windows(x, (ky, kx), layer.strides, layer.pads)
        n, height, width = windows.shape[:3]
        flat = windows.reshape(n * height * width, -1)
        # The bias is the synapse of a neuron that is always 1.
        one = np.full((len(flat), 1), 1 << formats.activation, dtype=np.int64)
        flat = np.concatenate([flat, one], axis=1)
        weights = np.concatenate([layer.weight.reshape(outputs, -1), layer.bias[:, None]], axis=1)
        y = _matmul(flat, weights.T, formats.weight, formats.width)
        if layer.function is not None:
            y = _evaluate(y, layer.function, formats.width)
        return y.reshape(n, height, width, outputs).transpose(0, 3, 1, 2), flat

    def _linear_back(
        self, layer: Linear, step: _Step, delta: np.ndarray, shift: int, further: bool
    ) -> np.ndarray:
        formats, width = self.network.formats, self.network.formats.width
        if layer.derivative is not None:
            slope = _evaluate(step.outputs, layer.derivative, width)
            delta = _product(delta, slope, formats.activation, width)
        back = np.zeros(0, dtype=np.int64)
        if further:
            back = self._gradient(layer, step, delta)
        flat = delta.transpose(0, 2, 3, 1).reshape(-1, delta.shape[1])
        total = formats.gradient + formats.activation - formats.weight + shift
        change = _matmul(flat.T, step.windows, total, width)
        layer.weight = saturate(layer.weight + change[:, :-1].reshape(layer.weight.shape), width)
        layer.bias = saturate(layer.bias + change[:, -1], width)
        return back

    def _gradient(self, layer: Linear, step: _Step, delta: np.ndarray) -> np.ndarray:
        """What the layer's inputs are to change by: each is in some windows, at some place."""
        formats = self.network.formats
        n, channels, height, width = step.shape
        outputs, _, ky, kx = layer.weight.shape
        (sy, sx), (top, left, _, _) = layer.strides, layer.pads
        rows, columns = delta.shape[2:]
        # Delta with zeros between for strides, around for windows that hang over.
        spread = np.zeros((n, outputs, height + ky - 1, width + kx - 1), dtype=np.int64)
        at_y = np.arange(rows) * sy - top + ky - 1
        at_x = np.arange(columns) * sx - left + kx - 1
        inside_y = (at_y >= 0) & (at_y < spread.shape[2])
        inside_x = (at_x >= 0) & (at_x < spread.shape[3])
        spread[:, :, at_y[inside_y][:, None], at_x[inside_x]] = delta[:, :, inside_y][
            :, :, :, inside_x
        ]
        windows = _windows(spread, (ky, kx), (1, 1), (0, 0, 0, 0))
        flipped = layer.weight[:, :, ::-1, ::-1].transpose(0, 2, 3, 1)
        back = _matmul(
            windows.reshape(n * height * width, -1), flipped.reshape(-1, channels),
            formats.weight, formats.width,
        )  # fmt: skip
        return back.reshape(n, height, width, channels).transpose(0, 3, 1, 2)

    # Pooling

    def _pool(self, layer: Pool, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        blocks = _blocks(x, layer.kernel)
        if layer.scale is None:
            return blocks.max((3, 5)), x
        return self._scaled(layer, blocks.sum((3, 5))), x

    def _pool_back(self, layer: Pool, step: _Step, delta: np.ndarray) -> np.ndarray:
        if layer.scale is not None:
            spread = self._scaled(layer, delta)[:, :, :, None, :, None]
            shape = _blocks(step.windows, layer.kernel).shape
            return _whole(np.broadcast_to(spread, shape), step.shape)
        # All that are as large as the maximum get what it gets.
        blocks = _blocks(step.windows, layer.kernel)
        mask = blocks == step.outputs[:, :, :, None, :, None]
        return _whole(mask * delta[:, :, :, None, :, None], step.shape)

    def _scaled(self, layer: Pool, x: np.ndarray) -> np.ndarray:
        assert layer.scale is not None
        multiplier, shift = layer.scale
        x = saturate(x, self.network.formats.width)
        return _product(x, np.full_like(x, multiplier), shift, self.network.formats.width)

    # Normalisation

    def _normalise(self, layer: Normalise, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Outputs and factors."""
        formats = self.network.formats
        squares = _product(x, x, formats.activation, formats.width)
        sums = np.stack(
            [squares[:, window].sum(1) for window in _channels(x.shape[1], layer.size)], axis=1
        )
        factors = _evaluate(saturate(sums, formats.width), layer.power, formats.width)
        return _product(x, factors, formats.activation, formats.width), factors

    def _normalise_back(self, layer: Normalise, step: _Step, delta: np.ndarray) -> np.ndarray:
        """A neuron changes its own output, and all in whose windows it is."""
        formats, width = self.network.formats, self.network.formats.width
        x, factors = step.windows, step.factors
        assert factors is not None
        slope = _evaluate(factors, layer.slope, width)
        each = _product(delta, _product(x, slope, formats.activation, width),
                        formats.activation, width)  # fmt: skip
        multiplier, shift = layer.scale
        inside = np.zeros((x.shape[1], x.shape[1]), dtype=np.int64)
        for channel, window in enumerate(_channels(x.shape[1], layer.size)):
            inside[channel, window] = multiplier
        change = _matmul(each.transpose(0, 2, 3, 1), inside, shift, width).transpose(0, 3, 1, 2)
        return _two_products((delta, factors), (change, x), formats.activation, width)


def _channels(count: int, size: int) -> list[slice]:
    """The window of every channel."""
    before = (size - 1) // 2
    return [slice(max(0, c - before), c - before + size) for c in range(count)]


def _windows(
    x: np.ndarray,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
) -> np.ndarray:
    """(images, rows, columns, channels, ky, kx)."""
    top, left, bottom, right = pads
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel, (2, 3))
    return windows[:, :, :: strides[0], :: strides[1]].transpose(0, 2, 3, 1, 4, 5)


def _blocks(x: np.ndarray, kernel: tuple[int, int]) -> np.ndarray:
    """(images, channels, rows, ky, columns, kx) of maps whose size the kernel divides."""
    n, channels, height, width = x.shape
    return x.reshape(n, channels, height // kernel[0], kernel[0], width // kernel[1], kernel[1])


def _whole(blocks: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The reverse of ``_blocks``."""
    return np.ascontiguousarray(blocks).reshape(shape)
