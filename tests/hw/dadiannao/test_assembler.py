"""Objects, words and text of a node's programs against each other and Amaranth's layouts."""

import random

import numpy as np
import pytest
from amaranth.lib import data
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.dadiannao import isa
from hw.dadiannao.assembler import (
    NO_RUNS,
    CopyLoop,
    Instruction,
    Load,
    Loop,
    ProgramError,
    Read,
    RowLoop,
    Runs,
    Send,
    Store,
    Tile,
    Write,
    assemble,
    copy_levels,
    decode,
    disassemble,
    encode,
    nest,
    row_levels,
)
from hw.dadiannao.instructions import CLASSES, DADIANNAO, SLOTS
from hw.dadiannao.isa import ErrorCode, LoadOp, ReadOp
from hw.nfu.layouts import Op
from hw.program.fields import Field, is_reserved

reproducible = settings(derandomize=True, deadline=None, max_examples=40)

KINDS = DADIANNAO.kinds

PROGRAM = [
    Instruction(
        load=Load(Runs(0x8000, 32, (64, 1, 1), (32, 0, 0)), LoadOp.CENTRAL, address=16, bank=1,
                  levels=row_levels([RowLoop(count=8, rows=1), RowLoop(count=8, rows=10)])),
        read=Read(ReadOp.MASK, mask=3, tiles=0x6),
    ),
    Instruction(
        load=Load(NO_RUNS, LoadOp.CLEAR, levels=row_levels([RowLoop(count=5, rows=2)])),
        store=Store(Runs(0x9000, 8), bank=1, address=7),
        fence=True,
    ),
    Instruction(
        read=Read(ReadOp.BROADCAST, address=64, mask=2, source=7, arrivals=9,
                  levels=row_levels([RowLoop(count=3, rows=1, mask=1), RowLoop(count=8, rows=24)])),
        tile=Tile(nest(Op.MAC, [Loop(count=4, sb=1, nbin=4, nbin_free=4, reduce=True)], shift=8),
                  0xF),
        write=Write(bank=1, burst=2, tiles=0xF, levels=row_levels([RowLoop(count=16, rows=1)])),
        send=Send(node=3, to_bank=1, to_address=4,
                  levels=copy_levels([CopyLoop(count=2, rows=1, to=-1)])),
        tag=5,
    ),
    Instruction(end=True),
]  # fmt: skip

TEXT = """\
instruction                              # 0x00000000
  load central descriptor.address=0x8000 run=32 count=64 stride=32 bank=1 address=0x10
    for 8 rows=10
      for 8 rows=1
  read mask mask=3 tiles=0x6
instruction fence                        # 0x00000090
  load clear descriptor.address=0x0 run=1
    for 5 rows=2
  store store descriptor.address=0x9000 run=8 bank=1 address=0x7
instruction tag=5                        # 0x00000130
  read broadcast mask=2 source=7 address=0x40 arrivals=9
    for 8 rows=24
      for 3 rows=1 mask=1
  tile mac shift=8 tiles=0xf
    for 4 nbin=4 sb=1 nbin_free=4 reduce
  write write bank=1 burst=2 tiles=0xf
    for 16 rows=1
  send send to_bank=1 node=3 to_address=4
    for 2 rows=1 to=-1
instruction end                          # 0x00000248
"""


def random_value(rng: random.Random, field: Field) -> int:
    """A legal value; corners are frequent."""
    if field.legal is not None:
        return rng.choice(field.legal)
    low, high = field.bounds
    low = 1 if field.positive else low
    return rng.choice((low, high, min(low + 1, high), max(low, 0), rng.randint(low, high)))


def random_slot(rng: random.Random, kind: str) -> int:
    """The bits of a legal slot."""
    bits = 0
    for field in DADIANNAO.fields[kind]:
        bits |= (random_value(rng, field) & ((1 << field.width) - 1)) << field.offset
    return bits


def instruction_words(rng: random.Random, kinds: list[str], **flags: int) -> list[int]:
    """An instruction with random slots of some kinds."""
    cp = isa.CpSlot.const({"magic": 0xDA, **dict.fromkeys(kinds, 1), **flags})
    words = [cp.as_bits()]
    for kind in kinds:
        bits = random_slot(rng, kind)
        words += [bits >> 64 * n & (1 << 64) - 1 for n in range(DADIANNAO.words[kind])]
    return words


