"""Objects, words and text of programs against each other, against Amaranth's layouts, and against
the meaning that the ISA gives to a nest."""

import itertools
import random
import time
from dataclasses import replace

import numpy as np
import pytest
from amaranth.lib import data
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.diannao import isa
from hw.diannao.assembler import (
    Instruction,
    Loop,
    NbinLoad,
    NboutStore,
    NestLevel,
    NfuNest,
    ProgramError,
    Runs,
    SbLoad,
    assemble,
    decode,
    disassemble,
    encode,
    nest,
)
from hw.diannao.fields import SLOTS, fields_of, slot_words
from hw.diannao.instructions import CLASSES, LOOPS
from hw.diannao.isa import ErrorCode, NfuIn, NfuOut
from hw.nfu.layouts import Op
from hw.program.loops import RawLevel
from tests.hw.diannao.programs import UNITS, random_bundle, random_slot

reproducible = settings(derandomize=True, deadline=None, max_examples=60)

NEST = nest(
    Op.MAC,
    [
        Loop(count=4, nbin=16, sb=1, nbin_free=16, sb_free=1, reduce=True),
        Loop(count=16, nbout=1, bias=1, sb=4),
    ],
    source=NfuIn.NBOUT,
    shift=10,
    scale=9,
    sb=5,
    sb_free=2,
)

PROGRAM = [
    Instruction(
        sb=SbLoad(Runs(0x8000, 512, (64, 1, 1), (512, 0, 0))),
        nbin=NbinLoad(Runs(0x400000, 2048), fence=True, skip=3),
        nfu=NEST,
        tag=3,
    ),
    Instruction(nbout=NboutStore(Runs(0x800000, 512, (1, 1, 2), (0, 0, -4096)))),
    Instruction(end=True),
]

TEXT = """\
instruction tag=3                        # 0x00000000
  sb load address=0x8000 run=512 count=64 stride=512
  nbin load address=0x400000 run=2048 fence skip=3
  nfu mac source=nbout shift=10 scale=9 sb=5 sb_free=2
    for 16 sb=4 nbout=1 bias=1
      for 4 nbin=16 sb=1 nbin_free=16 sb_free=1 reduce
instruction                              # 0x000000c8
  nbout store address=0x800000 run=512 count=1,1,2 stride=0,0,-4096
instruction end                          # 0x000000f8
"""


def random_words(seed: int) -> np.ndarray:
    rng = random.Random(seed)
    bundles = [random_bundle(rng, end=rng.random() < 0.1) for _ in range(rng.randint(0, 12))]
    return np.array([word for bundle in bundles for word in bundle.words], dtype=np.uint64)


def field_values(layout, const, item):
    """Pairs of every field of an Amaranth constant and of the object that stands for it."""
    for key, member in data.Layout.cast(layout):
        if key == "reserved":
            continue
        mine = item[key] if isinstance(key, int) else getattr(item, key)
        theirs = const[key]
        if isinstance(theirs, data.Const):
            yield from field_values(member.shape, theirs, mine)
        else:
            yield theirs, mine


# Words, objects, text.


@reproducible
@given(st.integers(0, 1 << 32))
def test_any_legal_words_survive_all_forms(seed):
    words = random_words(seed)
    program = decode(words)
    assert np.array_equal(encode(program), words)
    text = disassemble(words)
    assert np.array_equal(assemble(text), words)
    assert decode(assemble(text)) == program


@reproducible
@given(st.integers(0, 1 << 32), st.sampled_from(UNITS))
def test_objects_hold_what_amaranth_finds_in_the_bits(seed, unit):
    bits = random_slot(random.Random(seed), unit)
    layout = SLOTS[unit]
    words = [isa.CP_MAGIC | 1 << (8 + UNITS.index(unit))]
    words += [bits >> 64 * n & (1 << 64) - 1 for n in range(slot_words(layout))]
    (instruction,) = decode(np.array(words, dtype=np.uint64))
    slot = getattr(instruction, unit)
    pairs = list(field_values(layout, layout.from_bits(bits), slot))
    assert len(pairs) == sum(not field.reserved for field in fields_of(layout))
    for theirs, mine in pairs:
        assert theirs == mine


def test_text_reads_as_the_documentation_says():
    assert disassemble(encode(PROGRAM)) == TEXT
    assert decode(assemble(TEXT)) == PROGRAM
    sparse = TEXT.replace("\n", "  # why\n\n").replace("  ", "\t")
    assert decode(assemble(sparse)) == PROGRAM


