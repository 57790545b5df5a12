"""All DMAs on one AXI port: every byte where numpy has it, and nobody starves."""

import random

import cocotb
import numpy as np
from cocotb.triggers import Combine, RisingEdge
from cocotbext.axi import AxiBus, AxiSlave

from tests.hw.bus.axi_models import ReadMemory, StableMonitor, WriteMemory
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
from tests.hw.bus.shared_system import READERS
from tests.streams import StreamPort, dut_config, start

CONFIG = dut_config()
BEAT, ROW, ROWS = CONFIG["data_width"] // 8, CONFIG["row_bytes"], CONFIG["rows"]
MEMORY = 1 << 16
HALF = MEMORY // 2
"""Reads are in the lower half of the memory, writes in the upper one."""


class Bench:
    """The DUT, its memory, and the traffic of each DMA."""

    def __init__(self, dut):
        self.dut = dut
        self.rng = random.Random(cocotb.RANDOM_SEED)
        self.numbers = np.random.default_rng(cocotb.RANDOM_SEED)
        self.memory = self.numbers.integers(0, 256, MEMORY, dtype=np.uint8)
        self.expected = self.memory.copy()

    async def start(self):
        zero = {"nbout_i__payload": 0, "nbout_i__valid": 0, "nbout_row__payload": 0}
        zero |= {"nbout_row__valid": 0, "nbout_level": 0}
        for name in READERS:
            zero |= {f"{name}_i__payload": 0, f"{name}_i__valid": 0, f"{name}_halt": 0}
            zero |= {f"{name}_permit__ready": 0, f"{name}_o__ready": 0}
        zero |= {
            f"bus__{name}": 0 for name in "arready awready wready rid rdata rresp rlast".split()
        }
        zero |= {f"bus__{name}": 0 for name in "rvalid bid bresp bvalid".split()}
        await start(self.dut, **zero)
        for channel, fields in (
            ("ar", "addr len size burst id"),
            ("aw", "addr len size burst id"),
            ("w", "data strb last"),
        ):
            cocotb.start_soon(StableMonitor(self.dut, "bus", channel, fields).run())

    def use_cocotbext(self):
        memory = self.memory

        class Target:
            async def read(self, address, length):
                return memory[address : address + length].tobytes()

            async def write(self, address, data):
                memory[address : address + len(data)] = np.frombuffer(data, np.uint8)

        slave = AxiSlave(AxiBus.from_prefix(self.dut, "bus_"), self.dut.clk, self.dut.rst, Target())
        reads, writes = slave.read_if, slave.write_if
        assert reads is not None
        assert writes is not None
        for side in (reads, writes):
            side.log.setLevel("ERROR")
        for channel in (
            reads.ar_channel,
            reads.r_channel,
            writes.aw_channel,
            writes.w_channel,
            writes.b_channel,
        ):
            channel.set_pause_generator(pauses(self.rng))

    def use_own(self, latency=1, mix=None):
        self.reads = ReadMemory(self.dut, "bus", self.memory, latency=latency, mix=mix)
        cocotb.start_soon(self.reads.run())
        cocotb.start_soon(WriteMemory(self.dut, "bus", self.memory, latency=latency).run())

    def patterns(self, count, unit=1, offset=0):
        """Random descriptors of at most 100 beats altogether."""
        descriptors = [random_pattern(self.rng, HALF, 40 * BEAT, unit) for _ in range(count)]
        while sum(d["run"] * len(run_addresses(d)) for d in descriptors) > 100 * BEAT:
            descriptors.remove(max(descriptors, key=lambda d: d["run"] * len(run_addresses(d))))
        return [d | {"address": d["address"] + offset} for d in descriptors]

    async def permit(self, name, stall):
        port = StreamPort(self.dut, f"{name}_permit")
        while True:
            await port.receive(1, gaps(self.rng, stall))

    async def read(self, name, descriptors, stall=0):
        """Let one DMA read, and compare its words."""
        cocotb.start_soon(self.permit(name, stall))
        sender = StreamPort(self.dut, f"{name}_i")
        cocotb.start_soon(sender.send(map(encode, descriptors), gaps(self.rng, stall)))
        expected = expected_words(self.memory, descriptors, BEAT)
        receiver = StreamPort(self.dut, f"{name}_o")
        words = await receiver.receive(len(expected), gaps(self.rng, stall))
        assert [decode_word(word, BEAT) for word in words] == expected, name

    async def write(self, descriptors, stall=0):
        """Let the write DMA store random rows, and compare the memory."""
        dut = self.dut
        rows = []
        for descriptor in descriptors:
            run = descriptor["run"]
            for address in run_addresses(descriptor):
                content = self.numbers.integers(0, 256, -(-run // ROW) * ROW, dtype=np.uint8)
                self.expected[address : address + run] = content[:run]
                rows += [content[k : k + ROW].tobytes() for k in range(0, len(content), ROW)]
        sender = StreamPort(dut, "nbout_i")
        cocotb.start_soon(sender.send(map(encode, descriptors), gaps(self.rng, stall)))
        done = 0
        while done < len(descriptors):
            await RisingEdge(dut.clk)
            done += int(dut.nbout_done.value)
            if dut.nbout_row__valid.value == 1 and dut.nbout_row__ready.value == 1:
                rows.pop(0)
            dut.nbout_level.value = min(ROWS, len(rows))
            dut.nbout_row__valid.value = bool(rows)
            dut.nbout_row__payload.value = int.from_bytes(rows[0], "little") if rows else 0
        assert not rows
        assert np.array_equal(self.memory, self.expected)


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(slave=["cocotbext", "own"])
async def serves_everyone(dut, slave):
    """Random traffic of all four, stalled at random; our memory mixes the readers' beats."""
    bench = Bench(dut)
    await bench.start()
    if slave == "cocotbext":
        bench.use_cocotbext()
    else:
        bench.use_own(latency=6, mix=bench.rng)
    users = [
        bench.read("nbin", bench.patterns(8), 2),
        bench.read("sb", bench.patterns(8, BEAT), 0),
        bench.read("cp", bench.patterns(8), 5),
        bench.write(bench.patterns(8, offset=HALF), 2),
    ]
    await Combine(*map(cocotb.start_soon, users))
    await RisingEdge(dut.clk)
    for name in (*READERS, "nbout"):
        assert getattr(dut, f"{name}_idle").value == 1


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def grants_round_robin(dut):
    """Three readers that always ask are served in turns, one address and one beat per cycle."""
    bench = Bench(dut)
    await bench.start()
    bench.use_own()
    descriptors = [pattern(0, BEAT, (60, 1, 1), (2 * BEAT, 0, 0))]
    users = [bench.read(name, descriptors) for name in READERS]
    await Combine(*map(cocotb.start_soon, users))
    cycles, order = zip(*bench.reads.addresses, strict=True)
    assert cycles[-1] - cycles[0] == 3 * 60 - 1
    turns = order[:3]
    assert sorted(turns) == [0, 1, 2]
    assert order == turns * 60


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def carries_one_reader_at_full_rate(dut):
    """A single reader loses nothing to those who do not ask."""
    bench = Bench(dut)
    await bench.start()
    bench.use_own()
    await bench.read("cp", [pattern(0, BEAT, (60, 1, 1), (2 * BEAT, 0, 0))])
    cycles, order = zip(*bench.reads.addresses, strict=True)
    assert cycles[-1] - cycles[0] == 59
    assert set(order) == {2}


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def goes_on_while_one_halts(dut):
    """A reader that halts discards what it asked for and does not hold up the others."""
    bench = Bench(dut)
    await bench.start()
    bench.use_own(latency=20, mix=bench.rng)
    for name in ("sb", "nbin"):
        getattr(dut, f"{name}_permit__ready").value = 1
    sender = StreamPort(dut, "sb_i").send([encode(pattern(0, 100 * BEAT))])
    await sender  # nobody takes sb's words
    for _ in range(15):
        await RisingEdge(dut.clk)
    assert dut.sb_idle.value == 0
    dut.sb_halt.value = 1
    await bench.read("cp", bench.patterns(6))
    assert dut.sb_idle.value == 1
    dut.sb_halt.value = 0
    await bench.read("sb", bench.patterns(6, BEAT))
