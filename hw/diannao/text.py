"""Instructions to readable text and back.

One line per slot, and one per loop of a nest, outermost first::

    instruction tag=3                        # 0x00000140
      sb load address=0x8000 run=512 count=64 stride=512
      nbin load address=0x400000 run=2048 fence
      nfu mac source=nbout target=nbout
        for 16 sb=4 nbout=1
          for 4 nbin=16 sb=1 nbin_free=16 sb_free=1 reduce

A loop's ``nbin``, ``sb``, ``nbout`` and ``bias`` are strides, its ``..._free`` amounts are freed at
the end of each of its iterations, as in ``Loop``. Operands at their default (zero, or counts of
one) are left out, ``#`` starts a comment. A level that does not loop but has bits set all the same
shows as ``level`` with its raw fields.
"""

from collections.abc import Iterator
from dataclasses import MISSING, fields, replace
from enum import Enum
from typing import Any

import numpy as np

from . import isa
from .fields import SLOTS, slot_words
from .instructions import (
    CLASSES,
    FREED,
    Instruction,
    Loop,
    NestLevel,
    NfuNest,
    RawLevel,
    Runs,
    levels_of,
    loops_of,
)
from .words import decode, encode

__all__ = ["assemble", "disassemble"]

_KINDS = list(SLOTS)[1:]
_SLOT_CLASSES = {kind: CLASSES[SLOTS[kind]] for kind in _KINDS}
_LOOPS = ("for", "level")
_HIDDEN = ("op", "reduce", "levels")
"""Operands that the text form writes in another way than ``name=value``."""


def _default(field: Any) -> Any:
    return None if field.default is MISSING else field.default


def _write_value(name: str, value: Any, default: Any) -> str:
    if isinstance(value, tuple):
        length = max(i + 1 for i in range(len(value)) if value[i] != default[i])
        return f"{name}=" + ",".join(map(str, value[:length]))
    if isinstance(value, Enum):
        return f"{name}={value.name.lower()}"
    if isinstance(value, bool):
        return name
    return f"{name}={value:#x}" if name == "address" else f"{name}={value}"


def _write(item: Any, **changes: Any) -> list[str]:
    """The operands of a slot, descriptor, loop or level that differ from their defaults."""
    tokens = []
    for field in fields(item):
        value = changes.get(field.name, getattr(item, field.name))
        if isinstance(value, Runs):
            tokens += _write(value)
        elif field.name not in _HIDDEN and value != _default(field):
            tokens.append(_write_value(field.name, value, _default(field)))
    return tokens


def _write_nest(slot: NfuNest) -> Iterator[str]:
    loops, freed = loops_of(slot)
    rest = {key: getattr(slot, key) - freed[key] for key in FREED}
    yield " ".join(["nfu", slot.op.name.lower(), *_write(slot, **rest)])
    for depth, loop in enumerate(reversed(loops), start=1):
        if isinstance(loop, Loop):
            words = ["for", str(loop.count), *_write(loop, count=None)]
        else:
            words = ["level", *_write(loop.level)]
        yield "  " * depth + " ".join(words + ["reduce"] * loop.reduce)


def disassemble(words: np.ndarray) -> str:
    """Text of all ``words``; raises ProgramError like ``decode``."""
    lines = []
    pc = 0
    for instruction in decode(words):
        flags = [f"tag={instruction.tag}"] if instruction.tag else []
        flags += ["end"] if instruction.end else []
        lines.append(f"{' '.join(['instruction', *flags]):<40} # {pc:#010x}")
        pc += isa.WORD_BITS // 8
        for kind in _KINDS:
            slot = getattr(instruction, kind)
            if slot is None:
                continue
            pc += slot_words(SLOTS[kind]) * isa.WORD_BITS // 8
            if kind == "nfu":
                lines += [f"  {line}" for line in _write_nest(slot)]
            else:
                lines.append("  " + " ".join([kind, slot.op.name.lower(), *_write(slot)]))
    return "".join(f"{line}\n" for line in lines)


def _read_enum(choices: type[Enum], text: str) -> Any:
    names = {choice.name.lower(): choice for choice in choices}
    if text not in names:
        raise ValueError(f"must be one of {', '.join(names)}, not {text!r}")
    return names[text]


