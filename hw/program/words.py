"""Instructions to 64-bit words and back, for any instruction set.

Both directions work column by column, one numpy array per field over all slots of a kind, because
programs of large layers have 10**5 instructions.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from enum import Enum
from operator import attrgetter, index, itemgetter
from typing import Any

import numpy as np
from amaranth.lib import data

from .fields import WORD_BITS, Field, is_aggregate, is_reserved
from .instruction_set import Classes, InstructionSet, names_of

__all__ = ["ProgramError", "Slots", "columns", "decode", "encode"]


class ProgramError(ValueError):
    """Words that the control processor refuses.

    ``code`` is what it would report (ILLEGAL_INSTRUCTION or END_OF_PROGRAM), ``pc`` the byte
    offset of the instruction.
    """

    def __init__(self, code: Any, pc: int, message: str):
        super().__init__(f"instruction at byte {pc}: {message}")
        self.code = code
        self.pc = pc


def _columns(layout, objects: list) -> Iterator[list]:
    """Values of every field of ``objects``, in the order of ``fields_of(layout)``."""
    for key, member in data.Layout.cast(layout):
        if is_reserved(key):
            continue
        get = itemgetter(key) if isinstance(key, int) else attrgetter(key)
        values = list(map(get, objects))
        if is_aggregate(member.shape):
            yield from _columns(member.shape, values)
        else:
            yield values


def _objects(layout, columns: Iterator[list], classes: Classes) -> Iterable:
    """The reverse of ``_columns``."""
    cls = classes.get(layout)
    flags = {field.name for field in fields(cls) if field.type is bool} if cls else ()
    parts = {}
    for key, member in data.Layout.cast(layout):
        if is_reserved(key):
            continue
        if is_aggregate(member.shape):
            parts[key] = _objects(member.shape, columns, classes)
        else:
            column = next(columns)
            parts[key] = map(bool, column) if key in flags else column
    if cls is None:
        return zip(*parts.values(), strict=True)
    return map(cls, *(parts[name] for name in names_of(cls)))


def _to_array(kind: str, field: Field, values: list, where: np.ndarray) -> np.ndarray:
    """A column as uint64 bit patterns; ``where`` are the instruction numbers, for messages."""
    if field.choices is not None:
        values = [value.value for value in values]
    values = list(map(index, values))
    low, high = field.bounds
    if values and not (low <= min(values) and max(values) <= high):
        first = next(i for i, value in enumerate(values) if not low <= value <= high)
        name = f"{kind}.{field.name}"
        raise ValueError(
            f"instruction {where[first]}: {name} must be {field.rule}, not {values[first]}"
        )
    array = np.array(values, dtype=np.int64 if field.signed else np.uint64)
    return array.astype(np.uint64) & np.uint64((1 << field.width) - 1)


def _insert(rows: np.ndarray, field: Field, column: np.ndarray) -> None:
    word, shift = divmod(field.offset, WORD_BITS)
    rows[:, word] |= column << np.uint64(shift)
    if shift + field.width > WORD_BITS:
        rows[:, word + 1] |= column >> np.uint64(WORD_BITS - shift)


def _extract(rows: np.ndarray, field: Field) -> np.ndarray:
    """A column as int64, or uint64 for unsigned fields of 64 bits."""
    word, shift = divmod(field.offset, WORD_BITS)
    column = rows[:, word] >> np.uint64(shift)
    if shift + field.width > WORD_BITS:
        column |= rows[:, word + 1] << np.uint64(WORD_BITS - shift)
    column &= np.uint64((1 << field.width) - 1)
    if field.width == 64 and not field.signed:
        return column
    column = column.astype(np.int64)
    if field.signed:
        column -= (column >> (field.width - 1)) << field.width
    return column


def _illegal(rows: np.ndarray, field: Field) -> np.ndarray:
    """Which of the slots break the rule of ``field``."""
    if field.reserved:
        bad = np.zeros(len(rows), dtype=bool)
        for word in range(rows.shape[1]):
            mask = ((1 << field.width) - 1) << field.offset >> (WORD_BITS * word)
            bad |= rows[:, word] & np.uint64(mask & ((1 << WORD_BITS) - 1)) != 0
        return bad
    column = _extract(rows, field)
    if field.legal is not None:
        return ~np.isin(column, field.legal)
    if field.positive:
        return column == 0
    return np.zeros(len(rows), dtype=bool)


@dataclass(frozen=True)
class _Slots:
    """Words taken apart: for each kind of slot, its words and the instructions it belongs to."""

    starts: np.ndarray
    rows: dict[str, np.ndarray]
    owners: dict[str, np.ndarray]


def _split(isa: InstructionSet, words: np.ndarray) -> _Slots:
    """Find the slots and check them, like the control processor, in order."""
    kinds = isa.kinds
    present = isa.cp[kinds[0]].offset
    assert [isa.cp[kind].offset for kind in kinds] == [present + k for k in range(len(kinds))]
    bits = (words >> np.uint64(present)).astype(np.int64) & ((1 << len(kinds)) - 1)
    sizes = [1 + sum(isa.words[kind] * (mask >> k & 1) for k, kind in enumerate(kinds))
             for mask in range(1 << len(kinds))]  # fmt: skip
    lengths = np.array(sizes)[bits].tolist()
    starts = []
    position = 0
    while position < len(words):
        starts.append(position)
        position += lengths[position]
    starts = np.array(starts, dtype=np.int64)

    at = starts.copy()
    rows, owners, first = {}, {}, None
    for kind in isa.slots:
        here = np.arange(len(starts))
        if kind != "cp":
            here = np.flatnonzero(bits[starts] >> kinds.index(kind) & 1)
        here = here[at[here] + isa.words[kind] <= len(words)]
        rows[kind] = words[at[here][:, None] + np.arange(isa.words[kind])]
        owners[kind] = here
        for field in isa.fields[kind]:
            bad = np.flatnonzero(_illegal(rows[kind], field))
            if len(bad) and (first is None or at[here[bad[0]]] < first[0]):
                first = (at[here[bad[0]]], int(starts[here[bad[0]]]), kind, field)
        at[here] += isa.words[kind]
    size = WORD_BITS // 8
    if first is not None:
        _, start, kind, field = first
        raise ProgramError(
            isa.errors["ILLEGAL_INSTRUCTION"], start * size,
            f"{kind}.{field.name} must be {field.rule}",
        )  # fmt: skip
    if position > len(words):
        start = int(starts[-1])
        raise ProgramError(
            isa.errors["END_OF_PROGRAM"], start * size,
            f"must have {position - start} words, but only {len(words) - start} are left",
        )  # fmt: skip
    return _Slots(starts, rows, owners)


def encode(isa: InstructionSet, program: Sequence[Any]) -> np.ndarray:
    """The words (uint64) of a program.

    Raises
    ------
    ValueError
        If a field does not fit; names instruction number and field.
    ProgramError
        If a field has a value the control processor refuses, e.g. a count of zero.
    """
    rows, owners = {}, {}
    lengths = np.ones(len(program), dtype=np.int64)
    for kind in isa.kinds:
        slots = list(map(attrgetter(kind), program))
        owners[kind] = np.flatnonzero([slot is not None for slot in slots])
        slots = [slot for slot in slots if slot is not None]
        lengths[owners[kind]] += isa.words[kind]
        rows[kind] = np.zeros((len(slots), isa.words[kind]), dtype=np.uint64)
        named = [field for field in isa.fields[kind] if not field.reserved]
        for field, values in zip(named, _columns(isa.slots[kind], slots), strict=True):
            _insert(rows[kind], field, _to_array(kind, field, values, owners[kind]))

    cp = np.zeros((len(program), 1), dtype=np.uint64)
    everyone = np.arange(len(program))
    _insert(cp, isa.cp["magic"], np.full(len(program), isa.magic, dtype=np.uint64))
    for name in isa.flags:
        values = [getattr(instruction, name) for instruction in program]
        _insert(cp, isa.cp[name], _to_array("cp", isa.cp[name], values, everyone))
    for kind in isa.kinds:
        column = np.zeros(len(program), dtype=np.uint64)
        column[owners[kind]] = 1
        _insert(cp, isa.cp[kind], column)

    words = np.zeros(int(lengths.sum()), dtype=np.uint64)
    at = np.cumsum(lengths) - lengths
    words[at] = cp[:, 0]
    at += 1
    for kind in isa.kinds:
        words[at[owners[kind]][:, None] + np.arange(isa.words[kind])] = rows[kind]
        at[owners[kind]] += isa.words[kind]
    _split(isa, words)
    return words


def _decoded(isa: InstructionSet, kind: str, rows: np.ndarray) -> Iterable:
    """Objects of all slots of a kind."""

    def columns() -> Iterator[list]:
        for field in isa.fields[kind]:
            if field.reserved:
                continue
            column = _extract(rows, field).tolist()
            if field.choices is not None:
                choices: dict[int, Enum] = {choice.value: choice for choice in field.choices}
                yield list(map(choices.__getitem__, column))
            else:
                yield column

    return _objects(isa.slots[kind], columns(), isa.classes)


@dataclass(frozen=True)
class Slots:
    """All slots of one kind.

    Parameters
    ----------
    owners : number of the instruction that each slot belongs to
    fields : values of all slots, by the name of the field (``Field.name``)
    words : the slots as they stand in memory, a row each
    """

    owners: np.ndarray
    fields: dict[str, np.ndarray]
    words: np.ndarray


def columns(isa: InstructionSet, words: np.ndarray) -> dict[str, Slots]:
    """The same as ``decode`` without an object per instruction, by kind ("cp" is always there).

    Raises
    ------
    ProgramError
        As ``decode``.
    """
    slots = _split(isa, np.ascontiguousarray(words, dtype=np.uint64))
    return {
        kind: Slots(
            slots.owners[kind],
            {f.name: _extract(slots.rows[kind], f) for f in isa.fields[kind] if not f.reserved},
            slots.rows[kind],
        )
        for kind in isa.slots
    }


def decode(isa: InstructionSet, words: np.ndarray) -> list[Any]:
    """The instructions of all ``words``, also of those behind an END.

    Raises
    ------
    ProgramError
        For the first instruction that the control processor would refuse, or that is cut off.
    """
    words = np.ascontiguousarray(words, dtype=np.uint64)
    slots = _split(isa, words)
    arguments: list[dict[str, Any]] = [{} for _ in slots.starts]
    types = {field.name: field.type for field in fields(isa.instruction)}
    for name in isa.flags:
        values = _extract(slots.rows["cp"], isa.cp[name]).tolist()
        for known, value in zip(arguments, values, strict=True):
            known[name] = bool(value) if types[name] is bool else value
    for kind in isa.kinds:
        decoded = _decoded(isa, kind, slots.rows[kind])
        for owner, slot in zip(slots.owners[kind].tolist(), decoded, strict=True):
            arguments[owner][kind] = slot
    return [isa.instruction(**known) for known in arguments]
