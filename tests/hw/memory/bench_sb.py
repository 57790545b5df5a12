"""SB against a dictionary: rows are written in pieces while others are read."""

import random

import cocotb
from cocotb.triggers import RisingEdge

from tests.streams import dut_config, start

CONFIG = dut_config()
ROWS, ROW_BITS, PORT = CONFIG["rows"], CONFIG["row_bits"], CONFIG["port"]
PIECES = -(-ROW_BITS // PORT)


@cocotb.test(timeout_time=500, timeout_unit="us")
@cocotb.parametrize(reads=[1.0, 0.5])
async def random_traffic(dut, reads):
    """A row shows the pieces written to it, from the cycle after the read until the next one."""
    rng = random.Random(cocotb.RANDOM_SEED)
    await start(dut, write__row=0, write__piece=0, write__data=0, write__enable=0, row=0, read=0)
    memory = [[None] * PIECES for _ in range(ROWS)]
    shown = None
    compared = 0
    for _ in range(2000):
        write = rng.random() < 0.8
        row, piece = rng.randrange(ROWS), rng.randrange(PIECES)
        word = rng.choice((0, (1 << PORT) - 1, rng.getrandbits(PORT)))
        dut.write__row.value, dut.write__enable.value = row, int(write)
        dut.write__piece.value, dut.write__data.value = piece, word

        wanted = rng.randrange(ROWS)
        read = rng.random() < reads and not (write and wanted == row)
        dut.row.value, dut.read.value = wanted, int(read)

        await RisingEdge(dut.clk)
        if shown is not None:
            assert int(dut.synapses.value) == shown
            compared += 1
        if read:
            pieces = memory[wanted]
            whole = sum(p << (k * PORT) for k, p in enumerate(pieces) if p is not None)
            shown = None if None in pieces else whole & ((1 << ROW_BITS) - 1)
        if write:
            memory[row][piece] = word
    assert compared > 500


@cocotb.test(timeout_time=10, timeout_unit="us")
async def collision(dut):
    """A read of the row that is being written is not done, and does no harm."""
    await start(dut, write__row=0, write__piece=0, write__data=0, write__enable=0, row=0, read=0)
    for row in (0, 1):
        for piece in range(PIECES):
            dut.write__row.value, dut.write__piece.value = row, piece
            dut.write__data.value, dut.write__enable.value = row * PIECES + piece, 1
            await RisingEdge(dut.clk)
    contents = [sum((r * PIECES + k) << (k * PORT) for k in range(PIECES)) for r in (0, 1)]
    contents = [c & ((1 << ROW_BITS) - 1) for c in contents]
    dut.write__enable.value, dut.row.value, dut.read.value = 0, 0, 1
    await RisingEdge(dut.clk)
    dut.write__row.value, dut.write__piece.value, dut.write__enable.value = 1, 0, 1
    dut.write__data.value, dut.row.value = PIECES, 1
    await RisingEdge(dut.clk)
    dut.write__enable.value = 0
    await RisingEdge(dut.clk)
    assert int(dut.synapses.value) == contents[0]
    await RisingEdge(dut.clk)
    assert int(dut.synapses.value) == contents[1]
