"""The instruction set, declared once as data layouts.

A program is a sequence of 64-bit little-endian words. An instruction is the paper's bundle of five
slots (CP, SB, NBin, NBout, NFU; section 6.3): one word for CP, whose presence bits say which of the
other slots follow, in the order SB, NBin, NBout, NFU. A slot that does nothing takes no space.

The control processor hands each slot to its unit's queue and goes on, so the units run decoupled:
they meet only through the ownership of buffer space. Loads append to the rings NBin and SB and wait
for room; the NFU waits until what it addresses has arrived, and frees it when told to; stores drain
the finished output rows in the order in which the NFU made them.

Decoder, assembler, disassembler and docs/isa.md all derive from the layouts below.
"""

from amaranth.hdl import signed, unsigned
from amaranth.lib import data, enum

from ..bus.descriptor import Descriptor
from ..nfu.layouts import Op

__all__ = [
    "CP_MAGIC",
    "LEVELS",
    "WORD_BITS",
    "CpSlot",
    "Descriptor",
    "ErrorCode",
    "Level",
    "LoadOp",
    "NbinSlot",
    "NboutSlot",
    "NfuIn",
    "NfuOut",
    "NfuSlot",
    "SbSlot",
    "StoreOp",
]

WORD_BITS = 64
LEVELS = 6
"""Loops of an NFU nest: enough for (channel chunk, ky, kx run, y, x, output group)."""

CP_MAGIC = 0xD1
"""First byte of every instruction: erased, zeroed or foreign memory is not a program."""


class CpSlot(data.Struct):
    """Control processor: what this instruction holds.

    ``end`` stops the program once every unit is idle. ``tag`` names the layer; the NFU reports the
    tag of what it executes, so that cycles can be told apart by layer.
    """

    magic: unsigned(8)
    sb: unsigned(1)
    nbin: unsigned(1)
    nbout: unsigned(1)
    nfu: unsigned(1)
    end: unsigned(1)
    reserved: unsigned(35)
    tag: unsigned(16)


class LoadOp(enum.Enum, shape=4):
    """Operation of the SB and NBin slots."""

    LOAD = 1
    """Read what the descriptor names."""


class StoreOp(enum.Enum, shape=4):
    """Operation of the NBout slot."""

    STORE = 1
    """Write where the descriptor says."""


class SbSlot(data.Struct):
    """Append rows to SB: each run of the descriptor becomes one SB row, from bit 0 upwards.

    ``run`` is a multiple of the SB port's bytes and at most a row (or a row of biases).
    """

    descriptor: Descriptor
    op: LoadOp
    reserved: unsigned(76)


class NbinSlot(data.Struct):
    """Append elements to NBin's ring: all runs back to back, then ``skip`` elements of no value.

    ``run`` is a multiple of an element's bytes; with another one, what NBin holds from there on is
    not defined. The skipped elements let the last reads overhang the data. With ``fence``, the load
    waits until every store that precedes it in the program has reached memory.
    """

    descriptor: Descriptor
    op: LoadOp
    fence: unsigned(1)
    reserved: unsigned(59)
    skip: unsigned(16)


class NboutSlot(data.Struct):
    """Store finished output rows: each run takes ``ceil(run / row bytes)`` rows, in order.

    The first ``run`` bytes of those rows are written, the rest of the last one is dropped.
    """

    descriptor: Descriptor
    op: StoreOp
    reserved: unsigned(76)


class NfuIn(enum.Enum, shape=1):
    """Where an accumulation starts (the paper's NFU-2 IN)."""

    BIAS = 0
    """At the first reduction step: from the bias row for MAC, from the first operand otherwise."""
    NBOUT = 1
    """From the partial sums that an earlier instruction parked in NBout."""


class NfuOut(enum.Enum, shape=1):
    """Where an accumulation goes after the last reduction step (the paper's NFU-2 OUT)."""

    NBOUT = 0
    """Stays in NBout as partial sums for a later instruction."""
    NFU3 = 1
    """Through NFU-3 to the finished output rows."""


class Level(data.Struct):
    """One loop of the nest. The other fields apply whenever this level *advances*.

    A level advances after all levels inside it (with lower index) have done their last iteration;
    those start over. So ``nbin_step`` is this level's stride minus what the inner levels have
    moved, and the freed amounts contain those of the inner levels' last iterations.
    """

    count: unsigned(16)
    nbin_step: signed(16)
    sb_step: signed(16)
    nbout_step: signed(16)
    bias_step: signed(16)
    nbin_free: unsigned(16)
    sb_free: unsigned(16)
    reserved: unsigned(16)


class NfuSlot(data.Struct):
    """A nest of ``LEVELS`` loops, one step per cycle; level 0 is the innermost.

    ``nbin`` (elements) and ``sb`` (rows) are offsets from the oldest data the NFU still owns
    when the instruction starts (the tail of the ring at that time); freeing moves the tail but not
    these addresses. A step waits until all it reads and all it frees has arrived: elements
    ``position .. position + Ti - 1`` of NBin (MAC, MAX, SUM) and row ``position`` of SB (MAC, BIAS,
    TABLE). ``nbout`` and ``bias`` are row numbers. ``reduce`` marks the levels
    that run over the reduction: a step is the *first* of its accumulation when all of them are at 0
    and the *last* when all are at their end. ``shift`` requantises a finished sum on its way into
    NFU-3, ``scale`` is the shift of the activation table. ``nbin_free`` and ``sb_free`` are freed
    after the very last step.
    """

    op: Op
    source: NfuIn
    target: NfuOut
    reduce: unsigned(LEVELS)
    shift: unsigned(6)
    scale: unsigned(6)
    reserved: unsigned(8)
    nbin: unsigned(16)
    sb: unsigned(16)
    nbout: unsigned(16)
    bias: unsigned(16)
    nbin_free: unsigned(16)
    sb_free: unsigned(16)
    levels: data.ArrayLayout(Level, LEVELS)


class ErrorCode(enum.Enum, shape=8):
    """Why the core stopped; readable in the ERROR register together with the program counter."""

    NONE = 0
    ILLEGAL_INSTRUCTION = 1
    """Bad magic, unknown operation, a reserved bit set, or a count of zero; or the program does
    not begin at a multiple of 8 bytes."""
    END_OF_PROGRAM = 2
    """The program ran off its end without an END; or its size is no positive multiple of 8 bytes
    below 2 GiB."""
    NBIN_RANGE = 3
    """A read or a free outside what NBin can hold."""
    SB_RANGE = 4
    """A read or a free outside what SB can hold, or a run longer than a row."""
    NBOUT_RANGE = 5
    """A partial-sum row that does not exist."""
    BIAS_RANGE = 6
    """A bias row that does not exist."""
    BUS_NBIN = 7
    """SLVERR or DECERR on a read of the NBin port."""
    BUS_SB = 8
    """SLVERR or DECERR on a read of the SB port."""
    BUS_NBOUT = 9
    """SLVERR or DECERR on a write of the NBout port."""
    BUS_CP = 10
    """SLVERR or DECERR on an instruction fetch."""
    WATCHDOG = 11
    """No unit made progress for the number of cycles in the WATCHDOG register."""
