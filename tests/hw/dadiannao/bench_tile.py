"""A tile against the interpreter: random nests, rates, faults, and what outlives a reset."""

import random
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from hw.dadiannao.config import NodeConfig
from hw.dadiannao.fat_tree import Kind, TileRowLayout
from hw.dadiannao.isa import ErrorCode
from hw.diannao.assembler import Loop, nest
from hw.nfu.layouts import Op
from tests.hw.dadiannao.tile_programs import TileProgram, encode
from tests.streams import StreamPort, dut_config, pack, start

CONFIG = NodeConfig(**dut_config())
CORE = CONFIG.core
TI, WIDTH = CORE.ti, CORE.width
LAYOUT = TileRowLayout(CONFIG)


async def begin(dut):
    await start(
        dut, instruction__valid=0, instruction__payload=0, broadcast__valid=0,
        broadcast__payload=0, o__ready=0, halt=0,
    )  # fmt: skip


def row(data: int, kind=Kind.NEURONS, number=0) -> int:
    fields: Any = {"data": data, "kind": kind, "row": number}
    return LAYOUT.const(fields).as_bits()


def synapses(program: TileProgram, numbers) -> list[int]:
    """The pieces of SB rows."""
    bits = CONFIG.row_bits
    return [
        row(program.rows[n] >> (piece * bits) & ((1 << bits) - 1), Kind.SYNAPSES, n)
        for n in numbers
        for piece in range(CORE.tn)
    ]


def neurons(program: TileProgram) -> list[int]:
    padded = program.neurons + [0] * (-len(program.neurons) % TI)
    return [row(pack(padded[n : n + TI], WIDTH)) for n in range(0, len(padded), TI)]


async def load(dut, program: TileProgram, numbers=None):
    numbers = range(CORE.sb_rows) if numbers is None else numbers
    await StreamPort(dut, "broadcast").send(synapses(program, numbers))
    while dut.busy.value == 1:
        await RisingEdge(dut.clk)


def pauses(rng, most):
    return (lambda: rng.choice((0, 0, rng.randint(0, most)))) if most else None


@cocotb.test(timeout_time=3, timeout_unit="ms")
@cocotb.parametrize(gap=[0, 5], stall=[0, 40])
async def random_nests(dut, gap, stall):
    """All kinds of nests; neurons, nests and outputs come and go with pauses.

    Rows of SB are written in between.
    """
    rng = random.Random(cocotb.RANDOM_SEED)
    program = TileProgram(CONFIG, cocotb.RANDOM_SEED + 2 * gap + stall)
    program.parameters()
    program.mixture(40)
    expected = program.outputs()
    assert len(expected) > 60
    await begin(dut)
    numbers = list(range(CORE.sb_rows))
    rng.shuffle(numbers)
    await load(dut, program, numbers)

    groups = [[one] for one in neurons(program)]
    for number in range(CORE.sb_rows):
        # The same row once more does no harm, and keeps the banks busy.
        groups.insert(rng.randrange(len(groups) + 1), synapses(program, [number]))
    rows = [one for group in groups for one in group]
    slots = [encode(slot, n, n) for n, slot in enumerate(program.nests)]
    cocotb.start_soon(StreamPort(dut, "instruction").send(slots, gaps=pauses(rng, gap)))
    cocotb.start_soon(StreamPort(dut, "broadcast").send(rows, gaps=pauses(rng, gap)))
    got = await StreamPort(dut, "o").receive(len(expected), stalls=pauses(rng, stall))
    for n, (seen, right) in enumerate(zip(got, expected, strict=True)):
        assert seen == right, f"row {n}"
    for _ in range(30):
        await RisingEdge(dut.clk)
    assert dut.error.value == 0
    assert dut.o__valid.value == 0
    assert dut.busy.value == 0


async def run(dut, program: TileProgram, nests=None) -> tuple[int, int, list[int]]:
    """Run ``program`` or some of it with all neurons there; steps and cycles of the last nest,
    and all outputs."""
    await StreamPort(dut, "broadcast").send(neurons(program))
    slots = [encode(slot) for slot in nests or program.nests]
    sender = cocotb.start_soon(StreamPort(dut, "instruction").send(slots))
    receiver = cocotb.start_soon(StreamPort(dut, "o").receive(len(program.outputs())))
    wanted = program.nests[-1].steps
    steps = cycles = 0
    while steps < wanted:
        await RisingEdge(dut.clk)
        active = int(dut.active.value)
        steps += active
        cycles += steps > 0
    await sender
    return steps, cycles, await receiver


def sequential(program) -> None:
    """Every step has a row of its own, one after the other."""
    program.add(
        nest(
            Op.MAC,
            [
                Loop(count=16, sb=1, nbin=TI, reduce=True),
                Loop(count=2, sb=16),
                Loop(count=12),
            ],
            sb=program.synapses, nbin_free=16 * TI, shift=9,
        )
    )  # fmt: skip


