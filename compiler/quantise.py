"""Turn a float graph into the integers that golden evaluates and the core computes."""

import warnings
from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper, numpy_helper

from hw.arith.numbers import Table, bounds, compensation
from hw.diannao.config import Config
from hw.errors import UserError
from sim import graph as quantised
from sim import host

from .calibrate import Range, Runner, calibrate
from .compensate import layer_error, mean_low_bits
from .float_graph import (
    Add,
    Computation,
    Concat,
    Conv,
    FloatGraph,
    Gemm,
    Host,
    LocalConv,
    Mul,
    Node,
    Pool,
)
from .formats import argument_frac, largest_frac, preset_frac, tensor_fracs
from .functions import Function, Linear
from .tables import fit

__all__ = ["SaturationWarning", "quantise"]

_MOST_SHIFT = 63


class SaturationWarning(UserWarning):
    """Values of the network do not fit the number format and were limited."""


def quantise(
    graph: FloatGraph,
    samples: Mapping[str, np.ndarray],
    config: Config,
    *,
    preset: str | None = None,
) -> quantised.Graph:
    """Quantise ``graph`` for the core ``config``.

    Parameters
    ----------
    samples : calibration inputs by name, any number of them along axis 0
    preset : a format "Qm.n" for all tensors and weights; by default every tensor and every layer's
        weights get the fraction bits that suit their range

    Raises
    ------
    UserError
        If a layer's reduction is longer than the core's accumulator allows, the table has too few
        segments for an activation, or samples or preset are wrong.

    Warns
    -----
    SaturationWarning
        If weights, biases or calibrated tensors exceed the preset's range.
    """
    frac = None if preset is None else preset_frac(preset, config.width)
    runner = Runner(graph, samples)
    ranges = calibrate(graph, runner)
    fracs = tensor_fracs(graph, ranges, config.width, frac)
    low_bits = mean_low_bits(graph, runner, fracs, config.width, config.drop)
    return _Quantiser(graph, config, ranges, fracs, low_bits, frac).run()


