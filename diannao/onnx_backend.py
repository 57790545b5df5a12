"""The interface that ONNX defines for whoever runs its models: ``onnx.backend.base.Backend``.

>>> from diannao import onnx_backend
>>> rep = onnx_backend.prepare(model, config="fpga-8x8")
>>> (scores,) = rep.run([images])
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import defs, helper, numpy_helper, shape_inference
from onnx.backend.base import Backend, BackendRep, namedtupledict

from compiler.frontend import load
from compiler.model import free_names
from hw.errors import UserError

from .session import Session

__all__ = [
    "DiannaoBackend",
    "DiannaoRep",
    "is_compatible",
    "prepare",
    "run_model",
    "run_node",
    "supports_device",
]

_ALL_DATA = frozenset("Add And Concat Div Equal Max Mean Min Mul Or Pow Sub Sum Xor".split())
"""Operators whose inputs are all alike; of any other, those after the first are parameters."""

Inputs = np.ndarray | Sequence[np.ndarray] | Mapping[str, np.ndarray]


class DiannaoRep(BackendRep):
    """A prepared model.

    A graph input that is nothing but a parameter of operators (a weight, a bias, a shape) becomes a
    constant: the core keeps its weights in the program. Other values for it compile the model anew.

    Parameters
    ----------
    model : what to run
    options : of ``Session``, such as ``config``, ``target`` and ``calibration``

    Attributes
    ----------
    inputs : names of all inputs, in the order in which ``run`` takes them
    parameters : those of them that become constants
    """

    def __init__(self, model: onnx.ModelProto, **options: Any):
        self._model = model
        self._options = options
        constant = {tensor.name for tensor in model.graph.initializer}
        self.inputs = [value.name for value in model.graph.input if value.name not in constant]
        self.parameters = _parameters(model.graph, self.inputs)
        self._bound: dict[str, np.ndarray] = {}
        self._session: Session | None = None
        if not self.parameters:
            self._open({})

    def run(self, inputs: Inputs, **_kwargs: Any) -> tuple[np.ndarray, ...]:
        """The outputs, as a tuple that also takes their names.

        The inputs of the first run decide the number formats, unless there is a ``calibration``.

        Parameters
        ----------
        inputs : arrays in the order of the graph's inputs, or by name; a single array if there is
            but one

        Raises
        ------
        UserError
            If an input does not fit the model, or the model the core.
        """
        feed = self._feed(inputs)
        bound = {name: np.asarray(feed.pop(name)) for name in self.parameters if name in feed}
        if self._session is None or not _same(bound, self._bound):
            self._open(bound)
        assert self._session is not None
        names = [value.name for value in self._session.get_outputs()]
        return namedtupledict("Outputs", names)(*self._session.run(None, feed))

    @property
    def report(self) -> dict[str, Any]:
        """What the runs since the last compilation did, see ``Session.report``."""
        if self._session is None:
            raise UserError("there is no report before the first run")
        return self._session.report

    def close(self) -> None:
        """End the simulation."""
        if self._session is not None:
            self._session.close()

    def _feed(self, inputs: Inputs) -> dict[str, np.ndarray]:
        if isinstance(inputs, Mapping):
            return dict(inputs)
        arrays = [inputs] if isinstance(inputs, np.ndarray) else list(inputs)
        if len(arrays) != len(self.inputs):
            raise UserError(
                f"expected {len(self.inputs)} inputs ({', '.join(self.inputs)}), not {len(arrays)}"
            )
        return dict(zip(self.inputs, arrays, strict=True))

    def _open(self, bound: dict[str, np.ndarray]) -> None:
        """A session with the parameters as initializers."""
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        kept = [value for value in model.graph.input if value.name not in bound]
        del model.graph.input[:]
        model.graph.input.extend(kept)
        model.graph.initializer.extend(
            numpy_helper.from_array(value, name) for name, value in bound.items()
        )
        self.close()
        self._session = Session(model, **self._options)
        self._bound = {name: value.copy() for name, value in bound.items()}


class DiannaoBackend(Backend):
    """ONNX models on a generated core.

    ``prepare``, ``run_model`` and ``run_node`` take the options of ``diannao.Session`` as further
    arguments. The only device is "CPU", on which the simulation runs.
    """

    @classmethod
    def is_compatible(cls, model: onnx.ModelProto, device: str = "CPU", **_kwargs: Any) -> bool:
        """Whether the model can be run, be it with operators on the host."""
        try:
            load(model)
        except UserError:
            return False
        return cls.supports_device(device)

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> DiannaoRep:
        """A session for ``model``, to be run many times."""
        _check_device(device)
        return DiannaoRep(model, **kwargs)

    @classmethod
    def run_model(
        cls, model: onnx.ModelProto, inputs: Inputs, device: str = "CPU", **kwargs: Any
    ) -> tuple[np.ndarray, ...]:
        """Outputs of one run of ``model``."""
        rep = cls.prepare(model, device, **kwargs)
        try:
            return rep.run(inputs)
        finally:
            rep.close()

    @classmethod
    def run_node(
        cls,
        node: onnx.NodeProto,
        inputs: Inputs,
        device: str = "CPU",
        outputs_info: Sequence[tuple[np.dtype, tuple[int, ...]]] | None = None,
        **kwargs: Any,
    ) -> tuple[np.ndarray, ...]:
        """Outputs of one run of an operator.

        ``outputs_info``, which ONNX allows to give, is inferred from the inputs instead;
        ``opset_version`` is the version of the operator's definition (default: the newest).
        """
        opset = kwargs.pop("opset_version", defs.onnx_opset_version())
        names = [name for name in node.input if name]
        if not isinstance(inputs, Mapping):
            arrays = [inputs] if isinstance(inputs, np.ndarray) else inputs
            if len(arrays) != len(names):
                raise UserError(
                    f"operator {node.op_type!r} reads {len(names)} tensors ({', '.join(names)}), "
                    f"not {len(arrays)}"
                )
            inputs = dict(zip(names, arrays, strict=True))
        return cls.run_model(_model_of(node, inputs, opset), inputs, device, **kwargs)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether ``device`` is "CPU"."""
        return device.partition(":")[0] == "CPU"


