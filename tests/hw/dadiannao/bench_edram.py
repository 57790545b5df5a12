"""A bank of eDRAM against a dictionary: order, latency, and what restoring and refreshing cost."""

import random
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from hw.dadiannao.edram import EdramRequest
from tests.streams import dut_config, start

CONFIG = dut_config()
ROWS, WIDTH, LATENCY = CONFIG["rows"], CONFIG["width"], CONFIG["latency"]
RESTORE, INTERVAL = CONFIG["restore"], CONFIG["refresh_interval"]
ONES = (1 << WIDTH) - 1
LAYOUT = EdramRequest(rows=ROWS, width=WIDTH)


def request(row: int, word: int | None = None) -> int:
    fields: Any = {"row": row, "data": word or 0, "write": int(word is not None)}
    return LAYOUT.const(fields).as_bits()


class Bank:
    """Watches the bank: counts accepted requests, and compares the data with what was written."""

    def __init__(self, dut):
        self.dut = dut
        self.memory: dict[int, int] = {}
        self.accepted = self.compared = self.cycle = 0
        self.due: dict[int, int | None] = {}
        self.shown = None

    async def step(self, row=None, word=None) -> bool:
        """One cycle in which the given access, if any, is offered; True if it was accepted."""
        dut = self.dut
        dut.request__valid.value = int(row is not None)
        if row is not None:
            dut.request__payload.value = request(row, word)
        await RisingEdge(dut.clk)
        self.cycle += 1
        if self.cycle in self.due:
            self.shown = self.due.pop(self.cycle)
        if self.shown is not None:
            assert int(dut.data.value) == self.shown, f"cycle {self.cycle}"
            self.compared += 1
        if row is None or dut.request__ready.value != 1:
            return False
        self.accepted += 1
        if word is not None:
            self.memory[row] = word
        else:
            self.due[self.cycle + LATENCY] = self.memory.get(row)
        return True

    async def do(self, row, word=None) -> int:
        """An access that waits until it is accepted; the cycles that it took."""
        cycles = 1
        while not await self.step(row, word):
            cycles += 1
            assert cycles < 50, "the bank hangs"
        return cycles


async def begin(dut) -> Bank:
    await start(dut, request__valid=0, request__payload=0)
    await RisingEdge(dut.clk)
    return Bank(dut)


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(eagerness=[1.0, 0.4])
async def random_traffic(dut, eagerness):
    """Rows keep what was written however often they are read; data stays until the next read."""
    rng = random.Random(cocotb.RANDOM_SEED)
    bank = await begin(dut)
    for row in range(ROWS):
        await bank.do(row, rng.choice((0, ONES, rng.getrandbits(WIDTH))))
    for _ in range(3000):
        if rng.random() > eagerness:
            assert not await bank.step()
            continue
        row = rng.choice((0, ROWS - 1, rng.randrange(ROWS)))
        word = rng.choice((None, None, 0, ONES, rng.getrandbits(WIDTH)))
        await bank.do(row, word)
    for _ in range(LATENCY + 1):
        await bank.step()
    assert bank.compared > 2500


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def rate(dut):
    """Reads follow each other as closely as restoring allows; a due refresh takes one cycle."""
    bank = await begin(dut)
    for row in range(ROWS):
        await bank.do(row, row)
    count, begin_cycle = 400, bank.cycle
    for k in range(count):
        await bank.do(k % ROWS)
    cycles = bank.cycle - begin_cycle
    least = count * (1 + RESTORE)
    most = least + 1 + (cycles // (INTERVAL - 2 * RESTORE - 3) if INTERVAL else 0)
    assert least - RESTORE <= cycles <= most, (cycles, least, most)
    if INTERVAL:
        assert cycles > least, "never refreshed"


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def refreshes_when_nobody_looks(dut):
    """With a pause now and then requests never wait for a refresh."""
    bank = await begin(dut)
    for row in range(ROWS):
        await bank.do(row, row)
    pauses = RESTORE + 2
    for k in range(200):
        for _ in range(pauses):
            await bank.step()
        assert await bank.do(k % ROWS) == 1
    for _ in range(3 * INTERVAL):
        await bank.step()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reset_keeps_rows(dut):
    """Rows are there after a reset, that which was being read as well."""
    rng = random.Random(cocotb.RANDOM_SEED)
    bank = await begin(dut)
    words = [rng.getrandbits(WIDTH) for _ in range(ROWS)]
    for row, word in enumerate(words):
        await bank.do(row, word)
    for row in range(ROWS):
        await bank.do(row)
        dut.request__valid.value = 0
        dut.rst.value = 1
        await bank.step()
        dut.rst.value = 0
        for _ in range(LATENCY):
            await bank.step()
        await bank.do(row)
    for _ in range(LATENCY + 1):
        await bank.step()
    assert bank.compared > ROWS
