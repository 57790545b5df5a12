"""Interpreter: executes a program on modelled buffers and memory, instruction by instruction.

It has no clock. What the units of the core overlap, it does one after the other in the order of the
program, which gives the same result because the units meet only through buffer space; programs for
which that does not hold (they would fault, hang, or race through memory) end in an
``ExecutionError``.
"""

from .errors import ExecutionError
from .machine import Interpreter, LayerStatistics, Statistics

__all__ = ["ExecutionError", "Interpreter", "LayerStatistics", "Statistics"]
