"""Programs on the centre of a node, whose tiles the bench plays."""

import random
from collections import Counter
from typing import Any

import cocotb
from amaranth.lib import data
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiSlave

from hw.dadiannao.assembler import Instruction, Load, Read, Store, Write, encode
from hw.dadiannao.config import NodeConfig
from hw.dadiannao.csr import COUNTERS, IDENTIFICATION, read_config, register_map
from hw.dadiannao.fat_tree import Kind, TileRowLayout
from hw.dadiannao.instructions import NO_RUNS, SLOTS
from hw.dadiannao.isa import CP_MAGIC, CpSlot, ErrorCode, LoadOp, ReadOp
from hw.diannao.events import Events, SlotEvents
from hw.diannao.instructions import Runs
from hw.diannao.isa import NfuSlot
from hw.program.fields import WORD_BITS, fields_of, slot_words
from tests.hw.bus.patterns import gaps, pauses
from tests.hw.dadiannao.centre_programs import MEMORY, Expected, faults, random_program, rows
from tests.streams import StreamPort, dut_config, start

CONFIG = NodeConfig(**dut_config())
MAP = register_map(CONFIG)
NEST_BITS = NfuSlot.as_shape().size
PROGRAM = MEMORY // 2


class Host:
    """The host's memory, parts of which answer with an error."""

    def __init__(self):
        self.content = bytearray(MEMORY)
        self.bad = range(0)

    def _check(self, address: int, length: int):
        if address < self.bad.stop and address + length > self.bad.start:
            raise ValueError("no memory here")

    async def read(self, address: int, length: int):
        self._check(address, length)
        return bytes(self.content[address : address + length])

    async def write(self, address: int, content: bytes):
        self._check(address, len(content))
        self.content[address : address + len(content)] = content


