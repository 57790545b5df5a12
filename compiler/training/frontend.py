"""Reads a model that is to be trained, and writes the trained weights back."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from hw.arith.numbers import saturate
from hw.errors import UserError
from sim.training.network import Formats, Layer, Linear, Network, Normalise, Pool

from .tables import ACTIVATIONS, activation, derivative, normalisation

__all__ = ["TrainingModel", "read_model"]

_SUPPORTED = (
    "Gemm, MatMul with Add, Conv, Relu, Sigmoid, Tanh, MaxPool, AveragePool, LRN, Flatten, \
Reshape to (N, features), Softmax at the end"
)


@dataclass
class _Parameter:
    """Where weight and bias of a layer are: names of initializers, and the way back."""

    weight: str
    bias: str
    to_onnx: Callable[[np.ndarray], np.ndarray]


@dataclass
class TrainingModel:
    """A model and the network that was made of it.

    Parameters
    ----------
    model : ONNX
    input : name of its input
    network : with integer weights
    flat : its result is (N, outputs), without maps
    softmax : the model ends with Softmax, which is left to the loss
    """

    model: onnx.ModelProto
    input: str
    network: Network
    flat: bool
    softmax: bool
    _parameters: list[_Parameter]

    def trained(self) -> onnx.ModelProto:
        """A copy of the model with the network's weights."""
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        values = {}
        layers = [layer for layer in self.network.layers if isinstance(layer, Linear)]
        for layer, names in zip(layers, self._parameters, strict=True):
            scale = 2.0**-self.network.formats.weight
            values[names.weight] = names.to_onnx(layer.weight * scale)
            values[names.bias] = layer.bias * scale
        for initializer in model.graph.initializer:
            if initializer.name in values:
                old = numpy_helper.to_array(initializer)
                new = values[initializer.name].reshape(old.shape).astype(old.dtype)
                initializer.CopyFrom(numpy_helper.from_array(new, initializer.name))
        return model


def read_model(path: Path | onnx.ModelProto, formats: Formats) -> TrainingModel:
    """Read a model whose nodes form one chain.

    Raises
    ------
    UserError
        If it is no ONNX model, or holds something that cannot be trained.
    """
    if isinstance(path, onnx.ModelProto):
        model = path
    else:
        try:
            model = onnx.load(path)
        except OSError as error:
            raise UserError(f"cannot read {str(path)!r}: {error.strerror or error}") from None
        except Exception:  # whatever protobuf raises for bytes that are none
            raise UserError(f"{str(path)!r} is not an ONNX model") from None
    return _Reader(model, formats).read()


