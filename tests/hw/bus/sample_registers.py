"""A register map with fields of every kind, for the bench of the register block."""

from hw.bus.registers import Access, Field, Register, RegisterMap

__all__ = ["SAMPLE"]

SAMPLE = RegisterMap(
    [
        Register("NAME", 0x00, "", (Field("value", "", 0, 32, Access.CONSTANT, 0xDEADBEEF),)),
        Register("INPUT", 0x04, "", (Field("low", "", 0, 5), Field("high", "", 20, 12))),
        Register(
            "SETTING",
            0x10,
            "",
            (
                Field("byte", "", 0, 8, Access.WRITE, 0xA5),
                Field("word", "", 9, 16, Access.WRITE),
                Field("top", "", 31, 1, Access.WRITE, 1),
            ),
        ),
        Register(
            "MIXED",
            0x14,
            "",
            (
                Field("go", "", 0, 2, Access.PULSE),
                Field("kind", "", 4, 4, Access.CONSTANT, 9),
                Field("seen", "", 8, 8, Access.EVENT),
                Field("level", "", 16, 3),
                Field("mode", "", 24, 8, Access.WRITE, 0x7E),
            ),
        ),
        Register("LAST", 0xFC, "", (Field("value", "", 0, 32, Access.WRITE, 0xFFFFFFFF),)),
    ]
)
