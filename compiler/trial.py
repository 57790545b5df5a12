"""Trying a tiling: the convolution's own program in the performance model."""

import numpy as np

from hw.arith.numbers import Table
from hw.diannao.assembler import encode
from hw.diannao.config import Config
from sim.memory import MemorySettings
from sim.model import estimate
from sim.program import Program

from .blocks import Convolution, Tiling
from .emitter import Emitter
from .generator import Generator
from .maps import Map, Region

__all__ = ["trial"]

_TRAFFIC = 1e-3
"""What the memory's time for a byte counts, in cycles: it costs energy even where it costs no
time."""


def trial(
    shape: Convolution, tiling: Tiling, config: Config, memory: MemorySettings, offset: int = 0
) -> float:
    """Cycles of a convolution alone, with a little more for its traffic, which breaks ties.

    Only the instructions are made, no weights.

    Parameters
    ----------
    offset : of the input's first byte in its beat
    """
    source, target = _maps(shape, config, offset)
    emitter = Emitter(config, target.address + shape.batch * target.pitches[0], draft=True)
    table = Table((), (0,), (0,), 0)
    emitter.load_table(table)
    generator = Generator(emitter, source, target, shape, tiling, 0, table)
    if shape.private:
        for first, groups, block in generator.private_blocks():
            outputs = block.pixels * groups * config.tn
            generator.emit_private(first, groups, block, *_parameters(shape, outputs), "")
    else:
        generator.run(*_parameters(shape, shape.outputs), "")
    emitter.end()
    program = Program(
        config, encode(emitter.instructions), emitter.cursor // 8 * 8, [], 0, {}, {}, {}
    )
    found = estimate(program, config, memory, whole=0)
    return found.cycles + _TRAFFIC * sum(found.bytes.values()) / memory.bandwidth


def _maps(shape: Convolution, config: Config, offset: int) -> tuple[Map, Map]:
    """Input and output; rows of outputs do not follow each other without a gap."""
    (ky, kx), (sy, sx) = shape.kernel, shape.strides
    height, width = (shape.height - 1) * sy + ky, (shape.width - 1) * sx + kx
    image, row, pixel = shape.pitches
    extents = [(shape.batch, image), (height, row), (width, pixel)]
    end = offset + sum((count - 1) * pitch for count, pitch in extents)
    beat = max(config.nbin_port, config.nbout_port) // 8
    end = -(-(end + shape.channels * config.element_bytes) // beat) * beat
    source = Map(
        offset, shape.batch, height, width, shape.channels, shape.pitches, Region("x", 0, 0)
    )
    pixel = shape.outputs * config.element_bytes
    row = (shape.width * pixel // beat + 1) * beat
    target = Map(
        end, shape.batch, shape.height, shape.width, shape.outputs,
        (shape.height * row, row, pixel), Region("y", 0, 0),
    )  # fmt: skip
    return source, target


def _parameters(shape: Convolution, outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights and biases of so many outputs, all zero."""
    weight = np.broadcast_to(np.int8(0), (outputs, shape.channels, *shape.kernel))
    return weight, np.zeros(outputs, dtype=np.int64)
