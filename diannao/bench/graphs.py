"""A benchmark layer as a quantised graph."""

from collections.abc import Callable
from dataclasses import replace
from math import prod

import numpy as np

from hw.arith.numbers import Table, bounds, compensation
from hw.diannao.config import Config
from sim.graph import Conv, Gemm, Graph, LocalConv, Pool, Tensor

from .layers import Benchmark

__all__ = ["Numbers", "fitted", "graph_of", "random_numbers", "zeros"]

Numbers = Callable[[int, tuple[int, ...]], np.ndarray]
"""Makes integers of so many bits, in an array of this shape."""


def _dtype(bits: int) -> np.dtype:
    return np.min_scalar_type(bounds(bits)[0])


def random_numbers(seed: int) -> Numbers:
    """Uniform numbers over the whole range, in the smallest type that holds it."""
    rng = np.random.default_rng(seed)

    def numbers(bits: int, shape: tuple[int, ...]) -> np.ndarray:
        low, high = bounds(bits)
        return rng.integers(low, high, shape, dtype=_dtype(bits), endpoint=True)

    return numbers


def zeros(bits: int, shape: tuple[int, ...]) -> np.ndarray:
    """Zeros that take no memory, for a graph of which only the shapes matter."""
    return np.broadcast_to(np.zeros((), dtype=_dtype(bits)), shape)


def fitted(benchmark: Benchmark, config: Config) -> Benchmark:
    """The paper's program in the size of the core's buffers; any other layer as it is.

    Its inputs are eight chunks of NBin's size, its outputs as many groups as NBout and the bias
    buffer hold, sixteen at most: 8192 and 256 on the paper's core.
    """
    if benchmark.kind != "program":
        return benchmark
    groups = min(16, config.nbout_rows, config.bias_rows)
    return replace(benchmark, inputs=8 * config.nbin_elements, outputs=groups * config.tn)


def graph_of(benchmark: Benchmark, config: Config, numbers: Numbers = zeros) -> Graph:
    """The layer as a graph of one node, with the identity as activation.

    Sums are spread over the range of the outputs with ``random_numbers``; few saturate.
    """
    batch, width = benchmark.batch, config.width
    flat = benchmark.kind in ("classifier", "program")
    source = (batch, benchmark.inputs, *(() if flat else benchmark.size))
    target = (batch, benchmark.outputs, *(() if flat else benchmark.output_size))
    tensors = {"x": Tensor("x", source, 0), "y": Tensor("y", target, 0)}
    node = _node(benchmark, config, numbers)
    return Graph(benchmark.name, width, config.drop, tensors, ["x"], ["y"], [node])


def _node(benchmark: Benchmark, config: Config, numbers: Numbers) -> Conv | LocalConv | Gemm | Pool:
    name, width = benchmark.name, config.width
    strides = (benchmark.stride, benchmark.stride)
    pads = (benchmark.padding, benchmark.padding, benchmark.padding, benchmark.padding)
    slope = 1 << (width - 2)
    table = Table((), (slope,), (-compensation(width, config.drop),), width - 2)
    if benchmark.kind == "pool":
        return Pool(name, "x", "y", "max", benchmark.kernel, strides, pads, False, {1: (0, table)})
    # Biases leave room for what idle multipliers add, which the compiler takes off them.
    taps = benchmark.inputs * prod(benchmark.kernel)
    shift = width - 1 + (taps // 4).bit_length() // 2
    if benchmark.kind == "private":
        extent = benchmark.output_size
        weight = numbers(width, (benchmark.outputs, benchmark.inputs, *benchmark.kernel, *extent))
        bias = numbers(2 * width - 2, (benchmark.outputs, *extent))
        return LocalConv(name, "x", "y", weight, bias, strides, pads, shift, table)
    bias = numbers(2 * width - 2, (benchmark.outputs,))
    if benchmark.kind in ("classifier", "program"):
        weight = numbers(width, (benchmark.outputs, benchmark.inputs))
        return Gemm(name, "x", "y", weight, bias, shift, table)
    weight = numbers(width, (benchmark.outputs, benchmark.inputs, *benchmark.kernel))
    return Conv(name, "x", "y", weight, bias, strides, pads, shift, table)