def random_words(seed: int) -> np.ndarray:
    rng = random.Random(seed)
    words = []
    for _ in range(rng.randint(0, 8)):
        kinds = [kind for kind in KINDS if rng.random() < 0.5]
        flags = {"end": rng.random() < 0.1, "fence": rng.random() < 0.5, "tag": rng.getrandbits(16)}
        words += instruction_words(rng, kinds, **flags)
    return np.array(words, dtype=np.uint64)


def pairs(layout, const, item):
    """Every field of an Amaranth constant with that of the object that stands for it."""
    for key, member in data.Layout.cast(layout):
        if is_reserved(key):
            continue
        mine = item[key] if isinstance(key, int) else getattr(item, key)
        if isinstance(const[key], data.Const):
            yield from pairs(member.shape, const[key], mine)
        else:
            yield const[key], mine


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
@given(st.integers(0, 1 << 32), st.sampled_from(KINDS))
def test_objects_hold_what_amaranth_finds_in_the_bits(seed, kind):
    words = instruction_words(random.Random(seed), [kind])
    bits = sum(word << 64 * n for n, word in enumerate(words[1:]))
    (instruction,) = decode(np.array(words, dtype=np.uint64))
    found = list(pairs(SLOTS[kind], SLOTS[kind].from_bits(bits), getattr(instruction, kind)))
    assert len(found) == sum(not field.reserved for field in DADIANNAO.fields[kind])
    for theirs, mine in found:
        assert theirs == mine


def test_text_reads_as_the_documentation_says():
    assert disassemble(encode(PROGRAM)) == TEXT
    assert decode(assemble(TEXT)) == PROGRAM


@pytest.mark.parametrize("kind", list(SLOTS))
def test_every_rule_of_a_field_is_checked(kind):
    rng = random.Random(1)
    for field in DADIANNAO.fields[kind]:
        if field.reserved:
            bad = 1 << (field.width - 1)
        elif field.legal is not None:
            bad = next(value for value in range(1 << field.width) if value not in field.legal)
        elif field.positive:
            bad = 0
        else:
            continue
        words = instruction_words(rng, KINDS)
        at = 0
        for before in SLOTS:
            if before == kind:
                break
            at += DADIANNAO.words[before]
        for bit in range(field.width):
            word, place = divmod(field.offset + bit, 64)
            words[at + word] &= ~(1 << place)
            words[at + word] |= (bad >> bit & 1) << place
        with pytest.raises(ProgramError, match="must be") as refused:
            decode(np.array([0xDA, *words], dtype=np.uint64))
        assert refused.value.code is ErrorCode.ILLEGAL_INSTRUCTION
        assert refused.value.pc == 8
        assert f"{kind}.{field.name} must be {field.rule}" in str(refused.value)


def test_a_program_that_is_cut_off_is_refused():
    with pytest.raises(ProgramError, match=r"must have 20 words, but only 2 are left") as refused:
        decode(encode(PROGRAM)[:20])
    assert refused.value.code is ErrorCode.END_OF_PROGRAM


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("instruction stop", "line 1: an instruction takes tag=NUMBER, fence, end, not 'stop'"),
        ("instruction\nfor 2", "line 2: 'for' must follow a line of load or store or read or tile"),
        (
            "instruction\nwrite write burst=0",
            "instruction at byte 0: write.burst must be 1 to 65535",
        ),
        (
            "instruction\nread broadcast\n" + "for 2\n" * 5,
            "instruction of line 1: a slot must have at most 4 loops",
        ),
        ("instruction\nload clear address=3", "line 2: descriptor.address must be given"),
        (
            "instruction\nsend send\nfor 2 mask=1",
            "line 3: operand must be one of rows, to, not 'mask'",
        ),
    ],
)
def test_assemble_says_what_is_wrong(text, message):
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the message is compared
        assemble(text)
    assert str(refused.value).startswith(message)


def test_steps_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"mask_step of loop 1 .* must be -128 to 127, not -129"):
        row_levels([RowLoop(count=130, mask=1), RowLoop(count=2)])


def test_classes_mirror_the_layouts():
    assert set(SLOTS.values()) - {isa.CpSlot} <= set(CLASSES)
