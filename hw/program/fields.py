"""The fields of instruction slots, read off their layouts, and what makes them legal.

Decoder, assembler and documentation walk these lists; none of them repeats a position or a rule.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from amaranth.hdl import Shape, ShapeLike
from amaranth.lib import data

__all__ = ["WORD_BITS", "Field", "fields_of", "is_aggregate", "is_reserved", "slot_words"]

WORD_BITS = 64
"""Programs are sequences of words of as many bits."""


@dataclass(frozen=True)
class Field:
    """A number in a slot.

    Parameters
    ----------
    path : keys that lead to it, e.g. ``("levels", 2, "count")``
    offset, width : position of its lowest bit in the slot, and its bits
    signed : two's complement
    choices : the enumeration of its values, or None for a number
    legal : the only values it may have, or None if there is no such list
    positive : may not be zero
    """

    path: tuple[str | int, ...]
    offset: int
    width: int
    signed: bool
    choices: type[Enum] | None
    legal: tuple[int, ...] | None
    positive: bool

    @property
    def name(self) -> str:
        """The path as one writes it: ``levels[2].count``."""
        text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in self.path)
        return text.removeprefix(".")

    @property
    def reserved(self) -> bool:
        return is_reserved(self.path[-1])

    @property
    def bounds(self) -> tuple[int, int]:
        """Smallest and largest value that the bits can hold."""
        if self.signed:
            return -(1 << (self.width - 1)), (1 << (self.width - 1)) - 1
        return 0, (1 << self.width) - 1

    @property
    def rule(self) -> str:
        """What the value must be, in words."""
        low, high = self.bounds
        if self.choices is not None:
            return "one of " + ", ".join(choice.name for choice in self.choices)
        if self.legal is not None:
            return " or ".join(map(hex, self.legal))
        return f"{1 if self.positive else low} to {high}"


def is_reserved(key: str | int) -> bool:
    """Whether a layout's member has no meaning and must be 0."""
    return str(key).startswith("reserved")


def is_aggregate(shape) -> bool:
    """Whether ``shape`` is a layout with members, rather than a number or an enumeration."""
    try:
        data.Layout.cast(shape)
    except TypeError:
        return False
    return True


def _leaf(path: tuple[str | int, ...], offset: int, shape: ShapeLike, magic: int | None) -> Field:
    choices = shape if isinstance(shape, type) and issubclass(shape, Enum) else None
    cast = Shape.cast(shape)
    legal = None
    if is_reserved(path[-1]):
        legal = (0,)
    elif path[-1] == "magic" and magic is not None:
        legal = (magic,)
    elif choices is not None and len(choices) < 1 << cast.width:
        legal = tuple(choice.value for choice in choices)
    positive = path[-1] in ("run", "burst") or "count" in path
    return Field(path, offset, cast.width, cast.signed, choices, legal, positive)


def _walk(layout, path: tuple[str | int, ...], offset: int, magic: int | None) -> Iterator[Field]:
    for key, member in data.Layout.cast(layout):
        where = (*path, key)
        if is_aggregate(member.shape):
            yield from _walk(member.shape, where, offset + member.offset, magic)
        else:
            yield _leaf(where, offset + member.offset, member.shape, magic)


def fields_of(layout, magic: int | None = None) -> tuple[Field, ...]:
    """All fields of a slot or of a part of one, in the order of their bits.

    ``magic`` is what a field of this name must be; without, it may be anything.
    """
    return tuple(_walk(layout, (), 0, magic))


def slot_words(layout) -> int:
    """Words that a slot takes; slots are whole numbers of words."""
    bits = Shape.cast(layout).width
    assert bits % WORD_BITS == 0, f"{layout.__name__} must fill whole words, not {bits} bits"
    return bits // WORD_BITS
