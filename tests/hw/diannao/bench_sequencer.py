"""The steps the sequencer issues against plain nested loops over the slot's fields."""

import random

import cocotb
from amaranth.lib import data
from cocotb.triggers import RisingEdge

from hw.diannao.config import Config
from hw.diannao.isa import LEVELS, ErrorCode, NfuIn, NfuOut
from hw.diannao.sequencer import QueuedNest, Step
from hw.nfu.layouts import Op
from tests.streams import StreamPort, dut_config, start

CONFIG = Config(**dut_config())
CAPACITY, ROWS = CONFIG.nbin_elements, CONFIG.sb_rows
LEVEL_FIELDS = ("nbin_step", "sb_step", "nbout_step", "bias_step", "nbin_free", "sb_free")


def encode(slot: dict, pc=0, tag=0) -> int:
    return QueuedNest.const({"slot": slot, "pc": pc, "tag": tag}).as_bits()


def level(count=1, **fields):
    return {"count": count} | {name: fields.get(name, 0) for name in LEVEL_FIELDS}


def nest(op=Op.MAC, levels=(), **fields):
    levels = [*levels, *[level()] * (LEVELS - len(levels))]
    slot = {"op": op, "source": NfuIn.BIAS, "target": NfuOut.NFU3, "levels": levels}
    return slot | fields


def steps(slot):
    """Yield what each step must show: a dict per step, positions relative to the nest's start."""
    index = [0] * LEVELS
    at = {name: slot.get(name, 0) for name in ("nbin", "sb", "nbout", "bias")}
    reduce = slot.get("reduce", 0)
    freed = {"nbin": 0, "sb": 0}
    while True:
        counts = [lv["count"] for lv in slot["levels"]]
        advancing = next((n for n in range(LEVELS) if index[n] < counts[n] - 1), None)
        free = {
            name: (
                slot.get(f"{name}_free", 0)
                if advancing is None
                else slot["levels"][advancing][f"{name}_free"]
            )
            for name in ("nbin", "sb")
        }
        reduced = [n for n in range(LEVELS) if reduce >> n & 1]
        yield {
            **at,
            "first": slot["source"] == NfuIn.BIAS and all(index[n] == 0 for n in reduced),
            "last": slot["target"] == NfuOut.NFU3
            and all(index[n] == counts[n] - 1 for n in reduced),
            "free": free,
            "freed": dict(freed),
        }
        for name in freed:
            freed[name] += free[name]
        if advancing is None:
            return
        for name in at:
            at[name] += slot["levels"][advancing][f"{name}_step"]
        for n in range(advancing):
            index[n] = 0
        index[advancing] += 1


def legal(slot) -> bool:
    for step in steps(slot):
        if not (
            step["freed"]["nbin"] <= step["nbin"] <= step["freed"]["nbin"] + CAPACITY - CONFIG.ti
            and step["freed"]["sb"] <= step["sb"] < step["freed"]["sb"] + ROWS
            and 0 <= step["nbout"] < CONFIG.nbout_rows
            and 0 <= step["bias"] < CONFIG.bias_rows
            and step["free"]["nbin"] <= CAPACITY
            and step["free"]["sb"] <= ROWS
        ):
            return False
    return True


def random_nest(rng):
    while True:
        looping = rng.sample(range(LEVELS), 3)
        levels = [
            level(
                rng.randint(2, 4) if n in looping else 1,
                nbin_step=rng.randint(-4, 8),
                sb_step=rng.randint(-1, 1),
                nbout_step=rng.choice((-1, 0, 0, 1)),
                bias_step=rng.choice((0, 0, 0, 1)),
                nbin_free=rng.choice((0, 0, 1, 5)),
                sb_free=rng.choice((0, 0, 1)),
            )
            for n in range(LEVELS)
        ]
        slot = nest(
            rng.choice(list(Op)),
            levels,
            source=rng.choice(list(NfuIn)),
            target=rng.choice(list(NfuOut)),
            reduce=rng.randrange(1 << LEVELS),
            shift=rng.randrange(48),
            scale=rng.randrange(32),
            nbin=rng.randrange(40),
            sb=rng.randrange(4),
            nbout=rng.randrange(CONFIG.nbout_rows),
            bias=rng.randrange(CONFIG.bias_rows),
            nbin_free=rng.choice((0, 7, 40)),
            sb_free=rng.choice((0, 3)),
        )
        if legal(slot):
            return slot


class Feeder:
    """Lets data arrive in both rings, never more than fits, and knows how much has arrived."""

    def __init__(self, dut, rng, eager):
        self.dut, self.rng, self.eager = dut, rng, eager
        self.arrived = {"nbin": 0, "sb": 0}
        self.tail = {"nbin": 0, "sb": 0}

    async def run(self):
        while True:
            room = CAPACITY - (self.arrived["nbin"] - self.tail["nbin"])
            most = min(room, CONFIG.nbin_banks)
            count = most if self.eager else self.rng.choice((0, 0, self.rng.randint(0, most)))
            row = self.arrived["sb"] - self.tail["sb"] < ROWS and (
                self.eager or self.rng.random() < 0.3
            )
            self.dut.nbin_arrived.value = count
            self.dut.sb_arrived.value = int(row)
            await RisingEdge(self.dut.clk)
            self.arrived["nbin"] += count
            self.arrived["sb"] += row


