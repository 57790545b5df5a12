"""The fields of DianNao's instruction slots."""

from amaranth.lib import data

from ..program import fields
from ..program.fields import Field, is_aggregate, slot_words
from . import isa

__all__ = ["SLOTS", "Field", "fields_of", "is_aggregate", "slot_words"]

SLOTS: dict[str, type[data.Struct]] = {
    "cp": isa.CpSlot,
    "sb": isa.SbSlot,
    "nbin": isa.NbinSlot,
    "nbout": isa.NboutSlot,
    "nfu": isa.NfuSlot,
}
"""The slots in the order in which they follow one another in an instruction."""


def fields_of(layout) -> tuple[Field, ...]:
    """All fields of a slot or of a part of one, in the order of their bits."""
    return fields.fields_of(layout, isa.CP_MAGIC)
