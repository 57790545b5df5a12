"""Cropping: a layer that is too long for RTL, with fewer outputs in x and y."""

from compiler.bound import bound_cycles, layer_of
from hw.diannao.config import Config

from .graphs import graph_of
from .layers import Benchmark

__all__ = ["bound_of", "crop"]


def bound_of(benchmark: Benchmark, config: Config) -> float:
    """The layer's lower bound in cycles."""
    graph = graph_of(benchmark, config)
    layer = layer_of(graph.nodes[0], 0, graph, config)  # type: ignore[arg-type]
    return bound_cycles(layer, config, benchmark.memory.bandwidth)


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
