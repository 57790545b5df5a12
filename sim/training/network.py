"""A network in training: integer weights, and the tables of its functions."""

from dataclasses import dataclass, field

import numpy as np

from hw.arith.numbers import Table

__all__ = ["Formats", "Layer", "Linear", "Network", "Normalise", "Pool"]


@dataclass(frozen=True, kw_only=True)
class Formats:
    """Number formats of a training run.

    Parameters
    ----------
    width : bits of every number, 16 or 32
    activation, weight, gradient : fraction bits of neurons, of synapses, and of what comes back
    """

    width: int
    activation: int
    weight: int
    gradient: int


@dataclass
class Linear:
    """A classifier or convolution, with its activation.

    Parameters
    ----------
    name : of the ONNX node
    weight : (outputs, inputs, ky, kx) integers; a classifier's kernel is as large as its map
    bias : (outputs,) integers in the weights' format
    strides, pads : (y, x); (top, left, bottom, right)
    function : table of the activation, or None
    derivative : table of its derivative as a function of its *result*, or None
    """

    name: str
    weight: np.ndarray
    bias: np.ndarray
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    function: Table | None = None
    derivative: Table | None = None


@dataclass
class Pool:
    """Pooling over windows that do not overlap.

    Parameters
    ----------
    name : of the ONNX node
    kernel : (y, x), of windows and of strides
    scale : of the average over a window: (multiplier, shift); None for the maximum
    """

    name: str
    kernel: tuple[int, int]
    scale: tuple[int, int] | None = None


@dataclass
class Normalise:
    """Local response normalisation: each neuron times a power of the squares around it.

    With s the sum of the squares in the window of a neuron's channel, y = x * power(s). The
    derivative of the power is ``scale`` times ``slope`` of the power itself.

    Parameters
    ----------
    name : of the ONNX node
    size : channels of a window, of which ``(size - 1) // 2`` lie before the neuron's own
    power, slope : tables
    scale : twice the derivative's constant: (multiplier, shift)
    """

    name: str
    size: int
    power: Table
    slope: Table
    scale: tuple[int, int]


Layer = Linear | Pool | Normalise


@dataclass
class Network:
    """Layers one after the other.

    Parameters
    ----------
    formats : of all numbers
    shape : (channels, height, width) of an input
    layers : from input to output
    """

    formats: Formats
    shape: tuple[int, int, int]
    layers: list[Layer] = field(default_factory=list)
