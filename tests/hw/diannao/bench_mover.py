"""What a core's engine brings to NBin and SB and takes from NBout, against the slots' runs."""

import random
from collections import deque

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from hw.diannao.config import Config
from hw.diannao.engine.engine import burst_size
from hw.diannao.isa import ErrorCode, LoadOp, NbinSlot, NboutSlot, SbSlot, StoreOp
from tests.hw.bus.axi_models import AddressMonitor, ReadMemory, StableMonitor, WriteMemory
from tests.hw.bus.patterns import pattern, random_pattern, run_addresses
from tests.hw.diannao.programs import Bundle, random_slot, split
from tests.streams import dut_config, start

CONFIG = Config(**dut_config())
BEAT = CONFIG.nbin_port // 8
ELEMENT = CONFIG.element_bytes
ROW = CONFIG.tn * ELEMENT
CAPACITY, BANKS, ROWS = CONFIG.nbin_elements, CONFIG.nbin_banks, CONFIG.sb_rows
PIECES = -(-CONFIG.sb_row_bits // CONFIG.sb_port)
MEMORY = 1 << 16
PROGRAM = MEMORY - (1 << 14)
STORES = MEMORY // 2  # loads come from below it, stores go between it and the program


class Slot:
    """A slot by its unit, as the program has it."""

    def __init__(self, unit: str, descriptor: dict, skip: int = 0, fence: int = 0):
        self.unit, self.descriptor, self.skip = unit, descriptor, skip
        fields = {"descriptor": descriptor}
        if unit == "nbout":
            self.bits = NboutSlot.const(fields | {"op": StoreOp.STORE}).as_bits()
        elif unit == "sb":
            self.bits = SbSlot.const(fields | {"op": LoadOp.LOAD}).as_bits()
        else:
            fields |= {"op": LoadOp.LOAD, "fence": fence, "skip": skip}
            self.bits = NbinSlot.const(fields).as_bits()


class Bench:
    """The DUT between a memory and buffers that are written, freed and filled at random."""

    def __init__(self, dut):
        self.dut = dut
        self.rng = random.Random(cocotb.RANDOM_SEED)
        numbers = np.random.default_rng(cocotb.RANDOM_SEED)
        self.memory = numbers.integers(0, 256, MEMORY, dtype=np.uint8)
        self.errors = []
        self.nfu, self.commits = [], []
        self.finished = False
        self.haste = 1.0  # how often the NFU frees, and makes rows

    async def start(self, **options):
        await start(
            self.dut, start=0, program=0, size=0, halt=0, drained=1, nbin_free=0, sb_free=0,
            row__payload=0, row__valid=0, level=0, nfu__ready=1, bus__arready=0, bus__rid=0,
            bus__rdata=0, bus__rresp=0, bus__rlast=0, bus__rvalid=0, bus__awready=0, bus__wready=0,
            bus__bid=0, bus__bresp=0, bus__bvalid=0,
        )  # fmt: skip
        self.clear()
        dut = self.dut
        burst = burst_size(CONFIG) // BEAT
        self.reads = AddressMonitor(
            dut, "bus", "ar", beat=BEAT, burst=burst, outstanding=CONFIG.outstanding
        )
        self.writes = AddressMonitor(dut, "bus", "aw", beat=BEAT, burst=burst, outstanding=1)
        stall = options.pop("stall", 0)
        pauses = (lambda: self.rng.random() < stall) if stall else None
        bad = options.pop("bad", ())
        latency = self.rng.choice((1, 2, 9))
        for task in (
            self.reads.run(), self.reads.stable.run(), self.writes.run(), self.writes.stable.run(),
            StableMonitor(dut, "bus", "w", "data strb last").run(),
            ReadMemory(dut, "bus", self.memory, latency=latency, stall=pauses, bad=bad).run(),
            WriteMemory(dut, "bus", self.memory, latency=latency, stall=pauses, bad=bad).run(),
            self.watch(), self.buffers(),
        ):  # fmt: skip
            cocotb.start_soon(task)

    def clear(self):
        """What a reset does to the buffers."""
        self.nbin = np.zeros((CAPACITY // BANKS, BANKS * ELEMENT), dtype=np.uint8)
        self.sb = np.zeros((ROWS, PIECES * BEAT), dtype=np.uint8)
        self.head = self.tail = self.sb_head = self.sb_tail = 0
        self.elements, self.rows = deque(), deque()  # what is to come: bytes, rows of SB
        self.incoming, self.fifo = deque(), deque()

    async def watch(self):
        dut = self.dut
        held_up = 0
        while True:
            await RisingEdge(dut.clk)
            if dut.error.value == 1:
                self.errors.append((int(dut.code.value), int(dut.pc.value)))
            self.finished |= bool(dut.finished.value == 1)
            held_up = held_up + 1 if dut.bus__rvalid.value == 1 != dut.bus__rready.value else 0
            assert held_up <= 2, "R is held up"  # but until the burst is out of its queue
            if dut.nfu__valid.value == 1:
                self.nfu.append(int(dut.nfu__payload.value))
            if dut.commit.value == 1:
                self.commits.append((int(dut.nest_pc.value), int(dut.nest_tag.value)))
            self.write_nbin()
            self.write_sb()

    def write_nbin(self):
        dut = self.dut
        enables = int(dut.nbin__enables.value)
        if enables:
            row, first, word = (
                int(getattr(dut, f"nbin__{name}").value) for name in ("row", "first", "data")
            )
            for place in range(BANKS * ELEMENT):
                if enables >> place & 1:
                    in_row = (row + (place // ELEMENT < first)) % len(self.nbin)
                    self.nbin[in_row, place] = word >> 8 * (place % BEAT) & 0xFF
        came = int(dut.nbin_arrived.value)
        for _ in range(came):
            got = self.nbin.reshape(CAPACITY, ELEMENT)[self.head % CAPACITY]
            for byte in got:
                expected = self.elements.popleft()
                assert expected is None or byte == expected, f"element {self.head}"
            self.head += 1
        assert self.head - self.tail <= CAPACITY, "more arrived than fits"

    def write_sb(self):
        dut = self.dut
        enables = int(dut.sb__enables.value)
        if enables:
            row, word = int(dut.sb__row.value), int(dut.sb__data.value)
            for place in range(PIECES * BEAT):
                if enables >> place & 1:
                    self.sb[row, place] = word >> 8 * (place % BEAT) & 0xFF
        if dut.sb_arrived.value == 1:
            expected = self.rows.popleft()
            got = self.sb[self.sb_head % ROWS, : len(expected)]
            assert (got == expected).all(), f"row {self.sb_head} of SB"
            self.sb_head += 1
            assert self.sb_head - self.sb_tail <= ROWS, "more rows arrived than fit"

    async def buffers(self):
        """Free what has arrived, and make rows of outputs, both at random."""
        dut, rng = self.dut, self.rng
        while True:
            acts = rng.random() < self.haste
            freed = rng.randint(0, self.head - self.tail) if acts else 0
            sb_freed = rng.randint(0, min(2, self.sb_head - self.sb_tail)) if acts else 0
            dut.nbin_free.value, dut.sb_free.value = freed, sb_freed
            if self.incoming and len(self.fifo) < CONFIG.nbout_rows and rng.random() < self.haste:
                self.fifo.append(self.incoming.popleft())
            dut.level.value = len(self.fifo)
            dut.row__valid.value = bool(self.fifo)
            dut.row__payload.value = int.from_bytes(self.fifo[0], "little") if self.fifo else 0
            await RisingEdge(dut.clk)
            self.tail += freed
            self.sb_tail += sb_freed
            if self.fifo and dut.row__ready.value == 1:
                self.fifo.popleft()

    def expect(self, bundles: list[list[Slot]]):
        """What the program's slots bring and store; returns the memory after it."""
        result = self.memory.copy()
        for slot in (slot for bundle in bundles for slot in bundle):
            size = slot.descriptor["run"]
            for address in run_addresses(slot.descriptor):
                if slot.unit == "nbin":
                    self.elements.extend(result[address : address + size].tolist())
                elif slot.unit == "sb":
                    self.rows.append(result[address : address + size].copy())
                else:
                    rows = [self.rng.randbytes(ROW) for _ in range(-(-size // ROW))]
                    self.incoming.extend(rows)
                    data = np.frombuffer(b"".join(rows), np.uint8)[:size]
                    result[address : address + size] = data
            self.elements.extend([None] * slot.skip * ELEMENT)
        return result

    def load(self, words: list[int]):
        code = np.array(words, dtype="<u8").view(np.uint8)
        self.memory[PROGRAM : PROGRAM + len(code)] = code
        self.dut.program.value, self.dut.size.value = PROGRAM, len(code)

    async def go(self):
        self.dut.start.value = 1
        await RisingEdge(self.dut.clk)
        self.dut.start.value = 0

    async def reset(self):
        self.dut.rst.value = 1
        await RisingEdge(self.dut.clk)
        self.dut.rst.value = 0
        self.clear()
        self.finished = False

    async def until(self, condition, limit=60_000):
        for _ in range(limit):
            await RisingEdge(self.dut.clk)
            if condition():
                return
        raise AssertionError(f"not there after {limit} cycles")

    async def run(self, bundles: list[list[Slot]]):
        """Run the slots and check all that follows from them."""
        result = self.expect(bundles)
        self.load(words_of(bundles))
        result[PROGRAM:] = self.memory[PROGRAM:]
        await self.go()
        await self.until(lambda: self.finished or self.errors)
        assert not self.errors
        assert not self.elements
        assert not self.rows
        assert not self.incoming
        assert not self.fifo
        assert (self.memory == result).all()
        assert self.dut.idle.value == 1


def words_of(bundles: list[list[Slot]]) -> list[int]:
    words = []
    for number, slots in enumerate(bundles):
        order = sorted(slots, key=lambda slot: ("sb", "nbin", "nbout").index(slot.unit))
        words += Bundle({slot.unit: slot.bits for slot in order}, number).words
    return words + Bundle({}, 0, True).words


def random_sb(rng) -> dict:
    """Rows of SB: whole or a part, one behind the other or apart, at any byte."""
    run = BEAT * rng.randint(1, PIECES)
    address = rng.randrange(STORES // 2)
    if rng.random() < 0.6:
        address -= address % BEAT
    count = [rng.randint(1, 7), rng.randint(1, 2), rng.randint(1, 2)]
    inner = run if rng.random() < 0.6 else rng.randint(0, 40)
    return pattern(address, run, count, [inner, rng.randint(0, 999), rng.randint(0, 999)])


def random_bundles(rng, count: int) -> list[list[Slot]]:
    """Instructions with any set of slots; stores lie behind one another."""
    bundles, free = [], STORES
    for _ in range(count):
        slots = []
        if rng.random() < 0.6:
            slots.append(Slot("sb", random_sb(rng)))
        if rng.random() < 0.6:
            descriptor = random_pattern(rng, STORES - 1, 40)
            descriptor["run"] += -descriptor["run"] % ELEMENT
            skip = rng.choice((0, 0, 1, CONFIG.ti, rng.randint(0, 2 * CAPACITY)))
            slots.append(Slot("nbin", descriptor, skip))
        if rng.random() < 0.6:
            run, gap = rng.randint(1, 3 * BEAT + 20), rng.randint(0, 9)
            counts = [rng.randint(1, 3), rng.randint(1, 2), 1]
            inner, outer = run + gap, (run + gap) * counts[0] + gap
            if free + outer * counts[1] < PROGRAM:
                slots.append(Slot("nbout", pattern(free, run, counts, [inner, outer, 0])))
                free += outer * counts[1]
        bundles.append(slots)
    return bundles


@cocotb.test(timeout_time=5, timeout_unit="ms")
@cocotb.parametrize(stall=[0, 0.4], haste=[1.0, 0.1])
async def moves_what_slots_say(dut, stall, haste):
    """Random programs one after the other, for eager and for lazy buffers."""
    bench = Bench(dut)
    bench.haste = haste
    await bench.start(stall=stall)
    await bench.run(random_bundles(bench.rng, 9))
    await bench.reset()
    await bench.run(random_bundles(bench.rng, 2))


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def fills_nbin_to_its_last_element(dut):
    """A load of the whole ring, in runs of odd lengths, ends though nothing is freed."""
    bench = Bench(dut)
    bench.haste = 0
    await bench.start()
    count, rest = divmod(CAPACITY, 7)
    loads = [Slot("nbin", pattern(5, 7 * ELEMENT, (count, 1, 1), (15, 0, 0)))]
    if rest:
        loads.append(Slot("nbin", pattern(1, ELEMENT), rest - 1))
    await bench.run([[load] for load in loads])


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def fence_waits_for_stores(dut):
    """A load behind stores that are slow to come reads what they wrote."""
    bench = Bench(dut)
    bench.haste = 0.01
    await bench.start()
    store = Slot("nbout", pattern(STORES + 3, 4 * ROW + 1))
    load = Slot("nbin", pattern(STORES + 1, 4 * ROW + 6), fence=1)
    await bench.run([[store], [load]])


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def passes_nests_on(dut):
    """The half words of NFU slots in order, with a commit for each."""
    bench = Bench(dut)
    await bench.start()
    nests = [random_slot(bench.rng, "nfu") for _ in range(4)]
    words = [w for n, bits in enumerate(nests) for w in Bundle({"nfu": bits}, n + 7).words]
    bench.load(words + Bundle({}, 0, True).words)
    await bench.go()
    await bench.until(lambda: bench.finished)
    halves = [
        word >> 16 * n & 0xFFFF for bits in nests for word in split(bits, 14) for n in range(4)
    ]
    assert bench.nfu == halves
    assert bench.commits == [(8 * 15 * n, n + 7) for n in range(4)]


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(unit=["nbin", "sb", "nbout", "row", "cp"])
async def reports_faults(dut, unit):
    """A bad answer, or a run that is no row of SB: code and place, and nothing moves any more."""
    bench = Bench(dut)
    place = {"nbout": STORES + 64, "cp": PROGRAM}.get(unit, 64)
    bad = range(place, place + BEAT) if unit != "row" else ()
    await bench.start(bad=bad)
    good = [[Slot("sb", pattern(4096, BEAT))], [Slot("nbin", pattern(4097, 34))]]
    if unit == "row":
        faulty = Slot("sb", pattern(64, BEAT * PIECES + BEAT))
    else:
        faulty = Slot("nbin" if unit == "cp" else unit, pattern(place % PROGRAM, BEAT))
    bundles = [*good, [faulty], *good]
    bench.expect(bundles)
    bench.load(words_of(bundles))
    await bench.go()
    await bench.until(lambda: bench.errors)
    dut.halt.value = 1
    codes = {"row": ErrorCode.SB_RANGE}
    code = codes.get(unit) or ErrorCode[f"BUS_{unit.upper()}"]
    assert bench.errors == [(code.value, 0 if unit == "cp" else 8 * 12)]
    await bench.until(lambda: dut.idle.value == 1)
    assert bench.reads.in_flight == bench.writes.in_flight == 0


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def halts_and_recovers(dut):
    """Halted at any time, it ends what is on the bus, and after a reset works as if new."""
    bench = Bench(dut)
    await bench.start(stall=0.2)
    for _ in range(5):
        bundles = random_bundles(bench.rng, 5)
        bench.expect(bundles)
        bench.load(words_of(bundles))
        await bench.go()
        for _ in range(bench.rng.randint(1, 400)):
            await RisingEdge(dut.clk)
        dut.halt.value = 1
        await RisingEdge(dut.clk)
        await bench.until(lambda: dut.idle.value == 1)
        assert bench.reads.in_flight == bench.writes.in_flight == 0
        seen = len(bench.reads.bursts), len(bench.writes.bursts)
        for _ in range(20):
            await RisingEdge(dut.clk)
        assert seen == (len(bench.reads.bursts), len(bench.writes.bursts)), "a burst while idle"
        await bench.reset()
        dut.halt.value = 0
    await bench.run(random_bundles(bench.rng, 5))
