"""The registers that every accelerator has: commands, status, errors, interrupt and counters."""

from collections.abc import Mapping
from enum import Enum
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..bus.axi import AxiLitePort
from ..bus.csr import RegisterBlock
from ..bus.registers import Access, Field, Register, RegisterMap

__all__ = ["ControlRegisters", "command_registers", "counter_registers"]

_COUNTERS_OFFSET = 0x080


def command_registers(what: str, errors: type[Enum]) -> list[Register]:
    """CONTROL to TAG, at 0x040 to 0x068; ``what`` is what they control, for the documentation."""
    write, pulse, event = Access.WRITE, Access.PULSE, Access.EVENT
    codes = ", ".join(f"{code.value} {code.name}" for code in errors)
    return [
        Register("CONTROL", 0x040, "commands", (
            Field("start", "run the program; ignored while busy", 0, 1, pulse),
            Field("reset", "soft reset: stop, finish what is on the buses, forget done and "
                  "error; settings stay", 1, 1, pulse),
        )),
        Register("STATUS", 0x044, f"state of the {what}", (
            Field("busy", f"from start until the {what} can be started again", 0, 1),
            Field("done", "the last program has ended; start or soft reset clears it", 1, 1),
            Field("error", "the last program has failed; start or soft reset clears it", 2, 1),
            Field("draining", "stopped, waits for what is outstanding on the buses", 3, 1),
        )),
        Register("PROGRAM_LO", 0x048, "byte address of the program",
                 (Field("address", "lower half", access=write),)),
        Register("PROGRAM_HI", 0x04C, "byte address of the program",
                 (Field("address", "upper half; bits beyond the address width are ignored",
                        access=write),)),
        Register("PROGRAM_SIZE", 0x050, "size of the program",
                 (Field("size", "bytes", access=write),)),
        Register("WATCHDOG", 0x054, "limit for cycles without progress",
                 (Field("cycles", "0 for no limit", access=write),)),
        Register("ERROR", 0x058, "why the program failed",
                 (Field("code", codes, 0, 8),)),
        Register("ERROR_PC", 0x05C, "where the program failed",
                 (Field("pc", "byte offset of the instruction from the program's start"),)),
        Register("IRQ_ENABLE", 0x060, "causes that raise the interrupt", (
            Field("done", "the program has ended", 0, 1, write),
            Field("error", "the program has failed", 1, 1, write),
        )),
        Register("IRQ_STATUS", 0x064, "causes that have occurred, enabled or not", (
            Field("done", "the program has ended", 0, 1, event),
            Field("error", "the program has failed", 1, 1, event),
        )),
        Register("TAG", 0x068, f"what the {what} works on",
                 (Field("tag", "tag of the layer in the NFU", 0, 16),)),
    ]  # fmt: skip


def counter_registers(counters: Mapping[str, str]) -> list[Register]:
    """Two registers for each of the 64-bit counters, given as names and descriptions."""
    registers = []
    for n, (name, doc) in enumerate(counters.items()):
        offset = _COUNTERS_OFFSET + 8 * n
        low = Field("count", "lower half; a read keeps the upper half of this counter")
        high = Field("count", "upper half at the time of the last read of a lower half")
        registers.append(Register(f"{name}_LO", offset, doc, (low,)))
        registers.append(Register(f"{name}_HI", offset + 4, doc, (high,)))
    return registers


class ControlRegisters(wiring.Component):
    """Registers of an accelerator; the map contains those of this file.

    ``start`` and ``reset`` come in the cycle after they were written; ``start`` only while it is
    not ``busy``. Of several errors, the first is kept.

    Parameters
    ----------
    registers : the whole map
    address_width : bits of the control port's addresses
    program_width : bits of a program's address
    counters : names of the counters
    status : registers of the map that show what ``<register>__<field>`` reads, by name

    Members
    -------
    bus : In(AxiLitePort)
    irq : Out(1), level
    start, reset : Out(1), pulses
    program : Out(program_width), byte address
    size : Out(32), bytes
    watchdog : Out(32), cycles, 0 for never
    busy, draining : In(1)
    finished, error : In(1), pulses; with ``error``, ``code`` : In(8) and ``pc`` : In(32)
    tag : In(16)
    amounts : In(16).array(counters), what is added to the counters in this cycle
    status : In(32).array(status), the values of those registers, which have one field each
    """

    bus: Any
    irq: Signal
    start: Signal
    reset: Signal
    program: Signal
    size: Signal
    watchdog: Signal
    busy: Signal
    draining: Signal
    finished: Signal
    error: Signal
    code: Signal
    pc: Signal
    tag: Signal
    amounts: Any
    status: Any

    def __init__(
        self,
        *,
        registers: RegisterMap,
        address_width: int,
        program_width: int,
        counters: list[str],
        status: list[str],
    ):
        self._registers = registers
        self._address_width = address_width
        self._counters = counters
        self._status = status
        super().__init__(
            {
                "bus": In(AxiLitePort(address_width)),
                "irq": Out(1),
                "start": Out(1),
                "reset": Out(1),
                "program": Out(program_width),
                "size": Out(32),
                "watchdog": Out(32),
                "busy": In(1),
                "draining": In(1),
                "finished": In(1),
                "error": In(1),
                "code": In(8),
                "pc": In(32),
                "tag": In(16),
                "amounts": In(16).array(len(counters)),
                "status": In(32).array(len(status)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.registers = registers = RegisterBlock(
            registers=self._registers, address_width=self._address_width
        )
        r: Any = registers
        connect(m, flipped(self.bus), r.bus)

        # Commands and settings.
        m.d.comb += [
            self.start.eq(r.control.start & ~self.busy),
            self.reset.eq(r.control.reset),
            self.program.eq(Cat(r.program_lo.address, r.program_hi.address)),
            self.size.eq(r.program_size.size),
            self.watchdog.eq(r.watchdog.cycles),
        ]

        # Status and interrupt.
        done, failed = Signal(), Signal()
        code, pc = Signal(8), Signal(32)
        with m.If(self.start | self.reset):
            m.d.sync += [done.eq(0), failed.eq(0), code.eq(0), pc.eq(0)]
        with m.Else():
            m.d.sync += done.eq(done | self.finished)
            with m.If(self.error & ~failed):
                m.d.sync += [failed.eq(1), code.eq(self.code), pc.eq(self.pc)]
        m.d.comb += [
            r.status.busy.eq(self.busy),
            r.status.done.eq(done),
            r.status.error.eq(failed),
            r.status.draining.eq(self.draining),
            r.error.code.eq(code),
            r.error_pc.pc.eq(pc),
            r.tag.tag.eq(self.tag),
            r.irq_status.done_set.eq(self.finished),
            r.irq_status.error_set.eq(self.error),
            self.irq.eq(
                (r.irq_status.done & r.irq_enable.done) | (r.irq_status.error & r.irq_enable.error)
            ),
        ]
        for name, value in zip(self._status, self.status, strict=True):
            (field,) = self._registers[name].fields
            m.d.comb += getattr(getattr(r, name.lower()), field.name).eq(value)

        # Counters. A read of a lower half keeps the upper one, so that the two belong together.
        upper = Signal(32)
        for name, amount in zip(self._counters, self.amounts, strict=True):
            counter = Signal(64, name=name.lower())
            low, high = (getattr(r, f"{name}_{half}".lower()) for half in ("LO", "HI"))
            m.d.sync += counter.eq(Mux(self.start, 0, counter + amount))
            m.d.comb += [low.count.eq(counter[:32]), high.count.eq(upper)]
            with m.If(low.being_read):
                m.d.sync += upper.eq(counter[32:])
        return m