def test_empty_program():
    assert len(encode([])) == 0
    assert decode(np.zeros(0, dtype=np.uint64)) == []
    assert disassemble(encode([])) == ""
    assert len(assemble("# nothing")) == 0


def test_bits_without_meaning_survive_the_text():
    """A level of one iteration has steps that never count, between others that loop."""
    levels = list(NEST.levels)
    levels[1] = NestLevel(count=1, nbin_step=-7, sb_free=9)
    levels[4] = NestLevel(count=2, nbout_step=1)
    words = encode([Instruction(nfu=replace(NEST, levels=tuple(levels), reduce=0b100011))])
    text = disassemble(words)
    assert "level nbin_step=-7 sb_free=9 reduce" in text
    assert np.array_equal(assemble(text), words)


def test_ten_to_the_five_instructions_take_seconds():
    program = PROGRAM[:2] * 50_000
    begin = time.process_time()
    words = encode(program)
    assert time.process_time() - begin < 10
    begin = time.process_time()
    assert len(decode(words)) == len(program)
    assert time.process_time() - begin < 10


# Rules.


def cases_of_broken_fields():
    """(unit, field, value) for every rule that a field has."""
    for unit, layout in SLOTS.items():
        for field in fields_of(layout):
            if field.reserved:
                yield unit, field, 1
                yield unit, field, 1 << (field.width - 1)
            elif field.legal is not None:
                every = set(range(1 << field.width)) - set(field.legal)
                yield from (
                    (unit, field, value) for value in sorted(every)[:: max(1, len(every) // 3)]
                )
            elif field.positive:
                yield unit, field, 0


def test_each_rule_has_a_case():
    names = {f"{unit}.{field.name}" for unit, field, _ in cases_of_broken_fields()}
    expected = {"cp.magic", "cp.reserved", "nfu.op", "nfu.reserved"}
    expected |= {f"nfu.levels[{n}].{name}" for n in range(6) for name in ("count", "reserved")}
    for unit in ("sb", "nbin", "nbout"):
        expected |= {f"{unit}.op", f"{unit}.reserved", f"{unit}.descriptor.run"}
        expected |= {f"{unit}.descriptor.count[{n}]" for n in range(3)}
    assert names == expected


@pytest.mark.parametrize(
    ("unit", "field", "value"),
    [
        pytest.param(*case, id=f"{case[0]}.{case[1].name}={case[2]}")
        for case in cases_of_broken_fields()
    ],
)
def test_illegal_words_are_refused(unit, field, value):
    rng = random.Random(1)
    before = [random_bundle(rng) for _ in range(3)]
    bad = random_bundle(rng)
    bad.slots = {u: random_slot(rng, u) for u in UNITS}
    words = [word for bundle in (*before, bad, random_bundle(rng)) for word in bundle.words]
    pc = sum(len(bundle.words) for bundle in before)
    at = pc + {"cp": 0, "sb": 1, "nbin": 6, "nbout": 11, "nfu": 16}[unit]
    for bit in range(field.width):
        word, place = divmod(field.offset + bit, 64)
        words[at + word] &= ~(1 << place)
        words[at + word] |= (value >> bit & 1) << place
    with pytest.raises(ProgramError) as refused:
        decode(np.array(words, dtype=np.uint64))
    assert refused.value.code == ErrorCode.ILLEGAL_INSTRUCTION
    assert refused.value.pc == 8 * pc
    assert f"{unit}.{field.name} must be {field.rule}" in str(refused.value)


def test_the_first_of_several_faults_counts():
    words = encode(PROGRAM)
    words[7] = 0  # run and address of the NBin slot
    words[25] = 0  # the next CP slot
    with pytest.raises(
        ProgramError, match=r"nbin\.descriptor\.run must be 1 to 4294967295"
    ) as refused:
        decode(words)
    assert refused.value.pc == 0


@pytest.mark.parametrize("cut", range(1, 31))
def test_cut_off_programs_are_refused(cut):
    words = encode(PROGRAM)[:cut]
    if cut in (25, 31):
        assert len(decode(words)) == {25: 1, 31: 2}[cut]
        return
    with pytest.raises(ProgramError, match=r"only .* are left") as refused:
        decode(words)
    assert refused.value.code == ErrorCode.END_OF_PROGRAM
    assert refused.value.pc == (0 if cut < 25 else 200)


@pytest.mark.parametrize(
    ("instruction", "message"),
    [
        (Instruction(tag=1 << 16), "instruction 1: cp.tag must be 0 to 65535, not 65536"),
        (
            Instruction(sb=SbLoad(Runs(1 << 64, 4))),
            "instruction 1: sb.descriptor.address must be 0 to 18446744073709551615, "
            "not 18446744073709551616",
        ),
        (
            Instruction(nbin=NbinLoad(Runs(-1, 4))),
            "instruction 1: nbin.descriptor.address must be 0 to 18446744073709551615, not -1",
        ),
        (
            Instruction(nbout=NboutStore(Runs(0, 4, stride=(0, 1 << 31, 0)))),
            "instruction 1: nbout.descriptor.stride[1] must be -2147483648 to 2147483647, "
            "not 2147483648",
        ),
        (
            Instruction(nfu=NfuNest(Op.MAC, nbin=-1)),
            "instruction 1: nfu.nbin must be 0 to 65535, not -1",
        ),
        (
            Instruction(sb=SbLoad(Runs(0, 0))),
            "instruction at byte 8: sb.descriptor.run must be 1 to 4294967295",
        ),
    ],
)
def test_encode_names_the_field_that_does_not_fit(instruction, message):
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the whole message is compared
        encode([Instruction(), instruction])
    assert str(refused.value) == message


def test_encode_refuses_fractions():
    with pytest.raises(TypeError):
        encode([Instruction(tag=1.5)])  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "jump",
            "line 1: a line must begin with one of instruction, sb, nbin, nbout, nfu, for, level",
        ),
        ("\nsb load", "line 2: 'sb' must follow an instruction line"),
        ("instruction\nfor 3", "line 2: 'for' must follow a line of nfu"),
        ("instruction\nsb load run=4", "line 2: address must be given"),
        ("instruction\nsb", "line 2: sb must be followed by its operation"),
        ("instruction\nsb store run=4", "line 2: operation must be one of load, not 'store'"),
        ("instruction\nsb load run=4 run=5", "line 2: run must be given once"),
        ("instruction\nsb load run=x", "line 2: run must be a number, not 'x'"),
        ("instruction\nsb load run", "line 2: run must have a value"),
        (
            "instruction\nsb load skip=1",
            "line 2: operand must be one of address, run, count, stride, not",
        ),
        ("instruction\nsb load count=1,2,3,4", "line 2: count must have at most 3 numbers, not 4"),
        ("instruction\nnbin load fence=1", "line 2: fence is a flag and takes no value"),
        ("instruction\nnfu mac source=sb", "line 2: source must be one of bias, nbout, not 'sb'"),
        ("instruction\nnfu mac\nnfu mac", "line 3: an instruction must have one nfu slot"),
        ("instruction\nnfu mac\nfor", "line 3: 'for' must be followed by the number of iterations"),
        (
            "instruction\nnfu mac\nfor 0",
            "instruction of line 1: the count of a loop must be at least 1",
        ),
        ("instruction stop", "line 1: an instruction takes tag=NUMBER, end, not 'stop'"),
        ("instruction tag=70000", "instruction 0: cp.tag must be 0 to 65535, not 70000"),
    ],
)
def test_assemble_says_which_line_is_wrong(text, message):
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the message is compared
        assemble(text)
    assert str(refused.value).startswith(message)


