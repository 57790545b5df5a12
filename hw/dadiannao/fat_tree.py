"""The fat tree between the node's centre and its tiles (paper, sections V.B.1 and V.B.2).

Rows are cut into beats as wide as the tree's branches. Going down, every inner node copies a beat
to those of its children that have addressed tiles below them. Going up, every inner node takes rows
from its children in the order in which the centre has asked for them.
"""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, ShapeLike, Signal, unsigned
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..bus.streams import Queue, Register
from .config import NodeConfig

__all__ = ["Broadcast", "BroadcastLayout", "Fork", "Gather", "Kind", "TileRowLayout", "height"]


class Kind(enum.Enum, shape=1):
    """What a row on its way to tiles is.

    NEURONS   appended to NBin
    SYNAPSES  Tn of them form a row of SB
    """

    NEURONS = 0
    SYNAPSES = 1


class TileRowLayout(data.StructLayout):
    """A row on its way to a tile.

    data : unsigned(row_bits)
    kind : Kind
    row : unsigned(16), row of SB, for SYNAPSES
    """

    def __init__(self, config: NodeConfig):
        super().__init__({"data": unsigned(config.row_bits), "kind": Kind, "row": unsigned(16)})


class BroadcastLayout(data.StructLayout):
    """A row and the tiles that it goes to.

    row : TileRowLayout
    tiles : a bit for each tile, at least one of them set
    """

    def __init__(self, config: NodeConfig):
        super().__init__({"row": TileRowLayout(config), "tiles": unsigned(config.tiles)})


class Fork(wiring.Component):
    """Copies each payload to the outputs that ``targets`` names; each takes it when it can.

    Combinational; the payload leaves when all have taken it.

    Parameters
    ----------
    shape : of the payload
    count : outputs

    Members
    -------
    i : In(stream(shape))
    targets : In(count), belongs to the payload at ``i``; with none, the payload is dropped
    o : Out(stream(shape)).array(count)
    """

    i: stream.Interface
    targets: Signal
    o: Any

    def __init__(self, *, shape: ShapeLike, count: int):
        self._count = count
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "targets": In(count),
                "o": Out(stream.Signature(shape)).array(count),
            }
        )

    def elaborate(self, platform):
        m = Module()
        taken = Signal(self._count)  # by these already
        waiting = Signal(self._count)
        ready = Signal(self._count)
        m.d.comb += [
            waiting.eq(self.targets & ~taken),
            ready.eq(Cat(port.ready for port in self.o)),
            self.i.ready.eq(~(waiting & ~ready).any()),
        ]
        for n, port in enumerate(self.o):
            m.d.comb += [
                port.valid.eq(self.i.valid & waiting[n]),
                port.payload.eq(self.i.payload),
            ]
        with m.If(self.i.valid):
            m.d.sync += taken.eq(Mux(self.i.ready, 0, taken | ready))
        return m


def _arity(tiles: int, arity: int) -> int:
    """Children of the root of a tree with so many tiles: full inner nodes at the bottom."""
    below = arity
    while below * arity < tiles:
        below *= arity
    return tiles // below if tiles > arity else tiles


