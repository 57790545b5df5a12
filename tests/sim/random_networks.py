"""Random small networks and memories, for cores of any configuration."""

from math import prod

import numpy as np

from hw.diannao.config import Config
from sim.graph import Graph
from sim.memory import MemorySettings
from tests.compiler.networks import Network

__all__ = ["random_memory", "random_network"]

MOST_PRODUCTS = 60_000
"""Of a layer, so that it takes a few thousand cycles at most."""


def random_memory(rng: np.random.Generator) -> MemorySettings:
    """From faster than any port to much slower, with and without random pauses."""
    return MemorySettings(
        latency=int(rng.choice([1, 2, 5, 20, 100, 300])),
        bandwidth=int(rng.choice([1, 3, 8, 16, 64, 255])),
        stall=float(rng.choice([0, 0, 0.1, 0.5, 0.9])),
        seed=int(rng.integers(1, 1 << 31)),
    )


def random_network(config: Config, seed: int) -> Graph:
    """One to four layers of any kind; kernels, strides and halos of any shape."""
    net = Network(config, seed)
    rng = net.rng

    def draw(low: int, high: int) -> int:
        return int(rng.integers(low, high + 1))

    maps = [net.input(draw(1, 2), draw(1, 20), draw(1, 14), draw(1, 14))]
    for _ in range(draw(1, 4)):
        x = maps[draw(0, len(maps) - 1)]
        batch, channels, *extent = net.shape(x)
        kernel = (draw(1, min(5, extent[0])), draw(1, min(7, extent[1])))
        strides = (draw(1, 4), draw(1, 4))
        taps = channels * prod(kernel)
        fits = MOST_PRODUCTS // (batch * taps * prod(extent))
        match draw(0, 5):
            case 0 | 1 if taps <= config.max_reduction and fits:
                pads = (*(draw(0, k - 1) for k in kernel), *(draw(0, k - 1) for k in kernel))
                maps.append(net.conv(x, draw(1, min(24, fits)), kernel, strides, pads))
            case 2:
                pads = (*(draw(0, k // 2) for k in kernel), *(draw(0, k // 2) for k in kernel))
                kind = ("max", "average")[draw(0, 1)]
                include = kind == "average" and bool(draw(0, 1))
                maps.append(net.pool(x, kind, kernel, strides, pads, include))
            case 3:
                maps.append(
                    net.add(x, x if draw(0, 3) == 0 else net.pool(x, "max", (1, 1), (1, 1)))
                )
            case 4:
                same = [y for y in maps if net.shape(y)[2:] == net.shape(x)[2:]]
                maps.append(net.concat(x, same[draw(0, len(same) - 1)]))
            case 5 if channels * prod(extent) <= config.max_reduction:
                net.gemm(x, draw(1, 40))
    if len(maps) == 1 and len(net.nodes) == 0:
        net.pool(maps[0], "max", (1, 1), (1, 1))
    return net.graph()