class Bench:
    """The DUT with its host, its registers, and tiles that take what comes after random times."""

    def __init__(self, dut, stall: int):
        self.dut = dut
        self.rng = random.Random(cocotb.RANDOM_SEED + stall)
        self.stall = stall
        self.tiles = range(CONFIG.tiles)
        self.neurons = [[] for _ in self.tiles]
        self.synapses = [[] for _ in self.tiles]
        self.nests = [[] for _ in self.tiles]
        self.pulses: Counter[str] = Counter()

    async def start(self):
        quiet = (
            "o__valid", "o__payload", "instruction__ready", "broadcast__ready", "busy", "active",
            "step", "wait_nbin", "wait_sb", "tag", "error", "code", "pc",
        )  # fmt: skip
        inputs = {f"tiles__{n}__{name}": 0 for n in self.tiles for name in quiet}
        inputs |= {f"status__{n}": 0 for n in range(3)}
        dut = self.dut
        inputs |= dict.fromkeys(("number", "network_clear", "send__ready"), 0)
        inputs |= {f"receive__{name}": 0 for name in ("valid", "payload")}
        inputs |= {
            f"bus__{name}": 0
            for name in ("arready", "rvalid", "awready", "wready", "bvalid", "rid", "rdata",
                         "rresp", "rlast", "bid", "bresp")
        }  # fmt: skip
        inputs |= {
            f"csr__{name}": 0
            for name in ("arvalid", "araddr", "arprot", "rready", "awvalid", "awaddr", "awprot",
                         "wvalid", "wdata", "wstrb", "bready")
        }  # fmt: skip
        await start(dut, **inputs)
        # The models look at the DUT's outputs, which a reset makes known.
        self.host = Host()
        ram: Any = AxiSlave(AxiBus.from_prefix(dut, "bus_"), dut.clk, target=self.host)
        for channel in (ram.write_if.aw_channel, ram.write_if.w_channel, ram.write_if.b_channel,
                        ram.read_if.ar_channel, ram.read_if.r_channel):  # fmt: skip
            if self.stall:
                channel.set_pause_generator(pauses(self.rng))
        self.registers: Any = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "csr_"), dut.clk)
        for each in (ram.write_if, ram.read_if, self.registers.write_if, self.registers.read_if):
            each.log.setLevel("CRITICAL")
        for n in self.tiles:
            cocotb.start_soon(self.take_rows(n))
            cocotb.start_soon(self.take_nests(n))
        cocotb.start_soon(self.watch())
        await RisingEdge(dut.clk)

    async def watch(self):
        """Count the slots that units begin, and those that they are through with."""
        layout = data.Layout.cast(Events)
        offsets = {
            f"{unit} {pulse}": layout[unit].offset + data.Layout.cast(SlotEvents)[pulse].offset
            for unit in ("sb", "nbin", "nfu", "nbout")
            for pulse in ("begin", "done")
        }
        while True:
            await RisingEdge(self.dut.clk)
            events = int(self.dut.events.value)
            self.pulses.update(name for name, offset in offsets.items() if events >> offset & 1)

    async def take_rows(self, n: int):
        port = StreamPort(self.dut, f"tiles__{n}__broadcast")
        layout = TileRowLayout(CONFIG)
        while True:
            (word,) = await port.receive(1, gaps(self.rng, self.stall))
            row = layout.from_bits(word)
            if row.kind == Kind.NEURONS:
                self.neurons[n].append(row.data)
            else:
                self.synapses[n].append((row.row, row.data))

    async def take_nests(self, n: int):
        port = StreamPort(self.dut, f"tiles__{n}__instruction")
        while True:
            (word,) = await port.receive(1, gaps(self.rng, 3 * self.stall))
            self.nests[n].append((word >> NEST_BITS & 0xFFFFFFFF, word >> NEST_BITS + 32))

    async def read(self, name: str) -> int:
        return await self.registers.read_dword(MAP[name].offset)

    async def write(self, name: str, value: int):
        await self.registers.write_dword(MAP[name].offset, value)

    async def launch(self, program, watchdog: int = 20000):
        words = encode(program)
        await self.launch_words(words.astype("<u8").tobytes(), watchdog)

    async def launch_words(self, words: bytes, watchdog: int = 20000):
        self.host.content[PROGRAM : PROGRAM + len(words)] = words
        await self.write("PROGRAM_LO", PROGRAM)
        await self.write("PROGRAM_HI", 0)
        await self.write("PROGRAM_SIZE", len(words))
        await self.write("WATCHDOG", watchdog)
        await self.write("IRQ_ENABLE", 3)
        await self.write("CONTROL", 1)

    async def finish(self, limit: int = 200000):
        for _ in range(limit):
            await RisingEdge(self.dut.clk)
            if self.dut.irq.value == 1:
                break
        else:
            raise AssertionError(f"no end within {limit} cycles")
        await self.write("IRQ_STATUS", 3)


def starts(program) -> list[int]:
    """Byte offset of each instruction."""
    found, at = [], 0
    for instruction in program:
        found.append(at)
        at += len(encode([instruction])) * WORD_BITS // 8
    return found


