"""Read an ONNX model and make everything in it concrete: opset, batch, shapes, constants."""

import os
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, inliner, numpy_helper, shape_inference, version_converter
from onnx.reference import ReferenceEvaluator

from hw.errors import UserError

from .locally_connected import DOMAIN, NAME, as_convolutions, with_function

__all__ = ["OLDEST_OPSET", "Model", "free_names", "prepare", "rename_free", "session"]

OLDEST_OPSET = 13
_OLDEST_IR = 8
_LARGE = 1024
"""Constants with more elements than this are not shown to shape inference, only their types."""

_LIMIT = 1 << 31
"""Bytes that a serialized model cannot reach."""


@dataclass
class Model:
    """A model whose shapes are all known and whose constant parts are evaluated.

    Parameters
    ----------
    proto : the model; its initializers are exactly ``constants``
    inputs, outputs : tensor names; an input is what the user must give, never a constant
    shapes, dtypes : of every tensor that has a fixed shape
    constants : value of every constant tensor that is used
    """

    proto: onnx.ModelProto
    inputs: list[str]
    outputs: list[str]
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    dtypes: dict[str, np.dtype] = field(default_factory=dict)
    constants: dict[str, np.ndarray] = field(default_factory=dict)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _read(source: str | os.PathLike | bytes | onnx.ModelProto) -> tuple[onnx.ModelProto, str]:
    """The model and what to call it in messages."""
    if isinstance(source, onnx.ModelProto):
        proto = onnx.ModelProto()
        proto.CopyFrom(source)
        return proto, f"model {source.graph.name!r}"
    try:
        if isinstance(source, bytes):
            return onnx.load_model_from_string(source), "the model"
        path = Path(source)
        if not path.is_file():
            raise UserError(f"there is no model file {str(path)!r}")
        return onnx.load(path), str(path)
    except (DecodeError, onnx.checker.ValidationError, OSError, ValueError) as error:
        name = "the model" if isinstance(source, bytes) else str(source)
        raise UserError(f"{name} cannot be read as ONNX: {_first_line(error)}") from error


def _check(proto: onnx.ModelProto, name: str) -> None:
    if not proto.graph.node and not proto.graph.output:
        raise UserError(f"{name} is not an ONNX model: it has neither nodes nor outputs")
    try:
        onnx.checker.check_model(proto)
    except Exception as error:  # the checker raises several unrelated types
        raise UserError(f"{name} is not a valid ONNX model: {_first_line(error)}") from error


@cache
def _runtime_versions() -> tuple[int, int]:
    """The newest opset and IR version that ONNX Runtime takes."""

    def works(opset: int, ir: int) -> bool:
        x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
        graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "probe", [x], [y])
        opsets = [helper.make_opsetid("", opset)]
        try:
            session(helper.make_model(graph, opset_imports=opsets, ir_version=ir))
        except Exception:  # ONNX Runtime's exceptions have no common base but this
            return False
        return True

    opsets = range(onnx.defs.onnx_opset_version(), OLDEST_OPSET, -1)
    versions = range(onnx.IR_VERSION, _OLDEST_IR, -1)
    return (
        next((opset for opset in opsets if works(opset, _OLDEST_IR)), OLDEST_OPSET),
        next((ir for ir in versions if works(OLDEST_OPSET, ir)), _OLDEST_IR),
    )


