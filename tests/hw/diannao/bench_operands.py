"""Operands of random steps against the contents of the two rings."""

import random
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge
from cocotb.utils import get_sim_time

from hw.diannao.config import Config
from hw.diannao.sequencer import Step
from hw.nfu.layouts import Control, Op, Operands, lanes
from tests.streams import StreamPort, dut_config, pack, start

CONFIG = Config(**dut_config())
CAPACITY, ROWS = CONFIG.nbin_elements, CONFIG.sb_rows


async def fill(dut, rng):
    """Write both rings full of random contents; returns them."""
    neurons = [rng.getrandbits(CONFIG.width) for _ in range(CAPACITY)]
    lanes_written = CONFIG.nbin_port // CONFIG.width
    for first in range(0, CAPACITY, lanes_written):
        word = neurons[first : first + lanes_written]
        dut.nbin_write__word.value = pack(word, CONFIG.width)
        dut.nbin_write__count.value = len(word)
        dut.nbin_write__advance.value = len(word)
        await RisingEdge(dut.clk)
    dut.nbin_write__count.value = 0
    dut.nbin_write__advance.value = 0
    pieces = -(-CONFIG.sb_row_bits // CONFIG.sb_port)
    rows = []
    for row in range(ROWS):
        rows.append(rng.getrandbits(CONFIG.sb_row_bits))
        for piece in range(pieces):
            dut.sb_write__row.value = row
            if pieces > 1:
                dut.sb_write__piece.value = piece
            part = rows[-1] >> (piece * CONFIG.sb_port)
            dut.sb_write__data.value = part & ((1 << CONFIG.sb_port) - 1)
            dut.sb_write__enable.value = 1
            await RisingEdge(dut.clk)
    dut.sb_write__enable.value = 0
    return neurons, rows


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(stall=[0, 3])
async def operands(dut, stall):
    """Right neurons and synapses for every step, in order, and every free exactly once."""
    rng = random.Random(cocotb.RANDOM_SEED)
    await start(
        dut, i__valid=0, i__payload=0, o__ready=0, nbin_write__word=0, nbin_write__first=0,
        nbin_write__count=0, nbin_write__advance=0, sb_write__row=0, sb_write__data=0,
        sb_write__enable=0,
    )  # fmt: skip
    neurons, rows = await fill(dut, rng)
    control = Control(CONFIG.nbout_rows, CONFIG.bias_rows)
    layout = Operands(control, lanes(CONFIG.width, CONFIG.ti), CONFIG.sb_row_bits)
    steps, expected = [], []
    freed = {"nbin": 0, "sb": 0}
    for number in range(200):
        step: Any = {
            "control": {
                "op": rng.choice(list(Op)), "first": 1, "last": 0,
                "row": number % CONFIG.nbout_rows, "bias": number % CONFIG.bias_rows,
                "shift": number % 64, "scale": 63 - number % 64,
            },
            "nbin": rng.choice((0, rng.randrange(CAPACITY), CAPACITY - 1)),
            "nbin_tail": rng.choice((0, rng.randrange(CAPACITY), CAPACITY - 1)),
            "nbin_free": rng.choice((0, rng.randrange(CAPACITY + 1))),
            "sb": rng.choice((0, rng.randrange(ROWS), ROWS - 1)),
            "sb_tail": rng.choice((0, rng.randrange(ROWS), ROWS - 1)),
            "sb_free": rng.choice((0, rng.randrange(ROWS + 1))),
        }  # fmt: skip
        steps.append(Step(CONFIG).const(step).as_bits())
        position = step["nbin"] + step["nbin_tail"]
        taken = [neurons[(position + n) % CAPACITY] for n in range(CONFIG.ti)]
        row = rows[(step["sb"] + step["sb_tail"]) % ROWS]
        payload: Any = {"control": step["control"], "neurons": taken, "row": row}
        expected.append(layout.const(payload).as_bits())
        freed["nbin"] += step["nbin_free"]
        freed["sb"] += step["sb_free"]
    gaps = (lambda: rng.randint(0, stall)) if stall else None
    seen = {"nbin": 0, "sb": 0}

    async def count_frees():
        while True:
            await RisingEdge(dut.clk)
            seen["nbin"] += int(dut.nbin_free.value)
            seen["sb"] += int(dut.sb_free.value)

    cocotb.start_soon(count_frees())
    cocotb.start_soon(StreamPort(dut, "i").send(steps, gaps=gaps))
    begin = get_sim_time("ns")
    assert await StreamPort(dut, "o").receive(len(steps), stalls=gaps) == expected
    cycles = (get_sim_time("ns") - begin) / 10
    if not stall:
        latency = CONFIG.operand_stages
        assert cycles == len(steps) + latency, f"one step per cycle, latency {latency}"
    await RisingEdge(dut.clk)
    assert seen == freed