async def check_programs(bench: Bench, count: int, length: int):
    """Run random programs and compare everything with the model."""
    dut, rng, stall = bench.dut, bench.rng, bench.stall
    for _ in range(count):
        memory = bytearray(rng.randbytes(MEMORY // 2))
        program = random_program(rng, CONFIG, length)
        bench.host.content[: MEMORY // 2] = memory
        expected = Expected(CONFIG, memory, rng)
        for pc, instruction in zip(starts(program), program, strict=True):
            expected.execute(instruction, pc)
        for seen in (*bench.neurons, *bench.synapses, *bench.nests):
            seen.clear()
        bench.pulses.clear()
        await bench.launch(program)
        for n in bench.tiles:
            port = StreamPort(dut, f"tiles__{n}__o")
            cocotb.start_soon(port.send(expected.given[n], gaps(rng, stall)))
        await bench.finish()
        assert await bench.read("ERROR") == 0
        assert await bench.read("STATUS") == 2
        # An END leaves nothing on its way.
        assert bench.neurons == expected.neurons
        assert bench.synapses == expected.synapses
        assert bench.nests == expected.nests
        assert bench.host.content[: MEMORY // 2] == memory
        slots = {
            f"{unit} {pulse}": sum(getattr(i, kind) is not None for i in program)
            for unit, kind in (("sb", "load"), ("nbin", "read"), ("nbout", "store"))
            for pulse in ("begin", "done")
        }
        assert bench.pulses == Counter(slots)
        counters = {
            name: await bench.read(f"{name}_LO") | await bench.read(f"{name}_HI") << 32
            for name in COUNTERS
        }
        written = sum(map(len, expected.given))
        stored = sum(
            i.store.descriptor.run * i.store.descriptor.count[0] * i.store.descriptor.count[1]
            for i in program
            if i.store is not None
        )
        assert counters["ROWS_WRITTEN"] == written
        assert counters["BYTES_NBOUT"] == stored
        assert counters["CYCLES"] > counters["BYTES_CP"] // (CONFIG.bus_port // 8)


@cocotb.test(timeout_time=20, timeout_unit="ms")
@cocotb.parametrize(stall=[0, 8])
async def runs_programs(dut, stall):
    """Rows end up where they should, in the node, in the tiles and in the host's memory."""
    bench = Bench(dut, stall)
    await bench.start()
    await check_programs(bench, 2, 30)


async def check_fault(bench: Bench, code: ErrorCode, pc: int):
    """The program stops with this error; nothing is on its way afterwards."""
    await bench.finish()
    assert ErrorCode(await bench.read("ERROR")) == code
    assert await bench.read("ERROR_PC") == pc
    for _ in range(1000):
        await RisingEdge(bench.dut.clk)
        if bench.dut.busy.value == 0:
            break
    for _ in range(30):
        await RisingEdge(bench.dut.clk)
        assert bench.dut.bus__arvalid.value == 0
        assert bench.dut.bus__awvalid.value == 0
        assert bench.dut.bus__wvalid.value == 0
    assert await bench.read("STATUS") == 4
    assert bench.dut.failed.value == 1


def illegal_words() -> list[tuple[list[int], str]]:
    """Instructions of one slot with a value in it that it must not have."""
    cases = []
    for kind, layout in SLOTS.items():
        if kind == "cp":
            continue
        legal = random_slot(layout)
        for field in fields_of(layout):
            mask = (1 << field.width) - 1
            if field.reserved:
                bad = 1 << field.width - 1
            elif field.legal is not None:
                bad = mask
            elif field.positive:
                bad = 0
            else:
                continue
            bits = legal & ~(mask << field.offset) | bad << field.offset
            words = [bits >> 64 * n & (1 << 64) - 1 for n in range(slot_words(layout))]
            cases.append(([cp_word(**{kind: 1}), *words], f"{kind}.{field.name}"))
    cases.append(([cp_word(end=1) ^ 1], "cp.magic"))
    cases.append(([cp_word(end=1) | 1 << 20], "cp.reserved"))
    return cases


def cp_word(**fields) -> int:
    return CpSlot.const({"magic": CP_MAGIC, **fields}).as_bits()


def random_slot(layout) -> int:
    """The bits of a legal slot."""
    bits = 0
    for field in fields_of(layout):
        bits |= (field.legal[0] if field.legal else 1) << field.offset
    return bits


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def reports_illegal_instructions(dut):
    """Each value that is not legal stops the program at its instruction."""
    bench = Bench(dut, 0)
    await bench.start()
    legal = encode([Instruction(tag=3)])
    cases = illegal_words()
    for words, name in cases if CONFIG.bus_port == 64 else bench.rng.sample(cases, 4):
        content = b"".join(word.to_bytes(8, "little") for word in [*legal.tolist(), *words])
        await bench.launch_words(content + cp_word(end=1).to_bytes(8, "little"))
        dut._log.info(name)
        await check_fault(bench, ErrorCode.ILLEGAL_INSTRUCTION, 8)
    assert not any((*bench.nests, *bench.neurons, *bench.synapses))


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def reports_ranges(dut):
    """Each access outside stops the program; the table of masks is empty before each program."""
    bench = Bench(dut, 0)
    await bench.start()
    for n in bench.tiles:
        getattr(dut, f"tiles__{n}__o__valid").value = 1
    before = bytes(bench.host.content[:PROGRAM])
    setting = Instruction(read=Read(ReadOp.MASK, mask=0, tiles=1))
    for instruction, code in faults(CONFIG):
        await bench.launch([setting, instruction, Instruction(fence=True, end=True)])
        dut._log.info(str(instruction))
        await check_fault(bench, code, starts([setting, instruction])[1])
    assert bytes(bench.host.content[:PROGRAM]) == before
    for n in bench.tiles:
        getattr(dut, f"tiles__{n}__o__valid").value = 0
    bench.stall = 4
    await check_programs(bench, 1, 10)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def reports_bus_errors(dut):
    """Loads, stores and fetches from where there is no memory."""
    bench = Bench(dut, 2)
    await bench.start()
    row = CONFIG.row_bytes
    clear = Instruction(load=Load(NO_RUNS, LoadOp.CLEAR, levels=rows((8, 1))))
    load = Instruction(load=Load(Runs(1024, 8 * row), LoadOp.CENTRAL, 1, 0, 0, rows((8, 1))))
    store = Instruction(fence=True, store=Store(Runs(4096, 8 * row), levels=rows((8, 1))))
    program = [clear, load, store, load, Instruction(end=True)]
    at = starts(program)
    words = encode(program)
    for bad, code, pc in (
        (range(1024 + 4 * row, 1024 + 5 * row), ErrorCode.BUS_LOAD, at[1]),
        (range(4096 + 7 * row, 4096 + 8 * row), ErrorCode.BUS_STORE, at[2]),
        (range(PROGRAM, PROGRAM + 8), ErrorCode.BUS_CP, 0),
    ):
        bench.host.bad = bad
        await bench.launch(program)
        await check_fault(bench, code, pc)
    bench.host.bad = range(0)
    await bench.launch(program)
    await bench.finish()
    assert await bench.read("ERROR") == 0
    await bench.launch_words(words.astype("<u8").tobytes()[:-8])
    await check_fault(bench, ErrorCode.END_OF_PROGRAM, at[-1])
    await check_programs(bench, 1, 10)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def watchdog_and_reset(dut):
    """Who waits for ever is named; a soft reset at any time leaves nothing behind."""
    bench = Bench(dut, 2)
    await bench.start()
    end = Instruction(end=True)
    stuck = [
        Instruction(write=Write(tiles=1)),
        Instruction(read=Read(ReadOp.BROADCAST, arrivals=1)),
        Instruction(store=Store(Runs(0, 2 * CONFIG.row_bytes))),
    ]
    first = Instruction(load=Load(NO_RUNS, LoadOp.CLEAR, levels=rows((3, 1))))
    for instruction in stuck:
        program = [first, instruction, end]
        await bench.launch(program, watchdog=300)
        await check_fault(bench, ErrorCode.WATCHDOG, starts(program)[1])
    for wait in (1, 30, 100, 317, 800):
        program = random_program(bench.rng, CONFIG, 30)
        await bench.launch(program)
        for _ in range(wait):
            await RisingEdge(dut.clk)
        await bench.write("CONTROL", 2)
        for _ in range(2000):
            await RisingEdge(dut.clk)
            if dut.busy.value == 0:
                break
        assert dut.busy.value == 0
        assert await bench.read("STATUS") == 0
        await bench.write("IRQ_STATUS", 3)
    await check_programs(bench, 1, 10)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def reports_tiles(dut):
    """A tile's fault is the node's."""
    bench = Bench(dut, 0)
    await bench.start()
    last = CONFIG.tiles - 1
    await bench.launch([Instruction(write=Write(tiles=1)), Instruction(end=True)])
    for _ in range(100):
        await RisingEdge(dut.clk)
    getattr(dut, f"tiles__{last}__code").value = ErrorCode.NBOUT_RANGE.value
    getattr(dut, f"tiles__{last}__pc").value = 0x1234
    getattr(dut, f"tiles__{last}__error").value = 1
    for _ in range(4):
        await RisingEdge(dut.clk)
    assert getattr(dut, f"tiles__{last}__halt").value == 1 or dut.busy.value == 0
    getattr(dut, f"tiles__{last}__error").value = 0
    await check_fault(bench, ErrorCode.NBOUT_RANGE, 0x1234)


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def describes_itself(dut):
    """The registers give the configuration back."""
    bench = Bench(dut, 0)
    await bench.start()
    values = {
        register.offset: await bench.registers.read_dword(register.offset) for register in MAP
    }
    assert values[0] == IDENTIFICATION
    assert read_config(values.__getitem__, CONFIG.name) == CONFIG
