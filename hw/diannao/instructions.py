"""Instructions as Python objects: one frozen dataclass per layout of ``isa``.

The classes mirror the layouts field by field, without the reserved bits, and a field missing here
fails on import. Widths and rules come from the layouts when a program is encoded.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

from amaranth.lib import data

from ..nfu.layouts import Op
from . import isa
from .fields import fields_of
from .isa import LEVELS, LoadOp, NfuIn, NfuOut, StoreOp

__all__ = [
    "CLASSES",
    "FREED",
    "STILL",
    "Instruction",
    "Loop",
    "NbinLoad",
    "NboutStore",
    "NestLevel",
    "NfuNest",
    "RawLevel",
    "Runs",
    "SbLoad",
    "levels_of",
    "loops_of",
    "nest",
]

CLASSES: dict[type[data.Struct], type] = {}
"""The class that stands for each layout."""

_Class = TypeVar("_Class", bound=type)


def _mirrors(layout: type[data.Struct]) -> Callable[[_Class], _Class]:
    """Register a dataclass for ``layout``; its fields must be those of the layout, in order."""

    def register(cls: _Class) -> _Class:
        names = [key for key, _ in data.Layout.cast(layout) if key != "reserved"]
        mine = [field.name for field in fields(cls)]
        if mine != names:
            raise TypeError(f"fields of {cls.__name__} must be {names}, not {mine}")
        CLASSES[layout] = cls
        return cls

    return register


@_mirrors(isa.Descriptor)
@dataclass(frozen=True, slots=True)
class Runs:
    """Memory access pattern, see ``isa.Descriptor``: everything in bytes, innermost loop first."""

    address: int
    run: int
    count: tuple[int, int, int] = (1, 1, 1)
    stride: tuple[int, int, int] = (0, 0, 0)


@_mirrors(isa.SbSlot)
@dataclass(frozen=True, slots=True)
class SbLoad:
    """SB slot, see ``isa.SbSlot``: one row per run."""

    descriptor: Runs
    op: LoadOp = LoadOp.LOAD


@_mirrors(isa.NbinSlot)
@dataclass(frozen=True, slots=True)
class NbinLoad:
    """NBin slot, see ``isa.NbinSlot``; ``skip`` in elements."""

    descriptor: Runs
    op: LoadOp = LoadOp.LOAD
    fence: bool = False
    skip: int = 0


@_mirrors(isa.NboutSlot)
@dataclass(frozen=True, slots=True)
class NboutStore:
    """NBout slot, see ``isa.NboutSlot``."""

    descriptor: Runs
    op: StoreOp = StoreOp.STORE


@_mirrors(isa.Level)
@dataclass(frozen=True, slots=True)
class NestLevel:
    """One level of a nest as the hardware has it, see ``isa.Level``; ``Loop`` is the human form."""

    count: int = 1
    nbin_step: int = 0
    sb_step: int = 0
    nbout_step: int = 0
    bias_step: int = 0
    nbin_free: int = 0
    sb_free: int = 0


STILL = NestLevel()
"""A level that does not loop."""


@_mirrors(isa.NfuSlot)
@dataclass(frozen=True, slots=True)
class NfuNest:
    """NFU slot, see ``isa.NfuSlot``; built with ``nest``."""

    op: Op
    source: NfuIn = NfuIn.BIAS
    target: NfuOut = NfuOut.NFU3
    reduce: int = 0
    shift: int = 0
    scale: int = 0
    nbin: int = 0
    sb: int = 0
    nbout: int = 0
    bias: int = 0
    nbin_free: int = 0
    sb_free: int = 0
    levels: tuple[NestLevel, ...] = (STILL,) * LEVELS

    @property
    def steps(self) -> int:
        """Steps, and thus cycles at full speed."""
        steps = 1
        for level in self.levels:
            steps *= level.count
        return steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """The paper's bundle; a slot that is None does nothing. See ``isa.CpSlot`` for the rest."""

    sb: SbLoad | None = None
    nbin: NbinLoad | None = None
    nbout: NboutStore | None = None
    nfu: NfuNest | None = None
    tag: int = 0
    end: bool = False


_Counts = dict[str, int]

