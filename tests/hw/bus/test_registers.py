# amaranth: UnusedElaboratable=no
"""Declared register maps, and the AXI4-Lite block built from one."""

import pytest

from hw.bus.csr import RegisterBlock
from hw.bus.registers import Access, Field, Register, RegisterMap
from tests.hw.bus.sample_registers import SAMPLE


def test_register_block(bench):
    block = RegisterBlock(registers=SAMPLE, address_width=8)
    bench(block, "registers", "tests.hw.bus.bench_registers")


def test_pack_and_unpack():
    mixed = SAMPLE["MIXED"]
    word = mixed.pack(go=3, seen=0x81, mode=0xFF)
    assert word == 0xFF00_8103
    assert mixed.unpack(word) == {"go": 3, "kind": 0, "seen": 0x81, "level": 0, "mode": 0xFF}
    assert [register.offset for register in SAMPLE] == [0x00, 0x04, 0x10, 0x14, 0xFC]
    with pytest.raises(ValueError, match=r"MIXED.go must be 0 to 3, not 4"):
        mixed.pack(go=4)
    with pytest.raises(KeyError, match="MIXED has no field 'stop'"):
        mixed.pack(stop=1)


def test_markdown_has_every_field():
    lines = SAMPLE.markdown().splitlines()
    assert len(lines) == 2 + len(SAMPLE) + sum(len(register.fields) for register in SAMPLE)
    assert "| `0x014` | **MIXED** | | | | |  |" in lines
    assert "| | | 15:8 | seen | write 1 to clear | 0 |  |" in lines
    assert "| | | 31 | top | read and write | 1 |  |" in lines


def register(name="R", offset=0, *fields):
    return Register(name, offset, "", fields or (Field("f", ""),))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Field("f", "", 30, 3), "field 'f' must lie in bits 0 to 31, not 30 to 32"),
        (lambda: Field("f", "", 0, 0), "field 'f' must lie in bits 0 to 31, not 0 to -1"),
        (lambda: Field("f", "", 0, 2, Access.WRITE, 4), "reset of field 'f' must fit 2 bits"),
        (lambda: Field("f", "", 0, 2, Access.READ, 1), "field 'f' must reset to 0, not 1"),
        (lambda: register("R", 2), "offset of 'R' must be a multiple of 4, not 0x2"),
        (
            lambda: register("R", 0, Field("a", "", 0, 4), Field("b", "", 3, 4)),
            "field 'b' of 'R' overlaps the one before",
        ),
        (lambda: RegisterMap([register(), register("R", 4)]), "register 'R' is declared twice"),
        (lambda: RegisterMap([register(), register("S")]), "'S' and 'R' have the same offset 0x0"),
        (
            lambda: RegisterBlock(registers=RegisterMap([register("R", 256)]), address_width=8),
            "offset of 'R' must fit 8 address bits, not 0x100",
        ),
    ],
)
def test_declaration_mistakes(make, message):
    with pytest.raises(ValueError, match=message):
        make()
