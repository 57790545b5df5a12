"""From ONNX operators to nodes of the float graph: one function per operator."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper

from hw.errors import UserError

from .float_graph import (
    Activation,
    Add,
    Affine,
    Concat,
    Conv,
    Gemm,
    Host,
    LocalConv,
    Mul,
    Node,
    Pad,
    Pool,
    Reshape,
)
from .functions import Clip, Function, LeakyRelu, Linear, Power, Sigmoid, Step, Tanh
from .locally_connected import DOMAIN, NAME
from .model import Model, free_names

__all__ = ["OPERATORS", "import_node"]


class UnsupportedError(Exception):
    """The core cannot run a node; the message says why."""


def require(condition: bool, reason: str) -> None:
    """Raise UnsupportedError with ``reason`` unless ``condition`` holds."""
    if not condition:
        raise UnsupportedError(reason)


@dataclass
class Source:
    """One ONNX node with what is known about its surroundings, and what the core can do."""

    proto: onnx.NodeProto
    model: Model
    used: set[str]
    multiplies: bool

    def __post_init__(self):
        self.name = self.proto.name or self.proto.output[0]
        self.attributes = {a.name: helper.get_attribute_value(a) for a in self.proto.attribute}

    def attribute(self, name: str, default: Any = None) -> Any:
        value = self.attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def has_input(self, index: int) -> bool:
        return len(self.proto.input) > index and bool(self.proto.input[index])

    def is_constant(self, index: int) -> bool:
        return self.proto.input[index] in self.model.constants

    def constant(self, index: int, what: str, default: Any = None) -> Any:
        """Value of a constant input; ``default`` if it is absent."""
        if not self.has_input(index):
            return default
        name = self.proto.input[index]
        require(self.is_constant(index), f"its {what} must be constant")
        value = self.model.constants[name]
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise UserError(
                f"constant {name!r} ({what} of {self.name!r}) contains infinite values; "
                "weights must be finite"
            )
        return value

    def scalar(self, index: int, what: str, default: Any = None) -> Any:
        """A constant input with one element, which may be infinite; ``default`` if absent."""
        if not self.has_input(index):
            return default
        require(self.is_constant(index), f"its {what} must be constant")
        value = self.model.constants[self.proto.input[index]]
        require(np.size(value) == 1, f"its {what} must be a single number")
        return np.asarray(value).reshape(()).item()

    def data(self, index: int = 0) -> str:
        """Name of an input that must not be constant and must be a tensor of type float."""
        name = self.proto.input[index]
        require(not self.is_constant(index), f"input {name!r} is constant")
        is_float = self.model.dtypes.get(name) == np.float32
        require(is_float, f"input {name!r} is not a tensor of type float")
        require(all(self.shape(index)), f"input {name!r} has no elements")
        return name

    def shape(self, index: int = 0) -> tuple[int, ...]:
        name = self.proto.input[index]
        require(name in self.model.shapes, f"input {name!r} has no fixed shape")
        return self.model.shapes[name]

    def tensor(self, ranks: Sequence[int], index: int = 0) -> str:
        """Name of a data input of one of ``ranks`` axes."""
        name = self.data(index)
        rank = len(self.shape(index))
        allowed = " or ".join(map(str, ranks))
        require(rank in ranks, f"input {name!r} must have {allowed} axes, not {rank}")
        return name

    def output_shape(self) -> tuple[int, ...]:
        name = self.proto.output[0]
        require(name in self.model.shapes, f"output {name!r} has no fixed shape")
        return self.model.shapes[name]

    def single_output(self) -> str:
        """Name of the first output; no other may be used."""
        for name in self.proto.output[1:]:
            require(name not in self.used, f"output {name!r} is used")
        return self.proto.output[0]


PRODUCTS = "products of two tensors take DaDianNao nodes with aggregate=true and training=true"
"""Why a core that cannot multiply neurons by neurons leaves an operator to the host."""

Importer = Callable[[Source], Node]
OPERATORS: dict[str, Importer] = {}
"""Operators of ONNX that can run on the core."""


def _operator(*names: str) -> Callable[[Importer], Importer]:
    def register(function: Importer) -> Importer:
        OPERATORS.update(dict.fromkeys(names, function))
        return function

    return register


def import_node(
    proto: onnx.NodeProto, model: Model, used: set[str], *, multiplies: bool = False
) -> Node:
    """The float-graph node for ``proto``; a Host node with the reason if the core cannot run it.

    ``used`` are the tensors that other nodes or the user read; ``multiplies`` as for
    ``compiler.frontend.load``.
    """
    source = Source(proto, model, used, multiplies)
    op = f"{proto.domain}.{proto.op_type}" if proto.domain else proto.op_type
    try:
        require(op.removeprefix("ai.onnx.") in OPERATORS, "the core has no such operator")
        return OPERATORS[op.removeprefix("ai.onnx.")](source)
    except UnsupportedError as error:
        reads = free_names(proto)
        copy = onnx.NodeProto()  # renaming tensors must not change the model
        copy.CopyFrom(proto)
        return Host(
            name=source.name,
            inputs=[name for name in reads if name not in model.constants],
            outputs=[name for name in proto.output if name],
            op=op,
            proto=copy,
            constants={name: model.constants[name] for name in reads if name in model.constants},
            reason=str(error),
        )


# Convolution and classifier layers


def _window(source: Source, kernel: tuple[int, ...]) -> dict[str, Any]:
    """Strides and pads of a window; checks what Conv and the pools have in common."""
    ones, zeros = (1,) * len(kernel), (0,) * len(kernel)
    dilations = tuple(source.attribute("dilations", ones))
    require(dilations == ones, f"dilations must be 1, not {list(dilations)}")
    strides = tuple(source.attribute("strides", ones))
    mode = source.attribute("auto_pad", "NOTSET")
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        before, after = [], []
        for size, k, stride in zip(source.shape()[2:], kernel, strides, strict=True):
            total = max(0, (-(-size // stride) - 1) * stride + k - size)
            small, large = total // 2, total - total // 2
            before.append(small if mode == "SAME_UPPER" else large)
            after.append(large if mode == "SAME_UPPER" else small)
        pads = (*before, *after)
    else:
        pads = tuple(source.attribute("pads", 2 * zeros) if mode == "NOTSET" else 2 * zeros)
    require(min(pads) >= 0, f"pads must not be negative, like {list(pads)}")
    if len(kernel) == 1:  # passes.rank makes a map of height 1 of it
        return {"strides": (1, *strides), "pads": (0, pads[0], 0, pads[1])}
    return {"strides": strides, "pads": pads}


@_operator("Conv")
def _conv(source: Source) -> Node:
    data = source.tensor((3, 4))
    weight = source.constant(1, "weight")
    groups = source.attribute("group", 1)
    channels, *size = source.shape()[1:]
    if weight.ndim != 2 + len(size) or weight.shape[1] * groups != channels:
        wanted = ", ".join(["any", str(channels // groups), *("any" for _ in size)])
        raise UserError(
            f"the weight of {source.name!r} must have shape [{wanted}] for {channels} input "
            f"channels, not {list(weight.shape)}"
        )
    if weight.shape[0] % groups:
        raise UserError(
            f"the outputs of {source.name!r} must fall into {groups} equal groups; its weight has "
            f"{weight.shape[0]}"
        )
    bias = source.constant(2, "bias", np.zeros(weight.shape[0]))
    return Conv(
        name=source.name, inputs=[data], outputs=[source.single_output()],
        weight=weight.reshape(*weight.shape[:2], -1, weight.shape[-1]).astype(np.float64),
        bias=bias.astype(np.float64), groups=groups, **_window(source, weight.shape[2:]),
    )  # fmt: skip


@_operator(f"{DOMAIN}.{NAME}")
def _locally_connected(source: Source) -> Node:
    data = source.tensor((4,))
    weight = source.constant(1, "weight").astype(np.float64)
    bias = source.constant(2, "bias").astype(np.float64)
    _, channels, *size = source.shape()
    if weight.ndim != 6:
        raise UserError(
            f"the weight of {source.name!r} must have 6 axes (outputs, inputs, kernel and position "
            f"of the output), not {weight.ndim}"
        )
    kernel = weight.shape[2:4]
    window = _window(source, kernel)
    pads = np.reshape(window["pads"], (2, 2)).sum(axis=0)
    extent = [
        (have + pad - taps) // stride + 1
        for have, pad, taps, stride in zip(size, pads, kernel, window["strides"], strict=True)
    ]
    if (weight.shape[1], *weight.shape[4:]) != (channels, *extent):
        wanted = ", ".join(map(str, ["any", channels, "any", "any", *extent]))
        raise UserError(
            f"the weight of {source.name!r} must have shape [{wanted}], a kernel for every output "
            f"position, not {list(weight.shape)}"
        )
    return LocalConv(
        name=source.name, inputs=[data], outputs=[source.single_output()], weight=weight,
        bias=np.broadcast_to(bias, (len(weight), *extent)).copy(), **window,
    )  # fmt: skip


@_operator("Gemm")
def _gemm(source: Source) -> Node:
    require(not source.attribute("transA", 0), "transA is not supported")
    data = source.tensor((2,))
    weight = source.constant(1, "weight").astype(np.float64) * source.attribute("alpha", 1.0)
    if not source.attribute("transB", 0):
        weight = weight.T
    outputs = weight.shape[0]
    bias = source.constant(2, "bias", np.zeros(1)).astype(np.float64)
    bias = bias * source.attribute("beta", 1.0)
    if bias.ndim == 2:
        require(bool((bias == bias[:1]).all()), "its bias must be the same for the whole batch")
        bias = bias[0]
    return Gemm(
        name=source.name, inputs=[data], outputs=[source.single_output()],
        weight=weight, bias=np.broadcast_to(bias, (outputs,)).copy(),
    )  # fmt: skip


@_operator("MatMul")
def _matmul(source: Source) -> Node:
    data = source.data()
    weight = source.constant(1, "second factor").astype(np.float64)
    require(weight.ndim == 2, f"its second factor must be a matrix, not of shape {weight.shape}")
    require(len(source.shape()) >= 2, "its first factor must have at least 2 axes")
    return Gemm(
        name=source.name, inputs=[data], outputs=[source.single_output()],
        weight=weight.T, bias=np.zeros(weight.shape[1]),
    )  # fmt: skip


# Pooling


@_operator("MaxPool", "AveragePool")
def _pool(source: Source) -> Node:
    data = source.tensor((3, 4))
    kernel = tuple(source.attribute("kernel_shape"))
    require(not source.attribute("storage_order", 0), "storage_order must be 0")
    pool = Pool(
        name=source.name, inputs=[data], outputs=[source.single_output()],
        kind="max" if source.proto.op_type == "MaxPool" else "average",
        kernel=(1, *kernel) if len(kernel) == 1 else kernel,
        count_include_pad=bool(source.attribute("count_include_pad", 0)),
        **_window(source, kernel),
    )  # fmt: skip
    for axis in range(-len(kernel), 0):
        first, last = pool.pads[2 + axis], source.shape()[axis]
        start = (source.output_shape()[axis] - 1) * pool.strides[axis] - first
        empty = start >= last or pool.kernel[axis] <= first
        require(not empty, "a window lies completely in the padding")
    return pool


@_operator("GlobalAveragePool", "GlobalMaxPool")
def _global_pool(source: Source) -> Node:
    data = source.tensor((3, 4))
    height, width = (1, *source.shape()[2:])[-2:]
    return Pool(
        name=source.name, inputs=[data], outputs=[source.single_output()],
        kind="max" if source.proto.op_type == "GlobalMaxPool" else "average",
        kernel=(height, width),
    )  # fmt: skip


# Activations


def _activation(source: Source, *steps: Step) -> Node:
    return Activation(
        name=source.name, inputs=[source.data()], outputs=[source.single_output()],
        function=Function().then(Function(steps)),
    )  # fmt: skip


@_operator("Relu")
def _relu(source: Source) -> Node:
    return _activation(source, LeakyRelu())


@_operator("LeakyRelu")
def _leaky_relu(source: Source) -> Node:
    return _activation(source, LeakyRelu(source.attribute("alpha", 0.01)))


@_operator("Sigmoid")
def _sigmoid(source: Source) -> Node:
    return _activation(source, Sigmoid())


@_operator("Tanh")
def _tanh(source: Source) -> Node:
    return _activation(source, Tanh())


@_operator("HardSigmoid")
def _hard_sigmoid(source: Source) -> Node:
    scale, offset = source.attribute("alpha", 0.2), source.attribute("beta", 0.5)
    return _activation(source, Linear(scale, offset), Clip(0.0, 1.0))


@_operator("Clip")
def _clip(source: Source) -> Node:
    low = source.scalar(1, "lower bound", -np.inf)
    high = source.scalar(2, "upper bound", np.inf)
    require(low <= high, f"its lower bound {low} is above its upper bound {high}")
    return _activation(source, Clip(float(low), float(high)))


@_operator("Pow")
def _pow(source: Source) -> Node:
    exponent = source.scalar(1, "exponent")
    require(exponent < 1, f"its exponent must be below 1, not {exponent}")
    # Where it is not known to be positive, the power of a number need not exist.
    maker = next(
        (n for n in source.model.proto.graph.node if source.proto.input[0] in n.output), None
    )
    require(
        maker is not None and maker.op_type == "Clip" and len(maker.input) > 1,
        "a Clip in front of it must keep its base positive",
    )
    assert maker is not None
    low = Source(maker, source.model, source.used, source.multiplies).scalar(1, "lower bound", 0.0)
    require(low > 0, f"a Clip in front of it must keep its base positive, not above {low}")
    return _activation(source, Power(float(exponent), float(low)))


@_operator("LRN")
def _lrn(source: Source) -> Node:
    """What ``compiler.normalisation`` has not written out."""
    require(source.multiplies, PRODUCTS)
    source.tensor((4,))
    raise UnsupportedError("its alpha must not be negative, its beta and bias must be positive")


# Arithmetic with constants, residuals


def _per_channel(source: Source, data: int, constant: int) -> tuple[np.ndarray, bool]:
    """A constant operand as one value per channel; whether channels are the other's last axis."""
    shape, own = source.shape(data), source.shape(constant)
    aligned = (1,) * (len(shape) - len(own)) + own
    axes = [axis for axis, size in enumerate(aligned) if size != 1]
    last = len(shape) != 2 and axes == [len(shape) - 1]
    require(
        len(aligned) == len(shape)
        and (last or axes in ([], [1]))
        and all(aligned[axis] == shape[axis] for axis in axes),
        f"its constant operand must have one value per channel, not shape {list(own)}",
    )
    channels = (1, *shape)[-1] if last or len(shape) < 2 else shape[1]
    value = source.constant(constant, "other operand").astype(np.float64)
    return np.broadcast_to(value.reshape(-1), (channels,)).copy(), last


