"""NFU against its reference: outputs of random steps under random stalls, latency, throughput."""

import random

import cocotb
from cocotb.triggers import RisingEdge

from tests.hw.nfu.reference import Reference, Shape, Stimulus
from tests.streams import StreamPort, dut_config, start, unpack

CONFIG = dut_config()
SHAPE = Shape(**CONFIG["shape"])


def expected(steps) -> list[list[int]]:
    reference = Reference(SHAPE)
    return [out for out in map(reference.step, steps) if out is not None]


async def begin(dut):
    await start(dut, i__valid=0, i__payload=0, o__ready=0)


def outputs(words) -> list[list[int]]:
    return [unpack(word, SHAPE.width, SHAPE.tn) for word in words]


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(gap=[0, 2], stall=[0, 4])
async def random_steps(dut, gap, stall):
    """All operations, reloads of bias and table in mid-stream, rows reused at any distance."""
    rng = random.Random(cocotb.RANDOM_SEED)
    if CONFIG["paced"] and stall:
        return  # its outputs are always accepted
    steps = Stimulus(SHAPE, cocotb.RANDOM_SEED + 8 * gap + stall).mixture(400)
    await begin(dut)
    apart = CONFIG["interval"] - 1 if CONFIG["paced"] else 0

    def pause(limit, least=0):
        return lambda: least + rng.choice((0, 0, rng.randint(0, limit)))

    words = [step.payload(SHAPE) for step in steps]
    cocotb.start_soon(StreamPort(dut, "i").send(words, gaps=pause(gap, apart)))
    wanted = expected(steps)
    assert len(wanted) > 100
    got = await StreamPort(dut, "o").receive(len(wanted), stalls=pause(stall) if stall else None)
    for k, (seen, right) in enumerate(zip(outputs(got), wanted, strict=True)):
        assert seen == right, f"output {k}: {seen}, not {right}"


@cocotb.test(timeout_time=200, timeout_unit="us")
@cocotb.parametrize(distance=[1, 2, 3, 4])
async def accumulates_without_bubbles(dut, distance):
    """One step enters per cycle although a row comes back after ``distance`` steps.

    The outputs come ``latency`` cycles after their steps.
    """
    stimulus = Stimulus(SHAPE, cocotb.RANDOM_SEED + distance)
    steps = stimulus.biases(range(SHAPE.bias_rows))
    for row in stimulus.table():
        steps += [row, *stimulus.biases([0] * (CONFIG["interval"] - 1))]
    for k in range(60):
        first = k < distance or stimulus.rng.random() < 0.1
        row = k % min(distance, SHAPE.nbout_rows)
        steps.append(stimulus.data(row, first=first, last=k % 7 == 6 and not first))
    await begin(dut)
    dut.o__ready.value = 1
    reference = Reference(SHAPE)
    due = {}
    latency = CONFIG["latency"]
    for cycle in range(len(steps) + latency):
        if cycle < len(steps):
            dut.i__payload.value = steps[cycle].payload(SHAPE)
            out = reference.step(steps[cycle])
            if out is not None:
                due[cycle + latency] = out
        dut.i__valid.value = int(cycle < len(steps))
        await RisingEdge(dut.clk)
        if cycle < len(steps):
            assert dut.i__ready.value == 1, f"step {cycle} was not accepted"
        assert dut.o__valid.value == int(cycle in due), f"output in cycle {cycle}"
        if cycle in due:
            assert outputs([dut.o__payload.value]) == [due[cycle]], f"output in cycle {cycle}"
    assert due


@cocotb.test(timeout_time=200, timeout_unit="us")
async def reset_empties_the_pipeline(dut):
    """Steps that were on their way when reset came give no output."""
    stimulus = Stimulus(SHAPE, cocotb.RANDOM_SEED)
    steps = stimulus.biases(range(SHAPE.bias_rows)) + stimulus.table()
    steps += [stimulus.data() for _ in range(20)]
    steps[-1].last = 1
    await begin(dut)
    dut.o__ready.value = 1
    dut.i__valid.value = 1
    for step in steps:
        dut.i__payload.value = step.payload(SHAPE)
        await RisingEdge(dut.clk)
    dut.i__valid.value = 0
    dut.rst.value = 1
    await RisingEdge(dut.clk)
    dut.rst.value = 0
    await RisingEdge(dut.clk)  # shows the last cycle of the reset
    for _ in range(CONFIG["latency"] + 2):
        await RisingEdge(dut.clk)
        assert dut.o__valid.value == 0
