"""Bursts and words for an SDRAM memory, and what has to come back."""

import random
from collections import deque

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from tests.hw.bus.axi_models import StableMonitor
from tests.streams import dut_config, start

CONFIG = dut_config()
BEAT = CONFIG["data_width"] // 8
ROW = CONFIG["row"]  # bytes
WINDOW = 32 * ROW  # eight rows of each bank
HOST = WINDOW  # where the host's words are
HOST_BYTES = 4 * ROW


class Traffic:
    """Sends bursts to ``bus`` as fast as it takes them, less random pauses, and compares."""

    def __init__(self, dut, stall=0.0):
        self.dut = dut
        self.rng = random.Random(cocotb.RANDOM_SEED)
        self.stall = stall
        self.memory = np.zeros(WINDOW, np.uint8)
        self.cycle = 0
        self.moved = []  # cycles with a beat
        self.problem = None

    async def start(self):
        dut = self.dut
        bus = "arid araddr arlen arvalid rready awid awaddr awlen awvalid wdata wstrb wlast wvalid"
        zero = {f"bus__{name}": 0 for name in f"{bus} bready".split()}
        zero |= {f"words__{name}": 0 for name in "address write w_data valid".split()}
        await start(dut, **zero)
        dut.bus__arburst.value = dut.bus__awburst.value = 1
        dut.bus__arsize.value = dut.bus__awsize.value = BEAT.bit_length() - 1
        for channel, names in (("r", "data id last resp"), ("b", "id resp")):
            cocotb.start_soon(StableMonitor(dut, "bus", channel, names).run())

    def pause(self):
        return self.rng.random() < self.stall

    async def run(self, reads, writes):
        """``reads`` are (address, beats), ``writes`` (address, content, strobes per beat)."""
        dut, rng = self.dut, self.rng
        reads, writes = deque(reads), deque(writes)
        data, due, answers = deque(), deque(), deque()
        asking = storing = None
        sending = accepting = answering = False
        while reads or writes or data or due or answers or asking or storing or sending:
            await RisingEdge(dut.clk)
            self.cycle += 1
            assert dut.broken.value == 0, f"rule {int(dut.broken.value)} of the chip is broken"
            if asking and dut.bus__arready.value == 1:
                address, beats, ident = asking
                content = self.memory[address : address + beats * BEAT].copy()
                due.extend(
                    (content[n * BEAT : (n + 1) * BEAT].tobytes(), ident, n == beats - 1)
                    for n in range(beats)
                )
                asking = None
            if storing and dut.bus__awready.value == 1:
                address, content, strobes, ident = storing
                where = self.memory[address : address + content.size]
                mask = np.repeat(strobes, 1)
                where[mask] = content[mask]
                answers.append(ident)
                storing = None
            if sending and dut.bus__wready.value == 1:
                self.moved.append(self.cycle)
                sending = False
            if accepting and dut.bus__rvalid.value == 1:
                self.moved.append(self.cycle)
                content, ident, last = due.popleft()
                assert int(dut.bus__rdata.value).to_bytes(BEAT, "little") == content
                assert int(dut.bus__rid.value) == ident
                assert int(dut.bus__rlast.value) == last
                assert int(dut.bus__rresp.value) == 0
            if answering and dut.bus__bvalid.value == 1:
                assert int(dut.bus__bid.value) == answers.popleft()
                assert int(dut.bus__bresp.value) == 0

            if not asking and reads and not self.pause():
                asking = (*reads.popleft(), rng.randrange(3))
                dut.bus__araddr.value, dut.bus__arid.value = asking[0], asking[2]
                dut.bus__arlen.value = asking[1] - 1
            dut.bus__arvalid.value = bool(asking)
            if not storing and writes and not self.pause():
                address, content, strobes = writes.popleft()
                storing = (address, content, strobes, rng.randrange(3))
                beats = content.size // BEAT
                dut.bus__awaddr.value, dut.bus__awid.value = address, storing[3]
                dut.bus__awlen.value = beats - 1
                bits = np.packbits(strobes.reshape(beats, BEAT), axis=1, bitorder="little")
                data.extend(
                    (
                        content[n * BEAT : (n + 1) * BEAT].tobytes(),
                        bits[n].tobytes(),
                        n == beats - 1,
                    )
                    for n in range(beats)
                )
            dut.bus__awvalid.value = bool(storing)
            if not sending and data and not self.pause():
                content, strobes, last = data.popleft()
                dut.bus__wdata.value = int.from_bytes(content, "little")
                dut.bus__wstrb.value = int.from_bytes(strobes, "little")
                dut.bus__wlast.value = last
                sending = True
            dut.bus__wvalid.value = sending
            accepting = not self.pause()
            answering = not self.pause()
            dut.bus__rready.value = accepting
            dut.bus__bready.value = answering

    def content(self, count):
        return np.array([self.rng.randrange(256) for _ in range(count)], np.uint8)

    def burst(self, most):
        """Address and beats of a burst that stays within 4 KiB."""
        beats = self.rng.choice((1, 1, 2, self.rng.randint(1, most)))
        address = self.rng.randrange(WINDOW // BEAT) * BEAT
        end = min(WINDOW, (address // 4096 + 1) * 4096)
        return address, min(beats, (end - address) // BEAT)

    async def fill(self):
        """Write all of the window; returns when it was answered."""
        await self.run([], [self.write(a, 256) for a in range(0, WINDOW, 256 * BEAT)])

    def write(self, address, beats, density=1.0):
        size = beats * BEAT
        strobes = np.array([self.rng.random() < density for _ in range(size)])
        return address, self.content(size), strobes


class Host:
    """Words of the host, in its own part of the memory."""

    def __init__(self, dut, rng):
        self.dut, self.rng = dut, rng
        self.stop = False
        self.words = 0

    async def access(self, address, value=None):
        dut = self.dut
        dut.words__address.value = address // 4
        dut.words__write.value = value is not None
        dut.words__w_data.value = value or 0
        dut.words__valid.value = 1
        await RisingEdge(dut.clk)
        while dut.words__ready.value != 1:
            await RisingEdge(dut.clk)
        dut.words__valid.value = 0
        assert dut.words__error.value == 0
        return int(dut.words__r_data.value) if value is None else None

    async def run(self):
        memory = {}
        while not self.stop:
            address = HOST + self.rng.randrange(HOST_BYTES // 4) * 4
            if address not in memory or self.rng.random() < 0.5:
                memory[address] = self.rng.getrandbits(32)
                await self.access(address, memory[address])
            else:
                assert await self.access(address) == memory[address], hex(address)
            self.words += 1
            for _ in range(self.rng.choice((0, 0, 30))):
                await RisingEdge(self.dut.clk)
