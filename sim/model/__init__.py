"""The performance model: cycles, stalls and traffic of a program, without RTL.

A core without data: every unit is a small class in C++ (``*.h``) with the registers of its module
in hw that say who waits for whom (handshakes, occupancies, positions), and ``core.cpp`` connects
them and lets them run cycle by cycle, with the memory's data rate and latency as the Verilated core
has them (sim/verilator/memory.h). So it gives the cycles and stalls of the RTL exactly;
tests/sim/test_model.py holds it to that. ``build`` compiles it once, ``core`` hands it a program.

Long programs are cut short: loops of instructions are followed until they have settled
(``repetition``), and ``estimate`` says what the excerpt stands for.
"""

from .estimate import Estimate, estimate

__all__ = ["Estimate", "estimate"]
