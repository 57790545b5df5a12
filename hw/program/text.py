"""Instructions to readable text and back, for any instruction set.

One line per instruction with its flags, one per slot (name, operation, operands), and one per loop
of a slot, outermost first. Operands at their default are left out, ``#`` starts a comment. What is
freed by loops stands in their lines. A level that does not loop but has bits set all the same shows
as ``level`` with its raw fields. Operands of a slot's parts stand among its own; where both have
one of the same name, the part's is called ``part.name``.
"""

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from enum import Enum
from typing import Any

import numpy as np

from .fields import WORD_BITS
from .instruction_set import InstructionSet
from .loops import LoopForm, RawLevel
from .words import decode, encode

__all__ = ["assemble", "disassemble"]

_LOOPS = ("for", "level")
_HIDDEN = ("op", "reduce", "levels")
"""Operands that the text form writes in another way than ``name=value``."""


@dataclass(frozen=True)
class _Operand:
    """A field of a slot's class or of the classes of its parts.

    ``name`` is that of the text form, ``path`` leads to it, ``field`` is the dataclass's.
    """

    name: str
    path: tuple[str, ...]
    field: Any

    @property
    def default(self) -> Any:
        return None if self.field.default is MISSING else self.field.default


def _part(field: Any) -> type | None:
    """The class of a field that is a part with fields of its own."""
    kind: type = field.type
    return kind if is_dataclass(kind) else None


def _operands(cls: type) -> list[_Operand]:
    """All operands of ``cls``; a part's stand where the part stands."""
    own = {field.name for field in fields(cls)}
    found = []
    for field in fields(cls):
        if (part := _part(field)) is not None:
            for inner in _operands(part):
                name = f"{field.name}.{inner.name}" if inner.name in own else inner.name
                found.append(_Operand(name, (field.name, *inner.path), inner.field))
        else:
            found.append(_Operand(field.name, (field.name,), field))
    return found


def _operation(cls: type) -> _Operand:
    return next(operand for operand in _operands(cls) if operand.path[-1] == "op")


