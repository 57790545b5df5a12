"""Pace: rows are never more than NBout holds, NFU-3 gets its time, and nothing else waits."""

import random

import pytest
from amaranth.sim import Simulator

from hw.diannao.config import Config
from hw.diannao.pace import Pace
from hw.nfu.layouts import Op

ROWS, INTERVAL = 4, 3
CONFIG = Config(
    name="paced", tn=INTERVAL, ti=2, nbout_rows=ROWS, nbout_port=32, nfu3_lanes=1, paced=True
)


@pytest.mark.parametrize("leaving", [0.05, 0.25])
def test_steps_wait_for_room_and_no_longer(leaving):
    """Each step passes in the first cycle in which it may, whatever its operation."""
    rng = random.Random(f"pace {leaving}")
    steps = [(rng.choice(list(Op)), rng.random() < 0.5) for _ in range(600)]
    pace = Pace(config=CONFIG)
    simulator = Simulator(pace)
    simulator.add_clock(1e-8)
    waited = {"room": 0, "interval": 0}

    async def testbench(ctx):
        rows, free_at, cycle = 0, 0, 0
        for op, last in steps:
            ctx.set(pace.i.p.control.op, op)
            ctx.set(pace.i.p.control.last, last)
            while True:
                offered = rng.random() < 0.8
                left = rows > 0 and rng.random() < leaving
                ctx.set(pace.i.valid, offered)
                ctx.set(pace.left, left)
                finishes = last and op not in (Op.BIAS, Op.TABLE)
                room = not finishes or rows < ROWS
                ready = not (finishes or op == Op.TABLE) or cycle >= free_at
                assert ctx.get(pace.i.ready) == (room and ready)
                assert ctx.get(pace.o.valid) == (offered and room and ready)
                passed = offered and room and ready
                waited["room"] += not room
                waited["interval"] += not ready
                await ctx.tick()
                cycle += 1
                rows -= left
                if passed:
                    rows += finishes
                    if finishes or op == Op.TABLE:
                        free_at = cycle - 1 + INTERVAL
                    break

    simulator.add_testbench(testbench)
    simulator.run()
    assert all(waited.values())
