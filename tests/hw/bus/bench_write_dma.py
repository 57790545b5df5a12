"""Memory after the write DMA's stores against numpy, with every handshake watched."""

import random
from collections import deque

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiSlaveWrite, AxiWriteBus

from tests.hw.bus.axi_models import AddressMonitor, StableMonitor, WriteMemory
from tests.hw.bus.patterns import encode, gaps, pattern, pauses, random_pattern, run_addresses
from tests.streams import StreamPort, dut_config, start

CONFIG = dut_config()
BEAT = CONFIG["data_width"] // 8
BURST, ROW, ROWS = CONFIG["burst"], CONFIG["row_bytes"], CONFIG["rows"]
OUTSTANDING = CONFIG["outstanding"]
MEMORY = 1 << 16


def rows_of(run: int) -> int:
    return -(-run // ROW)


class Bench:
    """The DUT, a FIFO of random rows in front of it, monitors behind it, and a golden memory."""

    def __init__(self, dut):
        self.dut = dut
        self.rng = random.Random(cocotb.RANDOM_SEED)
        self.numbers = np.random.default_rng(cocotb.RANDOM_SEED)
        self.memory = self.numbers.integers(0, 256, MEMORY, dtype=np.uint8)
        self.expected = self.memory.copy()
        self.incoming = deque()  # rows the NFU has yet to make
        self.fifo = deque()
        self.popped = self.stored = self.errors = self.done = self.cycle = 0
        self.needs = deque()  # rows that must have come before each burst

    async def start(self, arrivals=None):
        await start(
            self.dut,
            i__payload=0, i__valid=0, row__payload=0, row__valid=0, level=0, halt=0,
            axi__awready=0, axi__wready=0, axi__bid=0, axi__bresp=0, axi__bvalid=0,
        )  # fmt: skip
        self.address = AddressMonitor(
            self.dut, "axi", "aw", beat=BEAT, burst=BURST, outstanding=OUTSTANDING
        )
        stable = StableMonitor(self.dut, "axi", "w", "data strb last")
        for task in (
            self.address.run(), self.address.stable.run(), stable.run(), self.watch(),
            self.feed(arrivals or (lambda: True)),
        ):  # fmt: skip
            cocotb.start_soon(task)

    def use_cocotbext(self, bad=range(0)):
        """Serve writes with cocotbext-axi's slave, pausing at random."""
        memory = self.memory

        class Target:
            async def write(self, address, data):
                memory[address : address + len(data)] = np.frombuffer(data, np.uint8)
                if address in bad:
                    raise ValueError("no memory here")

        bus = AxiWriteBus.from_prefix(self.dut, "axi_")
        slave = AxiSlaveWrite(bus, self.dut.clk, self.dut.rst, target=Target())
        slave.log.setLevel("ERROR")
        for channel in (slave.aw_channel, slave.w_channel, slave.b_channel):
            channel.set_pause_generator(pauses(self.rng))

    def use_own(self, **options):
        self.slave = WriteMemory(self.dut, "axi", self.memory, **options)
        cocotb.start_soon(self.slave.run())

    async def feed(self, arrivals):
        """The FIFO of rows: ``level`` counts what is inside, and at once the head is valid."""
        dut = self.dut
        while True:
            await RisingEdge(dut.clk)
            if dut.row__valid.value == 1 and dut.row__ready.value == 1:
                self.fifo.popleft()
                self.popped += 1
            if self.incoming and len(self.fifo) < ROWS and arrivals():
                self.fifo.append(self.incoming.popleft())
            dut.level.value = len(self.fifo)
            dut.row__valid.value = bool(self.fifo)
            dut.row__payload.value = self.fifo[0] if self.fifo else 0

    async def watch(self):
        """Count the outputs; see that the rows of a burst are there before its address."""
        dut = self.dut
        bursts = 0
        while True:
            await RisingEdge(dut.clk)
            self.cycle += 1
            self.stored += int(dut.stored.value)
            self.errors += int(dut.error.value)
            self.done += int(dut.done.value)
            if len(self.address.bursts) > bursts and self.needs:
                bursts += 1
                assert self.popped + len(self.fifo) >= self.needs.popleft(), "burst without rows"

    def plan(self, descriptors):
        """Make rows for descriptors and write them to the golden memory."""
        for descriptor in descriptors:
            run = descriptor["run"]
            for address in run_addresses(descriptor):
                content = self.numbers.integers(0, 256, rows_of(run) * ROW, dtype=np.uint8)
                self.expected[address : address + run] = content[:run]
                for k in range(0, len(content), ROW):
                    row = content[k : k + ROW].tobytes()
                    self.incoming.append(int.from_bytes(row, "little"))

    async def write(self, descriptors, stall=0, limit=20_000):
        """Send descriptors and wait until all are done and the memory is as it should be."""
        self.plan(descriptors)
        words = [encode(descriptor) for descriptor in descriptors]
        begin, done, stored = self.cycle, self.done, self.stored
        cocotb.start_soon(StreamPort(self.dut, "i").send(words, gaps(self.rng, stall)))
        while self.done < done + len(descriptors):
            await RisingEdge(self.dut.clk)
            assert self.cycle - begin < limit, "stores are missing"
        assert np.array_equal(self.memory, self.expected)
        await RisingEdge(self.dut.clk)
        assert self.dut.idle.value == 1
        assert not self.incoming
        assert not self.fifo
        assert self.stored - stored == sum(d["run"] * len(run_addresses(d)) for d in descriptors)
        assert self.address.in_flight == 0

    async def until_idle(self, limit=2000):
        for _ in range(limit):
            await RisingEdge(self.dut.clk)
            if self.dut.idle.value == 1:
                return
        raise AssertionError("not idle")


def check_bursts(bench, descriptors):
    """The bursts cover each run exactly, in order."""
    bursts = iter(bench.address.bursts)
    for descriptor in descriptors:
        for address in run_addresses(descriptor):
            at, end = address, address + descriptor["run"]
            while at < end:
                first, beats = next(bursts)
                assert first == at - at % BEAT
                at = first + beats * BEAT
                assert at - end < BEAT
    assert next(bursts, None) is None


@cocotb.test(timeout_time=5, timeout_unit="ms")
@cocotb.parametrize(stall=[0, 6], slave=["cocotbext", "own"])
async def stores_every_run(dut, stall, slave):
    """Random patterns; rows come late, the bus pauses."""
    bench = Bench(dut)
    rate = bench.rng.choice((0.3, 0.9))
    await bench.start((lambda: bench.rng.random() < rate) if stall else None)
    if slave == "cocotbext":
        bench.use_cocotbext()
    else:
        latency = bench.rng.choice((1, 7, 40))
        bench.use_own(latency=latency, stall=lambda: stall and bench.rng.random() < 0.3)
    longest = 3 * min(4096, BURST * BEAT)
    descriptors = [random_pattern(bench.rng, MEMORY, longest) for _ in range(12)]
    while sum(d["run"] * len(run_addresses(d)) for d in descriptors) > 600 * BEAT:
        descriptors.remove(max(descriptors, key=lambda d: d["run"] * len(run_addresses(d))))
    descriptors += [random_pattern(bench.rng, MEMORY, max(ROW, BEAT)) for _ in range(6)]
    descriptors.append(pattern(MEMORY - 4096 - 2 * BEAT, 4 * BEAT))
    await bench.write(descriptors, stall)
    check_bursts(bench, descriptors)
    assert bench.errors == 0


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def waits_for_rows(dut):
    """No address before all rows of its burst are there, also when rows are rare."""
    bench = Bench(dut)
    await bench.start(lambda: bench.rng.random() < 0.1)
    bench.use_own(latency=3)
    descriptors = [random_pattern(bench.rng, MEMORY, 4 * max(ROW, BEAT)) for _ in range(4)]
    # The number of rows before the end of each burst follows from where bursts end.
    size = max(BEAT, 1 << (min(CONFIG["limit"], 4096).bit_length() - 1))
    rows = 0
    for descriptor in descriptors:
        run = descriptor["run"]
        for address in run_addresses(descriptor):
            cuts = [at for at in range(address + 1, address + run) if at % size == 0]
            bench.needs.extend(rows + rows_of(at - address) for at in [*cuts, address + run])
            rows += rows_of(run)
    await bench.write(descriptors)
    assert not bench.needs


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reports_bus_errors(dut):
    """A pulse for each burst that failed; the descriptor is done all the same."""
    bench = Bench(dut)
    await bench.start()
    bench.use_cocotbext(bad=range(8192, 8192 + BEAT))
    await bench.write([pattern(8192, BEAT), pattern(0, BEAT), pattern(8192, 2 * BEAT + 1)])
    assert bench.errors == 2


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def halts_and_recovers(dut):
    """Halted at any time, it finishes what is on the bus, and then works as if new."""
    bench = Bench(dut)
    await bench.start(lambda: bench.rng.random() < 0.8)
    bench.use_own(latency=5, stall=lambda: bench.rng.random() < 0.3)
    for _ in range(30):
        descriptors = [random_pattern(bench.rng, MEMORY, 8 * BEAT) for _ in range(3)]
        bench.plan(descriptors)
        before = bench.memory.copy()
        sender = cocotb.start_soon(StreamPort(dut, "i").send(map(encode, descriptors)))
        for _ in range(bench.rng.randint(1, 60)):
            await RisingEdge(dut.clk)
        dut.halt.value = 1
        sender.cancel()
        dut.i__valid.value = 0
        await RisingEdge(dut.clk)
        done = bench.done + int(dut.done.value)
        bench.incoming.clear()  # the NFU has stopped and lost its rows
        bench.fifo.clear()
        await RisingEdge(dut.clk)
        sent = len(bench.address.bursts) + int(dut.axi__awvalid.value)
        await bench.until_idle()
        assert len(bench.address.bursts) <= sent, "burst after halt"
        assert bench.address.in_flight == 0
        assert bench.done == done, "done after halt"
        touched = np.nonzero(bench.memory != before)[0]
        allowed = np.zeros(MEMORY, bool)
        for descriptor in descriptors:
            for address in run_addresses(descriptor):
                allowed[address : address + descriptor["run"]] = True
        assert allowed[touched].all(), "wrote outside the descriptors"
        dut.halt.value = 0
        bench.expected[:] = bench.memory
        await bench.write([random_pattern(bench.rng, MEMORY, 8 * BEAT)])


async def measure(dut, descriptors, latency=1):
    """Cycles from the first beat to the last one, with an ideal memory and all rows ready."""
    bench = Bench(dut)
    await bench.start()
    bench.use_own(latency=latency)
    bench.plan(descriptors)
    planned = list(bench.incoming)
    while len(bench.fifo) < min(ROWS, len(planned)):
        await RisingEdge(dut.clk)
    bench.incoming.clear()
    bench.incoming.extend(planned[len(bench.fifo) :])
    words = [encode(descriptor) for descriptor in descriptors]
    cocotb.start_soon(StreamPort(dut, "i").send(words))
    while bench.done < len(descriptors):
        await RisingEdge(dut.clk)
        assert bench.cycle < 20_000
    assert np.array_equal(bench.memory, bench.expected)
    return bench.slave.transfers[-1] - bench.slave.transfers[0] + 1


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def streams_without_gaps(dut):
    """Aligned runs: as many cycles as pieces of rows, over bursts, runs and descriptors."""
    run = 3 * BURST * BEAT + 2 * max(BEAT, ROW)
    run -= run % ROW
    descriptors = [pattern(4096, run, (2, 2, 1), (8192, -4096, 0)), pattern(4096, run)]
    pieces = sum(len(run_addresses(d)) for d in descriptors) * run // ROW * -(-ROW // BEAT)
    # A beat needs BEAT // ROW rows, the first beat is not counted from the first of them.
    assert await measure(dut, descriptors) == pieces - max(0, -(-BEAT // ROW) - 1)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def streams_single_rows(dut):
    """Runs of one row: one burst after the other, each to another address."""
    run = min(ROW, BEAT)
    descriptors = [
        pattern(4096, run, (4, 3, 2), (BEAT, -8 * BEAT, 4096)),
        pattern(0, run, (3, 1, 1)),
    ]
    runs = sum(len(run_addresses(d)) for d in descriptors)
    assert await measure(dut, descriptors, latency=min(3, OUTSTANDING - 6)) == (
        (runs - 1) * CONFIG.get("burst_cycles", 1) + 1
    )
