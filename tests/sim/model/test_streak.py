"""What is left out of nests leaves nothing behind, and nothing of the rest changes."""

from math import prod

import numpy as np
import pytest

from hw.diannao.isa import LEVELS
from hw.diannao.words import columns
from sim.memory import MemorySettings
from sim.model import estimate
from sim.model.nfu import distinct_nests
from sim.model.repetition import kinds_of
from sim.model.streak import shortened, steps_of

from .test_estimate import LAYERS, PAPER, program_of

PAPERS = MemorySettings()
PEERS = MemorySettings(bandwidth=32)


def balance(slots) -> dict[str, list[int]]:
    """By instruction, how much more its slots bring than its nest frees, or store than it makes."""
    nests = slots["nfu"]
    distinct, number = distinct_nests(nests, PAPER.ti)
    taken: dict[str, list[int]] = {}
    for kind in ("nbin", "sb", "nbout"):
        fields = slots[kind].fields
        unit = {
            "nbin": fields["descriptor.run"] // PAPER.element_bytes,
            "sb": np.ones(len(slots[kind].owners), dtype=np.int64),
            "nbout": -(-fields["descriptor.run"] // (PAPER.tn * PAPER.element_bytes)),
        }[kind]
        moved = np.zeros(len(slots["cp"].owners), dtype=np.int64)
        moved[slots[kind].owners] = prod(fields[f"descriptor.count[{n}]"] for n in range(3)) * unit
        for owner, n in zip(nests.owners.tolist(), number.tolist(), strict=True):
            events = distinct[n]
            moved[owner] -= {
                "nbin": events.nbin_free.total,
                "sb": events.sb_free.total,
                "nbout": len(events.outputs.step),
            }[kind]
        taken[kind] = moved.tolist()
    return taken


@pytest.mark.parametrize("name", LAYERS)
def test_what_is_left_out_balances(name):
    """Loads bring less by what nests free less, stores take away less by what they make less."""
    slots = columns(LAYERS[name]().words)
    short, streaks = shortened(slots, kinds_of(slots), PAPER, PAPERS, ())
    assert balance(short) == balance(slots)
    lost = [streak.left_out * streak.steps for streak in streaks]
    assert (steps_of(slots["nfu"]) - steps_of(short["nfu"])).tolist() == lost
    for streak, steps in zip(streaks, steps_of(short["nfu"]).tolist(), strict=True):
        assert streak.first + 2 * streak.steps <= steps
    for kind in slots:
        for field, values in slots[kind].fields.items():
            assert "count" in field or (values == short[kind].fields[field]).all()


def test_instructions_that_are_to_be_followed_stay_whole():
    slots = columns(LAYERS["pooling"]().words)
    kinds = kinds_of(slots)
    _, free = shortened(slots, kinds, PAPER, PAPERS, ())
    number = next(n for n, streak in enumerate(free) if streak.left_out)
    owner = int(slots["nfu"].owners[number])
    short, streaks = shortened(slots, kinds, PAPER, PAPERS, {owner})
    assert streaks[number].left_out == 0
    for n in range(LEVELS):
        name = f"levels[{n}].count"
        assert short["nfu"].fields[name][number] == slots["nfu"].fields[name][number]


def test_nothing_is_left_out_where_a_port_is_too_slow():
    slots = columns(LAYERS["pooling"]().words)
    _, streaks = shortened(slots, kinds_of(slots), PAPER, MemorySettings(bandwidth=8), ())
    assert not any(streak.left_out for streak in streaks)


def big_pool():
    return program_of(pool=((1, 64, 256, 256), "max", (2, 2), (2, 2)))


@pytest.mark.parametrize(
    ("make", "memory", "most"),
    [
        (LAYERS["AlexNet conv3"], PAPERS, 0.1),
        (LAYERS["AlexNet conv3"], PEERS, 0.2),  # pauses of 3 cycles in each iteration
        (LAYERS["classifier"], PAPERS, 0.05),
        (big_pool, PAPERS, 0.02),
    ],
    ids=["conv", "conv, slow memory", "classifier", "pooling"],
)
def test_few_steps_are_followed_and_the_cycles_are_exact(make, memory, most):
    """The work of an estimate is counted: the time goes with it."""
    program = make()
    short, whole = estimate(program, memory=memory), estimate(program, memory=memory, whole=True)
    print(f"{short.followed:.2%} followed, {short.cycles} cycles, {whole.cycles} if all are")
    assert short.followed <= most
    assert short.cycles == whole.cycles
    assert whole.followed == 1
