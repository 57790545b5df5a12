"""The NFU whose operators join, against its reference: random steps of both widths in turns."""

import random
from typing import Any

import cocotb

from tests.hw.nfu.reference_joinable import Reference, Shape, Stimulus
from tests.streams import StreamPort, dut_config, start, unpack

SHAPE = Shape(**dut_config())


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(gap=[0, 2], stall=[0, 4])
async def random_steps(dut, gap, stall):
    """All operations on numbers of both widths, both tables, rows reused at any distance."""
    rng = random.Random(cocotb.RANDOM_SEED)
    stimulus = Stimulus(SHAPE, cocotb.RANDOM_SEED + 8 * gap + stall)
    steps: list[Any] = stimulus.mixture(500)
    await start(dut, i__valid=0, i__payload=0, o__ready=0)

    def pause(limit):
        return (lambda: rng.choice((0, 0, rng.randint(0, limit)))) if limit else None

    words = [step.payload(SHAPE) for step in steps]
    cocotb.start_soon(StreamPort(dut, "i").send(words, gaps=pause(gap)))
    reference = Reference(SHAPE)
    wanted = [(n, row) for n, step in enumerate(steps) for row in reference.rows(step)]
    assert {step.joined for step in steps if step.last} == {0, 1}
    got = await StreamPort(dut, "o").receive(len(wanted), stalls=pause(stall))
    for word, (n, right) in zip(got, wanted, strict=True):
        assert unpack(word, SHAPE.width, SHAPE.tn) == right, f"step {n}: {steps[n]}"
