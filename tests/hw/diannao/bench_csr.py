"""The core's registers through cocotbext-axi's AXI4-Lite master, with pauses."""

import random
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp

from hw.diannao.config import Config
from hw.diannao.csr import COUNTERS, IDENTIFICATION, VERSION, read_config, register_map
from hw.diannao.events import Events, Stall
from hw.diannao.isa import ErrorCode
from tests.streams import dut_config, start

CONFIG = Config(**dut_config())
MAP = register_map(CONFIG)
PORTS = ("nbin", "sb", "nbout", "cp")


class Driver:
    """Registers by name; ``pulses`` counts the cycles in which start and reset were high."""

    def __init__(self, dut):
        self.dut = dut
        self.rng = random.Random(cocotb.RANDOM_SEED)
        self.pulses = {"start": 0, "reset": 0}

    async def start(self):
        dut = self.dut
        await start(
            dut, bus__awaddr=0, bus__awprot=0, bus__awvalid=0, bus__wdata=0, bus__wstrb=0,
            bus__wvalid=0, bus__bready=0, bus__araddr=0, bus__arprot=0, bus__arvalid=0,
            bus__rready=0, busy=0, draining=0, finished=0, error=0, code=0, pc=0, events=0,
            nbin_bytes=0, sb_bytes=0, nbout_bytes=0, cp_bytes=0,
        )  # fmt: skip
        # The interfaces inside are optional for type checkers.
        self.master: Any = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "bus_"), dut.clk, dut.rst)

        def pauses():
            while True:
                yield self.rng.random() < 0.3

        for part, channels in (("write_if", "aw w b"), ("read_if", "ar r")):
            getattr(self.master, part).log.setLevel("ERROR")
            for channel in channels.split():
                getattr(getattr(self.master, part), f"{channel}_channel").set_pause_generator(
                    pauses()
                )
        cocotb.start_soon(self._watch())

    async def _watch(self):
        while True:
            await RisingEdge(self.dut.clk)
            for name in self.pulses:
                self.pulses[name] += int(getattr(self.dut, name).value)

    async def read_word(self, offset):
        answer = await self.master.read(offset, 4)
        assert answer.resp == AxiResp.OKAY, f"{offset:#x}: {answer.resp}"
        return int.from_bytes(answer.data, "little")

    async def read(self, name):
        return MAP[name].unpack(await self.read_word(MAP[name].offset))

    async def write_word(self, name, value):
        word = value.to_bytes(4, "little")
        assert (await self.master.write(MAP[name].offset, word)).resp == AxiResp.OKAY

    async def write(self, name, **fields):
        await self.write_word(name, MAP[name].pack(**fields))

    async def counter(self, name):
        low = await self.read(f"{name}_LO")
        high = await self.read(f"{name}_HI")
        return high["count"] << 32 | low["count"]

    async def pulse(self, **values):
        """Drive inputs for one cycle, then 0."""
        for name, value in values.items():
            getattr(self.dut, name).value = value
        await RisingEdge(self.dut.clk)
        for name in values:
            getattr(self.dut, name).value = 0
        await RisingEdge(self.dut.clk)
        await RisingEdge(self.dut.clk)


