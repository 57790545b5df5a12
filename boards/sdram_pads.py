"""An SDRAM's pins, with a register at each."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import io, wiring
from amaranth.lib.wiring import In

from .memory.sdram_chip import SDR_32MB
from .memory.sdram_controller import SdramPins

__all__ = ["EARLY", "SdramPads"]

EARLY = 3.5e-9
"""Seconds by which the edges of the chip's clock come before those of ``sync``.

All output registers are alike, that of the clock included. So at the chip, commands and data change
so long after its clock's edge: they have to stay for 1 ns (tDH), and have to be there 1.5 ns (tDS)
before the next edge. A word that is read comes tAC (at most 6 ns) after an edge of the chip's clock
and stays for tOH (2.5 ns) after the next one. It is taken one cycle after the edge of ``sync`` that
comes next. With D for the clock's way to the chip and the word's way back, that is right if::

    tAC + D + setup - EARLY < 1 cycle        D < 1 cycle - 3 ns
    EARLY + hold < tOH + D                   D > 1.5 ns

and D is 3 to 5 ns with registers at the pins of an ECP5.
"""


class SdramPads(wiring.Component):
    """SdramPins at the ``sdram`` resource of a platform.

    The chip's clock is that of the domain ``chip``, see ``EARLY``.

    Parameters
    ----------
    resource : the ports
    """

    pins: Any

    def __init__(self, *, resource: Any):
        self._resource = resource
        super().__init__({"pins": In(SdramPins(SDR_32MB))})

    def elaborate(self, platform):
        m = Module()
        ports, pins = self._resource, self.pins

        def output(name: str, value):
            port = getattr(ports, name)
            buffer = io.FFBuffer(io.Direction.Output, port)
            m.submodules[name] = buffer
            m.d.comb += buffer.o.eq(value)

        command = pins.command.as_value()
        output("cs", 1)
        output("clk_en", 1)
        output("ras", command[2])
        output("cas", command[1])
        output("we", command[0])
        output("ba", pins.ba)
        output("a", pins.a)
        output("dqm", pins.dqm)
        m.submodules.dq = dq = io.FFBuffer(io.Direction.Bidir, ports.dq)
        m.d.comb += [dq.o.eq(pins.dq_o), dq.oe.eq(pins.dq_oe), pins.dq_i.eq(dq.i)]
        # The clock comes out of a register like all others.
        clock: Any = io.DDRBuffer(io.Direction.Output, ports.clk, o_domain="chip")
        m.submodules.clk = clock
        m.d.comb += [clock.o[0].eq(1), clock.o[1].eq(0)]
        return m