def same(program) -> None:
    """All steps have the same row."""
    program.add(
        nest(
            Op.MAC,
            [Loop(count=20, nbin=TI, reduce=True), Loop(count=20)],
            sb=program.synapses, nbin_free=20 * TI, shift=9,
        )
    )  # fmt: skip


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(kind=[sequential, same])
async def rate(dut, kind):
    """One step per cycle, but for a refresh now and then."""
    program = TileProgram(CONFIG, cocotb.RANDOM_SEED)
    program.parameters()
    kind(program)
    await begin(dut)
    await load(dut, program)
    steps, cycles, got = await run(dut, program)
    assert got == program.outputs()
    dut._log.info("%s: %d steps in %d cycles", kind.__name__, steps, cycles)
    assert steps > 300
    assert cycles == steps


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(count=[1, 9])
async def busy_until_all_is_in_nbout(dut, count):
    """When ``busy`` falls, all finished rows wait in NBout, be it one or several."""
    program = TileProgram(CONFIG, cocotb.RANDOM_SEED)
    program.parameters()
    program.add(nest(Op.SUM, [Loop(count=count, nbin=TI, nbin_free=TI)]))
    await begin(dut)
    await load(dut, program)
    assert dut.busy.value == 0
    await StreamPort(dut, "broadcast").send(neurons(program))
    await StreamPort(dut, "instruction").send([encode(slot) for slot in program.nests])
    while dut.busy.value == 1:
        await RisingEdge(dut.clk)
    await RisingEdge(dut.clk)
    dut.o__ready.value = 1
    for right in program.outputs():
        await RisingEdge(dut.clk)
        assert dut.o__valid.value == 1
        assert int(dut.o__payload.value) == right


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def rewritten(dut):
    """A row that was read last, and still stands at its bank's output, is read anew if written."""
    program = TileProgram(CONFIG, cocotb.RANDOM_SEED)
    program.parameters()
    program.add(nest(Op.MAC, [], sb=program.synapses, nbin_free=TI))
    await begin(dut)
    await load(dut, program)
    for turn in range(3):
        # Table and biases are there after the first turn, and would displace the row.
        _, _, got = await run(dut, program, program.nests[-1:] if turn else None)
        assert got == program.outputs()
        program.rows[program.synapses] = program.rows[program.synapses + 1 + turn]
        await load(dut, program, [program.synapses])


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reset_keeps_synapses(dut):
    """A reset in the midst of a nest ends it; the rows of SB are there for the next one."""
    program = TileProgram(CONFIG, cocotb.RANDOM_SEED)
    program.parameters()
    sequential(program)
    await begin(dut)
    await load(dut, program)
    for cycles in (60, 61, 62, 63, 100):
        slots = [encode(slot) for slot in program.nests]
        sender = cocotb.start_soon(StreamPort(dut, "instruction").send(slots))
        feeder = cocotb.start_soon(StreamPort(dut, "broadcast").send(neurons(program)))
        for _ in range(cycles):
            await RisingEdge(dut.clk)
        sender.cancel()
        feeder.cancel()
        dut.instruction__valid.value = dut.broadcast__valid.value = 0
        dut.rst.value = 1
        await RisingEdge(dut.clk)
        dut.rst.value = 0
        await RisingEdge(dut.clk)
        assert dut.busy.value == 0
        assert dut.o__valid.value == 0
    _, _, got = await run(dut, program)
    assert got == program.outputs()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def faults(dut):
    """A row or an address that does not exist is reported with code and place."""
    for slot, code in (
        (nest(Op.MAC, [], sb=CORE.sb_rows), ErrorCode.SB_RANGE),
        (nest(Op.BIAS, [Loop(count=2, sb=-1)]), ErrorCode.SB_RANGE),
        (nest(Op.BIAS, [Loop(count=2, sb=1, sb_free=1)]), ErrorCode.SB_RANGE),
        (nest(Op.MAC, [], sb_free=1), ErrorCode.SB_RANGE),
        (nest(Op.SUM, [], nbin=CORE.nbin_elements), ErrorCode.NBIN_RANGE),
        (nest(Op.SUM, [], nbout=CORE.nbout_rows), ErrorCode.NBOUT_RANGE),
        (nest(Op.BIAS, [], bias=CORE.bias_rows), ErrorCode.BIAS_RANGE),
    ):
        await begin(dut)
        await StreamPort(dut, "instruction").send([encode(slot, 48)])
        for _ in range(20):
            await RisingEdge(dut.clk)
        assert dut.error.value == 1, slot
        assert dut.code.value == code.value
        assert dut.pc.value == 48
