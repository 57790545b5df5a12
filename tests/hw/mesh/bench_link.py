"""A link against its definition: latency and rate are exact, cycle by cycle."""

import random
from fractions import Fraction
from math import floor

import cocotb
from cocotb.triggers import RisingEdge

from hw.mesh.channel import CreditLayout, FlitLayout
from tests.hw.mesh.fields import pack_record, unpack_record
from tests.hw.mesh.traffic import mesh_config
from tests.streams import dut_config, start

CONFIG = mesh_config(dut_config())
FLIT, CREDIT = FlitLayout(CONFIG), CreditLayout(CONFIG)


class Bench:
    """Drives both ends, and predicts every output of every cycle."""

    def __init__(self, dut):
        self.dut = dut
        self.rng = random.Random(cocotb.RANDOM_SEED)
        self.free = Fraction(0)  # when the line has time for the next flit
        self.offered = None
        self.starts = []  # cycles
        self.flits, self.credits = {}, {}  # by cycle of arrival
        self.cycle = 0

    async def start(self):
        await start(self.dut, i__flit__payload=0, i__flit__valid=0, o__flit__ready=1,
                    o__credit=0, hold=0)  # fmt: skip
        await RisingEdge(self.dut.clk)

    async def step(self, *, offer, hold=False, credit=None):
        """One cycle; ``offer`` says whether there is a flit, if none is waiting already."""
        dut, rng = self.dut, self.rng
        if self.offered is None and offer:
            self.offered = rng.getrandbits(FLIT.size)
            dut.i__flit__payload.value = self.offered
        dut.i__flit__valid.value = self.offered is not None
        dut.hold.value = hold
        word = {} if credit is None else {"valid": 1, "vc": credit}
        dut.o__credit.value = pack_record(CREDIT, word)
        await RisingEdge(dut.clk)
        able = floor(self.free) <= self.cycle and not hold
        starts = able and self.offered is not None
        assert dut.sent.value == starts
        assert dut.waiting.value == (self.offered is not None and not able)
        assert dut.i__flit__ready.value == able
        if starts:
            self.free = max(self.free, self.cycle) + CONFIG.link_interval
            self.flits[self.cycle + CONFIG.link_latency] = self.offered
            self.starts.append(self.cycle)
            self.offered = None
        if credit is not None:
            self.credits[self.cycle + CONFIG.link_latency] = credit
        arrived = self.flits.pop(self.cycle, None)
        assert dut.o__flit__valid.value == (arrived is not None)
        if arrived is not None:
            assert int(dut.o__flit__payload.value) == arrived
        returned = self.credits.pop(self.cycle, None)
        back = unpack_record(CREDIT, int(dut.i__credit.value))
        assert back["valid"] == (returned is not None)
        assert returned in (None, back["vc"])
        self.cycle += 1

    async def finish(self):
        while self.offered is not None or self.flits or self.credits:
            await self.step(offer=False)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def has_the_bandwidth(dut):
    """A train of flits: number k starts floor(k * interval) cycles after number 0."""
    bench = Bench(dut)
    await bench.start()
    for _ in range(3):
        before = len(bench.starts)
        while len(bench.starts) < before + 150:
            await bench.step(offer=True)
        first = bench.starts[before]
        expected = [first + floor(k * CONFIG.link_interval) for k in range(150)]
        assert bench.starts[before:] == expected
        await bench.finish()
        for _ in range(5):
            await bench.step(offer=False)


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(density=[0.3, 0.9], hold=[0.0, 0.4])
async def follows_its_definition(dut, density, hold):
    """Random flits and credits, random holds."""
    bench = Bench(dut)
    await bench.start()
    for _ in range(500):
        credit = bench.rng.randrange(CONFIG.vcs) if bench.rng.random() < density else None
        await bench.step(
            offer=bench.rng.random() < density, hold=bench.rng.random() < hold, credit=credit
        )
    await bench.finish()
    assert len(bench.starts) > 50


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def can_be_held(dut):
    """While it is held nothing starts, what is on the way arrives, and nothing is lost."""
    bench = Bench(dut)
    await bench.start()
    for _ in range(20):
        await bench.step(offer=True)
    for _ in range(100):
        await bench.step(offer=True, hold=True)
    assert bench.starts[-1] < 20
    assert not bench.flits
    for _ in range(20):
        await bench.step(offer=True)
    await bench.finish()
