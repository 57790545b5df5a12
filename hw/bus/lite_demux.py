"""One AXI4-Lite port for the registers of several cores."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .axi import AxiLitePort, Response

__all__ = ["LiteDemux"]


class LiteDemux(wiring.Component):
    """Leads reads and writes to the core whose number is in the upper bits of the address.

    A read, and a write, at a time: the next one is taken when the answer has gone. An address that
    belongs to no core answers DECERR and reads 0.

    Parameters
    ----------
    address_width : bits of an address in a core
    cores : how many

    Members
    -------
    bus : In(AxiLitePort), with the bits of a core's number on top
    cores : Out(AxiLitePort).array(cores)
    """

    bus: Any
    cores: Any

    def __init__(self, *, address_width: int, cores: int):
        self._low = address_width
        self._count = cores
        wide = address_width + (cores - 1).bit_length()
        super().__init__(
            {
                "bus": In(AxiLitePort(wide)),
                "cores": Out(AxiLitePort(address_width)).array(cores),
            }
        )

    def elaborate(self, platform):
        m = Module()
        bus = self.bus

        # Whose answer is awaited; all cores hear addresses and data, one sees that they are valid.
        for address, answer, fields in (("ar", "r", ("data", "resp")), ("aw", "b", ("resp",))):
            wanted = getattr(bus, f"{address}addr")[self._low :]
            offered = Signal(name=f"{address}_offered")
            waiting = Signal(name=f"{address}_waiting")
            core_number = Signal.like(wanted, name=f"{address}_core")
            missing = Signal(name=f"{address}_missing")
            taken, answered = Signal(name=f"{address}_taken"), Signal(name=f"{answer}_answered")
            if address == "aw":
                m.d.comb += offered.eq(bus.awvalid & bus.wvalid & ~waiting)
            else:
                m.d.comb += offered.eq(bus.arvalid & ~waiting)
            m.d.comb += [
                missing.eq(wanted > self._count - 1),
                answered.eq(getattr(bus, f"{answer}valid") & getattr(bus, f"{answer}ready")),
            ]
            with m.If(offered & missing):
                m.d.comb += taken.eq(1)
            with m.If(waiting & (core_number > self._count - 1)):
                m.d.comb += [
                    getattr(bus, f"{answer}valid").eq(1),
                    getattr(bus, f"{answer}resp").eq(Response.DECERR),
                ]
            for number, core in enumerate(self.cores):
                chosen = offered & (wanted == number)
                m.d.comb += [
                    getattr(core, f"{address}addr").eq(getattr(bus, f"{address}addr")),
                    getattr(core, f"{address}prot").eq(getattr(bus, f"{address}prot")),
                    getattr(core, f"{address}valid").eq(chosen),
                ]
                if address == "aw":
                    m.d.comb += [
                        core.wdata.eq(bus.wdata),
                        core.wstrb.eq(bus.wstrb),
                        core.wvalid.eq(chosen),
                    ]
                with m.If(chosen):
                    m.d.comb += taken.eq(getattr(core, f"{address}ready"))
                with m.If(waiting & (core_number == number)):
                    m.d.comb += [
                        getattr(bus, f"{answer}valid").eq(getattr(core, f"{answer}valid")),
                        getattr(core, f"{answer}ready").eq(getattr(bus, f"{answer}ready")),
                        *(
                            getattr(bus, f"{answer}{name}").eq(getattr(core, f"{answer}{name}"))
                            for name in fields
                        ),
                    ]
            m.d.comb += getattr(bus, f"{address}ready").eq(taken)
            if address == "aw":
                m.d.comb += bus.wready.eq(taken)
            with m.If(taken):
                m.d.sync += [waiting.eq(1), core_number.eq(wanted)]
            with m.Elif(answered):
                m.d.sync += waiting.eq(0)
        return m
