"""docs/isa.md, made from the declarations: ``python -m hw.diannao.isa_doc > docs/isa.md``."""

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from enum import Enum
from textwrap import dedent

from amaranth.hdl import Shape
from amaranth.lib import data

from ..nfu.layouts import Op
from . import isa, text
from .fields import SLOTS, Field, fields_of, is_aggregate, slot_words

__all__ = ["PAPER_FIELDS", "markdown"]

PAPER_FIELDS: tuple[tuple[str, str, str], ...] = (
    ("CP", "END", "`cp.end`"),
    (
        "SB",
        "READ OP",
        "LOAD: an SB slot is present; READ: it is not, and the NFU reads rows it owns",
    ),
    ("SB", "REUSE", "`sb_free` of the nest and its levels: rows that are not freed are read again"),
    ("SB", "ADDRESS", "`sb.descriptor.address` of a load, `nfu.sb` of a read"),
    ("SB", "SIZE", "`sb.descriptor.run` times its counts"),
    ("NBin", "READ OP", "LOAD: an NBin slot is present; READ, NOP: it is not"),
    ("NBin", "REUSE", "`nbin_free` of the nest and its levels: what is not freed is read again"),
    ("NBin", "STRIDE", "`nbin_step` of the levels"),
    ("NBin", "STRIDE BEGIN", "`nfu.nbin`, the position of the first step"),
    ("NBin", "STRIDE END", "`count` of the levels"),
    ("NBin", "ADDRESS", "`nbin.descriptor.address` of a load, `nfu.nbin` of a read"),
    ("NBin", "SIZE", "`nbin.descriptor.run` times its counts"),
    ("NBout", "READ OP", "READ: `nfu.source` = NBOUT; NOP: `nfu.source` = BIAS"),
    ("NBout", "WRITE OP", "WRITE: `nfu.target` = NBOUT; STORE: an NBout slot is present"),
    (
        "NBout",
        "ADDRESS",
        "`nbout.descriptor.address` of a store, `nfu.nbout` and `nbout_step` inside",
    ),
    ("NBout", "SIZE", "`nbout.descriptor.run` times its counts"),
    ("NFU", "NFU-1 OP", "MULT: `nfu.op` = MAC; NOP: MAX or SUM, which go round NFU-1"),
    ("NFU", "NFU-2 OP", "ADD: `nfu.op` = MAC or SUM; MAX: MAX"),
    ("NFU", "NFU-2 IN", "RESET: `nfu.source` = BIAS (a bias of zero resets); NBOUT: the same word"),
    ("NFU", "NFU-2 OUT", "`nfu.target`, with the same words"),
    (
        "NFU",
        "NFU-3 OP",
        "the table that an instruction with `nfu.op` = TABLE has loaded, `nfu.scale`",
    ),
    (
        "NFU",
        "OUTPUT BEGIN",
        "first group of Tn outputs of a chunk: `nfu.nbout` and `nfu.bias` name the group",
    ),
    ("NFU", "OUTPUT END", "last group of a chunk: the same, and `nbin_free` gives the chunk up"),
)
"""The 23 fields of the paper's instruction (slot, field) and what does their work here."""

_TITLES = {
    "cp": "CP slot",
    "sb": "SB slot",
    "nbin": "NBin slot",
    "nbout": "NBout slot",
    "nfu": "NFU slot",
}


_MEMBER = re.compile(r"^([A-Z][A-Z0-9_]+) {2,}(.+)\n?", re.MULTILINE)
"""A line of an enumeration's docstring that explains a member."""


def _prose(text: str | None) -> str:
    """A docstring as markdown: code stands in single backquotes there."""
    return re.sub(r"``(.+?)``", r"`\1`", inspect.cleandoc(text or ""))


