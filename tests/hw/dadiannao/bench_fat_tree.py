"""Rows through the fat tree: nothing lost, nothing twice, order kept, a row every trunk_beats."""

import random

import cocotb
from cocotb.triggers import RisingEdge

from tests.hw.bus.patterns import gaps
from tests.streams import StreamPort, dut_config, start

CONFIG = dut_config()
TILES = CONFIG["tiles"]
BITS = CONFIG["ti"] * CONFIG["width"]
BEATS = BITS // CONFIG["trunk"]
COUNT = 120


async def reset(dut):
    down = {f"down__o__{n}__ready": 0 for n in range(TILES)}
    up = {f"up__i__{n}__{what}": 0 for n in range(TILES) for what in ("valid", "payload")}
    await start(
        dut, down__i__valid=0, down__i__payload=0, up__order__valid=0, up__order__payload=0,
        up__o__ready=0, **down, **up,
    )  # fmt: skip


def random_rows(rng, count=COUNT):
    """(data, kind, row, tiles), with single tiles, all tiles and anything between."""
    everyone = (1 << TILES) - 1
    return [
        (
            rng.choice((0, (1 << BITS) - 1, rng.getrandbits(BITS))),
            rng.getrandbits(1),
            rng.choice((0, 0xFFFF, rng.getrandbits(16))),
            rng.choice((everyone, 1 << rng.randrange(TILES), rng.randint(1, everyone))),
        )
        for _ in range(count)
    ]


def row_word(row):
    data, kind, number, _ = row
    return data | kind << BITS | number << BITS + 1


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(stall=[0, 6])
async def broadcasts(dut, stall):
    """Every tile gets exactly the rows that name it, in order, however long each one waits."""
    rng = random.Random(cocotb.RANDOM_SEED + stall)
    await reset(dut)
    rows = random_rows(rng)
    words = [row_word(row) | row[3] << BITS + 17 for row in rows]
    sending = cocotb.start_soon(StreamPort(dut, "down__i").send(words, gaps(rng, stall // 2)))
    receiving = []
    for n in range(TILES):
        mine = [row_word(row) for row in rows if row[3] >> n & 1]
        slow = gaps(rng, rng.choice((0, stall)))
        task = cocotb.start_soon(StreamPort(dut, f"down__o__{n}").receive(len(mine), slow))
        receiving.append((mine, task))
    for n, (mine, task) in enumerate(receiving):
        assert await task == mine, f"tile {n}"
    await sending
    for _ in range(20):
        await RisingEdge(dut.clk)
        assert not any(getattr(dut, f"down__o__{n}__valid").value for n in range(TILES))
    assert dut.down__idle.value == 1


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def idle_means_delivered(dut):
    """A row that a tile does not take keeps the tree from being idle."""
    await reset(dut)
    port, last = StreamPort(dut, "down__i"), StreamPort(dut, f"down__o__{TILES - 1}")
    await RisingEdge(dut.clk)
    assert dut.down__idle.value == 1
    await port.send([1 << TILES - 1 << BITS + 17])
    for _ in range(30):
        await RisingEdge(dut.clk)
        assert dut.down__idle.value == 0
    await last.receive(1)
    await RisingEdge(dut.clk)
    assert dut.down__idle.value == 1


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def broadcast_rate(dut):
    """With tiles that are always ready, a row takes as many cycles as it has beats."""
    rng = random.Random(cocotb.RANDOM_SEED)
    await reset(dut)
    rows = random_rows(rng)
    for n in range(TILES):
        getattr(dut, f"down__o__{n}__ready").value = 1
    taken = []
    dut.down__i__valid.value = 1
    for cycle in range(2 * COUNT * BEATS):
        if len(taken) == COUNT:
            break
        row = rows[len(taken)]
        dut.down__i__payload.value = row_word(row) | row[3] << BITS + 17
        await RisingEdge(dut.clk)
        if dut.down__i__ready.value == 1:
            taken.append(cycle)
    assert taken[-1] - taken[0] == (COUNT - 1) * BEATS


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(stall=[0, 6])
async def gathers(dut, stall):
    """Rows come in the order of the orders, whichever tile is late."""
    rng = random.Random(cocotb.RANDOM_SEED + stall)
    await reset(dut)
    orders = [rng.randrange(TILES) for _ in range(COUNT)]
    rows = [rng.getrandbits(BITS) for _ in orders]
    for n in range(TILES):
        mine = [row for row, tile in zip(rows, orders, strict=True) if tile == n]
        slow = gaps(rng, rng.choice((0, stall)))
        cocotb.start_soon(StreamPort(dut, f"up__i__{n}").send(mine, slow))
    cocotb.start_soon(StreamPort(dut, "up__order").send(orders, gaps(rng, stall // 2)))
    received = await StreamPort(dut, "up__o").receive(COUNT, gaps(rng, stall))
    assert received == rows
    for n in range(TILES):
        getattr(dut, f"up__i__{n}__valid").value = 1
    dut.up__o__ready.value = 1
    for _ in range(20):
        await RisingEdge(dut.clk)
        assert dut.up__o__valid.value == 0, "a row that nobody asked for"


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def gather_rate(dut):
    """In turns over all tiles, a row every trunk_beats cycles."""
    await reset(dut)
    orders = [n % TILES for n in range(COUNT)]
    for n in range(TILES):
        getattr(dut, f"up__i__{n}__payload").value = n
        getattr(dut, f"up__i__{n}__valid").value = 1
    cocotb.start_soon(StreamPort(dut, "up__order").send(orders))
    dut.up__o__ready.value = 1
    cycles = []
    for cycle in range(4 * COUNT * BEATS):
        await RisingEdge(dut.clk)
        if dut.up__o__valid.value == 1:
            assert int(dut.up__o__payload.value) == orders[len(cycles)]
            cycles.append(cycle)
    assert len(cycles) == COUNT
    steady = cycles[10:]
    assert steady[-1] - steady[0] == (len(steady) - 1) * BEATS
