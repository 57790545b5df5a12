"""Collects what becomes a node's program."""

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from compiler.parameters import pack_table
from hw.arith.numbers import Table
from hw.dadiannao.assembler import (
    Instruction,
    Load,
    Loop,
    Read,
    Runs,
    Send,
    Store,
    Tile,
    Write,
    nest,
    row_levels,
)
from hw.dadiannao.config import NodeConfig
from hw.dadiannao.instructions import RowLoop
from hw.dadiannao.isa import LoadOp, ReadOp, SendOp
from hw.nfu.layouts import Op

__all__ = ["Arrival", "Emitter", "HostImage"]

_COUNT_LIMIT = (1 << 16) - 1


class Arrival(NamedTuple):
    """That ``rows`` rows have come from node ``source`` since the program's start."""

    source: int
    rows: int


@dataclass
class HostImage:
    """Constant data in the host's memory, in the making; ``cursor`` is the first free byte."""

    beat: int
    cursor: int = 0
    pieces: list[tuple[int, bytes]] = field(default_factory=list)

    def reserve(self, size: int) -> int:
        """Take ``size`` bytes, aligned to the bus; returns their address."""
        address = -(-self.cursor // self.beat) * self.beat
        self.cursor = address + size
        return address

    def place(self, content: np.ndarray) -> int:
        """Put constant data in; returns its address. Equal data are there once."""
        data = content.tobytes()
        address = self.reserve(len(data))
        self.pieces.append((address, data))
        return address


@dataclass
class Emitter:
    """Instructions of one node.

    SB rows are counted alike in all tiles of a node: what one layer takes in any tile, no other
    layer uses in another tile.

    Parameters
    ----------
    config : the machine
    node : number of the node
    host : memory that all nodes share
    tag : of the layer in work
    synapses : instructions that load SB; they come first in the program
    instructions : the others
    sb_rows : rows of SB in use; may exceed what there is, which ``lower`` then says
    """

    config: NodeConfig
    node: int
    host: HostImage
    tag: int = 0
    synapses: list[Instruction] = field(default_factory=list)
    instructions: list[Instruction] = field(default_factory=list)
    sb_rows: int = 0
    _fence: bool = True
    _expected: dict[int, int] = field(default_factory=dict)
    _waited: dict[str, dict[int, int]] = field(default_factory=lambda: {"read": {}, "send": {}})
    _table: Table | None = None
    _places: dict[Hashable, int] = field(default_factory=dict)
    _masks: dict[int, int] = field(default_factory=dict)
    _next_mask: int = 0

    @property
    def all_tiles(self) -> int:
        """The mask of all tiles."""
        return (1 << self.config.tiles) - 1

    def fence(self) -> None:
        """The next instruction waits for all before it."""
        self._fence = True
        everything = dict(self._waited["read"])
        for source, count in self._waited["send"].items():
            everything[source] = max(count, everything.get(source, 0))
        self._waited = {unit: dict(everything) for unit in self._waited}

    def emit(
        self,
        *,
        load: Load | None = None,
        store: Store | None = None,
        read: Read | None = None,
        tile: Tile | None = None,
        write: Write | None = None,
        send: Send | None = None,
    ) -> None:
        """Append one instruction."""
        for unit, slot in (("read", read), ("send", send)):
            if slot is not None and slot.arrivals:
                before = self._waited[unit].get(slot.source, 0)
                self._waited[unit][slot.source] = max(before, slot.arrivals)
        self.instructions.append(
            Instruction(
                load=load, store=store, read=read, tile=tile, write=write, send=send, tag=self.tag,
                fence=self._fence,
            )
        )  # fmt: skip
        self._fence = False

    # Other nodes

    def expect(self, source: int, rows: int) -> Arrival:
        """Another node sends some rows: the arrival of the last of them."""
        self._expected[source] = self._expected.get(source, 0) + rows
        return Arrival(source, self._expected[source])

    def arrived(self) -> list[Arrival]:
        """The arrival of everything that other nodes have sent so far."""
        return [Arrival(source, count) for source, count in self._expected.items()]

    def is_late(self, unit: str, arrival: Arrival | None) -> bool:
        """Whether ``unit`` ("read" or "send") has to wait for ``arrival``."""
        return arrival is not None and self._waited[unit].get(arrival.source, 0) < arrival.rows

    def wait(self) -> None:
        """What is read from now on may be anything that other nodes have sent."""
        for arrival in self.arrived():
            if self.is_late("read", arrival):
                self.emit(read=Read(ReadOp.WAIT, source=arrival.source, arrivals=arrival.rows))

    def pass_on(self, waits: list[Arrival], sends: list[Send]) -> None:
        """Send something that has come with ``waits``."""
        for source, count in waits:
            if self.is_late("send", Arrival(source, count)):
                self.emit(send=Send(SendOp.WAIT, source=source, arrivals=count))
        for send in sends:
            if not self.is_late("send", Arrival(send.source, send.arrivals)):
                send = replace(send, source=0, arrivals=0)
            self.emit(send=send)

    # SB

    def reserve(self, key: Hashable, rows: int) -> tuple[int, bool]:
        """SB rows for ``key``, the same in all tiles: the first, and whether they are new."""
        new = key not in self._places
        if new:
            self._places[key] = self.sb_rows
            self.sb_rows += rows
        return self._places[key], new

    def load_synapses(self, tiles: int, first: int, rows: np.ndarray) -> None:
        """Load SB rows (rows, bytes) of ``tiles`` from row ``first`` on, once.

        Rows may be shorter than SB's; the rest of them is zero.
        """
        rows = self.whole(rows)
        size = rows.shape[1]
        address = self.host.place(rows)
        for start in range(0, len(rows), _COUNT_LIMIT):
            count = min(_COUNT_LIMIT, len(rows) - start)
            slot = Load(
                Runs(address + start * size, count * size), LoadOp.SYNAPSES, address=first + start,
                tiles=tiles, levels=row_levels([RowLoop(count=count)]),
            )  # fmt: skip
            self.synapses.append(Instruction(load=slot, tag=self.tag))

    def whole(self, rows: np.ndarray) -> np.ndarray:
        """Rows of parameters, which are padded to the bus, as whole SB rows."""
        size = self.config.core.sb_row_bits // 8
        rows = rows[:, :size]
        return np.pad(rows, ((0, 0), (0, size - rows.shape[1])))

    def load_table(self, table: Table) -> None:
        """Make ``table`` the activation of all following outputs."""
        if table == self._table:
            return
        self._table = table
        rows = pack_table(table, self.config.core)
        first, new = self.reserve(rows.tobytes(), len(rows))
        if new:
            self.load_synapses(self.all_tiles, first, rows)
        slot = nest(Op.TABLE, [Loop(count=len(rows), sb=1)], sb=first)
        self.emit(tile=Tile(slot, self.all_tiles))

    def load_biases(self, tiles: int, first: int, rows: int) -> None:
        """Fill the bias rows of ``tiles`` from the SB rows ``first`` and on."""
        self.emit(tile=Tile(nest(Op.BIAS, [Loop(count=rows, sb=1, bias=1)], sb=first), tiles))

    # Mask table

    def masks(self, tiles: list[int]) -> int:
        """First entry of the mask table from which it holds ``tiles``; sets what does not."""
        known = len(self._masks)
        for start in range(known - len(tiles) + 1):
            if all(self._masks[start + n] == mask for n, mask in enumerate(tiles)):
                return start
        start = self._next_mask
        if start + len(tiles) > self.config.masks:
            start = 0
        self._next_mask = start + len(tiles)
        for entry, mask in enumerate(tiles, start):
            if self._masks.get(entry) != mask:
                self._masks[entry] = mask
                self.emit(read=Read(ReadOp.MASK, mask=entry, tiles=mask))
        return start

    def program(self) -> list[Instruction]:
        """All instructions, with END."""
        return [*self.synapses, *self.instructions, Instruction(end=True, tag=self.tag)]
