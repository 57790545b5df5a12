"""The register block against a model that sees the same transfers, cycle by cycle."""

import random
from typing import Any

import cocotb
from cocotb.triggers import Combine, RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp

from hw.bus.registers import Access
from tests.hw.bus.sample_registers import SAMPLE
from tests.streams import start

OFFSETS = [register.offset for register in SAMPLE]
UNMAPPED = [0x08, 0x0C, 0x18, 0x20, 0x50, 0xF8]


class Model:
    """Checks every output in every cycle, and what each read returns."""

    def __init__(self, dut, rng):
        self.dut, self.rng = dut, rng
        self.state = {}  # (register, field) -> value of what the block stores
        self.inputs = {}
        for register in SAMPLE:
            for field in register.fields:
                key = register.name, field.name
                if field.access is Access.READ:
                    self.inputs[key] = 0
                elif field.access is Access.EVENT:
                    self.inputs[register.name, f"{field.name}_set"] = 0
                    self.state[key] = 0
                elif field.access is not Access.CONSTANT:
                    self.state[key] = field.reset
        self.reads, self.writes = [], []  # answers to come
        self.answered = 0

    def handle(self, register, field):
        return getattr(self.dut, f"{register}__{field}".lower())

    def value(self, register):
        word = 0
        for field in register.fields:
            key = register.name, field.name
            value = self.inputs.get(key, self.state.get(key, field.reset))
            word |= (0 if field.access is Access.PULSE else value) << field.low
        return word

    def drive(self):
        for key in self.inputs:
            width = len(self.handle(*key))
            sparse = key[1].endswith("_set") and self.rng.random() < 0.8
            self.inputs[key] = 0 if sparse else self.rng.getrandbits(width)
            self.handle(*key).value = self.inputs[key]

    async def run(self):
        bus = {
            name: getattr(self.dut, f"bus__{name}")
            for name in (
                "awaddr awvalid awready wdata wstrb wvalid wready bvalid bready bresp "
                "araddr arvalid arready rvalid rready rdata rresp"
            ).split()
        }

        def moved(channel):
            return bus[f"{channel}valid"].value == 1 and bus[f"{channel}ready"].value == 1

        while True:
            self.drive()
            await RisingEdge(self.dut.clk)
            for key, value in self.state.items():
                assert int(self.handle(*key).value) == value, f"{key} must be {value:#x}"
            if moved("r"):
                answer = int(bus["rdata"].value), int(bus["rresp"].value)
                assert answer == self.reads.pop(0)
                self.answered += 1
            if moved("b"):
                assert int(bus["bresp"].value) == self.writes.pop(0)
            assert len(self.reads) <= 1
            assert len(self.writes) <= 1

            chosen = None
            if moved("ar"):
                chosen = int(bus["araddr"].value) // 4 * 4
                if chosen in OFFSETS:
                    self.reads.append((self.value(list(SAMPLE)[OFFSETS.index(chosen)]), 0))
                else:
                    self.reads.append((0, 2))
            for register in SAMPLE:
                assert self.handle(register.name, "being_read").value == (chosen == register.offset)

            assert moved("aw") == moved("w")
            address = bits = data = 0
            if moved("w"):
                address = int(bus["awaddr"].value) // 4 * 4
                strobes, data = int(bus["wstrb"].value), int(bus["wdata"].value)
                bits = sum(0xFF << 8 * n for n in range(4) if strobes >> n & 1)
                self.writes.append(0 if address in OFFSETS else 2)
            for register in SAMPLE:
                enable = bits if moved("w") and address == register.offset else 0
                for field in register.fields:
                    key = register.name, field.name
                    if key not in self.state:
                        continue
                    old = self.state[key]
                    mask = (enable & field.mask) >> field.low
                    new = (data & enable & field.mask) >> field.low
                    if field.access is Access.WRITE:
                        self.state[key] = (old & ~mask) | new
                    elif field.access is Access.PULSE:
                        self.state[key] = new
                    else:
                        self.state[key] = (old & ~new) | self.inputs[key[0], f"{key[1]}_set"]


async def begin(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    model = Model(dut, rng)
    inputs = {f"{register}__{field}".lower(): 0 for register, field in model.inputs}
    await start(
        dut, bus__awaddr=0, bus__awprot=0, bus__awvalid=0, bus__wdata=0, bus__wstrb=0,
        bus__wvalid=0, bus__bready=0, bus__araddr=0, bus__arprot=0, bus__arvalid=0,
        bus__rready=0, hold=0, **inputs,
    )  # fmt: skip
    cocotb.start_soon(model.run())
    return rng, model


def master_of(dut, rng, pause):
    """cocotbext-axi's manager, which pauses at random on every channel if told so."""
    # The interfaces inside are optional for type checkers.
    master: Any = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "bus_"), dut.clk, dut.rst)

    def pauses():
        while True:
            yield rng.random() < 0.4

    if pause:
        channels = (
            master.write_if.aw_channel, master.write_if.w_channel, master.write_if.b_channel,
            master.read_if.ar_channel, master.read_if.r_channel,
        )  # fmt: skip
        for channel in channels:
            channel.set_pause_generator(pauses())
    for part in (master.write_if, master.read_if):
        part.log.setLevel("ERROR")
    return master


@cocotb.test(timeout_time=200, timeout_unit="us")
@cocotb.parametrize(pause=[False, True])
async def random_traffic(dut, pause):
    """Reads and writes at the same time, all byte strobes, addresses with and without register."""
    rng, model = await begin(dut)
    master = master_of(dut, rng, pause)

    async def write():
        for _ in range(300):
            address = rng.choice(OFFSETS * 3 + UNMAPPED) + rng.randint(0, 3)
            size = rng.randint(1, 4 - address % 4)
            data = rng.choice((bytes(size), b"\xff" * size, rng.randbytes(size)))
            answer = await master.write(address, data)
            mapped = address // 4 * 4 in OFFSETS
            assert answer.resp == (AxiResp.OKAY if mapped else AxiResp.SLVERR)

    async def read():
        for _ in range(300):
            address = rng.choice(OFFSETS * 3 + UNMAPPED)
            answer = await master.read(address, 4)
            mapped = address in OFFSETS
            assert answer.resp == (AxiResp.OKAY if mapped else AxiResp.SLVERR)
            assert mapped or answer.data == bytes(4)

    await Combine(cocotb.start_soon(write()), cocotb.start_soon(read()))
    assert model.answered == 300
    assert not model.reads
    assert not model.writes


@cocotb.test(timeout_time=20, timeout_unit="us")
async def one_transfer_per_cycle(dut):
    """With an eager master, reads and writes each move every cycle."""
    _, model = await begin(dut)
    await RisingEdge(dut.clk)
    dut.bus__bready.value = dut.bus__rready.value = 1
    dut.bus__awvalid.value = dut.bus__wvalid.value = dut.bus__arvalid.value = 1
    dut.bus__wstrb.value = 0xF
    for n in range(50):
        dut.bus__awaddr.value = dut.bus__araddr.value = OFFSETS[n % len(OFFSETS)]
        dut.bus__wdata.value = 0x01010101 * n
        await RisingEdge(dut.clk)
        assert dut.bus__awready.value == 1
        assert dut.bus__wready.value == 1
        assert dut.bus__arready.value == 1
    assert model.answered >= 48
