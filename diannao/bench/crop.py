"""Cropping: a layer that is too long for RTL, with fewer outputs in x and y."""

from compiler.bound import bound_cycles, layer_of
from hw.diannao.config import Config
from sim.program import Layer

from .graphs import graph_of
from .layers import Benchmark

__all__ = ["bound_of", "bytes_of", "crop"]


def _layer(benchmark: Benchmark, config: Config) -> Layer:
    graph = graph_of(benchmark, config)
    return layer_of(graph.nodes[0], 0, graph, config)  # type: ignore[arg-type]


def bound_of(benchmark: Benchmark, config: Config) -> float:
    """The layer's lower bound in cycles."""
    return bound_cycles(_layer(benchmark, config), config, benchmark.memory.bandwidth)


def bytes_of(benchmark: Benchmark, config: Config) -> int:
    """Bytes of the layer's inputs, weights, biases and outputs."""
    return sum(_layer(benchmark, config).bytes.values())


def crop(benchmark: Benchmark, config: Config, most: float) -> Benchmark:
    """The largest crop of the outputs' proportions whose bound is at most ``most`` cycles.

    A layer within it, and one without x and y, stays as it is.
    """
    height, width = benchmark.output_size
    rows, columns = height, width
    cut = benchmark
    while bound_of(cut, config) > most and rows > 1:
        rows -= 1
        columns = max(1, round(width * rows / height))
        cut = benchmark.cropped(rows, columns)
    return cut