async def check(dut, slots, rng, eager, stalls):
    """Run ``slots``; compare every issued step. Returns the number of steps and of cycles."""
    feeder = Feeder(dut, rng, eager)
    await start(dut, i__valid=0, i__payload=0, o__ready=0, halt=0, nbin_arrived=0, sb_arrived=0)
    cocotb.start_soon(feeder.run())
    cocotb.start_soon(StreamPort(dut, "i").send([encode(s, n, n) for n, s in enumerate(slots)]))
    for _ in range(100 if eager else 0):
        await RisingEdge(dut.clk)
    layout = Step(CONFIG)
    count = cycles = 0
    dut.o__ready.value = 1
    for number, slot in enumerate(slots):
        base = dict(feeder.tail)
        for expected in steps(slot):
            while True:
                dut.o__ready.value = int(not stalls or rng.random() < 0.6)
                await RisingEdge(dut.clk)
                assert dut.error.value == 0
                cycles += count > 0
                if dut.o__valid.value == 1 and dut.o__ready.value == 1:
                    break
            got = data.Const(layout, int(dut.o__payload.value))
            assert dut.tag.value == number
            for name, capacity, reads in (("nbin", CAPACITY, CONFIG.ti), ("sb", ROWS, 1)):
                position = base[name] + expected[name]
                assert (got[f"{name}_tail"] + got[name]) % capacity == position % capacity
                needed = {
                    "nbin": slot["op"] in (Op.MAC, Op.MAX, Op.SUM),
                    "sb": slot["op"] in (Op.MAC, Op.BIAS, Op.TABLE),
                }
                if needed[name]:
                    assert feeder.arrived[name] >= position + reads, "read before arrival"
                assert got[f"{name}_free"] == expected["free"][name]
                feeder.tail[name] += expected["free"][name]
                assert feeder.tail[name] <= feeder.arrived[name], "freed before arrival"
            control = got.control
            assert control.op == slot["op"]
            assert control.first == expected["first"]
            assert control.last == expected["last"]
            assert control.row == expected["nbout"]
            assert control.bias == expected["bias"]
            assert control.shift == slot.get("shift", 0)
            assert control.scale == slot.get("scale", 0)
            count += 1
    return count, cycles


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(stalls=[False, True])
async def random_nests(dut, stalls):
    """Random nests, random arrival of data, with and without stalls of the pipeline."""
    rng = random.Random(cocotb.RANDOM_SEED)
    await check(dut, [random_nest(rng) for _ in range(40)], rng, False, stalls)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def no_bubbles(dut):
    """With data and nests present, one step per cycle, also across nests of a single step."""
    rng = random.Random(cocotb.RANDOM_SEED)
    slots = [nest(levels=[level(n, nbin_step=4, nbin_free=4)], nbin_free=4) for n in (1, 1, 5, 2)]
    count, cycles = await check(dut, slots, rng, True, False)
    assert (count, cycles) == (9, 8)


FAULTS = [
    (nest(nbin=CAPACITY), ErrorCode.NBIN_RANGE),
    (nest(levels=[level(2, nbin_step=-1)]), ErrorCode.NBIN_RANGE),
    (nest(nbin_free=CAPACITY + 1), ErrorCode.NBIN_RANGE),
    (nest(sb=ROWS), ErrorCode.SB_RANGE),
    (nest(levels=[level(2, sb_step=-1)]), ErrorCode.SB_RANGE),
    (nest(sb_free=ROWS + 1), ErrorCode.SB_RANGE),
    (nest(nbout=CONFIG.nbout_rows), ErrorCode.NBOUT_RANGE),
    (nest(levels=[level(2, nbout_step=-1)]), ErrorCode.NBOUT_RANGE),
    (nest(bias=CONFIG.bias_rows), ErrorCode.BIAS_RANGE),
    (nest(Op.BIAS, bias=CONFIG.bias_rows), ErrorCode.BIAS_RANGE),
]


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def faults(dut):
    """Every address outside a buffer is reported with code and pc; its step is not issued."""
    rng = random.Random(cocotb.RANDOM_SEED)
    feeder = None
    for pc, (slot, code) in enumerate(FAULTS):
        await start(dut, i__valid=0, i__payload=0, o__ready=1, halt=0, nbin_arrived=0, sb_arrived=0)
        if feeder is not None:
            feeder.cancel()
        feeder = cocotb.start_soon(Feeder(dut, rng, True).run())
        await StreamPort(dut, "i").send([encode(slot, 8 * pc)])
        issued = 0
        for _ in range(CAPACITY + 30):
            await RisingEdge(dut.clk)
            issued += int(dut.o__valid.value)
            if dut.error.value == 1:
                break
        assert dut.error.value == 1, f"{slot} not refused"
        assert dut.code.value == code.value
        assert dut.pc.value == 8 * pc
        assert issued == max(lv["count"] for lv in slot["levels"]) - 1
