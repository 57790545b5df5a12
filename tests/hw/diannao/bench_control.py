"""What the control processor hands to the units, against the program's own slots."""

import random

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiReadBus, AxiSlaveRead

from hw.diannao.isa import ErrorCode
from tests.hw.bus.axi_models import AddressMonitor, ReadMemory
from tests.hw.bus.patterns import gaps, pauses
from tests.hw.diannao.programs import UNITS, WORDS, Bundle, cp_word, random_bundle, random_slot
from tests.streams import StreamPort, dut_config, start

CONFIG = dut_config()
PORT = CONFIG["cp_port"]
MEMORY = 1 << 16


def expected(program: list[Bundle], stores: int = 0) -> dict[str, list[int]]:
    """Payloads of the four queues; ``stores`` were handed out before."""
    payloads = {unit: [] for unit in UNITS}
    pc = 0
    for bundle in program:
        for unit, bits in bundle.slots.items():
            width = 896 if unit == "nfu" else 320
            extra = {"nfu": bundle.tag, "nbin": stores & 0xFFFF}.get(unit, 0)
            payloads[unit].append(bits | pc << width | extra << width + 32)
        stores += "nbout" in bundle.slots
        pc += 8 * len(bundle.words)
    return payloads


class Bench:
    """The DUT with a memory and four units that take slots after random waiting times."""

    def __init__(self, dut, stall=0):
        self.dut = dut
        self.rng = random.Random(cocotb.RANDOM_SEED)
        self.stall = stall
        self.memory = self.rng.randbytes(MEMORY)
        self.received = {unit: [] for unit in UNITS}
        self.finished = self.errors = self.bytes = self.cycle = self.decoded = 0
        self.tasks = []
        self.bad: list[int] = []  # addresses whose beats are answered with an error

    async def start(self):
        streams = {f"{unit}__ready": 0 for unit in UNITS}
        await start(
            self.dut, start=0, program=0, size=0, halt=0, drained=0, axi__arready=0, axi__rid=0,
            axi__rdata=0, axi__rresp=0, axi__rlast=0, axi__rvalid=0, **streams,
        )  # fmt: skip
        burst = min(CONFIG["burst"], CONFIG["instruction_buffer"] * 8 // PORT // 2)
        self.address = AddressMonitor(
            self.dut, "axi", "ar", beat=PORT // 8, burst=burst, outstanding=CONFIG["outstanding"]
        )
        for task in (self.address.run(), self.address.stable.run(), self.watch()):
            cocotb.start_soon(task)
        self.take()

    def take(self):
        """Let the units take slots."""
        self.tasks = [cocotb.start_soon(self.unit(unit)) for unit in UNITS]

    async def unit(self, unit):
        if unit == "nfu":
            await self.nfu()
        port = StreamPort(self.dut, unit)
        while True:
            slots = await port.receive(1, gaps(self.rng, self.stall))
            self.received[unit] += slots

    async def nfu(self):
        """Takes the words of a slot after a random time, and then without a pause."""
        dut = self.dut
        pause = gaps(self.rng, self.stall)
        words = []
        while True:
            if not words:
                dut.nfu__ready.value = 0
                for _ in range(pause() if pause else 0):
                    await RisingEdge(dut.clk)
                    self.commit(words)
            dut.nfu__ready.value = 1
            await RisingEdge(dut.clk)
            self.commit(words)
            if dut.nfu__valid.value == 1:
                words.append(int(dut.nfu__payload.value))
                if len(words) == WORDS["nfu"]:
                    dut.nfu__ready.value = 0
                    await RisingEdge(dut.clk)
                    self.commit(words)
                    words.clear()

    def commit(self, words: list[int]):
        """A slot counts once it is committed, which is in the cycle after its last word."""
        dut = self.dut
        if dut.commit.value == 1:
            assert len(words) == WORDS["nfu"], "commit without a slot"
            bits = sum(word << 64 * n for n, word in enumerate(words))
            place = int(dut.nest_pc.value) | int(dut.nest_tag.value) << 32
            self.received["nfu"].append(bits | place << 896)

    async def reset(self):
        """Wait until nothing is in flight, as the core does, and reset."""
        for _ in range(3):
            await RisingEdge(self.dut.clk)
        while self.dut.idle.value != 1:
            await RisingEdge(self.dut.clk)
        for task in self.tasks:
            task.cancel()
        for unit in UNITS:
            getattr(self.dut, f"{unit}__ready").value = 0
        self.dut.halt.value = 0
        self.dut.rst.value = 1
        await RisingEdge(self.dut.clk)
        self.dut.rst.value = 0
        self.received = {unit: [] for unit in UNITS}
        self.errors = 0
        self.take()

    async def watch(self):
        dut = self.dut
        while True:
            await RisingEdge(dut.clk)
            self.cycle += 1
            self.finished += int(dut.finished.value)
            self.errors += int(dut.error.value)
            self.bytes += int(dut.bytes.value)

    def use_own(self, **options):
        self.model = ReadMemory(
            self.dut, "axi", np.frombuffer(self.memory, dtype=np.uint8), bad=self.bad, **options
        )
        cocotb.start_soon(self.model.run())

    def use_cocotbext(self):
        bench = self

        class Target:
            async def read(self, address, length):
                if address in bench.bad:
                    raise ValueError("no memory here")
                return bench.memory[address : address + length]

        bus = AxiReadBus.from_prefix(self.dut, "axi_")
        slave = AxiSlaveRead(bus, self.dut.clk, target=Target())
        slave.log.setLevel("CRITICAL")
        slave.ar_channel.set_pause_generator(pauses(self.rng))
        slave.r_channel.set_pause_generator(pauses(self.rng))

    def place(self, words: list[int], address: int):
        """Put a program into memory, with other bytes than before around it."""
        content = b"".join(word.to_bytes(8, "little") for word in words)
        around = self.rng.randbytes(MEMORY)
        self.memory = around[:address] + content + around[address + len(content) :]
        if hasattr(self, "model"):
            self.model.memory = np.frombuffer(self.memory, dtype=np.uint8)

    async def launch(self, address: int, size: int):
        self.dut.program.value = address
        self.dut.size.value = size
        self.dut.start.value = 1
        await RisingEdge(self.dut.clk)
        self.dut.start.value = 0
        self.dut.program.value = self.rng.getrandbits(16)
        self.dut.size.value = self.rng.getrandbits(16)

    async def run(self, words: list[int], address: int | None = None, size: int | None = None):
        """Place and start a program."""
        if address is None:
            address = self.rng.randrange(0, (MEMORY - 8 * len(words)) // 8) * 8
        self.place(words, address)
        await self.launch(address, 8 * len(words) if size is None else size)

    async def until(self, condition, limit=20000):
        for _ in range(limit):
            if condition():
                return
            await RisingEdge(self.dut.clk)
        raise AssertionError(f"nothing came for {limit} cycles")

    async def check(self, program: list[Bundle], stores: int = 0):
        """Everything arrives, and the end is reported once, but not before all is drained."""
        slots = expected(program, stores)
        await self.until(lambda: self.received == slots)
        for _ in range(40):
            await RisingEdge(self.dut.clk)
        assert self.finished == 0, "finished before drained"
        self.dut.drained.value = 1
        await self.until(lambda: self.finished, 200)
        self.dut.drained.value = 0
        for _ in range(10):
            await RisingEdge(self.dut.clk)
        assert self.finished == 1
        assert self.errors == 0
        assert self.received == slots
        assert self.address.in_flight == 0
        self.finished = 0
        self.received = {unit: [] for unit in UNITS}

    async def check_error(self, code: ErrorCode, pc: int, slots: dict[str, list[int]]):
        """The fault is reported once, and the units get ``slots`` and nothing else."""
        await self.until(lambda: self.errors)
        assert ErrorCode(int(self.dut.code.value)) == code
        assert int(self.dut.pc.value) == pc
        for _ in range(30):
            await RisingEdge(self.dut.clk)
        assert self.errors == 1
        assert self.finished == 0
        assert self.received == slots
        await self.until(lambda: self.dut.idle.value == 1, 200)
        assert int(self.dut.pc.value) == pc, "pc does not hold"


def random_program(rng, length: int) -> list[Bundle]:
    return [random_bundle(rng) for _ in range(length - 1)] + [random_bundle(rng, end=True)]


def words_of(program: list[Bundle]) -> list[int]:
    return [word for bundle in program for word in bundle.words]


@cocotb.test(timeout_time=3, timeout_unit="ms")
@cocotb.parametrize((("memory", "stall"), [("own", 40), ("cocotbext", 0)]))
async def runs_programs(dut, memory, stall):
    """Programs one after the other, at all places of a beat, with garbage after END."""
    bench = Bench(dut, stall)
    if memory == "own":
        bench.use_own(latency=20, stall=lambda: bench.rng.random() < 0.2)
    else:
        bench.use_cocotbext()
    await bench.start()
    stores = 0
    for length in (1, 16, 2, 3, 9):
        program = random_program(bench.rng, length)
        garbage = [bench.rng.getrandbits(64) for _ in range(bench.rng.choice((0, 1, 100)))]
        await bench.run(words_of(program) + garbage)
        await bench.check(program, stores)
        stores += sum("nbout" in bundle.slots for bundle in program)


@cocotb.test(timeout_time=3, timeout_unit="ms")
async def decodes_a_word_per_cycle(dut):
    """No cycle is lost between slots, instructions and bursts, whatever the memory's latency."""
    bench = Bench(dut)
    bench.use_own(latency=12)
    await bench.start()
    slots = {unit: random_slot(bench.rng, unit) for unit in UNITS}
    program = [Bundle(slots) for _ in range(25)] + [Bundle({}, end=True)]
    words, slots = words_of(program), expected(program)
    first = bench.cycle
    await bench.run(words, address=4096)
    await bench.until(lambda: bench.received == slots)
    cycles = bench.cycle - first
    per_word = max(1, 64 // PORT)
    assert cycles <= len(words) * per_word + 12 + 20, f"{cycles} cycles for {len(words)} words"
    beats = -(-8 * len(words) // (PORT // 8))
    await bench.check(program)
    assert bench.bytes == 8 * len(words) or bench.bytes <= beats * PORT // 8


@cocotb.test(timeout_time=3, timeout_unit="ms")
async def reads_no_more_than_the_buffer_holds(dut):
    """While the units take nothing, the buffer fills and the fetch waits, without harm."""
    bench = Bench(dut)
    bench.use_own(latency=3)
    await bench.start()
    for task in bench.tasks:
        task.cancel()
    for unit in UNITS:
        getattr(dut, f"{unit}__ready").value = 0
    slots = {unit: random_slot(bench.rng, unit) for unit in UNITS}
    program = [Bundle(slots) for _ in range(20)] + [Bundle({}, end=True)]
    await bench.run(words_of(program))
    for _ in range(8 * CONFIG["instruction_buffer"] // PORT + 300):
        await RisingEdge(dut.clk)
    read = sum(beats for _, beats in bench.address.bursts) * PORT // 8
    # The queues fill up, then the window and what is on its way to it.
    waiting = 8 * 30 * (CONFIG["queue"] + 2) + 2 * PORT // 8
    assert CONFIG["instruction_buffer"] <= read <= CONFIG["instruction_buffer"] + waiting
    assert read < 8 * len(words_of(program))
    assert bench.address.in_flight == 0
    bench.take()
    await bench.check(program)


def illegal_fields() -> list[tuple[str, int, int, int]]:
    """(slot, lowest bit, bits, value) of values that the ISA forbids, by the positions it gives."""
    cases = [("cp", 0, 8, magic) for magic in (0x00, 0xD0, 0xFF)]
    cases += [("cp", bit, 1, 1) for bit in (13, 30, 47)]
    for unit, reserved in (
        ("sb", (244, 280, 319)),
        ("nbin", (245, 256, 303)),
        ("nbout", (244, 255, 319)),
    ):
        cases += [(unit, 240, 4, op) for op in (0, 2, 9)]
        cases += [(unit, 64, 32, 0)]
        cases += [(unit, 96 + 16 * n, 16, 0) for n in range(3)]
        cases += [(unit, bit, 1, 1) for bit in reserved]
    cases += [("nfu", 0, 4, op) for op in (0, 6, 15)]
    cases += [("nfu", bit, 1, 1) for bit in (24, 31)]
    for level in range(6):
        cases += [("nfu", 128 + 128 * level, 16, 0)]
        cases += [("nfu", 128 + 128 * level + bit, 1, 1) for bit in (112, 127)]
    return cases


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def reports_illegal_instructions(dut):
    """Each forbidden value, alone in a legal program; after a reset the next program runs.

    One port width sees all of them, the others a few, because the decoder is the same.
    """
    bench = Bench(dut, stall=3)
    bench.use_own(latency=2)
    await bench.start()
    cases = illegal_fields()
    for where, offset, width, value in cases if PORT == 64 else bench.rng.sample(cases, 6):
        before = [random_bundle(bench.rng) for _ in range(bench.rng.randint(0, 2))]
        bad = random_bundle(bench.rng)
        if where != "cp":
            slots = {**bad.slots, where: random_slot(bench.rng, where)}
            bad.slots = {unit: slots[unit] for unit in UNITS if unit in slots}
        words = words_of([bad])
        start = 1 + sum(
            14 if unit == "nfu" else 5 for unit in UNITS[: UNITS.index(where)] if unit in bad.slots
        ) if where != "cp" else 0  # fmt: skip
        for bit in range(width):
            word, place = start + (offset + bit) // 64, (offset + bit) % 64
            words[word] = words[word] & ~(1 << place) | (value >> bit & 1) << place
        # Slots that come before the bad one in its instruction have been handed out.
        passed = UNITS[: UNITS.index(where)] if where != "cp" else ()
        half = Bundle({u: b for u, b in bad.slots.items() if u in passed}, bad.tag)
        after = random_program(bench.rng, 2)
        await bench.run(words_of(before) + words + words_of(after))
        pc = 8 * len(words_of(before))
        await bench.check_error(ErrorCode.ILLEGAL_INSTRUCTION, pc, expected([*before, half]))
        await bench.reset()
    program = random_program(bench.rng, 5)
    await bench.run(words_of(program))
    await bench.check(program)


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def reports_the_end_of_the_program(dut):
    """A program cut off after each of its words, and sizes and places that cannot be."""
    bench = Bench(dut, stall=3)
    bench.use_own(latency=2)
    await bench.start()
    slots = {unit: random_slot(bench.rng, unit) for unit in UNITS}
    program = [Bundle({}, tag=1), Bundle(slots, tag=2, end=True)]
    words = words_of(program)
    ends = {"sb": 7, "nbin": 12, "nbout": 17, "nfu": 31}  # words up to the end of the slot
    for cut in range(1, len(words), 1 if PORT == 64 else 5):
        await bench.run(words[:cut])
        arrived = Bundle({u: bits for u, bits in slots.items() if ends[u] <= cut}, tag=2)
        handed_out = expected([program[0], arrived])
        await bench.check_error(ErrorCode.END_OF_PROGRAM, 8, handed_out)
        await bench.reset()
    program[1].end = False
    await bench.run(words_of(program))
    await bench.check_error(ErrorCode.END_OF_PROGRAM, 8 * len(words), expected(program))
    await bench.reset()

    nothing = expected([])
    for size in (0, 4, 8 * len(words) - 1, 8 * len(words) + 2, 1 << 31):
        await bench.run(words, size=size)
        await bench.check_error(ErrorCode.END_OF_PROGRAM, 0, nothing)
        await bench.reset()
    for misplaced in (1, 2, 4):
        await bench.run(words, address=512)
        await bench.reset()
        await bench.launch(512 + misplaced, 8 * len(words))
        await bench.check_error(ErrorCode.ILLEGAL_INSTRUCTION, 0, nothing)
        await bench.reset()
    assert not any(bench.received.values())


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def reports_bus_errors(dut):
    """An error response stops the program before its words are decoded."""
    bench = Bench(dut, stall=2)
    program = random_program(bench.rng, 30)
    words = words_of(program)
    beat = max(PORT // 8, 8)
    address = 1024
    last = (8 * len(words) - 1) // beat * beat
    places = (0, beat, last // beat // 2 * beat, last)
    bench.use_cocotbext()
    await bench.start()
    for place in places:
        bench.bad[:] = [address + place + (PORT < 64) * 4]
        await bench.run(words, address=address)
        await bench.until(lambda: bench.errors)
        assert ErrorCode(int(dut.code.value)) == ErrorCode.BUS_CP
        pc = int(dut.pc.value)
        boundaries = [8 * len(words_of(program[:n])) for n in range(len(program))]
        assert pc in boundaries
        assert pc <= place + beat
        for _ in range(60):
            await RisingEdge(dut.clk)
        assert bench.errors == 1
        assert bench.finished == 0
        # What was handed out is the program's beginning, up to the instruction in work.
        complete = expected(program[: boundaries.index(pc)])
        for unit, slots in expected(program[: boundaries.index(pc) + 1]).items():
            assert bench.received[unit] == slots[: len(bench.received[unit])]
            assert len(bench.received[unit]) >= len(complete[unit])
        await bench.reset()
    bench.bad.clear()
    await bench.run(words)
    await bench.check(program)


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def halts(dut):
    """While halted it reads and decodes nothing more; start means nothing to a running program."""
    bench = Bench(dut, stall=0)
    bench.use_own(latency=25)
    await bench.start()
    for wait in (1, 5, 30, 47, 100):
        program = random_program(bench.rng, 60)
        await bench.run(words_of(program))
        for _ in range(wait):
            await RisingEdge(dut.clk)
        dut.halt.value = 1
        for _ in range(2 + (CONFIG["queue"] + 3)):
            await RisingEdge(dut.clk)
        bursts = len(bench.address.bursts)
        received = {unit: len(slots) for unit, slots in bench.received.items()}
        dut.drained.value = 1
        for _ in range(40 + CONFIG["instruction_buffer"] * 8 // PORT):
            await RisingEdge(dut.clk)
        dut.drained.value = 0
        assert dut.idle.value == 1
        assert len(bench.address.bursts) == bursts
        assert {unit: len(slots) for unit, slots in bench.received.items()} == received
        assert not bench.errors
        assert not bench.finished
        await bench.reset()
    program = random_program(bench.rng, 60)
    await bench.run(words_of(program))
    await bench.launch(8, 8)
    await bench.check(program)


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def wide_address_range(dut):
    """The whole address reaches the bus, and an END alone is a program."""
    bench = Bench(dut)
    bench.use_own()
    await bench.start()
    bench.place([cp_word((), end=True)], 0x1238)
    address = 0xFEDC1238 & ((1 << CONFIG["address_width"]) - 1)
    await bench.launch(address, 8)
    await bench.check([])
    assert bench.address.bursts[0][0] == (address // (PORT // 8)) * (PORT // 8)