_MOVED: tuple[str, ...] = ("nbin", "sb", "nbout", "bias")
FREED: tuple[str, ...] = ("nbin_free", "sb_free")
"""Fields that loops, levels and nests have in common: what is freed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """One loop of a nest as one thinks of it.

    Parameters
    ----------
    count : iterations
    nbin, sb, nbout, bias : strides from one iteration to the next (elements, rows, rows, rows)
    nbin_free, sb_free : freed at the end of every iteration (elements, rows)
    reduce : runs over the reduction
    """

    count: int
    nbin: int = 0
    sb: int = 0
    nbout: int = 0
    bias: int = 0
    nbin_free: int = 0
    sb_free: int = 0
    reduce: bool = False


@dataclass(frozen=True, slots=True)
class RawLevel:
    """A level of one iteration that keeps its place and its bits, for an exact text form."""

    level: NestLevel
    reduce: bool


def nest(
    op: Op,
    loops: Sequence[Loop] = (),
    *,
    source: NfuIn = NfuIn.BIAS,
    target: NfuOut = NfuOut.NFU3,
    shift: int = 0,
    scale: int = 0,
    nbin: int = 0,
    sb: int = 0,
    nbout: int = 0,
    bias: int = 0,
    nbin_free: int = 0,
    sb_free: int = 0,
) -> NfuNest:
    """NFU slot that runs ``loops``, innermost first.

    Loops of one iteration take no level, so there may be any number of them; what they free is
    freed with the loop around them. ``nbin_free`` and ``sb_free`` are freed after the very last
    step, in addition to what the loops free then. The other parameters are those of
    ``isa.NfuSlot``.

    Raises
    ------
    ValueError
        If more than ``LEVELS`` loops iterate, or a step or a freed amount does not fit its field.
    """
    levels, reduce, freed = levels_of(loops)
    return NfuNest(
        op=op,
        source=source,
        target=target,
        reduce=reduce,
        shift=shift,
        scale=scale,
        nbin=nbin,
        sb=sb,
        nbout=nbout,
        bias=bias,
        nbin_free=nbin_free + freed["nbin_free"],
        sb_free=sb_free + freed["sb_free"],
        levels=levels,
    )


def levels_of(
    loops: Iterable[Loop | RawLevel],
) -> tuple[tuple[NestLevel, ...], int, _Counts]:
    """Levels and reduction bits for ``loops``, and what all of them free after the last step."""
    levels: list[NestLevel] = []
    moved: _Counts = dict.fromkeys(_MOVED, 0)
    freed: _Counts = dict.fromkeys(FREED, 0)
    reduce = 0
    for loop in loops:
        if isinstance(loop, RawLevel):
            reduce |= loop.reduce << len(levels)
            levels.append(loop.level)
            continue
        if loop.count < 1:
            raise ValueError(f"the count of a loop must be at least 1, not {loop.count}")
        for key in FREED:
            freed[key] += getattr(loop, key)
        if loop.count > 1:
            steps = {f"{key}_step": getattr(loop, key) - moved[key] for key in _MOVED}
            level = NestLevel(count=loop.count, **steps, **freed)
            _check_level(len(levels), level)
            reduce |= loop.reduce << len(levels)
            levels.append(level)
            for key in _MOVED:
                moved[key] += (loop.count - 1) * getattr(loop, key)
    if len(levels) > LEVELS:
        raise ValueError(
            f"a nest must have at most {LEVELS} loops of more than one iteration, not {len(levels)}"
        )
    return (*levels, *(STILL,) * (LEVELS - len(levels))), reduce, freed


_LEVEL_FIELDS = [field for field in fields_of(isa.Level) if not field.reserved]


def _check_level(number: int, level: NestLevel) -> None:
    for field in _LEVEL_FIELDS:
        low, high = field.bounds
        value = getattr(level, field.name)
        if not low <= value <= high:
            raise ValueError(
                f"{field.name} of loop {number} (counted from the innermost that iterates, from 0) "
                f"must be {field.rule}, not {value}; split the nest or reorder its loops"
            )


def loops_of(slot: NfuNest) -> tuple[list[Loop | RawLevel], _Counts]:
    """The reverse of ``levels_of``, with one entry per level."""
    loops: list[Loop | RawLevel] = []
    moved: _Counts = dict.fromkeys(_MOVED, 0)
    freed: _Counts = dict.fromkeys(FREED, 0)
    for number, level in enumerate(slot.levels):
        reduce = bool(slot.reduce >> number & 1)
        if level.count == 1:
            loops.append(RawLevel(level, reduce))
            continue
        strides = {key: getattr(level, f"{key}_step") + moved[key] for key in _MOVED}
        frees = {key: getattr(level, key) - freed[key] for key in FREED}
        loops.append(Loop(count=level.count, reduce=reduce, **strides, **frees))
        for key in _MOVED:
            moved[key] += (level.count - 1) * strides[key]
        freed = {key: getattr(level, key) for key in FREED}
    while loops and loops[-1] == RawLevel(STILL, False):
        loops.pop()
    return loops, freed
