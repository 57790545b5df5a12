"""Instructions to readable text and back.

One line per slot, and one per loop of a nest, outermost first::

    instruction tag=3                        # 0x00000140
      sb load address=0x8000 run=512 count=64 stride=512
      nbin load address=0x400000 run=2048 fence
      nfu mac source=nbout target=nbout
        for 16 sb=4 nbout=1
          for 4 nbin=16 sb=1 nbin_free=16 sb_free=1 reduce

A loop's ``nbin``, ``sb``, ``nbout`` and ``bias`` are strides, its ``..._free`` amounts are freed at
the end of each of its iterations, as in ``Loop``. Operands at their default (zero, or counts of
one) are left out, ``#`` starts a comment. A level that does not loop but has bits set all the same
shows as ``level`` with its raw fields.
"""

import numpy as np

from ..program import text as program
from .instructions import DIANNAO

__all__ = ["assemble", "disassemble"]


def disassemble(words: np.ndarray) -> str:
    """Text of all ``words``; raises ProgramError like ``decode``."""
    return program.disassemble(DIANNAO, words)


def assemble(text: str) -> np.ndarray:
    """The words (uint64) of the text form; see ``hw.program.text.assemble``."""
    return program.assemble(DIANNAO, text)
