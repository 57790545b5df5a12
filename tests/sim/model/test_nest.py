"""Events of nests, against the nest carried out step by step."""

from hypothesis import given, settings
from hypothesis import strategies as st

from hw.diannao.assembler import Instruction, Loop, encode, nest
from hw.diannao.isa import NfuOut
from hw.diannao.words import columns
from hw.nfu.layouts import Op
from sim.model.nfu import distinct_nests

TI = 4
LOOPS = st.lists(
    st.builds(
        Loop,
        count=st.integers(1, 4),
        nbin=st.integers(-20, 20),
        sb=st.integers(-3, 3),
        nbin_free=st.integers(0, 5),
        sb_free=st.integers(0, 2),
        reduce=st.booleans(),
    ),
    max_size=4,
)


def walk(slot):
    """What each step needs and has freed of NBin and SB, and whether it finishes a row."""
    index = [0] * len(slot.levels)
    nbin, sb, nbin_freed, sb_freed = slot.nbin, slot.sb, 0, 0
    while True:
        ends = [level.count - 1 == at for level, at in zip(slot.levels, index, strict=True)]
        moving = ends.index(False) if False in ends else None
        event = slot if moving is None else slot.levels[moving]
        nbin_freed += event.nbin_free
        sb_freed += event.sb_free
        data = slot.op in (Op.MAC, Op.MAX, Op.SUM)
        finishes = (
            data
            and slot.target == NfuOut.NFU3
            and all(end for n, end in enumerate(ends) if slot.reduce >> n & 1)
        )
        rows = slot.op in (Op.MAC, Op.BIAS, Op.TABLE)
        yield (
            max(nbin_freed, nbin + TI if data else 0), max(sb_freed, sb + 1 if rows else 0),
            nbin_freed, sb_freed, finishes,
        )  # fmt: skip
        if moving is None:
            return
        nbin += event.nbin_step
        sb += event.sb_step
        index = [0] * moving + [index[moving] + 1] + index[moving + 1 :]


@settings(deadline=None)
@given(LOOPS, st.sampled_from(Op), st.sampled_from(NfuOut), st.integers(0, 9), st.integers(0, 9))
def test_events_are_those_of_the_steps(loops, op, target, nbin, sb):
    slot = nest(op, loops, target=target, nbin=nbin, sb=sb, nbin_free=3, sb_free=1)
    program = [Instruction(nfu=slot), Instruction(nfu=slot), Instruction(end=True)]
    found, number = distinct_nests(columns(encode(program))["nfu"], TI)
    assert len(found) == 1
    assert number.tolist() == [0, 0]
    events = found[0]

    steps = list(walk(slot))
    assert events.steps == len(steps)
    for place, demand in enumerate((events.nbin, events.sb)):
        highest, expected = 0, []
        for step, values in enumerate(steps):
            if values[place] > highest:
                highest = values[place]
                expected.append((step, highest))
        assert list(zip(demand.step.tolist(), demand.needed.tolist(), strict=True)) == expected
    for place, release in ((2, events.nbin_free), (3, events.sb_free)):
        before, expected = 0, []
        for step, values in enumerate(steps):
            if values[place] > before:
                before = values[place]
                expected.append((step, before))
        assert list(zip(release.step.tolist(), release.freed.tolist(), strict=True)) == expected
        assert release.total == before
    rows = [step for step, values in enumerate(steps) if values[4]]
    assert events.outputs.step.tolist() == rows
    for step, n, m in zip(
        rows, events.outputs.nbin.tolist(), events.outputs.sb.tolist(), strict=True
    ):
        assert n == sum(at <= step for at in events.nbin.step.tolist())
        assert m == sum(at <= step for at in events.sb.step.tolist())
    for at, earlier in zip(events.sb.step.tolist(), events.sb_earlier.tolist(), strict=True):
        assert earlier == sum(other < at for other in events.nbin.step.tolist())
    for at, later in zip(events.nbin.step.tolist(), events.nbin_later.tolist(), strict=True):
        assert later == sum(other <= at for other in events.sb.step.tolist())
