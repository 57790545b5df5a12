"""A tile that trains against the interpreter: joined numbers, second tables, held neurons."""

import random
from dataclasses import fields
from typing import Any

import cocotb
from amaranth.lib import data
from cocotb.triggers import RisingEdge

from hw.dadiannao.assembler import TileNest
from hw.dadiannao.config import NodeConfig
from hw.dadiannao.fat_tree import Kind, TileRowLayout
from hw.dadiannao.isa import TileNest as Layout
from hw.diannao.sequencer import QueuedNest
from tests.hw.dadiannao.tile_modes import ModeProgram
from tests.streams import StreamPort, dut_config, pack, start

CONFIG = NodeConfig(**dut_config())
CORE = CONFIG.core
ROW = TileRowLayout(CONFIG)


def encode(slot: TileNest) -> int:
    content: dict[str, Any] = {field.name: getattr(slot, field.name) for field in fields(slot)}
    content["levels"] = [
        {field.name: getattr(level, field.name) for field in fields(level)} for level in slot.levels
    ]
    return Layout.const(content).as_bits()


def row(data: int, kind=Kind.NEURONS, number=0) -> int:
    content: Any = {"data": data, "kind": kind, "row": number}
    return ROW.const(content).as_bits()


def pauses(rng, most):
    return (lambda: rng.choice((0, 0, rng.randint(0, most)))) if most else None


@cocotb.test(timeout_time=5, timeout_unit="ms")
@cocotb.parametrize(gap=[0, 5], stall=[0, 20])
async def random_modes(dut, gap, stall):
    """Nests of all modes; later ones read the rows that earlier phases have updated."""
    seed = cocotb.RANDOM_SEED + 2 * gap + stall
    rng = random.Random(seed)
    program = ModeProgram(CONFIG, seed)
    await start(
        dut, instruction__valid=0, instruction__payload=0, broadcast__valid=0,
        broadcast__payload=0, o__ready=0, halt=0,
    )  # fmt: skip
    bits = CONFIG.row_bits
    pieces = [
        row(content >> (piece * bits) & ((1 << bits) - 1), Kind.SYNAPSES, n)
        for n, content in enumerate(program.rows)
        for piece in range(CORE.tn)
    ]
    await StreamPort(dut, "broadcast").send(pieces)
    at = data.Layout.cast(QueuedNest)["slot"].offset
    seen = 0
    for number in range(7):
        nests, neurons, expected = program.phase(6)
        seen += len(expected)
        rows = [row(pack(neurons[n : n + CORE.ti], CORE.width))
                for n in range(0, len(neurons), CORE.ti)]  # fmt: skip
        slots = [encode(slot) << at for slot in nests]
        cocotb.start_soon(StreamPort(dut, "broadcast").send(rows, gaps=pauses(rng, gap)))
        sender = cocotb.start_soon(
            StreamPort(dut, "instruction").send(slots, gaps=pauses(rng, gap))
        )
        got = await StreamPort(dut, "o").receive(len(expected), stalls=pauses(rng, stall))
        for n, (found, right) in enumerate(zip(got, expected, strict=True)):
            assert found == right, f"phase {number}, row {n}"
        await sender
        while dut.busy.value == 1:
            await RisingEdge(dut.clk)
    for _ in range(30):
        await RisingEdge(dut.clk)
    assert seen > 30
    assert dut.error.value == 0
    assert dut.o__valid.value == 0