def test_classes_mirror_the_layouts():
    assert set(CLASSES) == {*list(SLOTS.values())[1:], isa.Descriptor, isa.Level}


# What a nest means.

_loop = st.builds(
    Loop,
    count=st.integers(1, 4),
    nbin=st.integers(-20, 20),
    sb=st.integers(-3, 3),
    nbout=st.integers(-3, 3),
    bias=st.integers(-3, 3),
    nbin_free=st.integers(0, 5),
    sb_free=st.integers(0, 2),
    reduce=st.booleans(),
)


def run_levels(slot: NfuNest):
    """Steps of a nest as ``isa.Level`` defines them: positions, first, last, freed in the end."""
    index = [0] * isa.LEVELS
    place = np.array([slot.nbin, slot.sb, slot.nbout, slot.bias])
    while True:
        marked = [n for n in range(isa.LEVELS) if slot.reduce >> n & 1]
        first = all(index[n] == 0 for n in marked)
        last = all(index[n] == slot.levels[n].count - 1 for n in marked)
        advancing = next(
            (n for n, level in enumerate(slot.levels) if index[n] < level.count - 1), None
        )
        if advancing is None:
            yield tuple(place), first, last, (slot.nbin_free, slot.sb_free)
            return
        level = slot.levels[advancing]
        yield tuple(place), first, last, (level.nbin_free, level.sb_free)
        index = [0] * advancing + [index[advancing] + 1] + index[advancing + 1 :]
        place += [level.nbin_step, level.sb_step, level.nbout_step, level.bias_step]


