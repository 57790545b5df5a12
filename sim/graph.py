"""The quantised graph: what the compiler's front end makes, golden evaluates and back ends lower.

Tensors are integer arrays in ONNX's axis order, (N, C, H, W) or (N, F); nothing here knows of
tiles, buffers or programs. A node's arithmetic is fixed completely by its fields and by the number
formats (``hw.arith.numbers``) with the graph's ``width`` and ``drop``.
"""

from dataclasses import dataclass, field

import numpy as np
import onnx

from hw.arith.numbers import Table

__all__ = [
    "Add",
    "Concat",
    "Conv",
    "Gemm",
    "Graph",
    "Host",
    "LocalConv",
    "Mul",
    "Node",
    "Pairwise",
    "Pool",
    "Tensor",
]


@dataclass(frozen=True)
class Tensor:
    """A value of the graph.

    Parameters
    ----------
    name : ONNX name
    shape : including the batch
    frac : fraction bits of the integers, or None for a tensor that exists only on the host (its
        values are then a numpy array of ``dtype``)
    dtype : numpy type name of the ONNX tensor
    """

    name: str
    shape: tuple[int, ...]
    frac: int | None
    dtype: str = "float32"


@dataclass(frozen=True)
class Conv:
    """2-D convolution, dilation 1: y = table(requantise(bias + sum T(x, w), shift)).

    Input channels and outputs fall into ``groups`` of equal size; outputs see the channels of their
    own group only. The sum runs over all ``C / groups * Kh * Kw`` taps of every output; taps in the
    padding have x = 0 (and thus contribute the multiplier's compensation constant).

    ``weight`` is (O, C / groups, Kh, Kw), ``bias`` (O,) of 2*width bits in units of the
    accumulator; ``pads`` is (top, left, bottom, right).
    """

    name: str
    input: str
    output: str
    weight: np.ndarray
    bias: np.ndarray
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    shift: int
    table: Table
    groups: int = 1
    op: str = "Conv"


@dataclass(frozen=True)
class LocalConv:
    """Locally connected convolution, the paper's private kernels: as Conv with one group, but every
    output position has a kernel and biases of its own.

    ``weight`` is (O, C, Kh, Kw, H, W) and ``bias`` (O, H, W), with the output's height and width.
    """

    name: str
    input: str
    output: str
    weight: np.ndarray
    bias: np.ndarray
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    shift: int
    table: Table
    op: str = "LocalConv"


@dataclass(frozen=True)
class Gemm:
    """Classifier layer: y = table(requantise(bias + sum_k T(x[k], w[o, k]), shift)).

    ``weight`` is (O, K). An input with more than two axes is flattened in ONNX's order first.
    """

    name: str
    input: str
    output: str
    weight: np.ndarray
    bias: np.ndarray
    shift: int
    table: Table
    op: str = "Gemm"


@dataclass(frozen=True)
class Pool:
    """Maximum or sum over windows clipped to the input, then a scaled activation.

    y = table(requantise(max or sum over the window, shift)). For ``kind = "average"`` ``scales``
    maps the divisor of a window to its (shift, table): the number of input positions in the window,
    or with ``count_include_pad`` of positions inside input and padding. For ``kind = "max"`` there
    is one entry, with key 1. A 1x1 maximum is how a lone activation or a rescaling is expressed.

    ``pads`` is (top, left, bottom, right); windows start at ``-pad + i * stride`` and the output
    shape is that of the output tensor.
    """

    name: str
    input: str
    output: str
    kind: str
    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    count_include_pad: bool
    scales: dict[int, tuple[int, Table]]
    op: str = "Pool"


@dataclass(frozen=True)
class Add:
    """Residual addition: y = table(requantise(T(a, ma) + T(b, mb), shift)), ma and mb constant."""

    name: str
    inputs: tuple[str, str]
    output: str
    multipliers: tuple[int, int]
    shift: int
    table: Table
    op: str = "Add"


@dataclass(frozen=True)
class Mul:
    """Product of two tensors, place by place: y = table(requantise(T(a, b), shift))."""

    name: str
    inputs: tuple[str, str]
    output: str
    shift: int
    table: Table
    op: str = "Mul"


Pairwise = Add | Mul
"""The operators on two tensors of one shape."""


@dataclass(frozen=True)
class Concat:
    """Concatenation over channels (axis 1) of tensors with equal ``frac``; no arithmetic."""

    name: str
    inputs: tuple[str, ...]
    output: str
    op: str = "Concat"


@dataclass(frozen=True)
class Host:
    """An operator the core does not have: runs in float on the host, between core segments.

    ``model`` is a one-node ONNX model whose inputs and outputs carry the tensor names. Quantised
    inputs are converted to float first; outputs that have a ``frac`` are rounded to it.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    model: onnx.ModelProto
    op: str


Node = Conv | LocalConv | Gemm | Pool | Pairwise | Concat | Host


@dataclass
class Graph:
    """A quantised network; ``nodes`` are in topological order."""

    name: str
    width: int
    drop: int
    tensors: dict[str, Tensor]
    inputs: list[str]
    outputs: list[str]
    nodes: list[Node] = field(default_factory=list)