def _get(item: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        item = getattr(item, key)
    return item


def _build(cls: type, values: dict[tuple[str, ...], Any]) -> Any:
    """An object of ``cls`` from the values by path."""
    arguments = {}
    for field in fields(cls):
        inside = {path[1:]: value for path, value in values.items() if path[0] == field.name}
        if (part := _part(field)) is not None:
            arguments[field.name] = _build(part, inside)
        elif inside:
            arguments[field.name] = inside[()]
    return cls(**arguments)


# Writing


def _write_value(operand: _Operand, value: Any) -> str:
    name = operand.name
    if isinstance(value, tuple):
        default = operand.default
        length = max(i + 1 for i in range(len(value)) if value[i] != default[i])
        return f"{name}=" + ",".join(map(str, value[:length]))
    if isinstance(value, Enum):
        return f"{name}={value.name.lower()}"
    if operand.field.type is bool:
        return name
    if operand.path[-1] in ("address", "tiles"):
        return f"{name}={value:#x}"
    return f"{name}={value}"


def _write(item: Any) -> list[str]:
    """The operands of a slot, loop or level that differ from their defaults."""
    tokens = []
    for operand in _operands(type(item)):
        value = _get(item, operand.path)
        if operand.name not in _HIDDEN and value != operand.default:
            tokens.append(_write_value(operand, value))
    return tokens


def _looping(isa: InstructionSet, slot: Any) -> tuple[str | None, Any, LoopForm | None]:
    """What of a slot has loops: the name of its part or None, the slot or part, its form."""
    if type(slot) in isa.loops:
        return None, slot, isa.loops[type(slot)]
    for field in fields(slot):
        if field.type in isa.loops:
            return field.name, getattr(slot, field.name), isa.loops[field.type]
    return None, slot, None


def _write_slot(isa: InstructionSet, kind: str, slot: Any) -> Iterator[str]:
    op = _get(slot, _operation(type(slot)).path).name.lower()
    part, looping, form = _looping(isa, slot)
    loops = []
    if form is not None:
        loops, freed = form.loops_of(looping.levels, getattr(looping, "reduce", 0))
        rest = {key: getattr(looping, key) - freed[key] for key in form.freed}
        looping = replace(looping, **rest)
        slot = replace(slot, **{part: looping}) if part else looping
    yield " ".join([kind, op, *_write(slot)])
    for depth, loop in enumerate(reversed(loops), start=1):
        if isinstance(loop, RawLevel):
            words = ["level", *_write(loop.level)] + ["reduce"] * loop.reduce
        else:
            # Its count stands alone, as if it were the default.
            tokens = [token for token in _write(loop) if not token.startswith("count=")]
            words = ["for", str(loop.count), *tokens]
            words += ["reduce"] * getattr(loop, "reduce", False)
        yield "  " * depth + " ".join(words)


def disassemble(isa: InstructionSet, words: np.ndarray) -> str:
    """Text of all ``words``; raises ProgramError like ``decode``."""
    lines = []
    pc = 0
    for instruction in decode(isa, words):
        flags = []
        for field in fields(isa.instruction):
            value = getattr(instruction, field.name)
            if field.name in isa.flags and value:
                flags.append(field.name if field.type is bool else f"{field.name}={value}")
        lines.append(f"{' '.join(['instruction', *flags]):<40} # {pc:#010x}")
        pc += WORD_BITS // 8
        for kind in isa.kinds:
            slot = getattr(instruction, kind)
            if slot is not None:
                pc += isa.words[kind] * WORD_BITS // 8
                lines += [f"  {line}" for line in _write_slot(isa, kind, slot)]
    return "".join(f"{line}\n" for line in lines)


# Reading


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


def _read(cls: type, tokens: list[str], known: dict[tuple[str, ...], Any]) -> Any:
    """An object of ``cls`` from its operands, and from the values that are ``known`` by path."""
    operands = {
        operand.name: operand
        for operand in _operands(cls)
        if operand.path not in known and operand.name not in _HIDDEN
    }
    values = dict(known)
    for token in tokens:
        name, equals, text = token.partition("=")
        operand = operands.get(name)
        if operand is None:
            raise ValueError(f"operand must be one of {', '.join(operands)}, not {name!r}")
        if operand.path in values:
            raise ValueError(f"{name} must be given once")
        try:
            values[operand.path] = _read_value(operand.field, text if equals else None)
        except ValueError as error:
            raise ValueError(f"{name} {error}") from None
    for operand in operands.values():
        if operand.field.default is MISSING and operand.path not in values:
            raise ValueError(f"{operand.name} must be given")
    return _build(cls, values)


class _Draft:
    """An instruction whose lines are being read."""

    def __init__(self, isa: InstructionSet, line: int, tokens: list[str]):
        self._isa = isa
        self._line = line
        self._classes = {kind: isa.classes[isa.slots[kind]] for kind in isa.kinds}
        self._arguments: dict[str, Any] = {}
        self._loops: dict[str, list[Any]] = {}
        flags = {f.name: f for f in fields(isa.instruction) if f.name in isa.flags}
        for token in tokens:
            name, equals, text = token.partition("=")
            if name not in flags or (flags[name].type is bool) == bool(equals):
                forms = [n if f.type is bool else f"{n}=NUMBER" for n, f in flags.items()]
                raise ValueError(f"an instruction takes {', '.join(forms)}, not {token!r}")
            self._arguments[name] = _read_number(text) if equals else True

    def slot(self, kind: str, tokens: list[str]) -> None:
        """Take a slot's line."""
        if kind in self._arguments:
            raise ValueError(f"an instruction must have one {kind} slot")
        if not tokens:
            raise ValueError(f"{kind} must be followed by its operation")
        operation = _operation(self._classes[kind])
        try:
            op = _read_enum(operation.field.type, tokens[0])
        except ValueError as error:
            raise ValueError(f"operation {error}") from None
        self._arguments[kind] = _read(self._classes[kind], tokens[1:], {operation.path: op})
        self._loops[kind] = []

    def loop(self, keyword: str, tokens: list[str]) -> None:
        """Take a line of a loop, which belongs to the slot before it."""
        kind = next(reversed(self._loops), None)
        form = _looping(self._isa, self._arguments[kind])[2] if kind else None
        if kind is None or form is None:
            looping = [
                kind for kind, cls in self._classes.items()
                if {cls, *(field.type for field in fields(cls))} & set(self._isa.loops)
            ]  # fmt: skip
            raise ValueError(f"{keyword!r} must follow a line of {' or '.join(looping)}")
        reduce = form.reduces and "reduce" in tokens
        tokens = [token for token in tokens if token != "reduce" or not form.reduces]
        if keyword == "level":
            self._loops[kind].append(RawLevel(_read(form.level, tokens, {("count",): 1}), reduce))
        elif not tokens:
            raise ValueError("'for' must be followed by the number of iterations")
        else:
            known = {("count",): _read_number(tokens[0])}
            known |= {("reduce",): reduce} if form.reduces else {}
            self._loops[kind].append(_read(form.loop, tokens[1:], known))

    def finish(self) -> Any:
        """The instruction."""
        for kind, loops in self._loops.items():
            part, looping, form = _looping(self._isa, self._arguments[kind])
            if form is None:
                continue
            try:
                levels, reduce, freed = form.levels_of(reversed(loops))
            except ValueError as error:
                raise ValueError(f"instruction of line {self._line}: {error}") from None
            frees = {key: getattr(looping, key) + freed[key] for key in form.freed}
            marks = {"reduce": reduce} if form.reduces else {}
            looping = replace(looping, levels=levels, **frees, **marks)
            slot = self._arguments[kind]
            self._arguments[kind] = replace(slot, **{part: looping}) if part else looping
        return self._isa.instruction(**self._arguments)


def assemble(isa: InstructionSet, text: str) -> np.ndarray:
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
                drafts.append(_Draft(isa, number, tokens))
            elif keyword in (*isa.kinds, *_LOOPS):
                if not drafts:
                    raise ValueError(f"{keyword!r} must follow an instruction line")
                (drafts[-1].slot if keyword in isa.kinds else drafts[-1].loop)(keyword, tokens)
            elif keyword:
                choices = ", ".join(["instruction", *isa.kinds, *_LOOPS])
                raise ValueError(f"a line must begin with one of {choices}, not {keyword!r}")
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
    return encode(isa, [draft.finish() for draft in drafts])
