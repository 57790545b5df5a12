"""An SDRAM memory with its chip, and the chips that it is tested with."""

from dataclasses import replace
from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from boards.memory.sdram import SdramMemory
from boards.memory.sdram_chip import SDR_32MB
from boards.memory.sdram_model import SdramModel
from hw.bus.axi import ReadWritePort
from hw.link.words import WordPort

CLOCK = 100_000_000
SMALL = replace(SDR_32MB, row_bits=11, column_bits=8, power_up=2e3, refresh=(1 << 11) * 7812.5)
"""A small chip that is ready soon."""

ODD = replace(SMALL, rc=100, cas=((2, 12), (3, 7)))
"""One whose tRC is not just tRAS and tRP, and that needs CAS latency 3."""


class SdramSystem(wiring.Component):
    """``bus`` and ``words`` of the memory, ``broken`` of the chip."""

    bus: Any
    words: Any
    broken: Signal

    def __init__(self, *, chip, clock: int, data_width: int):
        self.memory = SdramMemory(chip=chip, clock=clock, address_width=32, data_width=data_width)
        self.model = SdramModel(chip=chip, clock=clock)
        super().__init__(
            {
                "bus": In(ReadWritePort(32, data_width, 2)),
                "words": In(WordPort((chip.size // 4 - 1).bit_length())),
                "broken": Out(5),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = self.memory
        m.submodules.model = model = self.model
        connect(m, memory.pins, model.pins)
        connect(m, flipped(self.bus), memory.bus)
        connect(m, flipped(self.words), memory.words)
        m.d.comb += self.broken.eq(model.broken)
        return m
