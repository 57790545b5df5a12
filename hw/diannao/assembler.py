"""Programs in their three forms: Python objects, 64-bit words, readable text.

``encode`` and ``decode`` convert between objects and words, ``disassemble`` and ``assemble``
between words and text. Both round trips are exact, and accept what the control processor accepts.
"""

from .instructions import (
    Instruction,
    Loop,
    NbinLoad,
    NboutStore,
    NestLevel,
    NfuNest,
    Runs,
    SbLoad,
    nest,
)
from .text import assemble, disassemble
from .words import ProgramError, decode, encode

__all__ = [
    "Instruction",
    "Loop",
    "NbinLoad",
    "NboutStore",
    "NestLevel",
    "NfuNest",
    "ProgramError",
    "Runs",
    "SbLoad",
    "assemble",
    "decode",
    "disassemble",
    "encode",
    "nest",
]
