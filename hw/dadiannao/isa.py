"""The node's instruction set, declared once as data layouts (paper, table IV).

A program is a sequence of 64-bit little-endian words, as DianNao's: one word for CP, whose presence
bits say which other slots follow, in the order of this file. The node control hands each slot to
its unit's queue and goes on. Units meet only through buffer space (NBin, NBout) and through the
central memories, for which ``CpSlot.fence`` is the one means of order: an instruction with it is
handed out only when everything before it has ended.

A *row* is Ti neurons, the paper's 256-bit block: the unit in which neurons lie in the central
memories and travel on the fat tree. The NFU slot goes to all tiles named in it; each runs it as its
own tile instruction on what its NBin was given.

============  ==========================================================================
paper         here
============  ==========================================================================
CP            CpSlot
central       ReadSlot (READ OP, ADDR, STRIDE, ITER), WriteSlot (WRITE OP, ADDR, STRIDE, ITER)
SB, NBin,     the loops of TileSlot's nest: addresses and steps of the three
NBout, NFU
(not told)    LoadSlot and StoreSlot to and from the host's memory, SendSlot to other nodes
============  ==========================================================================
"""

from amaranth.hdl import signed, unsigned
from amaranth.lib import data, enum

from ..bus.descriptor import Descriptor
from ..diannao.isa import LEVELS, WORD_BITS, Level, NfuIn, NfuOut
from ..nfu.layouts import Held, Op

__all__ = [
    "CP_MAGIC",
    "ROW_LEVELS",
    "WORD_BITS",
    "CopyLevel",
    "CpSlot",
    "ErrorCode",
    "LoadOp",
    "LoadSlot",
    "ReadOp",
    "ReadSlot",
    "RowLevel",
    "SendOp",
    "SendSlot",
    "StoreOp",
    "StoreSlot",
    "TileNest",
    "TileSlot",
    "WriteOp",
    "WriteSlot",
]

CP_MAGIC = 0xDA
"""First byte of every instruction; differs from DianNao's, so that neither runs the other's."""

ROW_LEVELS = 4
"""Loops over rows of a central memory: enough for (channel block, y, x, image)."""


class CpSlot(data.Struct):
    """Node control: what this instruction holds.

    With ``fence`` it waits until all units have ended what came before. ``end`` stops the program
    once every unit is idle. ``tag`` names the layer.
    """

    magic: unsigned(8)
    load: unsigned(1)
    store: unsigned(1)
    read: unsigned(1)
    tile: unsigned(1)
    write: unsigned(1)
    send: unsigned(1)
    end: unsigned(1)
    fence: unsigned(1)
    reserved: unsigned(32)
    tag: unsigned(16)


class RowLevel(data.Struct):
    """One loop over rows of a central memory; level 0 is the innermost.

    ``step`` (rows) and ``mask_step`` (entries of the mask table) apply whenever this level
    *advances*: after all levels inside it have done their last iteration; those start over. So a
    step is this level's stride minus what the inner levels have moved, as in DianNao's nests.
    """

    count: unsigned(16)
    step: signed(24)
    mask_step: signed(8)
    reserved: unsigned(16)


class CopyLevel(data.Struct):
    """One loop over rows that go from one place to another: steps as in RowLevel, for both."""

    count: unsigned(16)
    step: signed(24)
    to_step: signed(24)


class LoadOp(enum.Enum, shape=4):
    """Operation of the load slot.

    CENTRAL   each run of the descriptor becomes whole rows of the central memory, the last one
              filled up with zeros
    SYNAPSES  over the fat tree into the tiles' SB: each SB row is Tn rows of Ti synapses, in order;
              runs as for CENTRAL; parameter rows (biases, tables) alike
    CLEAR     rows of zeros into the central memory; the descriptor is not looked at
    """

    CENTRAL = 1
    SYNAPSES = 2
    CLEAR = 3


class LoadSlot(data.Struct):
    """From the host's memory into the node, or zeros.

    CENTRAL and CLEAR write rows of ``bank`` at ``address`` and on over ``levels`` (``mask_step`` is
    not looked at); CENTRAL's loops and runs must be of equally many rows. SYNAPSES writes SB rows
    from ``address`` on, one after the other, as many as ``levels[0].count`` says, in the tiles of
    ``tiles``; the other counts must be 1.
    """

    descriptor: Descriptor
    op: LoadOp
    bank: unsigned(1)
    reserved: unsigned(11)
    address: unsigned(24)
    reserved_2: unsigned(40)
    tiles: unsigned(64)
    levels: data.ArrayLayout(RowLevel, ROW_LEVELS)


class StoreOp(enum.Enum, shape=4):
    """Operation of the store slot."""

    STORE = 1


class StoreSlot(data.Struct):
    """From ``bank`` of the central memory into the host's memory.

    Each run of the descriptor takes ``ceil(run / row bytes)`` rows; what the last of them has
    beyond the run is dropped. The loops must be of as many rows.
    """

    descriptor: Descriptor
    op: StoreOp
    bank: unsigned(1)
    reserved: unsigned(11)
    address: unsigned(24)
    reserved_2: unsigned(40)
    levels: data.ArrayLayout(RowLevel, ROW_LEVELS)


class ReadOp(enum.Enum, shape=4):
    """Operation of the read slot.

    BROADCAST  rows of the central memory into the NBin of tiles
    MASK       ``tiles`` becomes entry ``mask`` of the mask table
    WAIT       nothing but to wait, as BROADCAST does
    """

    BROADCAST = 1
    MASK = 2
    WAIT = 3