@_operator("Add", "Sub", "Mul", "Div")
def _arithmetic(source: Source) -> Node:
    op = source.proto.op_type
    if not source.is_constant(0) and not source.is_constant(1):
        require(op in ("Add", "Mul"), "one operand must be constant")
        require(op == "Add" or source.multiplies, PRODUCTS)
        inputs = [source.data(0), source.data(1)]
        require(source.shape(0) == source.shape(1), "operands must have the same shape")
        kind = Add if op == "Add" else Mul
        return kind(name=source.name, inputs=inputs, outputs=[source.single_output()])
    constant = 0 if source.is_constant(0) else 1
    data = source.data(1 - constant)
    value, last = _per_channel(source, 1 - constant, constant)
    scale, offset = np.ones_like(value), np.zeros_like(value)
    if op == "Add":
        offset = value
    elif op == "Mul":
        scale = value
    elif op == "Sub":
        scale, offset = (scale, -value) if constant == 1 else (-scale, value)
    else:
        require(constant == 1, "division by a tensor is not supported")
        require(bool(value.all()), "division by zero")
        scale = 1 / value
    return Affine(
        name=source.name, inputs=[data], outputs=[source.single_output()],
        scale=scale, offset=offset, last=last,
    )  # fmt: skip


@_operator("Sum")
def _sum(source: Source) -> Node:
    require(len(source.proto.input) == 2, "only sums of two tensors are supported")
    inputs = [source.data(0), source.data(1)]
    require(source.shape(0) == source.shape(1), "operands must have the same shape")
    return Add(name=source.name, inputs=inputs, outputs=[source.single_output()])


