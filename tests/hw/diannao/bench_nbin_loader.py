"""What arrives in NBin against the elements that numpy finds at the slots' runs."""

from collections import deque

import cocotb
from cocotb.triggers import RisingEdge

from hw.diannao.config import Config
from hw.diannao.isa import ErrorCode
from hw.diannao.load import NbinLoad
from tests.hw.bus.patterns import pattern, random_pattern, run_addresses
from tests.hw.diannao.loader_bench import MEMORY, LoaderBench
from tests.streams import dut_config, unpack

CONFIG = Config(**dut_config())
CAPACITY, TI, SIZE = CONFIG.nbin_elements, CONFIG.ti, CONFIG.element_bytes
BEAT = CONFIG.nbin_port // 8
LANES = BEAT // SIZE
BURST = 1 << min(CONFIG.burst, max(1, CONFIG.nbin_fifo // 4)).bit_length() - 1


class Bench(LoaderBench):
    def __init__(self, dut):
        super().__init__(dut, CONFIG, NbinLoad, CONFIG.nbin_port, stores_done=0, position=0, read=0)
        self.arrivals = []  # cycles in which elements arrived

    def slot(self, descriptor, skip=0, fence=0):
        return {"descriptor": descriptor, "skip": skip, "fence": fence}

    def random_slot(self, longest):
        descriptor = random_pattern(self.rng, MEMORY - 8, longest)
        descriptor["run"] = -(-descriptor["run"] // SIZE) * SIZE
        skip = self.rng.choice((0, 0, 1, TI - 1, self.rng.randint(0, 2 * CAPACITY)))
        return self.slot(descriptor, skip)

    def elements(self, slots):
        """The elements to come, None for those that are skipped."""
        for slot in slots:
            for run in self.run_bytes(slot["descriptor"]):
                yield from run.view(f"<i{SIZE}").tolist()
            yield from [None] * slot["skip"]

    async def consume(self, slots, act, free=None):
        """Be the NFU: read at the tail and free elements, when ``act(filled)`` says so.

        ``free()`` says how many (up to Ti at random if not given). Compares all that is read: every
        element if no more than Ti are freed at once.
        """
        free = free or (lambda: self.rng.randint(1, TI))
        dut = self.dut
        expected = list(self.elements(slots))
        arrived = tail = 0
        reading = deque()  # (cycle in which it shows, elements)
        cycle = 0
        dut.read.value = 1
        while tail < len(expected) or reading:
            freed = read = 0
            missing = len(expected) - arrived
            if arrived > tail and (missing == 0 or act(arrived - tail)):
                read = min(TI, arrived - tail)
                freed = min(free(), arrived - tail)
            if read:
                dut.position.value = tail % CAPACITY
                reading.append((cycle + 2, expected[tail : tail + read]))
            dut.free.value = freed
            await RisingEdge(dut.clk)
            tail += freed
            came = int(dut.arrived.value)
            if came:
                self.arrivals.append(self.cycle)
            arrived += came
            assert arrived - tail <= CAPACITY, "more arrived than fits"
            assert arrived <= len(expected), "more arrived than was loaded"
            if reading and reading[0][0] == cycle:
                _, wanted = reading.popleft()
                got = unpack(dut.neurons.value, CONFIG.width, len(wanted))
                assert [w if w is None else g for g, w in zip(got, wanted, strict=True)] == wanted
            cycle += 1
        dut.free.value = 0
        assert arrived == len(expected)

    async def run(self, slots, act, free=None, stall=0):
        """Load all slots and check what follows from them."""
        fetched = self.bytes
        self.send([self.encode(slot) for slot in slots], stall)
        await self.consume(slots, act, free)
        await self.until_idle(10)
        assert self.bytes - fetched == sum(
            slot["descriptor"]["run"] * len(run_addresses(slot["descriptor"])) for slot in slots
        )
        assert not self.errors

    def random_slots(self, count, longest):
        """Slots with runs of up to ``longest`` bytes, up to ``count`` elements all in all."""
        slots = []
        while count > 0:
            slot = self.random_slot(longest)
            descriptor = slot["descriptor"]
            size = descriptor["run"] // SIZE * len(run_addresses(descriptor)) + slot["skip"]
            if size <= max(count, 8 * TI):
                slots.append(slot)
                count -= size
        return slots


def always(filled):
    return True


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(slave=["cocotbext", "own"], act=["eager", "rare", "full"])
async def delivers_every_element(dut, slave, act):
    """Random slots, many rings long; the NFU frees at once, now and then, or only a full ring.

    The last one is the hardest for the room accounting: the ring must fill to its last element
    every time, although bursts and words do not end there.
    """
    bench = Bench(dut)
    await bench.start()
    rng = bench.rng
    if slave == "cocotbext":
        bench.use_cocotbext()
    else:
        bench.use_own(latency=rng.choice((1, 9, 60)), stall=lambda: rng.random() < 0.2)
    acts = {
        "eager": always,
        "rare": lambda filled: rng.random() < 0.2,
        "full": lambda filled: filled == CAPACITY,
    }
    # Freeing few elements of a full ring at a time takes as many cycles.
    count = min(4 * CAPACITY, CAPACITY + 100 * TI) if act == "full" else 4 * CAPACITY
    slots = bench.random_slots(count // 2, CAPACITY * SIZE // 2)
    slots += bench.random_slots(count // 2, 4 * TI * SIZE)
    rng.shuffle(slots)
    await bench.run(slots, acts[act], stall=rng.choice((0, 9)))


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(hide=[False, True])
async def one_word_per_cycle(dut, hide):
    """An eager NFU: no gap between the words of bursts, runs and slots, skips included."""
    bench = Bench(dut)
    await bench.start()
    # What the reads in flight and the room for their words can hide, while skips take the ring's.
    in_flight = min(CONFIG.outstanding * min(BURST, 8) - 8, CONFIG.nbin_fifo - BURST - 9)
    bench.use_own(latency=max(1, min(80, in_flight)) if hide else 1)
    run = 8 * BEAT
    descriptors = [pattern(0, 250 * BEAT), pattern(8192, run, (2, 2, 1), (-4096, 8192, 0))]
    descriptors += [pattern(16384 + 4096 * n, run) for n in range(8)]
    slots = [bench.slot(descriptor, skip) for skip, descriptor in enumerate(descriptors)]
    await bench.run(slots, always, lambda: CAPACITY)
    # The last element may be a skipped one, but it comes with the last word.
    assert bench.arrivals[-1] - bench.arrivals[0] + 1 == 250 + 4 * 8 + 8 * 8


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(latency=[1, 20, 80, 150])
async def fifo_covers_the_latency(dut, latency):
    """The NFU takes a word per cycle but keeps the ring full up to four words: what the FIFO
    holds, and the reads in flight, decide the rate."""
    bench = Bench(dut)
    await bench.start()
    bench.use_own(latency=latency)
    words = CAPACITY // LANES + 300
    full = []

    def act(filled):
        if filled == CAPACITY:
            full.append(bench.cycle)
        return full and filled >= CAPACITY - 4 * LANES

    await bench.run([bench.slot(pattern(0, words * BEAT))], act, lambda: LANES)
    # Whole bursts are in flight, or in the FIFO and the four free words of the ring.
    in_flight = min(CONFIG.outstanding, (CONFIG.nbin_fifo + 4) // BURST) * BURST
    per_word = max(1, (latency + BURST + 6) / in_flight)
    span = bench.arrivals[-1] - full[0]
    assert span <= per_word * 300 + 10


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def fence(dut):
    """A slot with a fence waits for the stores before it; counters wrap at 2**16."""
    bench = Bench(dut)
    await bench.start()
    bench.use_own(latency=3)
    slots = [bench.slot(pattern(64 * n, 4 * BEAT), fence=n != 2) for n in range(4)]
    stores = [65534, 1, 1, 3]
    bench.send([bench.encode(s, stores=n) for s, n in zip(slots, stores, strict=True)])
    reader = cocotb.start_soon(bench.consume(slots, always))
    # (stores done, slots that may have gone)
    for done, gone in ((65530, 0), (65533, 0), (65534, 1), (65535, 1), (0, 1), (1, 3), (3, 4)):
        dut.stores_done.value = done
        for _ in range(40):
            await RisingEdge(dut.clk)
        assert bench.bytes == gone * 4 * BEAT, f"{gone} loads must be done after {done} stores"
        assert dut.fencing.value == (gone < 4)
        assert dut.idle.value == (gone == 4)
    await reader


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def error_names_its_slot(dut):
    """Bus errors carry BUS_NBIN and the program counter of the slot they belong to."""
    bench = Bench(dut)
    await bench.start()
    rng = bench.rng
    slots, bad, wanted = [], [], []
    for n in range(60):
        address, beats = 512 * n + rng.randint(0, BEAT - 1), rng.randint(1, 4)
        run = max(SIZE, (beats - 1) * BEAT)
        slots.append(bench.slot(pattern(address, run), skip=rng.randint(0, 3)))
        if rng.random() < 0.3:
            last = (address + run - 1) // BEAT * BEAT
            bad.append(rng.choice((address // BEAT * BEAT, last)))
            wanted.append((ErrorCode.BUS_NBIN.value, 100 + n))
    bench.use_own(latency=4, bad=bad)
    bench.send([bench.encode(slot, pc=100 + n) for n, slot in enumerate(slots)])
    await bench.consume(slots, always)
    assert bench.errors == wanted


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def halts(dut):
    """Halted at any time, it leaves nothing on the bus; after a reset it works as if new."""
    bench = Bench(dut)
    await bench.start()
    rng = bench.rng
    bench.use_own(latency=12, stall=lambda: rng.random() < 0.2)
    for _ in range(12):
        slots = bench.random_slots(1000, CAPACITY * SIZE)
        sender = bench.send([bench.encode(slot) for slot in slots])
        for _ in range(rng.randint(1, 150)):
            await RisingEdge(dut.clk)
        sender.cancel()
        dut.i__valid.value = 0
        dut.halt.value = 1
        await RisingEdge(dut.clk)
        await bench.until_idle(2000)
        assert bench.address.in_flight == 0
        await bench.reset()
        dut.halt.value = 0
        await bench.run(bench.random_slots(200, 16 * BEAT), always)
