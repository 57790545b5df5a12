"""An SDRAM chip for simulations, with the registers at its pins."""

from pathlib import Path
from typing import Any

from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .sdram_chip import SdramChip
from .sdram_controller import SdramPins

__all__ = ["MODEL", "SdramModel"]

MODEL = Path(__file__).parents[1] / "models" / "sdram_chip.v"
"""The chip in Verilog, to be compiled with what contains SdramModel."""


class SdramModel(wiring.Component):
    """What is behind the pins of an SDRAM controller: registers, and a chip that knows its rules.

    The chip takes what the output registers hold a cycle later; so it stands for one whose clock
    is late, and so do the words that it gives to the input register.

    Parameters
    ----------
    chip : which chip
    clock : cycles per second

    Members
    -------
    pins : In(SdramPins)
    broken : Out(5), number of the first timing rule that was broken, as in the Verilog; 0 if none
    """

    pins: Any
    broken: Signal

    def __init__(self, *, chip: SdramChip, clock: int):
        self._chip = chip
        self._clock = clock
        super().__init__({"pins": In(SdramPins(chip)), "broken": Out(5)})

    def elaborate(self, platform):
        m = Module()
        chip, pins = self._chip, self.pins
        held = {
            name: Signal.like(getattr(pins, name), name=f"pin_{name}")
            for name in ("command", "ba", "a", "dqm", "dq_o", "dq_oe")
        }
        for name, pin in held.items():
            m.d.sync += pin.eq(getattr(pins, name))
        word = Signal(chip.WIDTH)
        m.d.sync += pins.dq_i.eq(word)

        def picoseconds(time: float) -> int:
            return round(1000 * time)

        period = round(1e12 / self._clock)
        cas = dict(chip.cas)
        names = ("rcd", "rp", "ras", "rc", "rrd", "wr", "rfc", "power_up")
        times = {f"p_T_{name.upper()}": picoseconds(getattr(chip, name)) for name in names}
        m.submodules.chip = Instance(
            "sdram_chip",
            p_ROW_BITS=chip.row_bits,
            p_ADDRESS_BITS=chip.address_bits,
            p_COLUMN_BITS=chip.column_bits,
            p_PERIOD=period,
            p_T_MRD=chip.mrd * period,
            p_T_CAS_2=picoseconds(cas[2]),
            p_T_CAS_3=picoseconds(cas[3]),
            p_T_REFRESH=picoseconds(chip.refresh_interval),
            **times,
            i_clk=ClockSignal(),
            i_rst=ResetSignal(),
            i_command=held["command"],
            i_ba=held["ba"],
            i_a=held["a"],
            i_dqm=held["dqm"],
            i_dq_i=held["dq_o"],
            i_dq_i_driven=held["dq_oe"],
            o_dq_o=word,
            o_broken=self.broken,
        )
        return m
