"""Words of the read DMA against the bytes that numpy finds at the descriptors' runs."""

import random

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiReadBus, AxiSlaveRead

from tests.hw.bus.axi_models import AddressMonitor, ReadMemory
from tests.hw.bus.patterns import (
    decode_word,
    encode,
    expected_words,
    gaps,
    pattern,
    pauses,
    random_pattern,
    run_addresses,
)
from tests.streams import StreamPort, dut_config, start

CONFIG = dut_config()
BEAT = CONFIG["data_width"] // 8
BURST, OUTSTANDING = CONFIG["burst"], CONFIG["outstanding"]
UNIT = BEAT if CONFIG["aligned"] else 1
MEMORY = 1 << 16


class Bench:
    """The DUT with monitors on every handshake; ``words`` and ``permits`` collect what came."""

    def __init__(self, dut):
        self.dut = dut
        self.rng = random.Random(cocotb.RANDOM_SEED)
        self.memory = np.random.default_rng(cocotb.RANDOM_SEED).integers(
            0, 256, MEMORY, dtype=np.uint8
        )
        self.permits, self.words, self.cycles = [], [], []
        self.errors = self.fetched = self.cycle = 0

    async def start(self):
        await start(
            self.dut,
            i__payload=0, i__valid=0, permit__ready=0, o__ready=0, halt=0, axi__arready=0,
            axi__rid=0, axi__rdata=0, axi__rresp=0, axi__rlast=0, axi__rvalid=0,
        )  # fmt: skip
        dut = self.dut
        self.address = AddressMonitor(
            dut, "axi", "ar", beat=BEAT, burst=BURST, outstanding=OUTSTANDING
        )
        for task in (self.address.run(), self.address.stable.run(), self.watch()):
            cocotb.start_soon(task)

    def use_cocotbext(self, bad=range(0)):
        """Serve reads with cocotbext-axi's slave, pausing at random."""
        memory = self.memory

        class Target:
            async def read(self, address, length):
                if address in bad:
                    raise ValueError("no memory here")
                return memory[address : address + length].tobytes()

        bus = AxiReadBus.from_prefix(self.dut, "axi_")
        slave = AxiSlaveRead(bus, self.dut.clk, self.dut.rst, target=Target())
        slave.log.setLevel("ERROR")
        slave.ar_channel.set_pause_generator(pauses(self.rng))
        slave.r_channel.set_pause_generator(pauses(self.rng))

    def use_own(self, **options):
        cocotb.start_soon(ReadMemory(self.dut, "axi", self.memory, **options).run())

    async def watch(self):
        """Record transfers; check that no byte comes and no burst goes without a permit."""
        dut = self.dut
        claimed = 0
        while True:
            await RisingEdge(dut.clk)
            self.cycle += 1
            assert len(self.permits) >= len(self.address.bursts), "burst without a permit"
            if dut.permit__valid.value == 1 and dut.permit__ready.value == 1:
                payload = int(dut.permit__payload.value)
                self.permits.append((payload & 0xFFFF, payload >> 16 & 1, payload >> 17))
                claimed += payload & 0xFFFF
            if dut.o__valid.value == 1 and dut.o__ready.value == 1:
                self.words.append(decode_word(int(dut.o__payload.value), BEAT))
                self.cycles.append(self.cycle)
                self.fetched += int(dut.fetched.value)
            else:
                assert dut.fetched.value == 0
            assert self.fetched <= claimed, "bytes without a permit"
            self.errors += int(dut.error.value)

    async def accept(self, name, stall):
        """Be ready on a stream after random waiting times, for ever."""
        port = StreamPort(self.dut, name)
        while True:
            await port.receive(1, gaps(self.rng, stall))

    async def read(self, descriptors, stall=0, limit=20_000):
        """Send descriptors and wait for all their words."""
        expected = expected_words(self.memory, descriptors, BEAT)
        words = [encode(descriptor) for descriptor in descriptors]
        cocotb.start_soon(StreamPort(self.dut, "i").send(words, gaps(self.rng, stall)))
        begin = self.cycle
        seen = len(self.words)
        while len(self.words) < seen + len(expected):
            await RisingEdge(self.dut.clk)
            assert self.cycle - begin < limit, "words are missing"
        assert self.words[seen:] == expected
        return expected

    async def until_idle(self, limit=2000):
        for _ in range(limit):
            await RisingEdge(self.dut.clk)
            if self.dut.idle.value == 1:
                return
        raise AssertionError("not idle")


def check_permits(bench, descriptors):
    """Permits cover each run exactly, with its ends marked, one for each burst."""
    permits = iter(bench.permits)
    for descriptor in descriptors:
        addresses = run_addresses(descriptor)
        for number, _ in enumerate(addresses):
            got = 0
            while got < descriptor["run"]:
                count, first, last = next(permits)
                assert first == (got == 0)
                got += count
                final = got == descriptor["run"] and number == len(addresses) - 1
                assert last == final
            assert got == descriptor["run"]
    assert next(permits, None) is None
    assert len(bench.address.bursts) == len(bench.permits)


