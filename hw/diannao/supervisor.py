"""Supervision of a core: start, end, faults, watchdog and soft reset."""

from typing import Any

from amaranth.hdl import C, Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .isa import ErrorCode

__all__ = ["Fault", "Supervisor"]


class Fault(data.Struct):
    """A unit's report: ``code`` and ``pc`` count while ``error`` is high."""

    error: unsigned(1)
    code: ErrorCode
    pc: unsigned(32)


class Supervisor(wiring.Component):
    """Brings the core back to its power-up state after a program, a fault or a soft reset.

    ::

        IDLE --start--> RUN --finished------------> END --> IDLE
                         +---fault, soft reset --> DRAIN --quiet--> CLEAR --> IDLE

    In DRAIN every unit is halted: nothing new is requested, and what is outstanding on the buses
    runs to its end, as AXI demands. END and CLEAR reset the units for one cycle. A ``start``
    outside IDLE is ignored. If several units report a fault in the same cycle, the first in
    ``faults`` counts.

    Parameters
    ----------
    sources : units that report faults

    Members
    -------
    start, reset : In, pulses from the registers
    finished : In, pulse: the program has ended and everything it started has been done
    faults : In, one Fault per source
    pc : In(32), instruction to blame when the watchdog expires
    progress : In, some unit did something in this cycle
    watchdog : In(32), cycles without progress that are a fault, 0 for never; counted are those
        after the last cycle with progress or the one in which it was 0
    quiet : In, nothing is outstanding on any bus
    go : Out, pulse: run the program
    halt : Out, to all units
    clear : Out, resets all units
    busy : Out, from ``go`` until the units are reset
    draining : Out, halted, waiting for ``quiet``
    done : Out, pulse: the program has ended, and with the next cycle another may start
    fault : Out(Fault), ``error`` is a pulse
    """

    start: Signal
    reset: Signal
    finished: Signal
    faults: Any
    pc: Signal
    progress: Signal
    watchdog: Signal
    quiet: Signal
    go: Signal
    halt: Signal
    clear: Signal
    busy: Signal
    draining: Signal
    done: Signal
    fault: Any

    def __init__(self, *, sources: int):
        super().__init__(
            {
                "start": In(1),
                "reset": In(1),
                "finished": In(1),
                "faults": In(Fault).array(sources),
                "pc": In(32),
                "progress": In(1),
                "watchdog": In(32),
                "quiet": In(1),
                "go": Out(1),
                "halt": Out(1),
                "clear": Out(1),
                "busy": Out(1),
                "draining": Out(1),
                "done": Out(1),
                "fault": Out(Fault),
            }
        )

    def elaborate(self, platform):
        m = Module()

        # Cycles without progress that are left. A carry out of the addition says that it is not 0.
        left, less = Signal(32), Signal(33)
        limited = Signal()
        m.d.comb += less.eq(left + C(-1, 32).as_unsigned())
        m.d.sync += [
            limited.eq(self.watchdog.any()),
            left.eq(Mux(self.progress | ~self.busy | ~limited, self.watchdog, less)),
        ]
        expired = limited & ~less[32]

        with m.FSM():
            with m.State("IDLE"), m.If(self.start):
                m.d.comb += self.go.eq(1)
                m.next = "RUN"
            with m.State("RUN"):
                m.d.comb += self.busy.eq(1)
                with m.If(expired):
                    m.d.comb += [
                        self.fault.error.eq(1),
                        self.fault.code.eq(ErrorCode.WATCHDOG),
                        self.fault.pc.eq(self.pc),
                    ]
                for fault in reversed(list(self.faults)):
                    with m.If(fault.error):
                        m.d.comb += self.fault.eq(fault)
                with m.If(self.fault.error | self.reset):
                    m.next = "DRAIN"
                with m.Elif(self.finished):
                    m.next = "END"
            with m.State("END"):
                m.d.comb += [self.busy.eq(1), self.clear.eq(1), self.done.eq(1)]
                m.next = "IDLE"
            with m.State("DRAIN"):
                m.d.comb += [self.busy.eq(1), self.halt.eq(1), self.draining.eq(1)]
                with m.If(self.quiet):
                    m.next = "CLEAR"
            with m.State("CLEAR"):
                m.d.comb += [self.busy.eq(1), self.halt.eq(1), self.clear.eq(1)]
                m.next = "IDLE"
        return m
