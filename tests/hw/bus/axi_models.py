"""Our own AXI memory and rule checker, beside those of cocotbext-axi.

The memory answers with an exact latency and rate, which cycle counts need; cocotbext-axi's slaves
are more independent judges of the protocol but insert cycles of their own.
"""

from collections import deque

import numpy as np
from cocotb.triggers import RisingEdge

__all__ = ["AddressMonitor", "ReadMemory", "StableMonitor", "WriteMemory"]


def _fields(dut, prefix: str, channel: str, names: str) -> list:
    return [getattr(dut, f"{prefix}__{channel}{name}") for name in names.split()]


class StableMonitor:
    """Checks that a channel keeps ``valid`` and its fields until ``ready``."""

    def __init__(self, dut, prefix: str, channel: str, names: str):
        self.name = f"{prefix} {channel}"
        self.clk = dut.clk
        self.valid, self.ready = _fields(dut, prefix, channel, "valid ready")
        self.fields = _fields(dut, prefix, channel, names)

    async def run(self):
        waiting = None
        while True:
            await RisingEdge(self.clk)
            if waiting is not None:
                assert self.valid.value == 1, f"{self.name}: valid withdrawn"
                assert [f.value for f in self.fields] == waiting, f"{self.name}: fields changed"
            waiting = None
            if self.valid.value == 1 and self.ready.value != 1:
                waiting = [f.value for f in self.fields]


class AddressMonitor:
    """Checks the bursts of an AR or AW channel and collects them as (address, beats).

    ``finished`` is called with the DUT's handles to say whether a burst ended in this cycle (last R
    beat or B); more than ``outstanding`` unfinished bursts are an error.
    """

    def __init__(self, dut, prefix: str, channel: str, *, beat: int, burst: int, outstanding: int):
        self.clk = dut.clk
        self.beat, self.burst, self.outstanding = beat, burst, outstanding
        names = "addr len size burst valid ready"
        self.channel = _fields(dut, prefix, channel, names)
        answer = ("r", "valid ready last") if channel == "ar" else ("b", "valid ready")
        self.answer = _fields(dut, prefix, *answer)
        self.stable = StableMonitor(dut, prefix, channel, "addr len size burst id")
        self.bursts = []
        self.in_flight = 0
        self.most_in_flight = 0

    async def run(self):
        addr, length, size, burst, valid, ready = self.channel
        while True:
            await RisingEdge(self.clk)
            if all(handle.value == 1 for handle in self.answer):
                self.in_flight -= 1
            if valid.value == 1 and ready.value == 1:
                beats = int(length.value) + 1
                first = int(addr.value)
                assert int(burst.value) == 1, "burst type is not INCR"
                assert int(size.value) == min(7, self.beat.bit_length() - 1)
                assert first % self.beat == 0
                assert beats <= self.burst, f"{beats} beats in a burst"
                end = first + beats * self.beat - 1
                assert first // 4096 == end // 4096, f"{first:#x} to {end:#x} crosses 4 KiB"
                self.bursts.append((first, beats))
                self.in_flight += 1
                self.most_in_flight = max(self.most_in_flight, self.in_flight)
                assert self.in_flight <= self.outstanding


