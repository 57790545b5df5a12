"""Interpreter of a DaDianNao machine: executes its nodes' programs, slot by slot.

It has no clock. Within a node, slots run one after the other in the order of the program; what the
units overlap gives the same result, because they meet only through queues of rows and through the
central memories. There a program must not let two units meet without a fence between, and a node
must wait for what others send before it reads it; both are checked. Nodes run until they wait for
rows from others.
"""

from .machine import Machine, Statistics
from .node import LayerStatistics

__all__ = ["LayerStatistics", "Machine", "Statistics"]