def session(proto: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """ONNX Runtime with ``proto``, quiet about what it does not like."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _since(node: onnx.NodeProto, opset: int) -> int:
    """The opset that defined the form of ``node`` that ``opset`` has."""
    try:
        return onnx.defs.get_schema(node.op_type, opset, node.domain).since_version
    except onnx.defs.SchemaError:
        return 0


def _convert(proto: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """Bring the model to an opset that the front end reads and ONNX Runtime evaluates."""
    opset = next((o for o in proto.opset_import if o.domain in ("", "ai.onnx")), None)
    newest, ir_version = _runtime_versions()
    proto.ir_version = min(proto.ir_version, ir_version)
    if opset is None or OLDEST_OPSET <= opset.version <= newest:
        return proto
    known = onnx.defs.onnx_opset_version()
    if opset.version > known:
        raise UserError(
            f"{name} uses opset {opset.version}; supported are {OLDEST_OPSET} to {known}, and "
            "older ones that ONNX can convert"
        )
    if opset.version > newest and all(
        _since(node, opset.version) <= newest
        for node in proto.graph.node
        if node.domain in ("", "ai.onnx")
    ):
        # Nothing the model uses has changed since.
        opset.version = newest
        return proto
    wanted = min(max(opset.version, OLDEST_OPSET), newest)
    try:
        return version_converter.convert_version(proto, wanted)
    except Exception as error:  # the converter raises RuntimeError and ConvertError alike
        raise UserError(
            f"{name} uses opset {opset.version} and cannot be converted to {wanted}: "
            f"{_first_line(error)}"
        ) from error


def _fix_inputs(proto: onnx.ModelProto, name: str, batch: int) -> list[str]:
    """Check the inputs, give dynamic first axes the size ``batch``; return the input names."""
    constant = {tensor.name for tensor in proto.graph.initializer}
    symbols = set()
    inputs = []
    for value in proto.graph.input:
        if value.name in constant:
            continue
        inputs.append(value.name)
        if not value.type.HasField("tensor_type"):
            raise UserError(f"input {value.name!r} of {name} must be a tensor")
        tensor = value.type.tensor_type
        if tensor.elem_type != TensorProto.FLOAT:
            kind = TensorProto.DataType.Name(tensor.elem_type).lower()
            raise UserError(f"input {value.name!r} of {name} must be of type float, not {kind}")
        if not tensor.HasField("shape"):
            raise UserError(f"input {value.name!r} of {name} has no shape; export it with one")
        for axis, dim in enumerate(tensor.shape.dim):
            if dim.WhichOneof("value") == "dim_value" and dim.dim_value > 0:
                continue
            if axis != 0:
                raise UserError(
                    f"axis {axis} of input {value.name!r} of {name} has no fixed size; only the "
                    "batch (axis 0) may be dynamic"
                )
            symbols.add(dim.dim_param)
            dim.Clear()
            dim.dim_value = batch
    # Shapes noted inside the model may use the same symbol, or contradict the batch: infer anew.
    del proto.graph.value_info[:]
    for value in proto.graph.output:
        if value.type.HasField("tensor_type"):
            for dim in value.type.tensor_type.shape.dim:
                if dim.WhichOneof("value") == "dim_param":
                    if dim.dim_param in symbols - {""}:
                        dim.dim_value = batch
                    else:
                        dim.Clear()
    return inputs


def free_names(node: onnx.NodeProto) -> list[str]:
    """Tensors a node reads: its inputs and what its subgraphs take from the outside."""
    names = [name for name in node.input if name]
    for attribute in node.attribute:
        for graph in [attribute.g, *attribute.graphs]:
            inner = {value.name for value in graph.input}
            inner |= {tensor.name for tensor in graph.initializer}
            used = []
            for sub in graph.node:
                used += free_names(sub)
                inner.update(sub.output)
            used += [value.name for value in graph.output]
            names += [name for name in used if name not in inner]
    return list(dict.fromkeys(names))


def rename_free(node: onnx.NodeProto, old: str, new: str) -> None:
    """Let a node, and its subgraphs, read and write tensor ``new`` instead of ``old``."""
    for names in (node.input, node.output):
        for index, name in enumerate(names):
            if name == old:
                names[index] = new
    for attribute in node.attribute:
        for graph in [attribute.g, *attribute.graphs]:
            for sub in graph.node:
                rename_free(sub, old, new)
            for value in graph.output:
                value.name = new if value.name == old else value.name


def _infer(proto: onnx.ModelProto, model: Model, name: str) -> None:
    """Fill in shapes and dtypes of all tensors."""
    skeleton = onnx.ModelProto()
    skeleton.CopyFrom(proto)
    del skeleton.graph.initializer[:]
    known = {value.name for value in skeleton.graph.input}
    for key, value in model.constants.items():
        if value.size <= _LARGE:
            skeleton.graph.initializer.append(numpy_helper.from_array(value, key))
        if key not in known:
            kind = helper.np_dtype_to_tensor_dtype(value.dtype)
            skeleton.graph.input.append(helper.make_tensor_value_info(key, kind, value.shape))
    as_convolutions(skeleton.graph)
    try:
        inferred = shape_inference.infer_shapes(
            skeleton, check_type=True, strict_mode=True, data_prop=True
        )
    except Exception as error:  # InferenceError does not derive from a public type
        raise UserError(f"the shapes in {name} contradict each other: {_first_line(error)}") from (
            error
        )
    graph = inferred.graph
    for value in [*graph.input, *graph.value_info, *graph.output]:
        tensor = value.type.tensor_type
        if not value.type.HasField("tensor_type") or not tensor.elem_type:
            continue
        model.dtypes[value.name] = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
        dims = tensor.shape.dim
        if tensor.HasField("shape") and all(d.WhichOneof("value") == "dim_value" for d in dims):
            model.shapes[value.name] = tuple(d.dim_value for d in dims)


def _is_random(node: onnx.NodeProto) -> bool:
    return node.op_type.startswith("Random") or node.op_type in ("Bernoulli", "Multinomial")


def _fold_constants(proto: onnx.ModelProto, model: Model, name: str) -> bool:
    """Evaluate all nodes that depend on constants only; returns whether there were any."""
    values = model.constants
    known = set(values)
    folded, kept = [], []
    for node in proto.graph.node:
        if node.op_type in ("Shape", "Size") and node.domain in ("", "ai.onnx"):
            shape = model.shapes.get(node.input[0])
            if shape is not None:
                bounds = {a.name: a.i for a in node.attribute}
                shape = shape[bounds.get("start", 0) : bounds.get("end", len(shape))]
                result = np.array(shape, np.int64)
                values[node.output[0]] = result if node.op_type == "Shape" else result.prod()
                known.add(node.output[0])
                continue
        needs = free_names(node)
        if all(need in known for need in needs) and not _is_random(node):
            folded.append(node)
            known.update(node.output)
        else:
            kept.append(node)
    changed = len(kept) < len(proto.graph.node)
    if folded:
        outside = {need for node in kept for need in free_names(node)} | set(model.outputs)
        made = [out for node in folded for out in node.output if out in outside]
        used = {need for node in folded for need in free_names(node)} & set(values)
        graph = helper.make_graph(
            folded, "constants", [],
            [helper.make_value_info(out, onnx.TypeProto()) for out in made],
            [numpy_helper.from_array(np.asarray(values[key]), key) for key in used],
        )  # fmt: skip
        results = _evaluate(proto, graph, made, name)
        values.update(zip(made, results, strict=True))
    del proto.graph.node[:]
    proto.graph.node.extend(kept)
    return changed


def _evaluate(proto: onnx.ModelProto, graph: onnx.GraphProto, outputs: list[str], name: str):
    """Values of ``outputs`` of a graph without inputs."""
    model = helper.make_model(
        graph, opset_imports=list(proto.opset_import), ir_version=proto.ir_version,
        functions=list(proto.functions),
    )  # fmt: skip
    if not outputs:
        return []
    try:
        return session(model).run(outputs, {})
    except Exception:  # ONNX Runtime's exceptions have no common base but this
        try:
            return ReferenceEvaluator(model).run(outputs, {})
        except Exception as error:  # nor have those of the reference evaluator
            raise UserError(
                f"the constants of {name} cannot be evaluated: {_first_line(error)}"
            ) from error


def _drop_unused(proto: onnx.ModelProto, model: Model) -> None:
    """Remove nodes and constants that no output depends on."""
    needed = set(model.outputs)
    kept = []
    for node in reversed(proto.graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed.update(free_names(node))
    del proto.graph.node[:]
    proto.graph.node.extend(reversed(kept))
    model.constants = {key: value for key, value in model.constants.items() if key in needed}


def _check_numbers(model: Model) -> None:
    for key, value in model.constants.items():
        if value.dtype.kind == "f" and np.isnan(value).any():
            raise UserError(f"constant {key!r} contains NaN; weights must be finite")


def prepare(source: str | os.PathLike | bytes | onnx.ModelProto, batch: int = 1) -> Model:
    """Read ``source`` and make it concrete.

    Parameters
    ----------
    source : path, serialized model, or model
    batch : size of axis 0 of the inputs where the model leaves it open

    Raises
    ------
    UserError
        If the model cannot be read, is not valid, has inputs that are no float tensors, dynamic
        axes other than the batch, contradicting shapes, or constants that are NaN.
    """
    if batch < 1:
        raise UserError(f"batch must be at least 1, not {batch}")
    proto, name = _read(source)
    _check(proto, name)
    proto = _convert(proto, name)
    if proto.functions:
        proto = inliner.inline_selected_functions(proto, [(DOMAIN, NAME)], exclude=True)
    with_function(proto)
    inputs = _fix_inputs(proto, name, batch)
    model = Model(proto, inputs, [value.name for value in proto.graph.output])
    model.constants = {t.name: numpy_helper.to_array(t) for t in proto.graph.initializer}
    del proto.graph.initializer[:]
    _drop_unused(proto, model)
    _infer(proto, model, name)
    while _fold_constants(proto, model, name):
        _infer(proto, model, name)
    _drop_unused(proto, model)
    _check_numbers(model)

    size = sum(value.nbytes for value in map(np.asarray, model.constants.values()))
    if size >= _LIMIT:
        raise UserError(f"{name} has {size} bytes of weights; ONNX Runtime takes less than 2 GiB")

    given = [value for value in proto.graph.input if value.name in inputs]
    del proto.graph.input[:]
    proto.graph.input.extend(given)
    proto.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), key) for key, value in model.constants.items()
    )
    for key, value in model.constants.items():
        model.shapes[key] = np.shape(value)
        model.dtypes[key] = np.asarray(value).dtype
    return model
