"""The performance model: cycles, stalls and traffic of a program, without RTL.

Every unit of the core is a process that maps the times at which its inputs come to the times at
which its outputs do: the fetch and decoder (``control``), the loaders (``loaders``), the sequencer
with the pipeline behind it (``nfu``), the store unit (``store``). The latencies and rules are those
of the modules in hw, cycle by cycle, but what happens is reckoned for many bursts, rows or steps at
once: a chain of events that come one per cycle at most, none before its cause, is a running maximum
(``port.running``). What a nest waits for and frees is worked out once per kind of nest (``nest``),
what descriptors move once per program (``traffic``).

The units meet in queues, in the room of the rings and in the memory (``core``). Each goes on as far
as the others are known. If the memory has bandwidth for all ports at once, that is all; otherwise
``memory`` gives it out tick by tick, as the simulated memory does, for stretches in which no
unknown request can come. Loops of a program are followed until they have settled (``repetition``),
and of a nest with little to wait for only the first and last iterations (``streak``).

It gives the cycles of the Verilated core exactly, except where a pipeline full of output rows
stands still for several reasons at once; tests/sim/test_model.py prints the comparison.
"""

from .estimate import Estimate, estimate

__all__ = ["Estimate", "estimate"]