@reproducible
@given(st.lists(_loop, max_size=6), st.integers(0, 3), st.integers(0, 3))
def test_nest_does_what_nested_loops_do(loops, nbin_free, sb_free):
    slot = nest(
        Op.MAC, loops, nbin=500, sb=50, nbout=60, bias=70, nbin_free=nbin_free, sb_free=sb_free
    )
    expected = []
    for index in itertools.product(*(range(loop.count) for loop in reversed(loops))):
        index = index[::-1]
        place = [
            start + sum(i * getattr(loop, key) for i, loop in zip(index, loops, strict=True))
            for start, key in ((500, "nbin"), (50, "sb"), (60, "nbout"), (70, "bias"))
        ]
        at_end = [i == loop.count - 1 for i, loop in zip(index, loops, strict=True)]
        marked = [
            (i == 0, end) for i, end, loop in zip(index, at_end, loops, strict=True) if loop.reduce
        ]
        # An iteration ends here if all loops inside it end.
        ending = [loop for n, loop in enumerate(loops) if all(at_end[:n])]
        freed = [sum(loop.nbin_free for loop in ending), sum(loop.sb_free for loop in ending)]
        if all(at_end):
            freed = [freed[0] + nbin_free, freed[1] + sb_free]
        first = all(zero for zero, _ in marked)
        last = all(end for _, end in marked)
        expected.append((tuple(place), first, last, tuple(freed)))
    assert list(run_levels(slot)) == expected
    assert slot.steps == len(expected)
    found, freed = LOOPS.loops_of(slot.levels, slot.reduce)
    assert LOOPS.levels_of(found) == (slot.levels, slot.reduce, freed)


def test_loops_of_one_iteration_take_no_level():
    ones = [Loop(count=1, nbin=9, nbin_free=1, reduce=True)] * 9
    slot = nest(Op.MAX, [*ones, Loop(count=2, nbin=3), *ones, Loop(count=5, sb=1)])
    assert [level.count for level in slot.levels] == [2, 5, 1, 1, 1, 1]
    assert [level.nbin_free for level in slot.levels] == [9, 18, 0, 0, 0, 0]
    assert slot.reduce == 0
    assert slot.nbin_free == 18


def test_nest_refuses_what_no_level_can_hold():
    with pytest.raises(ValueError, match="at most 6 loops of more than one iteration, not 7"):
        nest(Op.MAC, [Loop(count=2)] * 7)
    with pytest.raises(ValueError, match="count of a loop must be at least 1, not 0"):
        nest(Op.MAC, [Loop(count=0)])
    with pytest.raises(
        ValueError, match=r"nbin_step of loop 1 .* must be -32768 to 32767, not -32769"
    ):
        nest(Op.MAC, [Loop(count=32770, nbin=1), Loop(count=2)])
    assert nest(Op.MAC, [Loop(count=32769, nbin=1), Loop(count=2)]).levels[1].nbin_step == -32768
    with pytest.raises(ValueError, match=r"sb_free of loop 0 .* must be 0 to 65535, not -1"):
        nest(Op.MAC, [Loop(count=2, sb_free=-1)])
    with pytest.raises(ValueError, match=r"count of loop 0 .* must be 1 to 65535, not 65536"):
        nest(Op.MAC, [Loop(count=65536)])


def test_a_raw_level_keeps_its_place():
    level = NestLevel(nbin_step=4)
    loops = [Loop(count=2, sb=1), RawLevel(level, True), Loop(count=3)]
    levels, reduce, _ = LOOPS.levels_of(loops)
    assert levels[1] == level
    assert reduce == 0b10
    assert levels[2].sb_step == -1


def test_targets_default_to_a_finished_output():
    slot = nest(Op.MAC)
    assert (slot.source, slot.target) == (NfuIn.BIAS, NfuOut.NFU3)
    assert slot.steps == 1
