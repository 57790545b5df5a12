"""Golden model: a quantised graph, evaluated layer by layer on integers.

What this model says is right by definition. It knows nothing of tiles, buffers or programs, and
shares only the number formats (``hw.arith.numbers``) with what it judges.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import prod

import numpy as np

from hw.arith.numbers import (
    Table,
    bounds,
    compensation,
    interpolate,
    requantise,
    saturate,
    truncated_product,
)

from . import host
from .graph import Add, Concat, Conv, Gemm, Graph, Host, LocalConv, Mul, Pool

__all__ = ["Result", "run"]

_CHUNK = 1 << 22
"""Elements of the largest intermediate matrix (32 MiB as float64)."""


@dataclass
class Result:
    """What golden computed.

    Parameters
    ----------
    tensors : every tensor of the graph by name: int64, or the host's type where ``frac`` is None
    saturated : tensors by name with the number of elements that had to be clipped to the number
        range when they were written; those without any are not listed
    saturated_sums : the same for the sums on their way into the activation, under the name of the
        layer's output; without those beyond an end where the activation is flat, as that of a
        sigmoid or the lower one of Relu, which are none the worse for it
    """

    tensors: dict[str, np.ndarray] = field(default_factory=dict)
    saturated: dict[str, int] = field(default_factory=dict)
    saturated_sums: dict[str, int] = field(default_factory=dict)


def run(graph: Graph, inputs: dict[str, np.ndarray]) -> Result:
    """Evaluate ``graph``.

    Parameters
    ----------
    graph : quantised network
    inputs : one array per graph input, of the tensor's shape: integers of ``graph.width`` bits
        where the tensor has a ``frac``, the host's values otherwise

    Raises
    ------
    ValueError
        If an input is missing, unknown, of another shape, not an integer or out of range.
    """
    if set(inputs) != set(graph.inputs):
        raise ValueError(f"inputs must be {sorted(graph.inputs)}, not {sorted(inputs)}")
    result = Result()
    for name, value in inputs.items():
        result.tensors[name] = _checked_input(graph, name, np.asarray(value))
    for node in graph.nodes:
        _evaluate(graph, node, result)
    return result


def _checked_input(graph: Graph, name: str, value: np.ndarray) -> np.ndarray:
    tensor = graph.tensors[name]
    if value.shape != tensor.shape:
        raise ValueError(f"input {name!r} must have shape {tensor.shape}, not {value.shape}")
    if tensor.frac is None:
        return value
    if value.dtype.kind not in "iu":
        raise ValueError(f"input {name!r} must be of integers, not of {value.dtype}")
    low, high = bounds(graph.width)
    if value.size and not low <= value.min() <= value.max() <= high:
        raise ValueError(
            f"input {name!r} must be within {low} to {high}, not {value.min()} to {value.max()}"
        )
    return value.astype(np.int64)


def _evaluate(graph: Graph, node, result: Result) -> None:
    """Compute the outputs of one node into ``result``."""
    tensors = result.tensors
    if isinstance(node, Host):
        outputs, saturated = host.evaluate(node, graph, tensors)
        tensors.update(outputs)
        result.saturated.update({name: count for name, count in saturated.items() if count})
        return
    if isinstance(node, Concat):
        fracs = {graph.tensors[name].frac for name in (*node.inputs, node.output)}
        if len(fracs) != 1:
            raise ValueError(f"tensors of {node.name!r} must have equal frac, not {fracs}")
        output = np.concatenate([tensors[name] for name in node.inputs], axis=1)
    elif isinstance(node, Pool):
        output = _pool(graph, node, result)
    else:
        if isinstance(node, Conv):
            sums = _conv(node, tensors[node.input], graph.width, graph.drop)
        elif isinstance(node, LocalConv):
            sums = _local(node, tensors[node.input], graph.width, graph.drop)
        elif isinstance(node, Gemm):
            sums = _gemm(node, tensors[node.input], graph.width, graph.drop)
        elif isinstance(node, Add):
            a, b = (
                truncated_product(tensors[name], np.asarray(factor), graph.width, graph.drop)
                for name, factor in zip(node.inputs, node.multipliers, strict=True)
            )
            sums = a + b
        elif isinstance(node, Mul):
            a, b = (tensors[name] for name in node.inputs)
            sums = truncated_product(a, b, graph.width, graph.drop)
        else:
            raise TypeError(f"golden has no operator {type(node).__name__}")
        output = _finish(graph, sums, node.shift, node.table, node.output, result)
    if output.shape != graph.tensors[node.output].shape:
        raise ValueError(
            f"{node.name!r} makes shape {output.shape}, "
            f"but {node.output!r} is declared with {graph.tensors[node.output].shape}"
        )
    tensors[node.output] = output


def _finish(
    graph: Graph, sums: np.ndarray, shift: int, table: Table, name: str, result: Result
) -> np.ndarray:
    """From exact sums to the outputs: requantise, activate, requantise; counts what is clipped."""
    low, high = bounds(graph.width)

    def narrow(
        value: np.ndarray, shift: int, count: dict[str, int], flat: tuple[bool, bool]
    ) -> np.ndarray:
        rounded = requantise(value, shift, 64)
        below, above = (rounded < low) & (not flat[0]), (rounded > high) & (not flat[1])
        changed = int(np.count_nonzero(below | above))
        if changed:
            count[name] = count.get(name, 0) + changed
        return saturate(rounded, graph.width)

    x = narrow(sums, shift, result.saturated_sums, _flat_ends(table, low, high))
    y = interpolate(x, table, graph.width, graph.drop)
    return narrow(y, table.shift, result.saturated, (False, False))


_FLAT = 128
"""An end of an activation is flat if the steepest segment is at least this times as steep."""


def _flat_ends(table: Table, low: int, high: int) -> tuple[bool, bool]:
    """Whether the activation is flat at its lower and upper end."""
    steepest = max(map(abs, table.a))
    ends = (~low if table.mirror is not None else low, high)
    slopes = (abs(table.a[bisect_right(table.breakpoints, end)]) for end in ends)
    lower, upper = (_FLAT * slope <= steepest for slope in slopes)
    return lower, upper


# Truncated matrix products


def _exact_matmul(a: np.ndarray, b: np.ndarray, largest: int) -> np.ndarray:
    """Integer matrix product by floating-point BLAS, with |product of two elements| <= ``largest``.

    Axes before the last two are those of a stack of matrices.

    Sums of integers are exact in floating point while they stay within the mantissa, whatever the
    order of the additions; longer reductions are cut where they could leave it.
    """
    length = a.shape[-1]
    dtype, limit = (np.float32, 1 << 24) if length * largest <= 1 << 24 else (np.float64, 1 << 53)
    piece = limit // largest
    total = np.zeros((*a.shape[:-1], b.shape[-1]), dtype=np.int64)
    for start in range(0, length, piece):
        cut = slice(start, start + piece)
        total += (a[..., cut].astype(dtype) @ b[..., cut, :].astype(dtype)).astype(np.int64)
    return total


def _truncated_matmul(w: np.ndarray, x: np.ndarray, width: int, drop: int) -> np.ndarray:
    """``sum_k T(x[k, p], w[o, k])`` for (O, K) weights and (K, P) neurons, as (O, P), or stacks.

    T is linear in the neuron's low bits once the weight's bit j selects them, so what the
    multipliers leave out of a whole matrix product is one matrix product per dropped column.
    """
    total = _exact_matmul(w, x, 1 << (2 * width - 2))
    for j in range(drop):
        mask = (1 << (drop - j)) - 1
        lost = _exact_matmul((w >> j) & 1, x & mask, mask) << j
        total += lost if j == width - 1 else -lost
    return total + w.shape[-1] * compensation(width, drop)


def _products(
    weight: np.ndarray, columns: Callable[[], Iterator[np.ndarray]], width: int, drop: int
) -> np.ndarray:
    """(O, P) truncated products of (O, K) weights with the (K, P) matrix that ``columns`` yields.

    ``columns`` yields the matrix in pieces of some columns; the weights are taken some rows at a
    time, so that neither is needed in floating point as a whole. Both may be stacks of matrices.
    """
    *stack, outputs, length = weight.shape
    rows = max(1, _CHUNK // prod([*stack, length]))
    return np.concatenate(
        [
            np.concatenate(
                [_truncated_matmul(w, x, width, drop) for x in columns()],
                axis=-1,
            )
            for w in (
                weight[..., start : start + rows, :].astype(np.int32)
                for start in range(0, outputs, rows)
            )
        ],
        axis=-2,
    )


# Operators


def _gemm(node: Gemm, x: np.ndarray, width: int, drop: int) -> np.ndarray:
    flat = x.reshape(x.shape[0], -1)
    sums = _products(node.weight, lambda: iter([flat.T]), width, drop).T
    return sums + node.bias.astype(np.int64)


def _windows(node: Conv | LocalConv, x: np.ndarray, kh: int, kw: int) -> np.ndarray:
    """The neurons that each output sees: (N, C, H, W, Kh, Kw)."""
    top, left, bottom, right = node.pads
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kh, kw), axis=(2, 3))
    return windows[:, :, :: node.strides[0], :: node.strides[1]]


def _conv(node: Conv, x: np.ndarray, width: int, drop: int) -> np.ndarray:
    """One matrix product for every group."""
    outputs, channels, kh, kw = node.weight.shape
    windows = _windows(node, x, kh, kw)
    batch, all_channels, height, breadth = windows.shape[:4]
    taps = channels * kh * kw
    images = max(1, _CHUNK // (all_channels * kh * kw * height * breadth))
    rows = max(1, _CHUNK // (all_channels * kh * kw * breadth))

    def columns() -> Iterator[np.ndarray]:
        for n in range(0, batch, images):
            for y in range(0, height, rows):
                piece = windows[n : n + images, :, y : y + rows]  # (images, C, rows, W, Kh, Kw)
                yield piece.transpose(1, 4, 5, 0, 2, 3).reshape(node.groups, taps, -1)

    weight = node.weight.reshape(node.groups, outputs // node.groups, taps)
    sums = _products(weight, columns, width, drop)
    sums = sums.reshape(outputs, batch, height, breadth).transpose(1, 0, 2, 3)
    return sums + node.bias.astype(np.int64)[:, None, None]


def _local(node: LocalConv, x: np.ndarray, width: int, drop: int) -> np.ndarray:
    """One small matrix product for every output position, a part of an output row at a time."""
    outputs, channels, kh, kw, height, breadth = node.weight.shape
    windows = _windows(node, x, kh, kw)
    taps = channels * kh * kw
    columns = max(1, _CHUNK // (taps * max(outputs, len(x))))
    sums = np.empty((len(x), outputs, height, breadth), dtype=np.int64)
    for y in range(height):
        for start in range(0, breadth, columns):
            cut = slice(start, start + columns)
            weight = node.weight[..., y, cut].reshape(outputs, taps, -1).transpose(2, 0, 1)
            neurons = windows[:, :, y, cut].transpose(2, 1, 3, 4, 0).reshape(-1, taps, len(x))
            products = _truncated_matmul(weight.astype(np.int32), neurons, width, drop)
            sums[:, :, y, cut] = products.transpose(2, 1, 0)
    return sums + node.bias.astype(np.int64)


def _pool(graph: Graph, node: Pool, result: Result) -> np.ndarray:
    x = result.tensors[node.input]
    x = x.reshape((*x.shape, 1, 1)[:4])  # a tensor (N, F) counts as (N, F, 1, 1)
    height, width = x.shape[2:]
    shape = graph.tensors[node.output].shape
    out_height, out_width = (*shape, 1, 1)[2:4]
    (kh, kw), (sy, sx), (top, left, bottom, right) = node.kernel, node.strides, node.pads

    # Positions that windows can reach but the input does not have hold a neutral element.
    neutral = bounds(graph.width)[0] if node.kind == "max" else 0
    reach_y, reach_x = (out_height - 1) * sy + kh, (out_width - 1) * sx + kw
    canvas = np.full(
        (*x.shape[:2], max(reach_y, top + height), max(reach_x, left + width)), neutral
    )
    canvas[:, :, top : top + height, left : left + width] = x
    combine = np.maximum if node.kind == "max" else np.add
    sums = np.full((*x.shape[:2], out_height, out_width), neutral)
    for y in range(kh):
        for z in range(kw):
            combine(
                sums,
                canvas[:, :, y : y + sy * (out_height - 1) + 1 : sy,
                             z : z + sx * (out_width - 1) + 1 : sx],
                out=sums,
            )  # fmt: skip

    def extent(count: int, kernel: int, stride: int, first: int, last: int) -> np.ndarray:
        """Positions within first..last-1 of each of ``count`` windows, the input starting at 0."""
        start = np.arange(count) * stride
        return np.minimum(start + kernel, last) - np.maximum(start, first)

    inside = np.outer(
        extent(out_height, kh, sy, top, top + height).clip(0),
        extent(out_width, kw, sx, left, left + width).clip(0),
    )
    if not inside.all():
        raise ValueError(f"{node.name!r} has windows without any input position")
    if node.kind == "max":
        divisors = np.ones_like(inside)
    elif node.count_include_pad:
        divisors = np.outer(
            extent(out_height, kh, sy, 0, top + height + bottom),
            extent(out_width, kw, sx, 0, left + width + right),
        )
    else:
        divisors = inside
    output = np.empty_like(sums)
    for divisor in np.unique(divisors):
        shift, table = node.scales[int(divisor)]
        at = divisors == divisor
        output[:, :, at] = _finish(graph, sums[:, :, at], shift, table, node.output, result)
    return output.reshape(shape)
