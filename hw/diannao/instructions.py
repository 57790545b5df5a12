"""Instructions as Python objects: one frozen dataclass per layout of ``isa``.

The classes mirror the layouts field by field, without the reserved bits, and a field missing here
fails on import. Widths and rules come from the layouts when a program is encoded.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..nfu.layouts import Op
from ..program.instruction_set import Classes, InstructionSet, mirrors
from ..program.loops import LoopForm
from . import isa
from .fields import SLOTS
from .isa import LEVELS, LoadOp, NfuIn, NfuOut, StoreOp

__all__ = [
    "CLASSES",
    "DIANNAO",
    "LOOPS",
    "STILL",
    "Instruction",
    "Loop",
    "NbinLoad",
    "NboutStore",
    "NestLevel",
    "NfuNest",
    "Runs",
    "SbLoad",
    "nest",
]

CLASSES: Classes = {}
"""The class that stands for each layout."""


@mirrors(CLASSES, isa.Descriptor)
@dataclass(frozen=True, slots=True)
class Runs:
    """Memory access pattern, see ``isa.Descriptor``: everything in bytes, innermost loop first."""

    address: int
    run: int
    count: tuple[int, int, int] = (1, 1, 1)
    stride: tuple[int, int, int] = (0, 0, 0)


@mirrors(CLASSES, isa.SbSlot)
@dataclass(frozen=True, slots=True)
class SbLoad:
    """SB slot, see ``isa.SbSlot``: one row per run."""

    descriptor: Runs
    op: LoadOp = LoadOp.LOAD


@mirrors(CLASSES, isa.NbinSlot)
@dataclass(frozen=True, slots=True)
class NbinLoad:
    """NBin slot, see ``isa.NbinSlot``; ``skip`` in elements."""

    descriptor: Runs
    op: LoadOp = LoadOp.LOAD
    fence: bool = False
    skip: int = 0


@mirrors(CLASSES, isa.NboutSlot)
@dataclass(frozen=True, slots=True)
class NboutStore:
    """NBout slot, see ``isa.NboutSlot``."""

    descriptor: Runs
    op: StoreOp = StoreOp.STORE


@mirrors(CLASSES, isa.Level)
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


@mirrors(CLASSES, isa.NfuSlot)
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


LOOPS = LoopForm(
    layout=isa.Level, level=NestLevel, loop=Loop,
    strides={key: f"{key}_step" for key in ("nbin", "sb", "nbout", "bias")},
    freed=("nbin_free", "sb_free"), reduces=True, levels=LEVELS, what="nest",
)  # fmt: skip
"""How the loops of a nest become levels."""


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
    levels, reduce, freed = LOOPS.levels_of(loops)
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


DIANNAO = InstructionSet(
    slots=SLOTS, magic=isa.CP_MAGIC, classes=CLASSES, instruction=Instruction,
    errors=isa.ErrorCode, loops={NfuNest: LOOPS},
)  # fmt: skip
"""The instruction set, for encoder, decoder and text form."""