def _member_docs(choices: type[Enum]) -> dict[str, str]:
    """What the source says of the members: in the docstring, or in strings below them."""
    docs = dict(_MEMBER.findall(_prose(choices.__doc__)))
    (definition,) = ast.parse(dedent(inspect.getsource(choices))).body
    assert isinstance(definition, ast.ClassDef)
    for statement, following in zip(definition.body, definition.body[1:], strict=False):
        if (
            isinstance(statement, ast.Assign)
            and isinstance(target := statement.targets[0], ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
        ):
            docs[target.id] = " ".join(_prose(str(following.value.value)).split())
    return docs


def _bits(offset: int, width: int) -> str:
    return f"{offset + width - 1}:{offset}" if width > 1 else str(offset)


def _type(shape) -> str:
    if isinstance(shape, type):
        return f"[{shape.__name__}](#{shape.__name__.lower()})"
    return "signed" if Shape.cast(shape).signed else "unsigned"


def _rows(layout) -> Iterator[str]:
    """One row per member; arrays are one row with the position as a formula."""
    for key, member in data.Layout.cast(layout):
        shape, name, bits = member.shape, str(key), _bits(member.offset, member.width)
        if isinstance(shape, data.ArrayLayout):
            width = Shape.cast(shape.elem_shape).width
            name = f"{key}[n], n = 0 to {shape.length - 1}"
            bits = f"{width} bits at {member.offset} + {width} n"
            shape = shape.elem_shape
        rule = ""
        if not is_aggregate(shape):
            field = fields_of(data.StructLayout({str(key): shape}))[0]
            rule = "" if field.choices is not None else _rule(field)
        yield f"| {name} | {bits} | {_type(shape)} | {rule} |"


def _rule(field: Field) -> str:
    low, high = field.bounds
    low = 1 if field.positive else low
    if field.reserved:
        return "0"
    if field.legal is not None:
        return field.rule
    if field.width <= 16:
        return f"{low} to {high}"
    power = field.width - field.signed
    return f"{f'-2^{power}' if field.signed else low} to 2^{power} - 1"


def _layout(heading: str, layout: type[data.Struct]) -> str:
    size = f"{Shape.cast(layout).width} bits"
    if layout in SLOTS.values():
        size += f", {slot_words(layout)} words" if slot_words(layout) > 1 else ", 1 word"
    rows = "\n".join(_rows(layout))
    return f"""{heading}

{_prose(layout.__doc__)}

{size}.

| Field | Bits | Type | Value |
|---|---|---|---|
{rows}
"""


def _enumeration(choices: type[Enum]) -> str:
    docs = _member_docs(choices)
    rows = "\n".join(f"| {c.value} | {c.name} | {docs.get(c.name, '')} |" for c in choices)
    return f"""### {choices.__name__}

{_MEMBER.sub("", _prose(choices.__doc__)).strip()}

| Value | Name | Meaning |
|---|---|---|
{rows}
"""


def markdown() -> str:
    """The text of docs/isa.md."""
    slots = "\n".join(_layout(f"## {_TITLES[kind]}", layout) for kind, layout in SLOTS.items())
    parts = "\n".join(_layout(f"### {part.__name__}", part) for part in (isa.Descriptor, isa.Level))
    enums = (Op, isa.NfuIn, isa.NfuOut, isa.LoadOp, isa.StoreOp, isa.ErrorCode)
    enumerations = "\n".join(map(_enumeration, enums))
    paper = "\n".join(
        f"| {n} | {slot} | {field} | {ours} |"
        for n, (slot, field, ours) in enumerate(PAPER_FIELDS, start=1)
    )
    summary, details = _prose(isa.__doc__).split("\n\n", 1)
    how_text = _prose(text.__doc__).replace("::\n", ":\n").split("\n\n", 1)[1]
    return f"""# Instruction set of the DianNao core

Generated from `hw/diannao/isa.py`. {summary}

{details}

A program begins at a multiple of 8 bytes. The control processor refuses an instruction
(ILLEGAL_INSTRUCTION) if a field has a value other than those listed here: reserved bits are 0,
counts and runs at least 1, operations and the magic byte one of those defined. No slot from the
refused one on is executed. Addresses are bytes; positions in NBin are elements, those in SB, NBout
and the bias buffer rows. Bit 0 of a slot is the lowest bit of its first word; the parts of slots
count from their own lowest bit.

{slots}
## Parts of slots

{parts}
## Enumerations

{enumerations}
## Text form

{how_text}

## The paper's instruction format

The paper's instruction has 23 fields in five slots. Its loops are fixed by the layer type and
described by the addresses and strides of one instruction; here they are a nest.

| | Slot | Field | Ours |
|---|---|---|---|
{paper}

The paper does not explain OUTPUT BEGIN and OUTPUT END. In its example OUTPUT BEGIN is set where a
new chunk of inputs begins, so the last two lines are our reading. `compiler/paper_program.py`
writes that example (8192 inputs, 256 outputs) in this instruction set.
"""


if __name__ == "__main__":
    sys.stdout.write(markdown())
