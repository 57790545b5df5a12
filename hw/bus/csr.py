"""A block of control and status registers behind AXI4-Lite, built from its declaration."""

from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .axi import AxiLitePort, Response
from .registers import Access, Register, RegisterMap

__all__ = ["RegisterBlock"]


def _members(register: Register) -> dict[str, wiring.Member]:
    members = {"being_read": Out(1)}
    for field in register.fields:
        match field.access:
            case Access.READ:
                members[field.name] = In(field.width)
            case Access.WRITE | Access.PULSE:
                # The type stubs do not know of initial values.
                port = Out(field.width, init=field.reset)  # pyright: ignore[reportCallIssue]
                members[field.name] = port
            case Access.EVENT:
                members[field.name] = Out(field.width)
                members[f"{field.name}_set"] = In(field.width)
    return members


class RegisterBlock(wiring.Component):
    """Registers behind AXI4-Lite.

    Timing: a read or a write each cycle, answered in the next one; reads and writes do not wait for
    each other. A write is taken when address and data are both there. Reset values as declared.

    The address is decoded completely, except for its two lowest bits. An address without a register
    answers SLVERR, reads 0 and changes nothing. Writing to fields that are read only has no effect.
    Byte strobes are honoured.

    Parameters
    ----------
    registers : the map
    address_width : bits of an address

    Members
    -------
    bus : In(AxiLitePort)
    Each register is a member with its name in lower case: an interface with ``being_read``, Out(1),
    high in the cycle whose values a read returns, and its fields.
    hold : In(1), the read of the present address is put off
    READ: In. WRITE: Out, the value. PULSE: Out, high in the cycle after a 1 was written.
    EVENT: Out, the pending bits, and ``<field>_set``, In, which sets them (and wins over a clear).
    """

    bus: Any
    hold: Signal

    def __init__(self, *, registers: RegisterMap, address_width: int):
        for register in registers:
            if register.offset >= 1 << address_width:
                raise ValueError(
                    f"offset of {register.name!r} must fit {address_width} address bits, "
                    f"not {register.offset:#x}"
                )
        self._registers = registers
        blocks = {r.name.lower(): Out(wiring.Signature(_members(r))) for r in registers}
        super().__init__({"bus": In(AxiLitePort(address_width)), "hold": In(1), **blocks})

    def elaborate(self, platform) -> Module:
        m = Module()
        bus = self.bus

        # Read: the addressed value is registered as the answer.
        take = Signal()
        m.d.comb += [
            bus.arready.eq((~bus.rvalid | bus.rready) & ~(bus.arvalid & self.hold)),
            take.eq(bus.arvalid & bus.arready),
        ]
        with m.If(~bus.rvalid | bus.rready):
            m.d.sync += bus.rvalid.eq(take)
        with m.If(take):
            with m.Switch(bus.araddr[2:]):
                for register in self._registers:
                    with m.Case(register.offset // 4):
                        m.d.comb += getattr(self, register.name.lower()).being_read.eq(1)
                        m.d.sync += bus.rdata.eq(self._value(register))
                        m.d.sync += bus.rresp.eq(Response.OKAY)
                with m.Default():
                    m.d.sync += [bus.rdata.eq(0), bus.rresp.eq(Response.SLVERR)]

        # Write: address and data are taken together, once the previous answer has gone.
        write = Signal()
        chosen = Signal(len(self._registers))
        bits = Signal(32)
        m.d.comb += [
            write.eq(bus.awvalid & bus.wvalid & (~bus.bvalid | bus.bready)),
            bus.awready.eq(write),
            bus.wready.eq(write),
            bits.eq(Cat(strobe.replicate(8) for strobe in bus.wstrb)),
        ]
        with m.If(write):
            m.d.sync += bus.bvalid.eq(1)
            m.d.sync += bus.bresp.eq(Mux(chosen.any(), Response.OKAY, Response.SLVERR))
        with m.Elif(bus.bready):
            m.d.sync += bus.bvalid.eq(0)
        for number, register in enumerate(self._registers):
            m.d.comb += chosen[number].eq(bus.awaddr[2:] == register.offset // 4)
            self._write(m, register, Mux(write & chosen[number], bits, 0))
        return m

    def _write(self, m: Module, register: Register, bits: Value):
        """Write ``bits`` of the register from the bus's data."""
        ports = getattr(self, register.name.lower())
        for field in register.fields:
            if field.access in (Access.CONSTANT, Access.READ):
                continue
            port = getattr(ports, field.name)
            place = slice(field.low, field.low + field.width)
            enable = Signal(field.width, name=f"{register.name}_{field.name}_write".lower())
            m.d.comb += enable.eq(bits[place])
            ones = enable & self.bus.wdata[place]
            match field.access:
                case Access.WRITE:
                    # A part for each byte, which is one enable for its flip-flops.
                    for low in range(0, 32, 8):
                        first, end = max(low, field.low), min(low + 8, field.low + field.width)
                        if first < end:
                            part = slice(first - field.low, end - field.low)
                            with m.If(bits[first]):
                                m.d.sync += port[part].eq(self.bus.wdata[first:end])
                case Access.PULSE:
                    m.d.sync += port.eq(ones)
                case Access.EVENT:
                    m.d.sync += port.eq((port & ~ones) | getattr(ports, f"{field.name}_set"))

    def _value(self, register: Register) -> Value:
        """What a read of the register gives."""
        ports = getattr(self, register.name.lower())
        parts = []
        end = 0
        for field in register.fields:
            parts.append(C(0, field.low - end))
            match field.access:
                case Access.CONSTANT:
                    parts.append(C(field.reset, field.width))
                case Access.PULSE:
                    parts.append(C(0, field.width))
                case _:
                    parts.append(getattr(ports, field.name))
            end = field.low + field.width
        return Cat(parts)
