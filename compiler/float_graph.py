"""The network between ONNX and quantisation: the core's operators, still in floating point.

Passes rewrite it in place. Every tensor holds values that some tensor of the ONNX model also holds
(possibly in another shape): that is how calibration, which runs the ONNX model, knows its range.
"""

from dataclasses import dataclass, field

import numpy as np
import onnx

from .functions import IDENTITY, Function
from .model import rename_free

__all__ = [
    "Activation",
    "Add",
    "Affine",
    "Computation",
    "Concat",
    "Conv",
    "FloatGraph",
    "Gemm",
    "Host",
    "LocalConv",
    "Mul",
    "Node",
    "Pad",
    "Pool",
    "Reshape",
    "Tensor",
]


@dataclass(frozen=True)
class Tensor:
    """Shape (with the batch) and type; ``source`` is the ONNX tensor with the same values."""

    shape: tuple[int, ...]
    dtype: np.dtype
    source: str


@dataclass(kw_only=True)
class Node:
    """An operator; ``inputs`` and ``outputs`` are tensor names."""

    name: str
    inputs: list[str]
    outputs: list[str]

    @property
    def input(self) -> str:
        return self.inputs[0]

    @property
    def output(self) -> str:
        return self.outputs[0]

    def rename(self, old: str, new: str) -> None:
        """Read and write ``new`` instead of ``old``."""
        self.inputs = [new if name == old else name for name in self.inputs]
        self.outputs = [new if name == old else name for name in self.outputs]


@dataclass(kw_only=True)
class Computation(Node):
    """An operator whose result passes NFU-3.

    ``function`` is applied to the result; ``raw`` names the ONNX tensor that holds the result
    before ``function``.
    """

    function: Function = IDENTITY
    raw: str = ""

    def __post_init__(self):
        self.raw = self.raw or self.output


@dataclass(kw_only=True)
class Conv(Computation):
    """2-D convolution: ``weight`` (O, C / groups, Kh, Kw), ``bias`` (O,), ``pads`` top left bottom
    right."""

    weight: np.ndarray
    bias: np.ndarray
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1


@dataclass(kw_only=True)
class LocalConv(Computation):
    """Locally connected convolution: ``weight`` (O, C, Kh, Kw, H, W), ``bias`` (O, H, W)."""

    weight: np.ndarray
    bias: np.ndarray
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)


@dataclass(kw_only=True)
class Gemm(Computation):
    """Classifier layer: ``weight`` (O, K), ``bias`` (O,); flattens an input of four axes."""

    weight: np.ndarray
    bias: np.ndarray


@dataclass(kw_only=True)
class Pool(Computation):
    """Maximum or average (``kind``) over windows, fields as in ``sim.graph.Pool``."""

    kind: str
    kernel: tuple[int, int] = (1, 1)
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    count_include_pad: bool = False


@dataclass(kw_only=True)
class Add(Computation):
    """Sum of two tensors of one shape."""


@dataclass(kw_only=True)
class Mul(Computation):
    """Product of two tensors of one shape, place by place."""


@dataclass(kw_only=True)
class Concat(Node):
    """Concatenation over channels."""


@dataclass(kw_only=True)
class Affine(Node):
    """``scale * x + offset`` with one scale and offset per channel; no result of the front end.

    Channels are axis 1, or with ``last`` the last axis.
    """

    scale: np.ndarray
    offset: np.ndarray
    last: bool = False


@dataclass(kw_only=True)
class Activation(Node):
    """``function(x)``; no result of the front end."""

    function: Function


@dataclass(kw_only=True)
class Pad(Node):
    """Zeros around the map, ``pads`` top left bottom right; no result of the front end."""

    pads: tuple[int, int, int, int]


@dataclass(kw_only=True)
class Reshape(Node):
    """Another shape for the same values in the same order; no result of the front end."""


@dataclass(kw_only=True)
class Host(Node):
    """An operator the core does not have: ``proto``, with its constant inputs.

    ``reason`` says why it is here; ``layout`` marks those that only reshape.
    """

    op: str
    proto: onnx.NodeProto
    constants: dict[str, np.ndarray]
    reason: str
    layout: bool = False

    def rename(self, old: str, new: str) -> None:
        super().rename(old, new)
        rename_free(self.proto, old, new)


@dataclass
class FloatGraph:
    """A network of the nodes above in topological order.

    Parameters
    ----------
    name : of the ONNX graph
    model : the ONNX model it was made from, with concrete shapes
    tensors : by name
    inputs, outputs : tensor names, those of the ONNX model
    """

    name: str
    model: onnx.ModelProto
    tensors: dict[str, Tensor]
    inputs: list[str]
    outputs: list[str]
    nodes: list[Node] = field(default_factory=list)

    @property
    def host(self) -> list[Host]:
        """The operators that run on the host, each with its reason."""
        return [node for node in self.nodes if isinstance(node, Host)]

    def producer(self, tensor: str) -> Node | None:
        """The node that makes ``tensor``; None for an input."""
        return next((node for node in self.nodes if tensor in node.outputs), None)

    def consumers(self, tensor: str) -> list[Node]:
        """The nodes that read ``tensor``."""
        return [node for node in self.nodes if tensor in node.inputs]

    def only_consumer(self, tensor: str) -> bool:
        """Whether at most one node and no one outside sees ``tensor``: it may then be absorbed."""
        return tensor not in self.outputs and len(self.consumers(tensor)) <= 1

    def new_tensor(self, like: str, suffix: str, shape: tuple[int, ...] | None = None) -> str:
        """Declare a tensor with the values of ``like``, perhaps of another shape."""
        name, tensor = f"{like}.{suffix}", self.tensors[like]
        while name in self.tensors:
            name += "_"
        self.tensors[name] = Tensor(shape or tensor.shape, tensor.dtype, tensor.source)
        return name

    def replace(self, old: Node, *new: Node) -> None:
        """Put ``new`` in the place of ``old``."""
        at = next(i for i, node in enumerate(self.nodes) if node is old)
        self.nodes[at : at + 1] = new

    def drop_unused(self) -> None:
        """Remove nodes that no output depends on, and tensors that no node touches."""
        needed = set(self.outputs)
        kept: list[Node] = []
        for node in reversed(self.nodes):
            if needed & set(node.outputs):
                kept.append(node)
                needed.update(node.inputs)
        self.nodes = kept[::-1]
        needed.update(self.inputs, *(node.outputs for node in kept))
        self.tensors = {key: value for key, value in self.tensors.items() if key in needed}