def _check_device(device: str) -> None:
    if not DiannaoBackend.supports_device(device):
        raise UserError(f"device must be CPU, not {device!r}")


def _parameters(graph: onnx.GraphProto, inputs: list[str]) -> list[str]:
    """Inputs that are only read as parameters of operators."""
    parameters, data = set(), {value.name for value in graph.output}
    for node in graph.node:
        first = 0 if node.op_type in _ALL_DATA else 1
        behind = set() if first == 0 else set(node.input[1:]) - set(node.input[:1])
        parameters |= behind
        data |= set(free_names(node)) - behind
    return [name for name in inputs if name in parameters - data]


def _same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    return first.keys() == second.keys() and all(
        value.dtype == second[name].dtype and np.array_equal(value, second[name])
        for name, value in first.items()
    )


def _model_of(
    node: onnx.NodeProto, inputs: Mapping[str, np.ndarray], opset: int
) -> onnx.ModelProto:
    """A model of one operator, with the shapes and types that ``inputs`` have."""

    def type_of(value: np.ndarray) -> onnx.TypeProto:
        kind = helper.np_dtype_to_tensor_dtype(np.asarray(value).dtype)
        return helper.make_tensor_type_proto(kind, np.shape(value))

    types = {name: type_of(value) for name, value in inputs.items()}
    opsets = [helper.make_opsetid(node.domain, opset)]
    try:
        outputs = shape_inference.infer_node_outputs(
            defs.get_schema(node.op_type, opset, node.domain), node, types,
            {name: numpy_helper.from_array(np.asarray(value), name)
             for name, value in inputs.items()},
            opset_imports=opsets,
        )  # fmt: skip
    except (defs.SchemaError, shape_inference.InferenceError) as error:
        raise UserError(f"operator {node.op_type!r} cannot take these inputs: {error}") from error
    graph = helper.make_graph(
        [node], node.name or node.op_type,
        [helper.make_value_info(name, kind) for name, kind in types.items()],
        [helper.make_value_info(name, kind) for name, kind in outputs.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=opsets)


is_compatible = DiannaoBackend.is_compatible
prepare = DiannaoBackend.prepare
run_model = DiannaoBackend.run_model
run_node = DiannaoBackend.run_node
supports_device = DiannaoBackend.supports_device
