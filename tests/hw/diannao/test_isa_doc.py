"""The page of the instruction set: current, and complete with respect to the paper's format."""

import re
from pathlib import Path

from hw.diannao import isa
from hw.diannao.fields import SLOTS, fields_of
from hw.diannao.isa_doc import PAPER_FIELDS, markdown

PAPER = {
    "CP": "END",
    "SB": "READ OP, REUSE, ADDRESS, SIZE",
    "NBin": "READ OP, REUSE, STRIDE, STRIDE BEGIN, STRIDE END, ADDRESS, SIZE",
    "NBout": "READ OP, WRITE OP, ADDRESS, SIZE",
    "NFU": "NFU-1 OP, NFU-2 OP, NFU-2 IN, NFU-2 OUT, NFU-3 OP, OUTPUT BEGIN, OUTPUT END",
}
"""The paper's figure of its instruction format."""


def test_page_is_current():
    page = Path(__file__).parents[3] / "docs" / "isa.md"
    assert page.read_text() == markdown(), (
        "docs/isa.md must be generated again: python -m hw.diannao.isa_doc > docs/isa.md"
    )


def test_every_field_of_the_paper_has_a_counterpart():
    fields = [(slot, field) for slot, names in PAPER.items() for field in names.split(", ")]
    assert len(fields) == 23
    assert [(slot, field) for slot, field, _ in PAPER_FIELDS] == fields


def test_counterparts_exist():
    """Everything in backquotes is a field, by its whole name or by that in its part."""
    names = set()
    for slot, layout in SLOTS.items():
        names |= {f"{slot}.{field.name}" for field in fields_of(layout)}
    names |= {field.name for field in fields_of(isa.Level)} | {"nbin_free", "sb_free"}
    for _, _, ours in PAPER_FIELDS:
        for name in re.findall(r"`(.+?)`", ours):
            assert name in names, name


def test_every_field_is_on_the_page():
    """Each slot and part has its section, with a row for each of its members, at its bits."""
    page = markdown()
    assert "| tag | 63:48 | unsigned | 0 to 65535 |" in page
    assert "| fence | 244 | unsigned | 0 to 1 |" in page
    assert "| stride[n], n = 0 to 2 | 32 bits at 144 + 32 n | signed | -2^31 to 2^31 - 1 |" in page
    assert "| levels[n], n = 0 to 5 | 128 bits at 128 + 128 n | [Level](#level) |  |" in page
    for code in isa.ErrorCode:
        assert f"| {code.value} | {code.name} |" in page
    for layout in (*SLOTS.values(), isa.Descriptor, isa.Level):
        for key in layout.__annotations__:
            assert re.search(rf"^\| {key}(\[n\], n = 0 to \d)? \|", page, re.MULTILINE), key