class ReadSlot(data.Struct):
    """From ``bank`` of the central memory over the fat tree into the tiles' NBin.

    Each row goes to the tiles in an entry of the mask table, which starts at ``mask`` and moves
    with the loops, so that tiles with neighbouring windows share the broadcast of common rows. The
    slot, and so those behind it, waits until ``arrivals`` rows have come from node ``source`` since
    the program's start. Rows of one node arrive in the order in which it sends them.
    """

    op: ReadOp
    bank: unsigned(1)
    reserved: unsigned(19)
    mask: unsigned(8)
    source: unsigned(8)
    address: unsigned(24)
    tiles: unsigned(64)
    arrivals: unsigned(32)
    reserved_3: unsigned(32)
    levels: data.ArrayLayout(RowLevel, ROW_LEVELS)


class TileNest(data.Struct):
    """``NfuSlot`` of DianNao, and in what was reserved there the modes of a joinable NFU.

    ``joined`` (a node with ``aggregate``): MAC, MAX and SUM work on numbers of twice the width,
    low half first, of which a row has Ti / 2. A row of SB then has two halves of Tn / 2 rows of as
    many synapses: row n of ``half`` is the SB row's row ``2 n + half`` of Ti narrow ones. A word of
    BIAS is a joined pair of words; a joined table has the low halves of its words in the first
    table, the high ones in the second.

    ``derivative``: TABLE loads the second table; MAC, MAX and SUM that are not ``joined`` finish
    two rows, the first table's function of the sums and then the second one's.

    ``held`` (a node with ``training``, MAC only): where the synapses come from. With anything but
    SB the steps come in pairs, which the innermost loop runs through: its first iteration reads
    the neurons that are held, the second one those that meet them. ``reduce`` must be 0 there.
    """

    op: Op
    source: NfuIn
    target: NfuOut
    reduce: unsigned(LEVELS)
    shift: unsigned(6)
    scale: unsigned(6)
    joined: unsigned(1)
    half: unsigned(1)
    derivative: unsigned(1)
    held: Held
    reserved: unsigned(3)
    nbin: unsigned(16)
    sb: unsigned(16)
    nbout: unsigned(16)
    bias: unsigned(16)
    nbin_free: unsigned(16)
    sb_free: unsigned(16)
    levels: data.ArrayLayout(Level, LEVELS)


class TileSlot(data.Struct):
    """A nest for the NFU of each tile in ``tiles``; SB rows are absolute and never freed."""

    nest: TileNest
    tiles: unsigned(64)


class WriteOp(enum.Enum, shape=4):
    """Operation of the write slot."""

    WRITE = 1


class WriteSlot(data.Struct):
    """Finished rows of the tiles over the fat tree into ``bank`` of the central memory.

    Rows come in turns: ``burst`` rows of the first tile in ``tiles``, as many of the next one, and
    after the last one the first again. Each goes to the next address of the loops (``mask_step`` is
    not looked at).
    """

    op: WriteOp
    bank: unsigned(1)
    reserved: unsigned(19)
    burst: unsigned(16)
    address: unsigned(24)
    tiles: unsigned(64)
    levels: data.ArrayLayout(RowLevel, ROW_LEVELS)


class SendOp(enum.Enum, shape=4):
    """Operation of the send slot.

    SEND  rows to another node
    WAIT  nothing but to wait, as SEND does
    """

    SEND = 1
    WAIT = 2


class SendSlot(data.Struct):
    """Rows of ``bank`` into ``to_bank`` of node ``node``, which counts them as arrivals.

    The rows of the innermost loop travel as one packet. The slot, and so those behind it, waits
    until ``arrivals`` rows have come from node ``source`` since the program's start, so that a node
    can pass on what it was sent.
    """

    op: SendOp
    bank: unsigned(1)
    to_bank: unsigned(1)
    reserved: unsigned(10)
    node: unsigned(8)
    source: unsigned(8)
    reserved_2: unsigned(8)
    address: unsigned(24)
    to_address: unsigned(24)
    reserved_3: unsigned(8)
    arrivals: unsigned(32)
    levels: data.ArrayLayout(CopyLevel, ROW_LEVELS)


class ErrorCode(enum.Enum, shape=8):
    """Why a node stopped; readable in the ERROR register together with the program counter.

    Codes up to BUS_CP and WATCHDOG are those of DianNao.
    """

    NONE = 0
    ILLEGAL_INSTRUCTION = 1
    """Bad magic, unknown operation, a reserved bit set, or a count of zero; or the program does
    not begin at a multiple of 8 bytes."""
    END_OF_PROGRAM = 2
    """The program ran off its end without an END; or its size is no positive multiple of 8 bytes
    below 2 GiB."""
    NBIN_RANGE = 3
    """A tile's read or free outside what NBin can hold."""
    SB_RANGE = 4
    """A tile's read, or a load, outside SB."""
    NBOUT_RANGE = 5
    """A partial-sum row that does not exist."""
    BIAS_RANGE = 6
    """A bias row that does not exist."""
    BUS_LOAD = 7
    """SLVERR or DECERR on a read of the load slot."""
    BUS_STORE = 9
    """SLVERR or DECERR on a write of the store slot."""
    BUS_CP = 10
    """SLVERR or DECERR on an instruction fetch."""
    WATCHDOG = 11
    """No unit made progress for the number of cycles in the WATCHDOG register."""
    CENTRAL_RANGE = 12
    """A row outside the central memory, of this node or (SEND) of another one."""
    TILE_RANGE = 13
    """A tile or an entry of the mask table that does not exist, or no tile at all."""
    NODE_RANGE = 14
    """A node that does not exist: to send to (as is the node itself), or to wait for."""