@cocotb.test(timeout_time=5, timeout_unit="ms")
@cocotb.parametrize(stall=[0, 6], slave=["cocotbext", "own"])
async def delivers_every_run(dut, stall, slave):
    """Random patterns, with and without stalls on the streams; pauses on the bus."""
    bench = Bench(dut)
    await bench.start()
    if slave == "cocotbext":
        bench.use_cocotbext()
    else:
        latency = bench.rng.choice((1, 7, 40))
        bench.use_own(latency=latency, stall=lambda: stall and bench.rng.random() < 0.3)
    cocotb.start_soon(bench.accept("permit", stall))
    cocotb.start_soon(bench.accept("o", stall))
    longest = 3 * min(4096, BURST * BEAT)
    descriptors = [random_pattern(bench.rng, MEMORY, longest, UNIT) for _ in range(12)]
    while sum(d["run"] * len(run_addresses(d)) for d in descriptors) > 600 * BEAT:
        descriptors.remove(max(descriptors, key=lambda d: d["run"] * len(run_addresses(d))))
    descriptors += [random_pattern(bench.rng, MEMORY, BEAT, UNIT) for _ in range(6)]
    descriptors.append(pattern(MEMORY - 4096 - 2 * BEAT, 4 * BEAT))
    expected = await bench.read(descriptors, stall)
    await bench.until_idle()
    check_permits(bench, descriptors)
    assert bench.fetched == sum(len(content) for content, _, _ in expected)
    assert bench.errors == 0


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reports_bus_errors(dut):
    """A pulse for each bad beat, and nothing else changes."""
    bench = Bench(dut)
    await bench.start()
    bench.use_cocotbext(bad=range(8192, 8192 + 3 * BEAT))
    bench.memory[8192 : 8192 + 3 * BEAT] = 0  # what cocotbext-axi sends with an error
    cocotb.start_soon(bench.accept("permit", 0))
    cocotb.start_soon(bench.accept("o", 2))
    await bench.read([pattern(8192 - BEAT, 6 * BEAT), pattern(0, 4 * BEAT)])
    assert bench.errors == 3


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def halts_and_recovers(dut):
    """Halted at any time, it finishes what is on the bus, and then works as if new."""
    bench = Bench(dut)
    await bench.start()
    bench.use_own(latency=9, stall=lambda: bench.rng.random() < 0.2)
    for _ in range(30):
        descriptors = [random_pattern(bench.rng, MEMORY, 8 * BEAT, UNIT) for _ in range(3)]
        sender = cocotb.start_soon(StreamPort(dut, "i").send(map(encode, descriptors)))
        consumer = [cocotb.start_soon(bench.accept(name, 3)) for name in ("permit", "o")]
        for _ in range(bench.rng.randint(1, 60)):
            await RisingEdge(dut.clk)
        dut.halt.value = 1
        for task in (sender, *consumer):  # the other units stop as well
            task.cancel()
        dut.i__valid.value = dut.permit__ready.value = dut.o__ready.value = 0
        await RisingEdge(dut.clk)
        await RisingEdge(dut.clk)
        sent = len(bench.address.bursts) + int(dut.axi__arvalid.value)
        await bench.until_idle()
        assert len(bench.address.bursts) <= sent, "burst after halt"
        assert bench.address.in_flight == 0
        assert dut.o__valid.value == 0
        dut.halt.value = 0
        bench.words.clear()
        consumer = [cocotb.start_soon(bench.accept(name, 1)) for name in ("permit", "o")]
        bench.permits[:] = bench.permits[: len(bench.address.bursts)]
        await bench.read([random_pattern(bench.rng, MEMORY, 8 * BEAT, UNIT)])
        for task in consumer:
            task.cancel()
        dut.permit__ready.value = dut.o__ready.value = 0


async def measure(dut, descriptors, latency):
    """Cycles from the first word to the last one, with an ideal memory and consumer."""
    bench = Bench(dut)
    await bench.start()
    bench.use_own(latency=latency)
    dut.permit__ready.value = 1
    dut.o__ready.value = 1
    await bench.read(descriptors)
    return bench.cycles[-1] - bench.cycles[0] + 1


def sustained(latency):
    """Latencies that full-length bursts can hide (2 cycles are the DMA's own)."""
    return OUTSTANDING * BURST >= latency + BURST + 4


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(latency=[1, 100])
async def streams_without_gaps(dut, latency):
    """Aligned runs of several bursts: a beat per cycle over bursts, runs and descriptors."""
    if not sustained(latency):
        assert CONFIG["name"] == "narrow", "only the small configuration cannot hide this latency"
        return
    run = 3 * BURST * BEAT + 2 * BEAT
    descriptors = [pattern(4096, run, (2, 2, 1), (8192, -4096, 0)), pattern(4096, run)]
    beats = sum(len(run_addresses(d)) for d in descriptors) * run // BEAT
    assert await measure(dut, descriptors, latency) == beats


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def streams_single_beats(dut):
    """Runs of one beat or less: one burst after the other, through all three loops."""
    descriptors = [
        pattern(1024, BEAT, (4, 3, 2), (BEAT, -8 * BEAT, 4096)),
        pattern(2048, BEAT - 1, (1, 5, 3), (0, 2 * BEAT, 512)),
        pattern(4096, 1, (1, 1, 7), (0, 0, BEAT)),
    ]
    runs = sum(len(run_addresses(d)) for d in descriptors)
    latency = min(3, OUTSTANDING - 4)
    cycles = CONFIG.get("burst_cycles", 1)
    assert await measure(dut, descriptors, max(1, latency)) == (runs - 1) * cycles + 1


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def one_cycle_more_for_misaligned_runs(dut):
    """A misaligned run costs its additional beat, no more."""
    if CONFIG["aligned"]:
        return
    run = 4 * BEAT
    descriptors = [pattern(n + 1, run, (3, 1, 1), (8 * BEAT, 0, 0)) for n in range(BEAT - 1)]
    beats = sum(len(run_addresses(d)) for d in descriptors) * 5
    # The first word needs the second beat.
    assert await measure(dut, descriptors, 1) == beats - 1
