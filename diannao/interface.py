"""Inputs and outputs of a model, and the check of what a user feeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from compiler.float_graph import FloatGraph
from hw.errors import UserError

__all__ = ["Interface", "Value"]


@dataclass(frozen=True)
class Value:
    """An input or output, like ONNX Runtime's NodeArg.

    Parameters
    ----------
    name : ONNX name
    shape : sizes; a string (or None) for an axis that the model leaves open
    type : as ONNX Runtime writes it, "tensor(float)"
    """

    name: str
    shape: list[int | str | None]
    type: str


class Interface:
    """What a model takes and gives.

    Parameters
    ----------
    proto : the model as the user gave it, with its open axes
    floats : the model imported for one image, which knows what is an input, and all shapes
    batched : whether axis 0 of all outputs is that of the inputs
    """

    def __init__(self, proto: onnx.ModelProto, floats: FloatGraph, *, batched: bool):
        self.inputs = [_value(v) for v in proto.graph.input if v.name in floats.inputs]
        self.outputs = [_value(v) for v in proto.graph.output]
        if any(map(_is_open, self.inputs)):
            known = slice(1, None) if batched else slice(0)
        else:
            known = slice(None)
        for value in self.outputs:
            inferred = floats.tensors[value.name].shape
            value.shape.extend([None] * (len(inferred) - len(value.shape)))
            value.shape[known] = inferred[known]
        self._dtypes = {name: floats.tensors[name].dtype for name in floats.inputs}

    def output_names(self, names: Sequence[str] | None) -> list[str]:
        """The wanted outputs, all of them for None; UserError if there is no such output."""
        known = [value.name for value in self.outputs]
        for name in names or ():
            if name not in known:
                raise UserError(f"there is no output {name!r}; the model has {', '.join(known)}")
        return known if names is None else list(names)

    def feeds(self, feed: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], int | None]:
        """Checked inputs, and the number of images (None if all axes have a fixed size).

        Raises
        ------
        UserError
            If an input is missing, unknown, of another shape or type, not finite or empty.
        """
        wanted = ", ".join(map(self._describe, self.inputs))
        for name in feed:
            if all(name != value.name for value in self.inputs):
                raise UserError(f"there is no input {name!r}; expected: {wanted}")
        checked = {}
        counts = {}
        for value in self.inputs:
            if value.name not in feed:
                raise UserError(f"input {value.name!r} is missing; expected: {wanted}")
            array = np.asarray(feed[value.name])
            self._check(value, array)
            if _is_open(value):
                counts[value.name] = len(array)
            checked[value.name] = array
        if len(set(counts.values())) > 1:
            raise UserError(f"inputs must hold equally many images, not {counts}")
        return checked, next(iter(counts.values()), None)

    def random(self, images: int, seed: int) -> dict[str, np.ndarray]:
        """Inputs from a normal distribution, for those who have none."""
        rng = np.random.default_rng(seed)
        return {
            value.name: rng.standard_normal(
                [images if axis == 0 and _is_open(value) else int(size or 0)
                 for axis, size in enumerate(value.shape)]
            ).astype(self._dtypes[value.name])
            for value in self.inputs
        }  # fmt: skip

    def _check(self, value: Value, array: np.ndarray) -> None:
        start = int(_is_open(value))
        if (
            array.dtype != self._dtypes[value.name]
            or array.ndim != len(value.shape)
            or list(array.shape[start:]) != value.shape[start:]
        ):
            raise UserError(
                f"input must be {self._describe(value)}, not {array.dtype} {list(array.shape)}"
            )
        if not array.size:
            raise UserError(f"input {value.name!r} must hold at least one image")
        if not np.isfinite(array).all():
            raise UserError(f"input {value.name!r} must be finite, but holds NaN or infinity")

    def _describe(self, value: Value) -> str:
        shape = ", ".join("N" if size is None else str(size) for size in value.shape)
        return f"{value.name!r} {self._dtypes[value.name]} [{shape}]"


def _is_open(value: Value) -> bool:
    return bool(value.shape) and not isinstance(value.shape[0], int)


def _value(info: onnx.ValueInfoProto) -> Value:
    tensor = info.type.tensor_type
    shape = [
        dim.dim_value if dim.WhichOneof("value") == "dim_value" and dim.dim_value > 0
        else dim.dim_param or None
        for dim in tensor.shape.dim
    ]  # fmt: skip
    kind = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
    return Value(info.name, shape, f"tensor({kind})")
