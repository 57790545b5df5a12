"""A node's programs in their three forms: Python objects, 64-bit words, readable text.

::

    instruction tag=1 fence
      read broadcast bank=0 address=64 mask=2
        for 8 rows=24
          for 3 rows=1 mask=1
      tile mac shift=8 tiles=0xf
        for 4 sb=1 nbin=4 reduce
      write write bank=1 burst=2 tiles=0xf
        for 16 rows=1

Loops have strides (``RowLoop``, ``CopyLoop``, DianNao's ``Loop``). The byte address in a load's or
store's descriptor is ``descriptor.address``, the row in the central memory ``address``.
"""

from collections.abc import Sequence

import numpy as np

from ..diannao.assembler import Loop, ProgramError, Runs
from ..program import text, words
from ..program.words import Slots
from .instructions import (
    DADIANNAO,
    NO_RUNS,
    CopyLoop,
    Instruction,
    Load,
    Read,
    RowLoop,
    Send,
    Store,
    Tile,
    TileNest,
    Write,
    copy_levels,
    nest,
    row_levels,
)

__all__ = [
    "NO_RUNS",
    "CopyLoop",
    "Instruction",
    "Load",
    "Loop",
    "ProgramError",
    "Read",
    "RowLoop",
    "Runs",
    "Send",
    "Slots",
    "Store",
    "Tile",
    "TileNest",
    "Write",
    "assemble",
    "columns",
    "copy_levels",
    "decode",
    "disassemble",
    "encode",
    "nest",
    "row_levels",
]


def encode(instructions: Sequence[Instruction]) -> np.ndarray:
    """The words (uint64) of a program; see ``hw.program.words.encode``."""
    return words.encode(DADIANNAO, instructions)


def decode(program: np.ndarray) -> list[Instruction]:
    """The instructions of all words; see ``hw.program.words.decode``."""
    return words.decode(DADIANNAO, program)


def columns(program: np.ndarray) -> dict[str, Slots]:
    """All fields of all slots, by kind of slot; see ``hw.program.words.columns``."""
    return words.columns(DADIANNAO, program)


def disassemble(program: np.ndarray) -> str:
    """Text of all words; raises ProgramError like ``decode``."""
    return text.disassemble(DADIANNAO, program)


def assemble(program: str) -> np.ndarray:
    """The words (uint64) of the text form; see ``hw.program.text.assemble``."""
    return text.assemble(DADIANNAO, program)