class _Reader:
    """Walks along the chain of nodes."""

    def __init__(self, model: onnx.ModelProto, formats: Formats):
        self._model = model
        self._formats = formats
        self._constants = {
            each.name: numpy_helper.to_array(each) for each in model.graph.initializer
        }
        inputs = [each for each in model.graph.input if each.name not in self._constants]
        if len(inputs) != 1 or len(model.graph.output) != 1:
            raise UserError("a model to be trained must have one input and one output")
        self._input = inputs[0]
        self._layers: list[Layer] = []
        self._parameters: list[_Parameter] = []
        self._flat: tuple[int, int, int] | None = None
        self._last: Any = None

    def read(self) -> TrainingModel:
        shape = tuple(each.dim_value for each in self._input.type.tensor_type.shape.dim)
        if len(shape) not in (2, 4) or not all(shape[1:]):
            raise UserError(
                "the input of a model to be trained must be (N, features) or (N, channels, "
                f"height, width), not {shape}"
            )
        shape = (*shape[1:], 1, 1)[:3]
        self._shape = (int(shape[0]), int(shape[1]), int(shape[2]))
        first, value, softmax = self._shape, self._input.name, False
        nodes = list(self._model.graph.node)
        while nodes:
            node = nodes.pop(0)
            if value not in node.input or softmax:
                self._refuse(node, "does not continue the chain of layers")
            output = node.output[0]
            if node.op_type == "MatMul" and nodes and nodes[0].op_type == "Add":
                add = nodes.pop(0)
                bias = next((name for name in add.input if name != output), "")
                self._gemm(node, self._constant(node, 1), node.input[1], bias, False)
                output = add.output[0]
            elif node.op_type == "Gemm":
                self._read_gemm(node)
            elif node.op_type == "Conv":
                self._conv(node)
            elif node.op_type in ACTIVATIONS:
                self._activate(node)
            elif node.op_type in ("MaxPool", "AveragePool"):
                self._pool(node)
            elif node.op_type == "LRN":
                self._normalise(node)
            elif node.op_type in ("Flatten", "Reshape"):
                self._flatten(node)
            elif node.op_type == "Softmax":
                softmax = True
            elif node.op_type != "Identity":
                self._refuse(node, f"cannot be trained; known: {_SUPPORTED}")
            value = output
        if value != self._model.graph.output[0].name or not self._parameters:
            raise UserError("the model's layers must be a chain from its input to its output")
        network = Network(self._formats, first, self._layers)
        flat = self._shape[1:] == (1, 1)
        return TrainingModel(
            self._model, self._input.name, network, flat, softmax, self._parameters
        )

    def _refuse(self, node, why: str):
        raise UserError(f"node {node.name or node.output[0]!r} ({node.op_type}) {why}")

    def _constant(self, node, number: int) -> np.ndarray:
        name = node.input[number] if len(node.input) > number else ""
        if name not in self._constants:
            self._refuse(node, "must have weights and biases that are constants of the model")
        return self._constants[name].astype(np.float64)

    def _integers(self, values: np.ndarray) -> np.ndarray:
        scaled = np.floor(values * 2.0**self._formats.weight + 0.5)
        return saturate(scaled.astype(np.int64), self._formats.width)

    def _add(self, node, weight: np.ndarray, names: _Parameter, **geometry: Any) -> None:
        name = node.name or node.output[0]
        if names.bias not in self._constants:
            self._refuse(node, "must have weights and biases that are constants of the model")
        if [names.weight, names.bias] != list(dict.fromkeys([names.weight, names.bias])) or any(
            {each.weight, each.bias} & {names.weight, names.bias} for each in self._parameters
        ):
            self._refuse(node, "shares its weights with another one, which cannot be trained")
        bias = self._constants[names.bias].astype(np.float64).reshape(-1)
        layer = Linear(name, self._integers(weight), self._integers(bias), **geometry)
        self._layers.append(layer)
        self._parameters.append(names)
        self._last = layer

    def _read_gemm(self, node) -> None:
        values = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
        if (
            values.get("alpha", 1.0) != 1.0
            or values.get("beta", 1.0) != 1.0
            or values.get("transA")
        ):
            self._refuse(node, "must have alpha and beta 1 and transA 0")
        bias = node.input[2] if len(node.input) > 2 else ""
        self._gemm(node, self._constant(node, 1), node.input[1], bias, bool(values.get("transB")))

    def _gemm(self, node, weight: np.ndarray, name: str, bias: str, transposed: bool) -> None:
        channels, height, width = self._shape
        if not transposed:
            weight = weight.T
        outputs = len(weight)
        if weight.ndim != 2 or weight.shape[1] != prod(self._shape):
            self._refuse(node, f"must have {prod(self._shape)} inputs, not {weight.shape[-1]}")
        if height * width > 1 and self._flat is None:
            self._refuse(node, "needs a Flatten in front of it")

        def to_onnx(trained: np.ndarray) -> np.ndarray:
            flat = trained.reshape(outputs, -1)
            return flat if transposed else flat.T

        kernel = weight.reshape(outputs, channels, height, width)
        self._add(node, kernel, _Parameter(name, bias, to_onnx))
        self._shape = (outputs, 1, 1)
        self._flat = None

    def _conv(self, node) -> None:
        values = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
        weight = self._constant(node, 1)
        if weight.ndim != 4 or weight.shape[1] != self._shape[0] or values.get("group", 1) != 1:
            self._refuse(node, "must be two-dimensional with one group")
        if (
            set(values.get("dilations", [1])) != {1}
            or values.get("auto_pad", b"NOTSET") != b"NOTSET"
        ):
            self._refuse(node, "must have explicit pads and no dilation")
        strides, pads = tuple(values.get("strides", (1, 1))), tuple(values.get("pads", (0,) * 4))
        outputs, _, ky, kx = weight.shape
        bias = node.input[2] if len(node.input) > 2 else ""
        names = _Parameter(node.input[1], bias, lambda trained: trained)
        self._add(node, weight, names, strides=strides, pads=pads)
        _, height, width = self._shape
        self._shape = (
            outputs,
            (height + pads[0] + pads[2] - ky) // strides[0] + 1,
            (width + pads[1] + pads[3] - kx) // strides[1] + 1,
        )

    def _activate(self, node) -> None:
        if not isinstance(self._last, Linear) or self._last.function is not None:
            self._refuse(node, "must follow a Gemm, MatMul or Conv directly")
        formats = self._formats
        self._last.function = activation(node.op_type, formats.activation, formats.width)
        self._last.derivative = derivative(node.op_type, formats.activation, formats.width)

    def _pool(self, node) -> None:
        values = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
        kernel = tuple(values["kernel_shape"])
        channels, height, width = self._shape
        plain = not any(values.get("pads", [])) and not values.get("ceil_mode")
        if tuple(values.get("strides", (1, 1))) != kernel or not plain or len(kernel) != 2:
            self._refuse(node, "must have strides as large as its kernel, and no padding")
        if height % kernel[0] or width % kernel[1]:
            self._refuse(node, f"must have a kernel that divides its map of {height} x {width}")
        scale = None
        if node.op_type == "AveragePool":
            shift = self._formats.width - 3
            scale = (round((1 << shift) / prod(kernel)), shift)
        self._layers.append(Pool(node.name or node.output[0], kernel, scale))
        self._shape = (channels, height // kernel[0], width // kernel[1])
        self._last = None

    def _normalise(self, node) -> None:
        values = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
        alpha, beta = values.get("alpha", 1e-4), values.get("beta", 0.75)
        bias, size = values.get("bias", 1.0), values["size"]
        if not self._parameters:
            self._refuse(node, "must follow a layer with weights; normalise the inputs beforehand")
        if not (alpha > 0 and beta > 0 and bias > 0):
            self._refuse(node, "must have positive alpha, beta and bias")
        formats = self._formats
        try:
            power, slope, scale = normalisation(
                alpha / size, beta, bias, formats.activation, formats.width
            )
        except ValueError:
            self._refuse(node, "has an alpha, beta or bias that the number format cannot hold")
        else:
            name = node.name or node.output[0]
            self._layers.append(Normalise(name, size, power, slope, scale))
        self._last = None

    def _flatten(self, node) -> None:
        if node.op_type == "Reshape":
            target = self._constant(node, 1).astype(int).tolist()
            if len(target) != 2 or target[1] not in (-1, prod(self._shape)):
                self._refuse(node, "must be to (N, features)")
        elif any(onnx.helper.get_attribute_value(each) != 1 for each in node.attribute):
            self._refuse(node, "must flatten from axis 1")
        self._flat = self._shape
        self._last = None
