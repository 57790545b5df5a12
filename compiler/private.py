"""Locally connected convolutions, the paper's private kernels: weights that no position shares.

Every weight is used once per image, so memory sets the pace, and SB, which must have room for what
is on its way, had better not hold idle lanes. If there are at most half as many outputs as neurons,
neighbours in x share its rows: to the machine they are the outputs of one pixel with a wider kernel
whose synapses are zero beyond each one's own window. Their results are neighbours in memory anyway.
"""

from dataclasses import dataclass, replace

import numpy as np

from hw.arith.numbers import compensation
from hw.diannao.config import Config
from sim.graph import LocalConv
from sim.memory import MemorySettings

from .blocks import Block, Convolution
from .conv import normal
from .emitter import Emitter
from .generator import Generator
from .maps import Map
from .parameters import adjusted_bias
from .tiling import choose

__all__ = ["emit_local"]


@dataclass(frozen=True)
class _Strip:
    """Columns of the output, computed ``together`` so many at a time.

    Parameters
    ----------
    first, count : columns
    together : neighbours that are one pixel to the machine
    """

    first: int
    count: int
    together: int

    def normal(self, node: LocalConv, source: Map, target: Map) -> tuple[Map, Map, Convolution]:
        """The strip as a convolution in normal form."""
        kernel = node.weight.shape[2], node.weight.shape[3]
        sy, sx = node.strides
        _, _, source_pitch = source.pitches
        image, row, pixel = target.pitches
        return normal(
            replace(source, address=source.address + self.first * sx * source_pitch),
            replace(
                target, address=target.address + self.first * pixel,
                width=self.count // self.together, channels=self.together * target.channels,
                pitches=(image, row, self.together * pixel),
            ),
            (kernel[0], kernel[1] + (self.together - 1) * sx),
            (sy, self.together * sx), node.pads[:2], private=True,
        )  # fmt: skip


def _strips(width: int, together: int) -> list[_Strip]:
    rest = width % together
    strips = [_Strip(0, width - rest, together), _Strip(width - rest, rest, 1)]
    return [strip for strip in strips if strip.count]


def emit_local(
    emitter: Emitter, node: LocalConv, source: Map, target: Map, memory: MemorySettings
) -> None:
    """Emit a locally connected convolution."""
    config = emitter.config
    emitter.load_table(node.table)
    for strip in _cheapest(node, source, target, config, memory):
        here, there, shape = strip.normal(node, source, target)
        tiling = choose(shape, config, memory, offset=here.address % (config.nbin_port // 8)).tiling
        generator = Generator(emitter, here, there, shape, tiling, node.shift, node.table)
        for first, groups, block in generator.private_blocks():
            weight, bias = _parameters(node, strip, block, first, groups, config)
            generator.emit_private(first, groups, block, weight, bias, node.name)


def _cheapest(
    node: LocalConv, source: Map, target: Map, config: Config, memory: MemorySettings
) -> list[_Strip]:
    most = 1
    if target.pitches[2] == target.channels * config.element_bytes:
        most = max(1, min(config.tn // target.channels, target.width))

    def cycles(strips: list[_Strip]) -> float:
        total = 0.0
        for strip in strips:
            here, _, shape = strip.normal(node, source, target)
            offset = here.address % (config.nbin_port // 8)
            total += choose(shape, config, memory, offset=offset).cycles
        return total

    return min((_strips(target.width, n) for n in range(1, most + 1)), key=cycles)


def _parameters(
    node: LocalConv, strip: _Strip, block: Block, first: int, groups: int, config: Config
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (pixels * groups * Tn, C, Kh, Kw) and biases of some groups of a block.

    Biases take back what the multipliers add whose synapses are zero for the sake of a neighbour.
    """
    tn, together = config.tn, strip.together
    channels, kh, kw = node.weight.shape[1:4]
    own = slice(first * tn, (first + groups) * tn) if together == 1 else slice(None)
    start = strip.first + block.x * together
    where = (
        own, ..., slice(block.y, block.y + block.rows),
        slice(start, start + block.columns * together),
    )  # fmt: skip
    step = node.strides[1]
    spread = (together - 1) * step
    weight = np.moveaxis(node.weight[where], (-2, -1), (0, 1))
    outputs = weight.shape[2]
    weight = weight.reshape(block.pixels, together, outputs, channels, kh, kw)
    wide = np.zeros(
        (block.pixels, groups * tn, channels, kh, kw + spread), dtype=f"i{config.element_bytes}"
    )
    bias = np.moveaxis(node.bias[where], (-2, -1), (0, 1)).reshape(block.pixels, -1)
    for n in range(together):
        lanes = slice(n * outputs, (n + 1) * outputs)
        wide[:, lanes, :, :, n * step : n * step + kw] = weight[:, n]
    constant = compensation(config.width, config.drop)
    bias = adjusted_bias(bias, spread * channels * kh, constant, config, node.name)
    spare = groups * tn - bias.shape[1]
    return wide.reshape(-1, *wide.shape[2:]), np.pad(bias, ((0, 0), (0, spare))).reshape(-1)
