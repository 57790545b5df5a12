"""What arrives in SB against the bytes that numpy finds at the slots' runs."""

from collections import deque

import cocotb
from cocotb.triggers import RisingEdge

from hw.diannao.config import Config
from hw.diannao.isa import ErrorCode
from hw.diannao.load import SbLoad
from tests.hw.bus.patterns import pattern, random_pattern, run_addresses
from tests.hw.diannao.loader_bench import MEMORY, LoaderBench
from tests.streams import dut_config

CONFIG = Config(**dut_config())
ROWS = CONFIG.sb_rows
BEAT = CONFIG.sb_port // 8
PIECES = -(-CONFIG.sb_row_bits // CONFIG.sb_port)


class Bench(LoaderBench):
    def __init__(self, dut):
        super().__init__(dut, CONFIG, SbLoad, CONFIG.sb_port, row=0, read=0)
        self.arrivals = []

    def random_slot(self):
        descriptor = random_pattern(self.rng, MEMORY // 2, BEAT)
        descriptor["run"] = self.rng.randint(1, PIECES) * BEAT
        if self.rng.random() < 0.5:  # as the compiler places rows
            descriptor["address"] &= -BEAT
            descriptor["stride"] = [abs(s) // BEAT * BEAT for s in descriptor["stride"]]
        return {"descriptor": descriptor}

    async def consume(self, slots, act):
        """Be the NFU: read the oldest row and free some, when ``act()`` says so.

        The next step is issued in the cycle after a row arrived, and reads it one later.
        """
        dut = self.dut
        expected = [run.tobytes() for slot in slots for run in self.run_bytes(slot["descriptor"])]
        arrived = readable = tail = 0
        reading = deque()
        cycle = 0
        dut.read.value = 1
        while tail < len(expected) or reading:
            freed = 0
            if readable > tail and (arrived == len(expected) or act(arrived - tail)):
                freed = 1
                dut.row.value = tail % ROWS
                reading.append((cycle + 1, expected[tail]))
            dut.free.value = freed
            await RisingEdge(dut.clk)
            tail += freed
            readable = arrived
            if dut.arrived.value == 1:
                arrived += 1
                self.arrivals.append(self.cycle)
            assert arrived - tail <= ROWS, "more rows arrived than fit"
            assert arrived <= len(expected), "more rows arrived than were loaded"
            if reading and reading[0][0] == cycle:
                _, wanted = reading.popleft()
                bits = min(8 * len(wanted), CONFIG.sb_row_bits)
                mask = (1 << bits) - 1
                assert int(dut.synapses.value) & mask == int.from_bytes(wanted, "little") & mask
            cycle += 1
        dut.free.value = 0
        assert arrived == len(expected)


async def run(bench, slots, act, stall=0):
    bench.bytes = 0
    bench.send([bench.encode(slot) for slot in slots], stall)
    await bench.consume(slots, act)
    await bench.until_idle(10)
    assert bench.bytes == sum(
        slot["descriptor"]["run"] * len(run_addresses(slot["descriptor"])) for slot in slots
    )
    assert not bench.errors


def always(filled):
    return True


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(slave=["cocotbext", "own"], act=["eager", "rare", "full"])
async def delivers_every_row(dut, slave, act):
    """Random slots, several times around SB; the NFU frees at once, now and then, or when full."""
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
        "full": lambda filled: filled == ROWS,
    }
    slots, rows = [], 0
    while rows < 3 * ROWS:
        slots.append(bench.random_slot())
        rows += len(run_addresses(slots[-1]["descriptor"]))
    await run(bench, slots, acts[act], stall=rng.choice((0, 9)))


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def one_piece_per_cycle(dut):
    """Aligned rows, an eager NFU: no gap between the pieces of bursts, rows and slots."""
    bench = Bench(dut)
    await bench.start()
    bench.use_own(latency=2)
    size = PIECES * BEAT
    slots = [pattern(0, size, (5, 2, 1), (size, 16384, 0))]
    slots += [pattern(32768 + size * n, size, (2, 1, 1), (0, 0, 0)) for n in range(8)]
    await run(bench, [{"descriptor": d} for d in slots], always)
    assert len(bench.arrivals) == 26
    assert bench.arrivals[-1] - bench.arrivals[0] == 25 * PIECES


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(code=[ErrorCode.BUS_SB, ErrorCode.SB_RANGE])
async def error_names_its_slot(dut, code):
    """Bus errors and impossible runs carry their code and the program counter of their slot."""
    bench = Bench(dut)
    await bench.start()
    rng = bench.rng
    slots, good, bad, wanted = [], [], [], []
    for n in range(60):
        address, size = 1024 * n + rng.randint(0, BEAT - 1), rng.randint(1, PIECES) * BEAT
        wrong = rng.random() < 0.4
        if wrong:
            wanted.append((code.value, 8 * n))
        if wrong and code == ErrorCode.BUS_SB:
            last = (address + size - 1) // BEAT * BEAT
            bad.append(rng.choice((address // BEAT * BEAT, last)))
        elif wrong:
            longer = (PIECES + rng.choice((1, 2, 1 << 20))) * BEAT
            size = rng.choice((longer, size - rng.choice((1, BEAT // 2, BEAT - 1))))
        slots.append({"descriptor": pattern(address, size)})
        if code == ErrorCode.BUS_SB or not wrong:
            good.append(slots[-1])
    bench.use_own(latency=4, bad=bad)
    bench.send([bench.encode(slot, pc=8 * n) for n, slot in enumerate(slots)])
    await bench.consume(good, always)
    for _ in range(40):
        await RisingEdge(dut.clk)
    assert bench.errors == wanted


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def halts(dut):
    """Halted at any time, it leaves nothing on the bus; after a reset it works as if new."""
    bench = Bench(dut)
    await bench.start()
    rng = bench.rng
    bench.use_own(latency=12, stall=lambda: rng.random() < 0.2)
    for _ in range(12):
        sender = bench.send([bench.encode(bench.random_slot()) for _ in range(8)])
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
        await run(bench, [bench.random_slot() for _ in range(3)], always)