@_operator("BatchNormalization")
def _batch_normalization(source: Source) -> Node:
    require(not source.attribute("training_mode", 0), "training_mode is not supported")
    gamma, beta, mean, variance = (
        source.constant(index, what).astype(np.float64)
        for index, what in enumerate(("scale", "bias", "mean", "variance"), start=1)
    )
    scale = gamma / np.sqrt(variance + source.attribute("epsilon", 1e-5))
    return Affine(
        name=source.name, inputs=[source.data()], outputs=[source.single_output()],
        scale=scale, offset=beta - mean * scale,
    )  # fmt: skip


# Structure


@_operator("Concat")
def _concat(source: Source) -> Node:
    inputs = [source.data(index) for index in range(len(source.proto.input))]
    axis = source.attribute("axis") % len(source.shape())
    require(axis == 1, f"only axis 1 (channels) can be concatenated, not {axis}")
    return Concat(name=source.name, inputs=inputs, outputs=[source.single_output()])


@_operator("Pad")
def _pad(source: Source) -> Node:
    data = source.tensor((4,))
    mode = source.attribute("mode", "constant")
    require(mode == "constant", f"mode must be constant, not {mode}")
    value = source.scalar(2, "value", 0.0)
    require(value == 0, f"only zeros can be padded, not {value}")
    pads = np.zeros(8, int)
    axes = source.constant(3, "axes", np.arange(4)) % 4
    pads[[*axes, *(axes + 4)]] = source.constant(1, "pads")
    require(not pads[[0, 1, 4, 5]].any(), "only the map's height and width can be padded")
    top, left, bottom, right = pads[[2, 3, 6, 7]].tolist()
    require(min(top, left, bottom, right) >= 0, "negative pads are not supported")
    return Pad(
        name=source.name, inputs=[data], outputs=[source.single_output()],
        pads=(top, left, bottom, right),
    )  # fmt: skip


@_operator("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity")
def _reshape(source: Source) -> Node:
    source.output_shape()
    return Reshape(name=source.name, inputs=[source.data()], outputs=[source.single_output()])


@_operator("Dropout")
def _dropout(source: Source) -> Node:
    require(not source.scalar(2, "training mode", False), "training mode is not supported")
    return _reshape(source)


@_operator("Transpose")
def _transpose(source: Source) -> Node:
    source.data()
    shape = source.shape()
    order = source.attribute("perm", tuple(range(len(shape)))[::-1])
    long = [axis for axis in order if shape[axis] != 1]
    require(long == sorted(long), f"perm {list(order)} moves data; only layout changes are free")
    return _reshape(source)
