"""An arithmetic unit against ``numbers``: random operands and corner values, stalled at random."""

import random
from dataclasses import replace
from functools import cached_property

import cocotb
import numpy as np
from cocotb.triggers import ReadOnly, RisingEdge, Timer

from hw.arith import numbers
from hw.arith.wide import activate
from tests.streams import dut_config, pack, start, unpack

CONFIG = dut_config()
UNIT, PARAMETERS = CONFIG["unit"], CONFIG["parameters"]
BENCH_SEED = 20


def corners(width: int) -> list[int]:
    low, high = numbers.bounds(width)
    return [low, low + 1, -1, 0, 1, high - 1, high]


def operands(rng: random.Random, width: int, count: int) -> list[int]:
    """Half of them corners."""
    low, high = numbers.bounds(width)
    return [rng.choice((rng.choice(corners(width)), rng.randint(low, high))) for _ in range(count)]


class MultiplierCase:
    """Products of one number with several; of narrow numbers all, of wide ones the corners too."""

    def __init__(self, rng):
        width, lanes = PARAMETERS["width"], PARAMETERS["lanes"]
        low, high = numbers.bounds(width)
        values = range(low, high + 1) if width <= 4 else corners(width)
        pairs = [(x, w) for x in values for w in values]
        self.inputs = [(x, [w, *operands(rng, width, lanes - 1)]) for x, w in pairs]
        for _ in range(600):
            x, *w = operands(rng, width, 1 + lanes)
            self.inputs.append((x, w))
        self.width = width

    def drive(self, dut, value):
        x, w = value
        dut.x.value = pack([x], self.width)
        dut.w.value = pack(w, self.width)

    def expected(self, value):
        x, w = value
        return [numbers.truncated_product(x, each, self.width, PARAMETERS["drop"]) for each in w]

    def output(self, dut):
        return unpack(dut.o.value, 2 * self.width, PARAMETERS["lanes"])


class TreeCase:
    """Sums or maxima of several numbers, some of them cleared on the last register's way."""

    def __init__(self, rng):
        self.width, self.count = PARAMETERS["width"], PARAMETERS["count"]
        low, high = numbers.bounds(self.width)
        vectors = [[low] * self.count, [high] * self.count, [0] * self.count]
        vectors += [operands(rng, self.width, self.count) for _ in range(400)]
        self.inputs = [(vector, rng.random() < 0.3) for vector in vectors]
        self.clears = [False] * max(0, CONFIG["latency"] - 1)  # of what is in front of the last one

    def drive(self, dut, value):
        vector, clear = value
        self.clears.append(clear)
        dut.i.value = pack(vector, self.width)
        dut.clear.value = self.clears.pop(0)

    def expected(self, value):
        vector, clear = value
        total = sum(vector) if CONFIG["operation"] == "ADD" else max(vector)
        return [0 if clear else total]

    def output(self, dut):
        return unpack(dut.o.value, len(dut.o), 1)


class RequantiseCase:
    """Rounded and saturated shifts; each shift with numbers next to where rounding changes."""

    def __init__(self, rng):
        width = self.width = PARAMETERS["input_width"]
        low, high = numbers.bounds(width)
        self.inputs = []
        for shift in range(PARAMETERS["max_shift"] + 1):
            half = (1 << shift) >> 1
            _, limit = numbers.bounds(PARAMETERS["width"])
            around = [half, -half, 3 * half, (limit << shift) + half, -(limit + 1 << shift) - half]
            values = [v + d for v in around for d in (-1, 0, 1)] + operands(rng, width, 20)
            self.inputs += [(v, shift) for v in values if low <= v <= high]

    def drive(self, dut, value):
        number, shift = value
        dut.i.value = pack([number], self.width)
        dut.shift.value = shift

    def expected(self, value):
        number, shift = value
        return [numbers.requantise(number, shift, PARAMETERS["width"])]

    def output(self, dut):
        return unpack(dut.o.value, PARAMETERS["width"], 1)