def _read_number(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise ValueError(f"must be a number, not {text!r}") from None


def _read_value(field: Any, text: str | None) -> Any:
    """A value of the type that the dataclass field has."""
    if field.type is bool:
        if text is not None:
            raise ValueError("is a flag and takes no value")
        return True
    if text is None:
        raise ValueError("must have a value")
    if isinstance(field.type, type) and issubclass(field.type, Enum):
        return _read_enum(field.type, text)
    if field.type is int:
        return _read_number(text)
    values = tuple(map(_read_number, text.split(",")))
    if len(values) > len(field.default):
        raise ValueError(f"must have at most {len(field.default)} numbers, not {len(values)}")
    return values + field.default[len(values) :]


def _read(cls: type, tokens: list[str], **known: Any) -> Any:
    """An object of ``cls`` from operands; those of a descriptor are among them."""
    inner = {field.name: field for field in fields(Runs)} if "descriptor" in _names(cls) else {}
    outer = {field.name: field for field in fields(cls) if field.name not in (*known, *_HIDDEN)}
    outer.pop("descriptor", None)
    values: dict[str, Any] = {}
    for token in tokens:
        name, equals, text = token.partition("=")
        field = outer.get(name) or inner.get(name)
        if field is None:
            choices = ", ".join([*inner, *outer])
            raise ValueError(f"operand must be one of {choices}, not {name!r}")
        if name in values:
            raise ValueError(f"{name} must be given once")
        try:
            values[name] = _read_value(field, text if equals else None)
        except ValueError as error:
            raise ValueError(f"{name} {error}") from None
    for field in (*inner.values(), *outer.values()):
        if field.default is MISSING and field.name not in values:
            raise ValueError(f"{field.name} must be given")
    if inner:
        known["descriptor"] = Runs(**{name: values.pop(name) for name in inner if name in values})
    return cls(**known, **values)


def _names(cls: type) -> list[str]:
    return [field.name for field in fields(cls)]


class _Draft:
    """An instruction whose lines are being read."""

    def __init__(self, line: int, tokens: list[str]):
        self.line = line
        self.arguments: dict[str, Any] = {}
        self.loops: list[Loop | RawLevel] = []
        self.kinds: list[str] = []
        for token in tokens:
            if token == "end":
                self.arguments["end"] = True
            elif token.startswith("tag="):
                self.arguments["tag"] = _read_number(token[4:])
            else:
                raise ValueError(f"an instruction takes tag=NUMBER and end, not {token!r}")

    def slot(self, kind: str, tokens: list[str]) -> None:
        if kind in self.arguments:
            raise ValueError(f"an instruction must have one {kind} slot")
        if not tokens:
            raise ValueError(f"{kind} must be followed by its operation")
        cls = _SLOT_CLASSES[kind]
        operation: Any = next(field.type for field in fields(cls) if field.name == "op")
        try:
            op = _read_enum(operation, tokens[0])
        except ValueError as error:
            raise ValueError(f"operation {error}") from None
        self.arguments[kind] = _read(cls, tokens[1:], op=op)
        self.kinds.append(kind)

    def loop(self, kind: str, tokens: list[str]) -> None:
        if not self.kinds or self.kinds[-1] != "nfu":
            raise ValueError(f"{kind!r} must follow an nfu line")
        reduce = "reduce" in tokens
        tokens = [token for token in tokens if token != "reduce"]
        if kind == "level":
            self.loops.append(RawLevel(_read(NestLevel, tokens, count=1), reduce))
        elif not tokens:
            raise ValueError("'for' must be followed by the number of iterations")
        else:
            count = _read_number(tokens[0])
            self.loops.append(_read(Loop, tokens[1:], count=count, reduce=reduce))

    def finish(self) -> Instruction:
        slot = self.arguments.get("nfu")
        if isinstance(slot, NfuNest):
            try:
                levels, reduce, freed = levels_of(reversed(self.loops))
            except ValueError as error:
                raise ValueError(f"instruction of line {self.line}: {error}") from None
            frees = {key: getattr(slot, key) + freed[key] for key in FREED}
            self.arguments["nfu"] = replace(slot, levels=levels, reduce=reduce, **frees)
        return Instruction(**self.arguments)


def assemble(text: str) -> np.ndarray:
    """The words (uint64) of the text form.

    Raises
    ------
    ValueError
        If a line cannot be understood (names the line), or as ``encode`` does.
    """
    drafts: list[_Draft] = []
    for number, line in enumerate(text.splitlines(), start=1):
        keyword, *tokens = line.partition("#")[0].split() or [""]
        try:
            if keyword == "instruction":
                drafts.append(_Draft(number, tokens))
            elif keyword in (*_KINDS, *_LOOPS):
                if not drafts:
                    raise ValueError(f"{keyword!r} must follow an instruction line")
                (drafts[-1].slot if keyword in _KINDS else drafts[-1].loop)(keyword, tokens)
            elif keyword:
                choices = ", ".join(["instruction", *_KINDS, *_LOOPS])
                raise ValueError(f"a line must begin with one of {choices}, not {keyword!r}")
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
    return encode([draft.finish() for draft in drafts])