@cocotb.test(timeout_time=200, timeout_unit="us")
async def tells_what_it_is(dut):
    """Identification, version, and the whole configuration."""
    driver = Driver(dut)
    await driver.start()
    assert (await driver.read("ID"))["id"] == IDENTIFICATION
    assert (await driver.read("VERSION"))["version"] == VERSION[0] << 16 | VERSION[1]
    words = {r.offset: await driver.read_word(r.offset) for r in MAP}
    assert read_config(words.__getitem__, CONFIG.name) == CONFIG
    assert MAP["CONFIG_NBIN"].unpack(words[0x018])["elements"] == CONFIG.nbin_elements
    assert MAP["CONFIG_NUMBERS"].unpack(words[0x014])["acc_width"] == CONFIG.acc_width
    for offset, word in words.items():  # nothing else is set after reset
        if offset < 0x010 or 0x038 <= offset:
            assert word == (IDENTIFICATION, VERSION[0] << 16 | VERSION[1], 0)[min(offset // 4, 2)]
    holes = sorted(set(range(0, 0x1000, 4)) - set(words))
    for offset in (holes[0], holes[-1], *driver.rng.sample(holes, 20)):
        answer = await driver.master.read(offset, 4)
        assert (answer.resp, answer.data) == (AxiResp.SLVERR, bytes(4))
        assert (await driver.master.write(offset, b"\xff" * 4)).resp == AxiResp.SLVERR


@cocotb.test(timeout_time=200, timeout_unit="us")
async def settings(dut):
    """Settings read back, reach their outputs, and survive start and soft reset."""
    driver = Driver(dut)
    await driver.start()
    address_mask = (1 << CONFIG.address_width) - 1
    for value in (0xFFFFFFFF, 0, *(driver.rng.getrandbits(32) for _ in range(5))):
        other = value ^ 0x5A5A5A5A
        await driver.write_word("PROGRAM_LO", value)
        await driver.write_word("PROGRAM_HI", other)
        await driver.write_word("PROGRAM_SIZE", value // 3)
        await driver.write("WATCHDOG", cycles=other // 5)
        await driver.write("IRQ_ENABLE", done=value & 1, error=other & 1)
        await driver.write("CONTROL", start=1, reset=value & 1)
        assert (await driver.read("PROGRAM_LO"))["address"] == value & address_mask
        assert (await driver.read("PROGRAM_HI"))["address"] == other & address_mask >> 32
        assert (await driver.read("PROGRAM_SIZE"))["size"] == value // 3 & address_mask
        assert (await driver.read("WATCHDOG"))["cycles"] == other // 5
        assert await driver.read("IRQ_ENABLE") == {"done": value & 1, "error": other & 1}
        assert await driver.read("CONTROL") == {"start": 0, "reset": 0}
        assert int(dut.program.value) == (other << 32 | value) & address_mask
        assert int(dut.size.value) == value // 3 & address_mask
        assert int(dut.watchdog.value) == other // 5


@cocotb.test(timeout_time=200, timeout_unit="us")
async def commands(dut):
    """Each command is one pulse; start is ignored while busy, soft reset never."""
    driver = Driver(dut)
    await driver.start()
    await driver.write("CONTROL", start=1)
    await driver.write("CONTROL")
    await driver.read("STATUS")
    assert driver.pulses == {"start": 1, "reset": 0}
    dut.busy.value = 1
    await driver.write("CONTROL", start=1)
    await driver.write("CONTROL", reset=1)
    await driver.read("STATUS")
    assert driver.pulses == {"start": 1, "reset": 1}
    await driver.master.write(MAP["CONTROL"].offset + 1, b"\xff\xff\xff")  # not the byte with bits
    await driver.read("STATUS")
    assert driver.pulses == {"start": 1, "reset": 1}


@cocotb.test(timeout_time=500, timeout_unit="us")
async def status_and_interrupt(dut):
    """Status, error registers and interrupt in the life of some programs."""
    driver = Driver(dut)
    await driver.start()
    idle = {"busy": 0, "done": 0, "error": 0, "draining": 0}
    assert await driver.read("STATUS") == idle
    dut.busy.value = 1
    assert await driver.read("STATUS") == idle | {"busy": 1}
    dut.draining.value = 1
    assert await driver.read("STATUS") == idle | {"busy": 1, "draining": 1}
    dut.busy.value = dut.draining.value = 0
    dut.events.value = Events.const({"tag": 0xBEEF, "active": 0, "stall": Stall.IDLE}).as_bits()
    if CONFIG.counters:
        assert await driver.read("TAG") == {"tag": 0xBEEF}

    # A program ends: seen with the interrupt disabled, enabled, cleared.
    await driver.pulse(finished=1)
    assert await driver.read("STATUS") == idle | {"done": 1}
    assert await driver.read("IRQ_STATUS") == {"done": 1, "error": 0}
    assert dut.irq.value == 0
    await driver.write("IRQ_ENABLE", error=1)
    assert dut.irq.value == 0
    await driver.write("IRQ_ENABLE", done=1)
    assert dut.irq.value == 1
    await driver.write("IRQ_STATUS", error=1)  # clears only what is written
    assert dut.irq.value == 1
    await driver.write("IRQ_STATUS", done=1)
    assert dut.irq.value == 0
    assert await driver.read("STATUS") == idle | {"done": 1}

    # The next one fails, twice: the first error is kept.
    await driver.write("IRQ_ENABLE", error=1)
    await driver.write("CONTROL", start=1)
    await RisingEdge(dut.clk)
    assert await driver.read("STATUS") == idle
    await driver.pulse(error=1, code=ErrorCode.BUS_SB.value, pc=0xFFFFFFF8)
    assert dut.irq.value == 1
    await driver.pulse(error=1, code=ErrorCode.WATCHDOG.value, pc=16)
    assert await driver.read("STATUS") == idle | {"error": 1}
    assert await driver.read("ERROR") == {"code": ErrorCode.BUS_SB.value}
    assert await driver.read("ERROR_PC") == {"pc": 0xFFFFFFF8}
    assert await driver.read("IRQ_STATUS") == {"done": 0, "error": 1}
    await driver.write("IRQ_STATUS", done=1)
    assert dut.irq.value == 1
    await driver.write("IRQ_STATUS", error=1)
    assert dut.irq.value == 0

    # Soft reset and start forget what was.
    for command in ("reset", "start"):
        await driver.pulse(error=1, code=ErrorCode.NBIN_RANGE.value, pc=4, finished=1)
        assert await driver.read("STATUS") == idle | {"done": 1, "error": 1}
        await driver.write("CONTROL", **{command: 1})
        await RisingEdge(dut.clk)
        assert await driver.read("STATUS") == idle
        assert await driver.read("ERROR") == {"code": 0}
        assert await driver.read("ERROR_PC") == {"pc": 0}
        assert await driver.read("IRQ_STATUS") == {"done": 1, "error": 1}


@cocotb.test(timeout_time=500, timeout_unit="us")
async def counters(dut):
    """Each counter against a count in Python; start clears all of them."""
    driver = Driver(dut)
    await driver.start()
    rng = driver.rng
    there = [name for name in COUNTERS if CONFIG.counters or name == "CYCLES"]
    stalls = {f"STALL_{s.name}": s for s in Stall if f"STALL_{s.name}" in COUNTERS}
    assert len(stalls) == 5
    for cycles in (400, 150):
        await driver.write("CONTROL", start=1)
        await driver.read("STATUS")
        for name in there:
            assert await driver.counter(name) == 0
        expected = dict.fromkeys(COUNTERS, 0)
        for _ in range(cycles):
            busy, active = rng.random() < 0.7, rng.random() < 0.5
            stall = rng.choice(list(Stall))
            dut.busy.value = busy
            dut.events.value = Events.const(
                {"tag": rng.getrandbits(16), "active": active, "stall": stall}
            ).as_bits()
            expected["CYCLES"] += busy
            expected["NFU_ACTIVE"] += active
            for name, cause in stalls.items():
                expected[name] += stall == cause
            for port in PORTS:
                most = getattr(CONFIG, f"{port}_port") // 8
                amount = rng.choice((0, most, rng.randint(0, most)))
                getattr(dut, f"{port}_bytes").value = amount
                expected[f"BYTES_{port.upper()}"] += amount
            await RisingEdge(dut.clk)
        dut.busy.value = dut.events.value = 0
        for port in PORTS:
            getattr(dut, f"{port}_bytes").value = 0
        assert min(expected.values()) > 0
        for name in there:
            assert await driver.counter(name) == expected[name], name