class ActivationCase:
    """Functions of random tables, plain and mirrored, loaded between the data.

    An input is a table to load, or numbers and the shift of the table in place.
    """

    def __init__(self, rng):
        self.width, self.lanes = PARAMETERS["width"], PARAMETERS["lanes"]
        self.inputs = []
        for k in range(6):
            table = self.table(rng, mirrored=k % 2 == 1)
            self.inputs += self.words(table)
            starts = [b + d for b in table.breakpoints for d in (-1, 0, 1)]
            for _ in range(60):
                x = [rng.choice((v, *operands(rng, self.width, 1))) for v in
                     rng.choices(starts, k=self.lanes)]  # fmt: skip
                self.inputs.append((numbers.wrap(np.array(x, dtype=np.int64), self.width), table))

    def table(self, rng, *, mirrored: bool):
        width, segments = self.width, PARAMETERS["segments"]
        low, high = numbers.bounds(width)
        starts = sorted(rng.sample(range(0 if mirrored else low, high + 1), segments - 1))
        b_low, b_high = numbers.bounds(2 * width)
        return numbers.Table(
            breakpoints=tuple(starts),
            a=tuple(operands(rng, width, segments)),
            b=tuple(rng.randint(b_low >> 2, b_high >> 2) for _ in range(segments)),
            shift=rng.randint(0, PARAMETERS["max_scale"]),
            mirror=rng.randint(0, (1 << width) - 2) if mirrored else None,
        )

    def words(self, table) -> list[list[int]]:
        """The table as its loads: segment 0 first, padding before it."""
        width, lanes = self.width, self.lanes
        first = numbers.NO_MIRROR if table.mirror is None else table.mirror
        flat = []
        for start_, a, b in zip((first, *table.breakpoints), table.a, table.b, strict=True):
            flat += [pack([start_, a], width), pack([b], 2 * width)]
        flat = [0] * (-len(flat) % lanes) + flat
        return [flat[k : k + lanes] for k in range(0, len(flat), lanes)]

    def drive(self, dut, value):
        load = isinstance(value, list)
        dut.load.value = int(load)
        if load:
            dut.words.value = pack(value, 2 * self.width)
        else:
            x, table = value
            dut.x.value = pack(x, self.width)
            dut.scale.value = table.shift

    def expected(self, value):
        if isinstance(value, list):
            return None
        x, table = value
        return numbers.activate(x, table, self.width, PARAMETERS["drop"]).tolist()

    def output(self, dut):
        return unpack(dut.y.value, self.width, self.lanes)


class AdderCase:
    """Sums and larger ones of two numbers, or of one of twice the width; all of narrow numbers."""

    def __init__(self, rng):
        self.width = PARAMETERS["width"]
        wide = 2 * self.width
        low, high = numbers.bounds(wide)
        if wide <= 4:
            pairs = [(a, b) for a in range(low, high + 1) for b in range(low, high + 1)]
        else:
            pairs = [operands(rng, wide, 2) for _ in range(400)]
            # Numbers of equal high halves, and pairs of corners side by side.
            pairs += [(a, a ^ rng.getrandbits(self.width)) for a, _ in pairs]
            pairs += [
                [(operands(rng, self.width, 1)[0] << self.width) + operands(rng, self.width, 1)[0]
                 for _ in range(2)]
                for _ in range(400)
            ]  # fmt: skip
        self.inputs = [
            (a, b, joined, larger) for a, b in pairs for joined in (0, 1) for larger in (0, 1)
        ]

    def drive(self, dut, value):
        a, b, joined, larger = value
        dut.a.value, dut.b.value = pack([a], 2 * self.width), pack([b], 2 * self.width)
        dut.joined.value, dut.larger.value = joined, larger

    def expected(self, value):
        a, b, joined, larger = value
        width = 2 * self.width if joined else self.width
        shifts = (0,) if joined else (0, self.width)
        pairs = [[numbers.wrap(v >> shift, width) for v in (a, b)] for shift in shifts]
        return [max(pair) if larger else numbers.wrap(sum(pair), width) for pair in pairs]

    def output(self, dut):
        joined = dut.joined.value == 1
        return unpack(dut.o.value, self.width << joined, 2 >> joined)


