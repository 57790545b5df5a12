"""A pair of outputs, apart and joined in turns: sums of products as Python has them."""

import random

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge, Timer

from hw.arith.numbers import bounds, wrap
from tests.streams import dut_config, pack, start, unpack

CONFIG = dut_config()
WIDTH, TI, LATENCY = CONFIG["width"], CONFIG["ti"], CONFIG["latency"]


def number(rng, width):
    low, high = bounds(width)
    return rng.choice((low, -1, 0, 1, high, rng.randint(low, high), rng.randint(low, high)))


def split(values):
    """Numbers of twice the width as halves, low ones first."""
    return [wrap(value >> shift, WIDTH) for value in values for shift in (0, WIDTH)]


def joined(rng):
    """All products of two numbers if they are few; else random sums of products, and extremes."""
    count, wide = TI // 2, 2 * WIDTH
    low, high = bounds(wide)
    if count == 1:
        for x in range(low, high + 1):
            for w in range(low, high + 1):
                yield [x], [[w], [number(rng, wide)]]
    for x in (low, high, -1):
        for w in (low, high, -1):
            yield [x] * count, [[w] * count, [w] * count]
    for _ in range(600):
        yield (
            [number(rng, wide) for _ in range(count)],
            [[number(rng, wide) for _ in range(count)] for _ in range(2)],
        )


def dot(x, w):
    return sum(a * b for a, b in zip(x, w, strict=True))


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def equals_python(dut):
    """The mode changes from one advance to the next; pauses lie between the advances."""
    rng = random.Random(cocotb.RANDOM_SEED)
    await start(dut, enable=0, joined=0, half=0, x=0, w=0)
    due = []
    sum_width = len(dut.o) // 2

    async def advance():
        dut.enable.value = 0
        for _ in range(rng.choice((0, 0, 0, 2))):
            await RisingEdge(dut.clk)
        dut.enable.value = 1
        await RisingEdge(dut.clk)
        dut.enable.value = 0
        await ReadOnly()
        if len(due) >= LATENCY:
            mode, value = due[len(due) - LATENCY]
            if mode:
                assert dut.whole.value.to_signed() == value, len(due)
            else:
                assert unpack(dut.o.value, sum_width, 2) == value, len(due)
        await Timer(1, unit="ns")

    for x, w in joined(rng):
        half = 0 if TI == 2 else rng.randrange(2)
        words = [w[half], w[1 - half]] if half else w
        dut.joined.value, dut.half.value = 1, half
        dut.x.value = pack(split(x), WIDTH)
        dut.w.value = pack([split(row) for row in words], WIDTH)
        due.append((True, dot(x, words[half])))
        await advance()
        if rng.random() < 0.5:
            x = [number(rng, WIDTH) for _ in range(TI)]
            w = [[number(rng, WIDTH) for _ in range(TI)] for _ in range(2)]
            dut.joined.value, dut.half.value = 0, rng.randrange(2)
            dut.x.value, dut.w.value = pack(x, WIDTH), pack(w, WIDTH)
            due.append((False, [dot(x, row) for row in w]))
            await advance()
    assert len(due) > 600
