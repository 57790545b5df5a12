"""A node's instructions as Python objects: one frozen dataclass per layout of ``isa``."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from ..diannao import instructions as diannao
from ..diannao.instructions import Loop, NfuNest, Runs
from ..nfu.layouts import Held, Op
from ..program.instruction_set import Classes, InstructionSet, mirrors
from ..program.loops import LoopForm
from . import isa
from .isa import ROW_LEVELS, LoadOp, ReadOp, SendOp, StoreOp, WriteOp

__all__ = [
    "CLASSES",
    "COPY_LOOPS",
    "DADIANNAO",
    "NO_RUNS",
    "ROW_LOOPS",
    "SLOTS",
    "CopyLoop",
    "Instruction",
    "Load",
    "Read",
    "RowLoop",
    "Send",
    "Store",
    "Tile",
    "TileNest",
    "Write",
    "copy_levels",
    "nest",
    "row_levels",
]

SLOTS = {
    "cp": isa.CpSlot,
    "load": isa.LoadSlot,
    "store": isa.StoreSlot,
    "read": isa.ReadSlot,
    "tile": isa.TileSlot,
    "write": isa.WriteSlot,
    "send": isa.SendSlot,
}
"""The slots in the order in which they follow one another in an instruction."""

CLASSES: Classes = dict(diannao.CLASSES)
"""The class that stands for each layout."""

NO_RUNS = Runs(0, 1)
"""The descriptor of a load that reads nothing."""


@mirrors(CLASSES, isa.RowLevel)
@dataclass(frozen=True, slots=True)
class RowLevel:
    """A loop over rows as the hardware has it, see ``isa.RowLevel``; ``RowLoop`` for people."""

    count: int = 1
    step: int = 0
    mask_step: int = 0


@mirrors(CLASSES, isa.CopyLevel)
@dataclass(frozen=True, slots=True)
class CopyLevel:
    """As RowLevel, see ``isa.CopyLevel``; ``CopyLoop`` is the human form."""

    count: int = 1
    step: int = 0
    to_step: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RowLoop:
    """One loop over rows: iterations, stride in rows and stride in the mask table."""

    count: int
    rows: int = 0
    mask: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyLoop:
    """One loop over rows that are sent: iterations, strides in rows here and there."""

    count: int
    rows: int = 0
    to: int = 0


ROW_LOOPS = LoopForm(
    layout=isa.RowLevel, level=RowLevel, loop=RowLoop,
    strides={"rows": "step", "mask": "mask_step"}, levels=ROW_LEVELS, what="slot",
)  # fmt: skip
"""How loops over rows become levels."""

COPY_LOOPS = LoopForm(
    layout=isa.CopyLevel, level=CopyLevel, loop=CopyLoop,
    strides={"rows": "step", "to": "to_step"}, levels=ROW_LEVELS, what="slot",
)  # fmt: skip
"""How loops over rows that are sent become levels."""


def row_levels(loops: Sequence[RowLoop]) -> tuple[RowLevel, ...]:
    """Levels of a slot that runs ``loops``, innermost first; ValueError if they do not fit."""
    return ROW_LOOPS.levels_of(loops)[0]


def copy_levels(loops: Sequence[CopyLoop]) -> tuple[CopyLevel, ...]:
    """As ``row_levels``, for the send slot."""
    return COPY_LOOPS.levels_of(loops)[0]


_ROWS = (RowLevel(),) * ROW_LEVELS


@mirrors(CLASSES, isa.TileNest)
@dataclass(frozen=True, slots=True)
class TileNest(NfuNest):
    """A nest of a tile, see ``isa.TileNest``; built with ``nest``."""

    joined: bool = False
    half: int = 0
    derivative: bool = False
    held: Held = Held.SB


def nest(
    op: Op,
    loops: Sequence[Loop] = (),
    *,
    joined: bool = False,
    half: int = 0,
    derivative: bool = False,
    held: Held = Held.SB,
    **numbers: Any,
) -> TileNest:
    """As ``hw.diannao.instructions.nest``, with the modes of ``isa.TileNest``."""
    plain = diannao.nest(op, loops, **numbers)
    values = {field.name: getattr(plain, field.name) for field in fields(plain)}
    return TileNest(**values, joined=joined, half=half, derivative=derivative, held=held)


@mirrors(CLASSES, isa.LoadSlot)
@dataclass(frozen=True, slots=True)
class Load:
    """Load slot, see ``isa.LoadSlot``."""

    descriptor: Runs
    op: LoadOp
    bank: int = 0
    address: int = 0
    tiles: int = 0
    levels: tuple[RowLevel, ...] = _ROWS


@mirrors(CLASSES, isa.StoreSlot)
@dataclass(frozen=True, slots=True)
class Store:
    """Store slot, see ``isa.StoreSlot``."""

    descriptor: Runs
    op: StoreOp = StoreOp.STORE
    bank: int = 0
    address: int = 0
    levels: tuple[RowLevel, ...] = _ROWS


@mirrors(CLASSES, isa.ReadSlot)
@dataclass(frozen=True, slots=True)
class Read:
    """Read slot, see ``isa.ReadSlot``."""

    op: ReadOp
    bank: int = 0
    mask: int = 0
    source: int = 0
    address: int = 0
    tiles: int = 0
    arrivals: int = 0
    levels: tuple[RowLevel, ...] = _ROWS


@mirrors(CLASSES, isa.TileSlot)
@dataclass(frozen=True, slots=True)
class Tile:
    """Tile slot, see ``isa.TileSlot``; the nest is built with ``nest``."""

    nest: TileNest
    tiles: int


@mirrors(CLASSES, isa.WriteSlot)
@dataclass(frozen=True, slots=True)
class Write:
    """Write slot, see ``isa.WriteSlot``."""

    op: WriteOp = WriteOp.WRITE
    bank: int = 0
    burst: int = 1
    address: int = 0
    tiles: int = 0
    levels: tuple[RowLevel, ...] = _ROWS


@mirrors(CLASSES, isa.SendSlot)
@dataclass(frozen=True, slots=True)
class Send:
    """Send slot, see ``isa.SendSlot``."""

    op: SendOp = SendOp.SEND
    bank: int = 0
    to_bank: int = 0
    node: int = 0
    source: int = 0
    address: int = 0
    to_address: int = 0
    arrivals: int = 0
    levels: tuple[CopyLevel, ...] = (CopyLevel(),) * ROW_LEVELS


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """An instruction of a node; a slot that is None does nothing. See ``isa.CpSlot``."""

    load: Load | None = None
    store: Store | None = None
    read: Read | None = None
    tile: Tile | None = None
    write: Write | None = None
    send: Send | None = None
    tag: int = 0
    fence: bool = False
    end: bool = False


DADIANNAO = InstructionSet(
    slots=SLOTS, magic=isa.CP_MAGIC, classes=CLASSES, instruction=Instruction,
    errors=isa.ErrorCode,
    loops={
        TileNest: diannao.LOOPS, **dict.fromkeys((Load, Store, Read, Write), ROW_LOOPS),
        Send: COPY_LOOPS,
    },
)  # fmt: skip
"""The instruction set, for encoder, decoder and text form."""