class ReadMemory:
    """Answers reads ``latency`` cycles after their address, then a beat per cycle.

    ``latency`` is counted from the cycle of the AR transfer to that of the first beat. ``stall()``
    says of each cycle whether R pauses; AR is always ready. Reads in ``bad`` give DECERR. With
    ``mix``, a random number generator, beats of different identifiers come in random order.
    """

    def __init__(
        self, dut, prefix: str, memory: np.ndarray, *, latency=1, stall=None, bad=(), mix=None
    ):
        self.clk = dut.clk
        self.memory, self.latency, self.stall, self.bad = memory, latency, stall, bad
        self.mix = mix
        self.addresses = []  # (cycle, identifier) of the AR transfers
        self.ar = _fields(dut, prefix, "ar", "addr len id valid ready")
        self.r = _fields(dut, prefix, "r", "data resp last id valid ready")
        self.beat = len(self.r[0]) // 8

    async def run(self):
        addr, length, ident, arvalid, arready = self.ar
        data, resp, last, rid, rvalid, rready = self.r
        pending = []  # beats in the order of their addresses: (due, word, bad, last, identifier)
        cycle = 0
        arready.value = 1
        rvalid.value = 0
        offered = False
        while True:
            await RisingEdge(self.clk)
            cycle += 1
            if offered and rready.value == 1:
                offered = False
            if arvalid.value == 1 and arready.value == 1:
                first, beats = int(addr.value), int(length.value) + 1
                self.addresses.append((cycle, int(ident.value)))
                for n in range(beats):
                    where = (first + n * self.beat) % len(self.memory)
                    word = int.from_bytes(
                        self.memory[where : where + self.beat].tobytes(), "little"
                    )
                    due = cycle + self.latency - 1
                    pending.append((due, word, where in self.bad, n == beats - 1, int(ident.value)))
            if not offered and pending and pending[0][0] <= cycle:
                offered = not (self.stall and self.stall())
                if offered:
                    chosen = pending[0][4]
                    if self.mix:
                        chosen = self.mix.choice(sorted({b[4] for b in pending if b[0] <= cycle}))
                    number = next(n for n, b in enumerate(pending) if b[4] == chosen)
                    _, word, bad, final, burst_id = pending.pop(number)
                    data.value = word
                    resp.value = 3 if bad else 0
                    last.value = final
                    rid.value = burst_id
            rvalid.value = offered


class WriteMemory:
    """Takes writes at full rate and answers ``latency`` cycles after the last beat.

    ``stall()`` says of each cycle and channel (AW, W) whether it pauses. Writes in ``bad`` give
    SLVERR. Data may come before its address.
    """

    def __init__(self, dut, prefix: str, memory: np.ndarray, *, latency=1, stall=None, bad=()):
        self.clk = dut.clk
        self.memory, self.latency, self.stall, self.bad = memory, latency, stall, bad
        self.aw = _fields(dut, prefix, "aw", "addr len id valid ready")
        self.w = _fields(dut, prefix, "w", "data strb last valid ready")
        self.b = _fields(dut, prefix, "b", "resp id valid ready")
        self.beat = len(self.w[0]) // 8
        self.transfers = []  # cycles of the W transfers

    async def run(self):
        addr, length, ident, awvalid, awready = self.aw
        data, strb, last, wvalid, wready = self.w
        resp, bid, bvalid, bready = self.b
        addresses, beats, replies = deque(), deque(), deque()
        cycle = done = 0
        error = False
        offered = False
        awready.value = wready.value = 1
        bvalid.value = 0
        while True:
            await RisingEdge(self.clk)
            cycle += 1
            if offered and bready.value == 1:
                replies.popleft()
                offered = False
            if awvalid.value == 1 and awready.value == 1:
                addresses.append((int(addr.value), int(length.value) + 1, int(ident.value)))
            if wvalid.value == 1 and wready.value == 1:
                beats.append((int(data.value), int(strb.value), int(last.value)))
                self.transfers.append(cycle)
            while addresses and beats:
                first, count, burst_id = addresses[0]
                word, strobes, final = beats.popleft()
                where = first + done * self.beat
                for n in range(self.beat):
                    if strobes >> n & 1:
                        self.memory[(where + n) % len(self.memory)] = word >> 8 * n & 0xFF
                error |= where in self.bad
                done += 1
                assert final == (done == count), "WLAST does not mark the last beat"
                if done == count:
                    replies.append((cycle + self.latency - 1, error, burst_id))
                    addresses.popleft()
                    done, error = 0, False
            if not offered and replies and replies[0][0] <= cycle:
                offered = True
                resp.value = 2 if replies[0][1] else 0
                bid.value = replies[0][2]
            bvalid.value = offered
            awready.value = not (self.stall and self.stall())
            wready.value = not (self.stall and self.stall())