def height(tiles: int, arity: int) -> int:
    """Levels of inner nodes above so many tiles, in a tree of that arity."""
    return 0 if tiles == 1 else 1 + height(tiles // _arity(tiles, arity), arity)


def _digits(tiles: int) -> int:
    """Bits of a tile's number; one that says nothing where there is only one tile."""
    return max(1, (tiles - 1).bit_length())


class _BranchLayout(data.StructLayout):
    """A beat on its way down: ``data``, ``kind`` and ``row`` of its row, the tiles below."""

    def __init__(self, config: NodeConfig, tiles: int):
        super().__init__(
            {
                "tiles": unsigned(tiles),
                "data": unsigned(config.trunk),
                "kind": Kind,
                "row": unsigned(16),
            }
        )


class _BroadcastNode(wiring.Component):
    """A branch's register, and below it the inner nodes and branches for ``tiles`` tiles."""

    i: stream.Interface
    o: Any

    def __init__(self, *, config: NodeConfig, tiles: int):
        self._config = config
        self._tiles = tiles
        leaf = stream.Signature(_BranchLayout(config, 1))
        super().__init__(
            {
                "i": In(stream.Signature(_BranchLayout(config, tiles))),
                "o": Out(leaf).array(tiles),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.branch = branch = Register(shape=self.i.payload.shape())
        connect(m, flipped(self.i), branch.i)
        if self._tiles == 1:
            connect(m, branch.o, flipped(self.o[0]))
            return m
        arity = _arity(self._tiles, self._config.arity)
        below = self._tiles // arity
        m.submodules.fork = fork = Fork(shape=self.i.payload.shape(), count=arity)
        connect(m, branch.o, fork.i)
        tiles = branch.o.payload.tiles
        m.d.comb += fork.targets.eq(Cat(tiles.word_select(n, below).any() for n in range(arity)))
        for n in range(arity):
            child = _BroadcastNode(config=self._config, tiles=below)
            m.submodules[f"child_{n}"] = child
            beat, down = fork.o[n].payload, child.i.payload
            m.d.comb += [
                down.tiles.eq(beat.tiles.word_select(n, below)),
                down.data.eq(beat.data),
                down.kind.eq(beat.kind),
                down.row.eq(beat.row),
                child.i.valid.eq(fork.o[n].valid),
                fork.o[n].ready.eq(child.i.ready),
            ]
            for tile in range(below):
                connect(m, child.o[tile], flipped(self.o[n * below + tile]))
        return m


class _Join(wiring.Component):
    """Rows from their beats, lowest bits first: latency 1, a beat per cycle."""

    i: stream.Interface
    o: stream.Interface

    def __init__(self, *, trunk: int, beats: int):
        self._beats = beats
        super().__init__(
            {
                "i": In(stream.Signature(unsigned(trunk))),
                "o": Out(stream.Signature(unsigned(trunk * beats))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        content = Signal(self.o.payload.shape(), reset_less=True)
        left = Signal(range(self._beats), init=self._beats - 1)
        m.d.comb += [
            self.i.ready.eq(~self.o.valid | self.o.ready),
            self.o.payload.eq(content),
        ]
        with m.If(self.i.ready):
            m.d.sync += self.o.valid.eq(self.i.valid & (left == 0))
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                content.eq(Cat(content, self.i.payload)[len(self.i.payload) :]),
                left.eq(Mux(left == 0, self._beats - 1, left - 1)),
            ]
        return m


class _Cut(wiring.Component):
    """Beats from a row, lowest bits first: combinational, a beat per cycle.

    ``last`` marks a row's last beat.
    """

    i: stream.Interface
    o: stream.Interface
    last: Signal

    def __init__(self, *, trunk: int, beats: int):
        self._beats = beats
        super().__init__(
            {
                "i": In(stream.Signature(unsigned(trunk * beats))),
                "o": Out(stream.Signature(unsigned(trunk))),
                "last": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        beat = Signal(range(self._beats))
        m.d.comb += [
            self.o.valid.eq(self.i.valid),
            self.o.payload.eq(self.i.payload.word_select(beat, len(self.o.payload))),
            self.last.eq(beat == self._beats - 1),
            self.i.ready.eq(self.o.ready & self.last),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += beat.eq(Mux(self.last, 0, beat + 1))
        return m


class Broadcast(wiring.Component):
    """From the centre to the tiles.

    Every branch has a register, so a row that nobody holds up takes one cycle per level of the
    tree, one more for the root's branch, and ``trunk_beats`` to be put together at the tile. A row
    follows the other every ``trunk_beats`` cycles. A beat waits in a branch until all children that
    it is for have taken it, so a tile that is full holds up what is behind it, and nothing is lost.

    Parameters
    ----------
    config : ``tiles``, ``arity``, ``trunk``

    Members
    -------
    i : In(stream(BroadcastLayout))
    o : Out(stream(TileRowLayout)).array(tiles)
    idle : Out(1), nothing on its way
    """

    i: stream.Interface
    o: Any
    idle: Signal

    def __init__(self, *, config: NodeConfig):
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(BroadcastLayout(config))),
                "o": Out(stream.Signature(TileRowLayout(config))).array(config.tiles),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        beats = config.trunk_beats
        m.submodules.cut = cut = _Cut(trunk=config.trunk, beats=beats)
        m.submodules.root = root = _BroadcastNode(config=config, tiles=config.tiles)
        row = self.i.payload.row
        m.d.comb += [
            cut.i.valid.eq(self.i.valid),
            cut.i.payload.eq(row.data),
            self.i.ready.eq(cut.i.ready),
            root.i.valid.eq(cut.o.valid),
            root.i.payload.data.eq(cut.o.payload),
            root.i.payload.kind.eq(row.kind),
            root.i.payload.row.eq(row.row),
            root.i.payload.tiles.eq(self.i.payload.tiles),
            cut.o.ready.eq(root.i.ready),
        ]
        # Rows on their way to each tile; a queue's worth of them in every level is plenty.
        levels = config.tiles.bit_length() + 3
        ways = []
        for n, (beat, port) in enumerate(zip(root.o, self.o, strict=True)):
            m.submodules[f"join_{n}"] = join = _Join(trunk=config.trunk, beats=beats)
            kind, number = Signal(Kind), Signal(16, reset_less=True)
            m.d.comb += [
                join.i.valid.eq(beat.valid),
                join.i.payload.eq(beat.payload.data),
                beat.ready.eq(join.i.ready),
                port.valid.eq(join.o.valid),
                port.payload.data.eq(join.o.payload),
                port.payload.kind.eq(kind),
                port.payload.row.eq(number),
                join.o.ready.eq(port.ready),
            ]
            with m.If(beat.valid & beat.ready):
                m.d.sync += [kind.eq(beat.payload.kind), number.eq(beat.payload.row)]
            way = Signal(range(levels + 1), name=f"way_{n}")
            entered = self.i.valid & self.i.ready & self.i.payload.tiles[n]
            m.d.sync += way.eq(way + entered - (port.valid & port.ready))
            ways.append(way)
        m.d.comb += self.idle.eq(~self.i.valid & ~Cat(ways).any())
        return m


class _GatherNode(wiring.Component):
    """An inner node on the way up, and below it those for ``tiles`` tiles.

    An order names a tile by its number among those below. The highest digits name the child; the
    rest is passed on to it, while the child's number waits here for the row.
    """

    order: stream.Interface
    i: Any
    o: stream.Interface

    def __init__(self, *, config: NodeConfig, tiles: int):
        self._config = config
        self._tiles = tiles
        self._beat = data.StructLayout({"data": unsigned(config.trunk), "last": unsigned(1)})
        super().__init__(
            {
                "order": In(stream.Signature(unsigned(_digits(tiles)))),
                "i": In(stream.Signature(self._beat)).array(tiles),
                "o": Out(stream.Signature(self._beat)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.branch = branch = Register(shape=self._beat)
        connect(m, branch.o, flipped(self.o))
        if self._tiles == 1:
            # A tile gives a row for each order.
            m.submodules.orders = orders = Queue(shape=unsigned(1), depth=4)
            connect(m, flipped(self.order), orders.i)
            m.d.comb += [
                branch.i.payload.eq(self.i[0].payload),
                branch.i.valid.eq(self.i[0].valid & orders.o.valid),
                self.i[0].ready.eq(branch.i.ready & orders.o.valid),
                orders.o.ready.eq(self.i[0].valid & branch.i.ready & self.i[0].payload.last),
            ]
            return m

        arity = _arity(self._tiles, self._config.arity)
        below = self._tiles // arity
        digits = (below - 1).bit_length()
        child = self.order.payload[digits:]
        # As many orders wait here as go down and come back as rows in the meantime.
        depth = 2 * height(self._tiles, self._config.arity) + 4
        m.submodules.children = children = Queue(shape=unsigned(len(child)), depth=depth)
        m.submodules.fork = fork = Fork(shape=self.order.payload.shape(), count=1 + arity)
        connect(m, flipped(self.order), fork.i)
        m.d.comb += [
            fork.targets.eq(1 | (2 << child)),
            children.i.valid.eq(fork.o[0].valid),
            children.i.payload.eq(fork.o[0].payload[digits:]),
            fork.o[0].ready.eq(children.i.ready),
        ]
        for n in range(arity):
            inner = _GatherNode(config=self._config, tiles=below)
            m.submodules[f"child_{n}"] = inner
            m.submodules[f"order_{n}"] = order = Register(shape=unsigned(_digits(below)))
            m.d.comb += [
                order.i.valid.eq(fork.o[1 + n].valid),
                order.i.payload.eq(fork.o[1 + n].payload[:digits]),
                fork.o[1 + n].ready.eq(order.i.ready),
            ]
            connect(m, order.o, inner.order)
            for tile in range(below):
                connect(m, flipped(self.i[n * below + tile]), inner.i[tile])
            with m.If(children.o.valid & (children.o.payload == n)):
                m.d.comb += [
                    branch.i.valid.eq(inner.o.valid),
                    branch.i.payload.eq(inner.o.payload),
                    inner.o.ready.eq(branch.i.ready),
                    children.o.ready.eq(inner.o.valid & branch.i.ready & inner.o.payload.last),
                ]
        return m


class Gather(wiring.Component):
    """From the tiles to the centre: a row for each order, in the order of the orders.

    Orders run ahead of the rows: they fill the queues of the inner nodes, which then know whose row
    is next. So rows of different tiles follow each other without a gap, one every ``trunk_beats``
    cycles, whatever the tiles' order is. A tile whose row is not ready holds up all others.

    Parameters
    ----------
    config : ``tiles``, ``arity``, ``trunk``

    Members
    -------
    order : In(stream(range(tiles))), the tile whose next row is wanted
    i : In(stream(row_bits)).array(tiles), finished rows
    o : Out(stream(row_bits))
    """

    order: stream.Interface
    i: Any
    o: stream.Interface

    def __init__(self, *, config: NodeConfig):
        self._config = config
        row = stream.Signature(unsigned(config.row_bits))
        super().__init__(
            {
                "order": In(stream.Signature(unsigned(_digits(config.tiles)))),
                "i": In(row).array(config.tiles),
                "o": Out(row),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        beats = config.trunk_beats
        m.submodules.root = root = _GatherNode(config=config, tiles=config.tiles)
        connect(m, flipped(self.order), root.order)
        for n, port in enumerate(self.i):
            m.submodules[f"cut_{n}"] = cut = _Cut(trunk=config.trunk, beats=beats)
            connect(m, flipped(port), cut.i)
            m.d.comb += [
                root.i[n].valid.eq(cut.o.valid),
                root.i[n].payload.data.eq(cut.o.payload),
                root.i[n].payload.last.eq(cut.last),
                cut.o.ready.eq(root.i[n].ready),
            ]
        m.submodules.join = join = _Join(trunk=config.trunk, beats=beats)
        m.d.comb += [
            join.i.valid.eq(root.o.valid),
            join.i.payload.eq(root.o.payload.data),
            root.o.ready.eq(join.i.ready),
        ]
        connect(m, join.o, flipped(self.o))
        return m
