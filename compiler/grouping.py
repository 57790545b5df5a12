"""Grouped convolutions as ordinary ones over slices of the channels."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hw.arith.numbers import compensation
from hw.diannao.config import Config
from sim.graph import Conv

from .parameters import adjusted_bias
from .split import split

__all__ = ["Slice", "slices_of"]


@dataclass(frozen=True)
class Slice:
    """An ordinary convolution of ``channels`` inputs from ``first_channel`` on, likewise outputs.

    ``weight`` (O, C, Kh, Kw), ``bias`` (O,)
    """

    first_channel: int
    first_output: int
    weight: np.ndarray
    bias: np.ndarray

    @property
    def channels(self) -> int:
        return self.weight.shape[1]

    @property
    def outputs(self) -> int:
        return self.weight.shape[0]


def slices_of(node: Conv, config: Config) -> Iterator[Slice]:
    """Ordinary convolutions that together are ``node``.

    Small groups go together, with synapses of zero between what they do not share, because lanes
    without work would be lost anyway: 16 maps of a depthwise convolution are a block diagonal.
    """
    outputs, channels, *kernel = node.weight.shape
    outputs //= node.groups
    most = _together(node.groups, channels, outputs, config)
    for first, count in split(node.groups, most):
        own = slice(first * outputs, (first + count) * outputs)
        weight = np.zeros((count, outputs, count, channels, *kernel), dtype=node.weight.dtype)
        for k, group in enumerate(np.split(node.weight[own], count)):
            weight[k, :, k] = group
        idle = (count - 1) * channels * int(np.prod(kernel))
        yield Slice(
            first * channels,
            first * outputs,
            weight.reshape(count * outputs, count * channels, *kernel),
            adjusted_bias(
                node.bias[own], idle, compensation(config.width, config.drop), config, node.name
            ),
        )


def _together(groups: int, channels: int, outputs: int, config: Config) -> int:
    """How many groups to put together: few steps, then few weights."""

    def steps(count: int) -> int:
        per_slice = -(-count * outputs // config.tn) * -(-count * channels // config.ti)
        return -(-groups // count) * per_slice

    return min(range(1, groups + 1), key=steps)
