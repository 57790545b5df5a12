"""Code for convolutions and classifier layers."""

from dataclasses import replace

import numpy as np

from hw.arith.numbers import Table
from hw.diannao.config import Config
from sim.graph import Conv
from sim.memory import MemorySettings

from .blocks import Convolution
from .emitter import Emitter
from .generator import Generator
from .maps import Map, Region
from .tiling import choose

__all__ = ["emit_conv", "estimate", "normal"]


def emit_conv(
    emitter: Emitter,
    *,
    name: str,
    source: Map,
    target: Map,
    weight: np.ndarray,
    bias: np.ndarray,
    strides: tuple[int, int],
    pads: tuple[int, int],
    shift: int,
    table: Table,
    memory: MemorySettings,
) -> None:
    """Emit a convolution.

    Parameters
    ----------
    emitter : takes the instructions
    name : of the layer, for messages
    source : input; its halo holds zeros as far as windows reach beyond it
    target : output
    weight, bias : (O, C, Kh, Kw) and (O,), see ``sim.graph.Conv``
    strides : vertical and horizontal
    pads : at the top and on the left
    shift, table : requantisation of the sums, and the activation
    memory : what the choice of tiles assumes about the memory
    """
    config = emitter.config
    kernel = weight.shape[2], weight.shape[3]
    source, target, shape = normal(source, target, kernel, strides, pads)
    tiling = choose(shape, config, memory, offset=source.address % (config.nbin_port // 8)).tiling
    generator = Generator(emitter, source, target, shape, tiling, shift, table)
    emitter.load_table(table)
    generator.run(weight, bias, name)


def estimate(
    node: Conv, source: Map, output: tuple[int, ...], config: Config, memory: MemorySettings
) -> float:
    """Estimated cycles of a convolution that reads ``source`` and has that ``output`` shape."""
    batch, channels, height, width = output
    target = Map(0, batch, height, width, channels, (0, 0, 0), Region("", 0, 0))
    kernel = node.weight.shape[2], node.weight.shape[3]
    source, _, shape = normal(source, target, kernel, node.strides, node.pads[:2])
    return choose(shape, config, memory, offset=source.address % (config.nbin_port // 8)).cycles


def normal(
    source: Map,
    target: Map,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int],
    *,
    private: bool = False,
) -> tuple[Map, Map, Convolution]:
    """Source, target and shape of the same convolution in a simpler form.

    Windows start at pixel (0, 0); pixels that no window needs are stepped over by the pitches; and
    a 1x1 kernel that all pixels share sees them as one row if they lie so.
    """
    image, row, pixel = source.pitches
    start = source.at(0, -pads[0], -pads[1])
    sy, sx = strides
    if kernel[0] == 1:
        row, sy = row * sy, 1
    if kernel[1] == 1:
        pixel, sx = pixel * sx, 1
    source = replace(
        source, address=start, height=(target.height - 1) * sy + kernel[0],
        width=(target.width - 1) * sx + kernel[1], pitches=(image, row, pixel),
    )  # fmt: skip
    if kernel == (1, 1) and not private and source.lies_flat and target.lies_flat:
        source, target = source.flat(), target.flat()
    shape = Convolution(
        source.batch, target.height, target.width, source.channels, target.channels,
        kernel, (sy, sx), source.pitches, private,
    )  # fmt: skip
    return source, target, shape
