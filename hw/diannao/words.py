"""DianNao's instructions to 64-bit words and back; see ``hw.program.words``."""

from collections.abc import Sequence

import numpy as np

from ..program import words as program
from ..program.words import ProgramError, Slots
from .instructions import DIANNAO, Instruction

__all__ = ["ProgramError", "Slots", "columns", "decode", "encode"]


def encode(instructions: Sequence[Instruction]) -> np.ndarray:
    """The words (uint64) of a program; see ``hw.program.words.encode``."""
    return program.encode(DIANNAO, instructions)


def decode(words: np.ndarray) -> list[Instruction]:
    """The instructions of all ``words``; see ``hw.program.words.decode``."""
    return program.decode(DIANNAO, words)


def columns(words: np.ndarray) -> dict[str, Slots]:
    """All fields of all slots, by kind of slot; see ``hw.program.words.columns``."""
    return program.columns(DIANNAO, words)