class _Quantiser:
    def __init__(
        self,
        graph: FloatGraph,
        config: Config,
        ranges: dict[str, Range],
        fracs: dict[str, int],
        low_bits: dict[str, np.ndarray],
        preset: int | None,
    ):
        self.graph = graph
        self.config = config
        self.width = config.width
        self.ranges = ranges
        self.fracs = fracs
        self.low_bits = low_bits
        self.preset = preset

    def run(self) -> quantised.Graph:
        graph = self.graph
        for name, frac in self.fracs.items():
            self._check_range(name, frac)
        return quantised.Graph(
            name=graph.name,
            width=self.width,
            drop=self.config.drop,
            tensors={
                name: quantised.Tensor(name, tensor.shape, self.fracs.get(name), tensor.dtype.name)
                for name, tensor in graph.tensors.items()
            },
            inputs=list(graph.inputs),
            outputs=list(graph.outputs),
            nodes=[self._node(node) for node in graph.nodes],
        )

    def _check_range(self, name: str, frac: int) -> None:
        """Warn about a tensor that saturates during calibration."""
        low, high = self.ranges[self.graph.tensors[name].source]
        least, most = bounds(self.width)
        if round(low * 2.0**frac) < least or round(high * 2.0**frac) > most:
            warnings.warn(
                f"tensor {name!r} reaches {low:g} to {high:g} on the calibration samples, but "
                f"{self.width} bits with {frac} fraction bits hold {least * 2.0**-frac:g} to "
                f"{most * 2.0**-frac:g}; it will saturate",
                SaturationWarning,
                stacklevel=4,
            )

    def _integers(self, what: str, values: np.ndarray, frac: int, width: int) -> np.ndarray:
        integers, saturated = host.quantise(values, frac, width)
        if saturated:
            warnings.warn(
                f"{saturated} of {values.size} values of {what} do not fit {width} bits with "
                f"{frac} fraction bits and were limited",
                SaturationWarning,
                stacklevel=5,
            )
        return integers

    def _node(self, node: Node) -> quantised.Node:
        if isinstance(node, Conv | LocalConv | Gemm):
            return self._layer(node)
        if isinstance(node, Pool):
            return self._pool(node)
        if isinstance(node, Add):
            return self._add(node)
        if isinstance(node, Mul):
            return self._mul(node)
        if isinstance(node, Concat):
            return quantised.Concat(node.name, tuple(node.inputs), node.output)
        assert isinstance(node, Host), node
        return self._host(node)

    def _table(self, function: Function, argument: int, output: str) -> Table:
        return fit(
            function, input_frac=argument, output_frac=self.fracs[output], width=self.width,
            drop=self.config.drop, segments=self.config.segments,
        )  # fmt: skip

    def _argument_frac(self, node: Computation, most: int) -> int:
        if self.preset is not None:
            return min(self.preset, most)
        return argument_frac(
            node.function, self.ranges[node.raw], self.fracs[node.output], self.width, most
        )

    def _check_reduction(self, node: Node, length: int) -> None:
        if length > self.config.max_reduction:
            raise UserError(
                f"node {node.name!r} adds up {length} values; the core {self.config.name!r} holds "
                f"sums of at most {self.config.max_reduction} (max_reduction)"
            )

    def _layer(
        self, node: Conv | LocalConv | Gemm
    ) -> quantised.Conv | quantised.LocalConv | quantised.Gemm:
        taps = int(np.prod(node.weight.shape[1:4]))
        self._check_reduction(node, taps)
        input_frac = self.fracs[node.input]
        if self.preset is None:
            weight_frac, argument = self._layer_fracs(node, input_frac)
        else:
            weight_frac = self.preset
            argument = self._argument_frac(node, input_frac + weight_frac)
        sum_frac = input_frac + weight_frac
        weight = self._integers(
            f"the weights of {node.name!r}", node.weight, weight_frac, self.width
        ).astype(np.int32)
        bias = node.bias - self._mean_error(node, weight) * 2.0**-sum_frac
        common = {
            "name": node.name,
            "input": node.input,
            "output": node.output,
            "weight": weight,
            "bias": self._integers(f"the biases of {node.name!r}", bias, sum_frac, 2 * self.width),
            "shift": sum_frac - argument,
            "table": self._table(node.function, argument, node.output),
        }
        if isinstance(node, Conv):
            return quantised.Conv(
                **common, strides=node.strides, pads=node.pads, groups=node.groups
            )
        if isinstance(node, LocalConv):
            return quantised.LocalConv(**common, strides=node.strides, pads=node.pads)
        return quantised.Gemm(**common)

    def _mean_error(self, node: Conv | LocalConv | Gemm, weight: np.ndarray) -> np.ndarray | float:
        """What truncation adds to the layer's sums on average, in units of the sums."""
        if self.config.drop == 0:
            return 0.0
        groups = 1
        if isinstance(node, Conv):
            rows, columns = (self._inside(node, axis).mean(axis=1) for axis in (0, 1))
            inside = np.outer(rows, columns)
            groups = node.groups
        elif isinstance(node, LocalConv):
            rows, columns = (self._inside(node, axis) for axis in (0, 1))
            inside = rows[:, None, :, None] & columns[None, :, None, :]
        else:
            inside = np.ones(self.graph.tensors[node.input].shape[2:])
        return layer_error(
            weight, self.low_bits[node.input], inside, self.width, self.config.drop, groups
        )

    def _inside(self, node: Conv | LocalConv, axis: int) -> np.ndarray:
        """For each tap along an axis and each output, whether it meets the input."""
        size = self.graph.tensors[node.input].shape[2 + axis]
        count = self.graph.tensors[node.output].shape[2 + axis]
        start = np.arange(count) * node.strides[axis] - node.pads[axis]
        position = start[None, :] + np.arange(node.weight.shape[2 + axis])[:, None]
        return (position >= 0) & (position < size)

    def _layer_fracs(self, node: Conv | LocalConv | Gemm, input_frac: int) -> tuple[int, int]:
        """Fraction bits of the weights and of the argument of the activation."""
        span = (float(node.weight.min()), float(node.weight.max()))
        weight_frac = largest_frac(span, self.width)
        # The bias word also takes back the mean error of truncated products, and their compensation
        # constants where they only fill up the core's lanes: leave room for both.
        kernel = int(np.prod(node.weight.shape[2:4]))
        padding = 4 * int(np.prod(node.weight.shape[1:4])) + 3 * kernel * self.config.ti
        room = bounds(2 * self.width)[1] - padding * abs(compensation(self.width, self.config.drop))
        reach = float(np.abs(node.bias).max())
        while reach * 2.0 ** (input_frac + weight_frac) > room:
            weight_frac -= 1
        argument = self._argument_frac(node, input_frac + weight_frac)
        return min(weight_frac, _MOST_SHIFT + argument - input_frac), argument

    def _pool(self, node: Pool) -> quantised.Pool:
        frac = self.fracs[node.input]
        if node.kind == "max":
            scales = {1: (0, self._table(node.function, frac, node.output))}
        else:
            self._check_reduction(node, int(np.prod(node.kernel)))
            scales = {count: self._average(node, count) for count in self._divisors(node)}
        return quantised.Pool(
            name=node.name, input=node.input, output=node.output, kind=node.kind,
            kernel=node.kernel, strides=node.strides, pads=node.pads,
            count_include_pad=node.count_include_pad, scales=scales,
        )  # fmt: skip

    def _average(self, node: Pool, count: int) -> tuple[int, Table]:
        """Shift and table for windows of ``count`` elements."""
        frac = self.fracs[node.input]
        function = Function((Linear(1 / count),)).then(node.function)
        low, high = self.ranges[node.raw]
        output_frac = self.fracs[node.output]
        span = (low * count, high * count)
        argument = argument_frac(function, span, output_frac, self.width, frac)
        return frac - argument, self._table(function, argument, node.output)

    def _divisors(self, node: Pool) -> list[int]:
        """All numbers of elements that a window of ``node`` is divided by."""
        extents = []
        for axis in (0, 1):
            size = self.graph.tensors[node.input].shape[2 + axis]
            count = self.graph.tensors[node.output].shape[2 + axis]
            before, after = node.pads[axis], node.pads[axis + 2]
            first, last = (-before, size + after) if node.count_include_pad else (0, size)
            start = np.arange(count) * node.strides[axis] - before
            end = start + node.kernel[axis]
            extents.append(np.minimum(end, last) - np.maximum(start, first))
        return [int(count) for count in np.unique(np.outer(*extents))]

    def _add(self, node: Add) -> quantised.Add:
        first, second = (self.fracs[name] for name in node.inputs)
        # The larger the constants, the less of the products a truncated multiplier leaves out.
        sum_frac = min(first, second) + self.width - 2
        argument = self._argument_frac(node, sum_frac)
        function = node.function
        # Nothing is dropped from products with powers of two, so their compensation is an error.
        error = 2 * compensation(self.width, self.config.drop) * 2.0**-sum_frac
        if error >= 0.5 * 2.0**-argument:
            function = Function((Linear(offset=-error),)).then(function)
        return quantised.Add(
            name=node.name, inputs=(node.inputs[0], node.inputs[1]), output=node.output,
            multipliers=(1 << (sum_frac - first), 1 << (sum_frac - second)),
            shift=sum_frac - argument, table=self._table(function, argument, node.output),
        )  # fmt: skip

    def _mul(self, node: Mul) -> quantised.Mul:
        sum_frac = sum(self.fracs[name] for name in node.inputs)
        argument = max(self._argument_frac(node, sum_frac), sum_frac - _MOST_SHIFT)
        return quantised.Mul(
            name=node.name, inputs=(node.inputs[0], node.inputs[1]), output=node.output,
            shift=sum_frac - argument, table=self._table(node.function, argument, node.output),
        )  # fmt: skip

    def _host(self, node: Host) -> quantised.Host:
        def describe(name: str) -> onnx.ValueInfoProto:
            tensor = self.graph.tensors[name]
            kind = helper.np_dtype_to_tensor_dtype(tensor.dtype)
            return helper.make_tensor_value_info(name, kind, tensor.shape)

        proto = onnx.helper.make_graph(
            [node.proto], node.name, [describe(name) for name in node.inputs],
            [describe(name) for name in node.outputs],
            [numpy_helper.from_array(np.asarray(v), k) for k, v in node.constants.items()],
        )  # fmt: skip
        model = helper.make_model(
            proto,
            opset_imports=list(self.graph.model.opset_import),
            ir_version=self.graph.model.ir_version,
            functions=list(self.graph.model.functions),
        )
        return quantised.Host(node.name, tuple(node.inputs), tuple(node.outputs), model, op=node.op)
