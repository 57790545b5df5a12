"""Packed records as integers."""

from amaranth.lib import data

__all__ = ["pack_record", "unpack_record"]


def pack_record(layout: data.Layout, values: dict) -> int:
    """The integer of a record; fields that are left out are 0."""
    word = 0
    for name, value in values.items():
        field = layout[name]
        if isinstance(value, dict):
            assert isinstance(field.shape, data.Layout)
            value = pack_record(field.shape, value)
        assert 0 <= value < 1 << field.width
        word |= value << field.offset
    return word


def unpack_record(layout: data.Layout, word: int) -> dict:
    """The reverse of ``pack_record``."""
    values = {}
    for name, field in layout:
        part, shape = word >> field.offset & (1 << field.width) - 1, field.shape
        values[name] = unpack_record(shape, part) if isinstance(shape, data.Layout) else part
    return values
