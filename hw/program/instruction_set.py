"""What the encoder, the decoder and the text form have to know of an instruction set."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import Enum
from functools import cached_property
from typing import TypeVar

from amaranth.lib import data

from .fields import Field, fields_of, is_reserved, slot_words
from .loops import LoopForm

__all__ = ["Classes", "InstructionSet", "Part", "mirrors", "names_of"]

Part = type[data.Struct]
"""Layout of a slot, or of a part of one."""

Classes = dict[Part, type]
"""The frozen dataclass that stands for each layout."""

_Class = TypeVar("_Class", bound=type)


def mirrors(classes: Classes, layout: Part) -> Callable[[_Class], _Class]:
    """Decorator: register a dataclass for ``layout`` in ``classes``.

    Its fields must be those of the layout without the reserved ones; else TypeError.
    """

    def register(cls: _Class) -> _Class:
        names = [key for key, _ in data.Layout.cast(layout) if not is_reserved(key)]
        if sorted(mine := names_of(cls)) != sorted(names):
            raise TypeError(f"fields of {cls.__name__} must be {names}, not {mine}")
        classes[layout] = cls
        return cls

    return register


def names_of(cls: type) -> list[str]:
    """The fields of a dataclass."""
    return [field.name for field in fields(cls)]


@dataclass(frozen=True, eq=False, kw_only=True)
class InstructionSet:
    """An instruction set: one word of CP, and the slots whose presence bits CP has set.

    Parameters
    ----------
    slots : layouts by the name of CP's presence bit, in their order; the first one is ``cp``
    magic : CP's field ``magic``
    classes : the classes of all slots but CP, and of their parts
    instruction : keyword-only dataclass; its fields are the slots (None: absent) and CP's others
    errors : enumeration with ILLEGAL_INSTRUCTION and END_OF_PROGRAM
    loops : how loops are written, by the class of a slot (or a part) that has ``levels``
    """

    slots: dict[str, Part]
    magic: int
    classes: Classes
    instruction: type
    errors: type[Enum]
    loops: dict[type, LoopForm]

    @cached_property
    def kinds(self) -> list[str]:
        """The slots that may be absent."""
        return list(self.slots)[1:]

    @cached_property
    def fields(self) -> dict[str, tuple[Field, ...]]:
        """The fields of every slot."""
        return {kind: fields_of(layout, self.magic) for kind, layout in self.slots.items()}

    @cached_property
    def words(self) -> dict[str, int]:
        """Words of every slot."""
        return {kind: slot_words(layout) for kind, layout in self.slots.items()}

    @cached_property
    def cp(self) -> dict[str, Field]:
        """The fields of CP by name."""
        return {field.name: field for field in self.fields["cp"]}

    @cached_property
    def flags(self) -> list[str]:
        """Fields of CP that belong to the instruction as such, e.g. its tag."""
        names = [field.name for field in self.fields["cp"] if not field.reserved]
        return [name for name in names if name not in ("magic", *self.kinds)]