class FunctionsCase(ActivationCase):
    """Two functions apart, or joined to one of twice the width; their tables change in between.

    An input is a piece of a table, or numbers with their mode and the tables in place.
    """

    def __init__(self, rng):
        self.width, self.lanes = PARAMETERS["width"], PARAMETERS["lanes"]
        self.narrow = self.width
        self.inputs = []
        for k in range(8):
            joined, kinds = k // 4, (k & 1, k >> 1 & 1)
            self.width = self.narrow << joined
            if joined:
                tables = [self.table(rng, mirrored=bool(kinds[0]))]
                pieces = self.halves(tables[0])
            else:
                tables = [self.table(rng, mirrored=bool(kind)) for kind in kinds]
                scale = rng.randrange(2 * self.width)
                tables = [replace(table, shift=scale) for table in tables]
                pieces = [self.words(table) for table in tables]
            for number, piece in enumerate(pieces):
                self.inputs += [(number, words) for words in piece]
            starts = [b + d for t in tables for b in t.breakpoints for d in (-1, 0, 1)]
            for _ in range(80):
                x = [rng.choice((v, *operands(rng, self.width, 1))) for v in
                     rng.choices(starts, k=self.lanes >> joined)]  # fmt: skip
                self.inputs.append(([numbers.wrap(v, self.width) for v in x], joined, tables))
        self.width = self.narrow

    def halves(self, table):
        """The loads of a wide table: those of the low halves, those of the high ones."""
        width, lanes = self.narrow, self.lanes
        first = numbers.NO_MIRROR if table.mirror is None else table.mirror
        pieces = []
        for half in range(2):
            flat = []
            for start_, a, b in zip((first, *table.breakpoints), table.a, table.b, strict=True):
                parts = [start_ >> half * width, a >> half * width]
                flat += [pack(parts, width), pack([b >> 2 * half * width], 2 * width)]
            flat = [0] * (-len(flat) % lanes) + flat
            pieces.append([flat[k : k + lanes] for k in range(0, len(flat), lanes)])
        return pieces

    def drive(self, dut, value):
        load = len(value) == 2
        dut.load.value = int(load)
        if load:
            dut.table.value = value[0]
            dut.words.value = pack(value[1], 2 * self.width)
        else:
            x, joined, tables = value
            dut.joined.value = joined
            dut.x.value = pack(x, self.width << joined)
            dut.scale.value = tables[0].shift

    def expected(self, value):
        if len(value) == 2:
            return None
        x, joined, tables = value
        if joined:
            wide = 2 * self.width
            x = np.array(x, dtype=np.int64)
            table = tables[0]
            return [activate(x, table).tolist() if wide == 32 else
                    numbers.activate(x, table, wide, 0).tolist(), None]  # fmt: skip
        x = np.array(x, dtype=np.int64)
        return [numbers.activate(x, table, self.width, 0).tolist() for table in tables]

    def output(self, dut):
        joined = self.modes.pop(0) if len(self.modes) > 1 else self.modes[0]
        y = unpack(dut.y.value, self.width << joined, self.lanes >> joined)
        return [y, None if joined else unpack(dut.dy.value, self.width, self.lanes)]

    @cached_property
    def modes(self):
        """Of the results that are looked at, in their order; the last one is looked at again."""
        return [value[1] for value in self.inputs if len(value) == 3]


CASES = {
    "functions": FunctionsCase,
    "adder": AdderCase,
    "multiplier": MultiplierCase,
    "tree": TreeCase,
    "requantise": RequantiseCase,
    "activation": ActivationCase,
}


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def equals_numbers(dut):
    """Each result comes ``latency`` advances after its operands, whatever stalls lie between."""
    rng = random.Random(BENCH_SEED)
    case = CASES[UNIT](rng)
    latency = CONFIG["latency"]
    pipelined = hasattr(dut, "enable") and hasattr(dut, "clk")
    if pipelined:
        await start(dut, enable=0)
    due = []
    for value in case.inputs + [case.inputs[-1]] * latency:
        case.drive(dut, value)
        due.append(case.expected(value))
        if not pipelined:
            await Timer(1, unit="ns")
        else:
            dut.enable.value = 0
            for _ in range(rng.choice((0, 0, 0, 1, 3))):
                await RisingEdge(dut.clk)
            dut.enable.value = 1
            await RisingEdge(dut.clk)
            dut.enable.value = 0
            await ReadOnly()
            await Timer(1, unit="ns")
        # After the advance that took ``value``, the output belongs to ``latency - 1`` before it.
        shown = len(due) - max(latency, 1)
        if shown >= 0 and due[shown] is not None:
            assert case.output(dut) == due[shown], f"result {shown} of {case.inputs[shown]}"
