"""What the benches of the two loaders share: memory, queue of slots, monitors."""

import random

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiReadBus, AxiSlaveRead

from hw.diannao.isa import LoadOp
from tests.hw.bus.axi_models import AddressMonitor, ReadMemory
from tests.hw.bus.patterns import run_addresses
from tests.streams import StreamPort, start

__all__ = ["LoaderBench"]

MEMORY = 1 << 16


class LoaderBench:
    """A loader with its memory; ``arrived`` is counted by ``consume`` of the benches.

    The monitors hold all the time: the rules of AXI, and that R is never held up.
    """

    def __init__(self, dut, config, layout, port, **inputs):
        self.dut, self.config, self.layout, self.port = dut, config, layout, port
        self.inputs = inputs
        seed = cocotb.RANDOM_SEED
        self.rng = random.Random(seed)
        self.memory = np.random.default_rng(seed).integers(0, 256, MEMORY, dtype=np.uint8)
        self.memory[:4096:7] = 0x80  # corner values: most negative, most positive, zero
        self.memory[4096:8192:5] = 0x7F
        self.memory[8192 : 8192 + 512] = 0
        self.errors = []
        self.bytes = self.cycle = 0

    async def start(self):
        await start(
            self.dut, i__payload=0, i__valid=0, halt=0, free=0, axi__arready=0, axi__rid=0,
            axi__rdata=0, axi__rresp=0, axi__rlast=0, axi__rvalid=0, **self.inputs,
        )  # fmt: skip
        self.address = AddressMonitor(
            self.dut, "axi", "ar", beat=self.port // 8, burst=self.config.burst,
            outstanding=self.config.outstanding,
        )  # fmt: skip
        for task in (self.address.run(), self.address.stable.run(), self._watch()):
            cocotb.start_soon(task)

    async def _watch(self):
        dut = self.dut
        while True:
            await RisingEdge(dut.clk)
            self.cycle += 1
            self.bytes += int(dut.bytes.value)
            if dut.error.value == 1:
                self.errors.append((int(dut.code.value), int(dut.pc.value)))
            assert dut.axi__rvalid.value != 1 or dut.axi__rready.value == 1, "R is held up"

    def use_cocotbext(self):
        memory = self.memory

        class Target:
            async def read(self, address, length):
                return memory[address : address + length].tobytes()

        def pauses():
            while True:
                yield self.rng.random() < 0.4

        bus = AxiReadBus.from_prefix(self.dut, "axi_")
        slave = AxiSlaveRead(bus, self.dut.clk, self.dut.rst, target=Target())
        slave.log.setLevel("ERROR")
        slave.ar_channel.set_pause_generator(pauses())
        slave.r_channel.set_pause_generator(pauses())

    def use_own(self, **options):
        model = ReadMemory(self.dut, "axi", self.memory, **options)
        return cocotb.start_soon(model.run())

    def encode(self, slot, pc=0, **more):
        """A slot's dictionary, with the descriptor's fields beside ``skip`` and so on."""
        fields = {"descriptor": slot["descriptor"], "op": LoadOp.LOAD}
        fields |= {name: value for name, value in slot.items() if name != "descriptor"}
        return self.layout.const({"slot": fields, "pc": pc} | more).as_bits()

    def send(self, words, stall=0):
        gaps = (lambda: self.rng.choice((0, self.rng.randint(0, stall)))) if stall else None
        return cocotb.start_soon(StreamPort(self.dut, "i").send(words, gaps))

    def run_bytes(self, descriptor):
        """The bytes of each run."""
        size = descriptor["run"]
        return [self.memory[a : a + size] for a in run_addresses(descriptor)]

    async def until_idle(self, limit):
        for _ in range(limit):
            await RisingEdge(self.dut.clk)
            if self.dut.idle.value == 1:
                return
        raise AssertionError(f"not idle after {limit} cycles")

    async def reset(self):
        self.dut.rst.value = 1
        await RisingEdge(self.dut.clk)
        self.dut.rst.value = 0
