"""NBout against a list of partial sums and a queue of output rows."""

import random

import cocotb
from cocotb.triggers import RisingEdge

from hw.arith.numbers import bounds
from tests.streams import StreamPort, dut_config, pack, start, unpack

CONFIG = dut_config()
ROWS, TN = CONFIG["rows"], CONFIG["tn"]
WIDTH, ACC = CONFIG["width"], CONFIG["acc_width"]


def values(rng, width):
    low, high = bounds(width)
    return [rng.choice((low, -1, 0, high, rng.randint(low, high))) for _ in range(TN)]


async def begin(dut):
    await start(
        dut, partial__read_row=0, partial__read=0, partial__write_row=0, partial__write=0,
        partial__write_data=0, i__payload=0, i__valid=0, o__ready=0,
    )  # fmt: skip


@cocotb.test(timeout_time=500, timeout_unit="us")
@cocotb.parametrize(reads=[1.0, 0.5])
async def partial_sums(dut, reads):
    """A row shows what was last written to it, and the shown row stays until the next read."""
    rng = random.Random(cocotb.RANDOM_SEED)
    await begin(dut)
    memory = [None] * ROWS
    shown = None
    compared = 0
    for _ in range(1500):
        write = rng.random() < 0.7
        row, sums = rng.randrange(ROWS), values(rng, ACC)
        dut.partial__write_row.value, dut.partial__write.value = row, int(write)
        dut.partial__write_data.value = pack(sums, ACC)
        wanted = rng.randrange(ROWS)
        read = rng.random() < reads and not (write and wanted == row)
        dut.partial__read_row.value, dut.partial__read.value = wanted, int(read)
        await RisingEdge(dut.clk)
        if shown is not None:
            assert unpack(dut.partial__read_data.value, ACC, TN) == shown
            compared += 1
        if read:
            shown = memory[wanted]
        if write:
            memory[row] = sums
    assert compared > 500


@cocotb.test(timeout_time=500, timeout_unit="us")
@cocotb.parametrize(stall_in=[0, 3], stall_out=[0, 3])
async def ring(dut, stall_in, stall_out):
    """Rows come out as they went in, and ``level`` never promises a row that does not follow."""
    rng = random.Random(cocotb.RANDOM_SEED)
    await begin(dut)
    rows = [pack(values(rng, WIDTH), WIDTH) for _ in range(6 * ROWS + 50)]

    def gaps(limit):
        return (lambda: rng.randint(0, limit)) if limit else None

    async def watch():
        inside = 0
        while True:
            await RisingEdge(dut.clk)
            assert int(dut.level.value) == inside
            assert inside == ROWS or dut.i__ready.value == 1 or inside == ROWS - 1
            inside += int(dut.i__valid.value) & int(dut.i__ready.value)
            inside -= int(dut.o__valid.value) & int(dut.o__ready.value)

    watching = cocotb.start_soon(watch())
    cocotb.start_soon(StreamPort(dut, "i").send(rows, gaps=gaps(stall_in)))
    got = await StreamPort(dut, "o").receive(len(rows), stalls=gaps(stall_out))
    assert got == rows
    assert not watching.done()


@cocotb.test(timeout_time=100, timeout_unit="us")
async def fills_and_drains(dut):
    """It holds ``rows`` rows, and gives them away in as many cycles."""
    rng = random.Random(cocotb.RANDOM_SEED)
    await begin(dut)
    rows = [pack(values(rng, WIDTH), WIDTH) for _ in range(ROWS)]
    await StreamPort(dut, "i").send(rows)
    for _ in range(3):
        await RisingEdge(dut.clk)
    assert int(dut.level.value) == ROWS
    assert dut.i__ready.value == 0
    dut.o__ready.value = 1
    for row in rows:
        await RisingEdge(dut.clk)
        assert dut.o__valid.value == 1
        assert int(dut.o__payload.value) == row
    await RisingEdge(dut.clk)
    assert dut.o__valid.value == 0
    assert int(dut.level.value) == 0
