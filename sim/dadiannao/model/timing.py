"""Times of rows and steps of one node, slot after slot.

A unit does one row or step per cycle unless it waits, so its times are a running maximum over what
it waits for. Tiles that share a slot are alike but for the rows they are sent, so the first and the
last of them stand for all. Loads from the host and stores are not timed, only that their slots are
fetched: what counts is the time when everything is in the central memories.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from math import prod

import numpy as np

from hw.dadiannao.assembler import Instruction, Read, Send, Tile, TileNest, Write
from hw.dadiannao.config import NodeConfig
from hw.dadiannao.instructions import DADIANNAO
from hw.dadiannao.isa import LoadOp, ReadOp, SendOp
from hw.diannao.isa import NfuOut
from hw.nfu.layouts import Held, Op
from sim.interpreter.nest import Nest

from ..interpreter.rows import addresses
from .network import NetworkModel

__all__ = ["Latencies", "NodeModel"]


@dataclass(frozen=True)
class Latencies:
    """Cycles between units, of an idle node.

    Parameters
    ----------
    fence : from the end of everything to the first slot behind a fence
    read : from a slot at the reader to its first row on the fat tree
    between : cycles that the reader loses from one slot to the next
    tree : from there to a tile's first step with it
    nfu : from the last step of an accumulation to the finished row
    write : from a finished row to the central memory
    send : from a slot at the sender to its first row at the mesh
    arrive : from a row's last word at the receiver to a slot that has waited for it
    """

    fence: int = 2
    read: int = 0
    between: int = 5
    tree: int = 0
    nfu: int = 10
    write: int = 2
    send: int = 4
    arrive: int = 2

    @classmethod
    def of(cls, config: NodeConfig) -> "Latencies":
        """Those of the RTL of ``config``, as measured on small machines."""
        branches = config.arity.bit_length() - 1  # as powers of two, like the tiles
        levels = max(1, -(-(config.tiles.bit_length() - 1) // branches))
        return cls(
            read=cls.read + config.central_latency,
            send=cls.send + config.central_latency,
            tree=cls.tree + levels * config.trunk_beats + config.sb_latency,
            nfu=config.nfu1_stages + config.nfu2_stages + config.nfu3_stages + 2,
            write=cls.write + levels * config.trunk_beats,
        )


@dataclass
class _TileTimes:
    """A tile: when it can go on, and when the rows of its NBin come and go.

    ``arrived`` are all rows so far that have not been freed, ``freed`` the times at which the last
    ``nbin_rows`` rows were given up.
    """

    nbin_rows: int
    ready: int = 0
    arrived: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    freed: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    finished: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


@dataclass(frozen=True)
class _Rows:
    """Rows of a read slot: entries of the mask table, when it starts, and cycles of those before.

    ``behind`` are the cycles on the fat tree of earlier slots whose rows have no times yet.
    """

    entries: np.ndarray
    start: int
    behind: int


class NodeModel:
    """Times of a program on one node.

    Parameters
    ----------
    number, network : of the node, and the mesh that it sends to; None for a machine of one node

    Members
    -------
    now : when the next slot can be handed out
    layers : cycles by tag, from a layer's first tile slot to the next layer's first one; of the
        last layer, to the end
    active : NFU steps by tag
    """

    def __init__(
        self,
        config: NodeConfig,
        latencies: Latencies | None = None,
        *,
        number: int = 0,
        network: NetworkModel | None = None,
    ):
        self._config = config
        self._number = number
        self._network = network
        self._latencies = latencies or Latencies.of(config)
        self._tiles = [_TileTimes(config.nbin_rows) for _ in range(config.tiles)]
        self._masks: dict[int, int] = {}
        self.now = 0
        self._reader = 0
        self._writer = 0
        self._sender = 0
        self._loader = 0
        self._waited = {"read": 0, "send": 0}
        self._taken: dict[str, list[int]] = {"read": [], "send": []}  # when slots left the queues
        self._rows: list[_Rows] = []  # that a nest still waits for more of
        self._nest: Nest | None = None
        self._dispatched = 0
        self._begins: list[tuple[int, int]] = []
        self.active: dict[int, int] = {}

    @property
    def end(self) -> int:
        """When everything so far has ended."""
        units = self._reader, self._writer, self._sender, self._loader
        return max(*units, self.now, *(tile.ready for tile in self._tiles))

    @property
    def layers(self) -> dict[int, int]:
        result: dict[int, int] = {}
        for (tag, begin), (_, end) in pairwise([*self._begins, (-1, self.end)]):
            result[tag] = result.get(tag, 0) + end - begin
        return result

    def execute(self, program: list[Instruction]) -> Iterator[bool]:
        """Go through a program; yields whether an instruction is done or waits for other nodes."""
        for instruction in program:
            if instruction.fence:
                self.now = self.end + self._latencies.fence
            slots = [kind for kind in DADIANNAO.kinds if getattr(instruction, kind) is not None]
            self.now += 1 + sum(DADIANNAO.words[kind] for kind in slots)
            for unit, slot in (("read", instruction.read), ("send", instruction.send)):
                if slot is None:
                    continue
                # A full queue holds up all that is behind.
                taken, room = self._taken[unit], self._config.queue + 1
                if len(taken) >= room:
                    self.now = max(self.now, taken[-room])
                if not slot.arrivals:
                    taken.append(max(self.now, self._waited[unit]))
                    continue
                while (arrived := self._arrival(slot)) is None:
                    yield False
                there = arrived + self._latencies.arrive
                self._waited[unit] = max(self._waited[unit], there)
                taken.append(max(self.now, self._waited[unit]))
            self._execute(instruction)
            yield True

    def _arrival(self, slot: Read | Send) -> int | None:
        if self._network is None:
            return None
        return self._network.arrival(slot.source, self._number, slot.arrivals)

    def _execute(self, instruction: Instruction) -> None:
        load, tile = instruction.load, instruction.tile
        if load is not None and load.op == LoadOp.CLEAR:
            rows = prod(level.count for level in load.levels)
            self._loader = max(self._loader, self.now) + rows
        if tile is not None:
            if not self._begins or self._begins[-1][0] != instruction.tag:
                self._begins.append((instruction.tag, self.now))
        if instruction.read is not None:
            self._read(instruction.read, tile)
        elif tile is not None:
            self._parameters(tile)
        if instruction.write is not None:
            self._write(instruction.write)
        if instruction.send is not None:
            self._send(instruction.send)
        if tile is not None and tile.nest.op in (Op.MAC, Op.MAX, Op.SUM):
            tag = instruction.tag
            self.active[tag] = self.active.get(tag, 0) + tile.nest.steps

    def _numbers(self, mask: int) -> list[int]:
        return [n for n in range(self._config.tiles) if mask >> n & 1]

    def _parameters(self, slot: Tile) -> None:
        for number in self._numbers(slot.tiles):
            tile = self._tiles[number]
            tile.ready = max(tile.ready, self.now) + slot.nest.steps

    def _read(self, slot: Read, work: Tile | None) -> None:
        start = max(self.now, self._waited["read"])
        if slot.op == ReadOp.MASK:
            self._masks[slot.mask] = slot.tiles
            return
        if slot.op == ReadOp.WAIT:
            self._reader = max(self._reader, start)
            return
        entries = addresses(slot.mask, slot.levels, "mask_step")
        behind = sum(len(rows.entries) for rows in self._rows) * self._config.trunk_beats
        behind += len(self._rows) * self._latencies.between
        self._rows.append(_Rows(entries, max(start, self._reader - self._latencies.read), behind))
        if work is not None:
            self._nest = Nest(work.nest)
            self._dispatched = self.now
        if self._nest is None or self._enough(self._nest):
            self._broadcast(self._nest)
            self._rows, self._nest = [], None

    def _enough(self, nest: Nest) -> bool:
        """Whether the rows so far are all that a nest needs."""
        needed = int(nest.span("nbin")[1]) // self._config.ti + 1
        masks = [self._masks.get(entry, 0) for rows in self._rows for entry in rows.entries]
        for tile in self._numbers(masks[0]):
            held = len(self._tiles[tile].arrived)
            return held + sum(mask >> tile & 1 for mask in masks) >= needed
        return True

    def _broadcast(self, nest: Nest | None) -> None:
        """Times of all rows that have been read, and of the steps of ``nest``."""
        entries = np.concatenate([rows.entries for rows in self._rows])
        masks = np.array(
            [self._masks.get(n, 0) for n in range(int(entries.max()) + 1)], dtype=object
        )
        wanted = 0
        for entry in np.unique(entries).tolist():
            wanted |= self._masks[entry]
        numbers = self._numbers(wanted)
        kinds = {}  # tiles that get the same rows
        for number in numbers:
            takes = np.array([mask >> number & 1 for mask in masks.tolist()], dtype=bool)[entries]
            kinds.setdefault(takes.tobytes(), (takes, []))[1].append(number)
        beats, latency = self._config.trunk_beats, self._latencies.read
        order = np.concatenate(
            [np.arange(len(rows.entries)) * beats + rows.behind for rows in self._rows]
        )
        earliest = np.concatenate(
            [np.full(len(rows.entries), rows.start + latency) for rows in self._rows]
        )
        earliest = np.maximum(earliest, self._reader + self._latencies.between)
        results = {}
        times = order
        while True:  # until no row has to wait longer for room in NBin
            times = order + np.maximum.accumulate(earliest - order)
            later = earliest
            for key, (takes, members) in kinds.items():
                tile = self._tiles[members[0]]
                arrived = np.concatenate([tile.arrived, times[takes] + self._latencies.tree])
                results[key] = outcome = self._steps(tile, nest, arrived)
                freed = np.concatenate([tile.freed, outcome[1]])
                # Row k of a tile waits for the place of row k - nbin_rows.
                waits = np.zeros(int(takes.sum()), dtype=np.int64)
                held = len(tile.arrived)
                place = np.arange(len(waits)) + held - self._config.nbin_rows + len(tile.freed)
                known = (place >= 0) & (place < len(freed))
                waits[known] = freed[place[known]] + 1
                bound = earliest.copy()
                bound[takes] = np.maximum(bound[takes], waits)
                later = np.maximum(later, bound)
            if np.array_equal(later, earliest):
                break
            earliest = later
        self._reader = int(times[-1]) + beats
        for key, (_, members) in kinds.items():
            arrived, freed, finished, ready = results[key]
            for number in members:
                tile = self._tiles[number]
                tile.arrived = arrived
                tile.freed = np.concatenate([tile.freed, freed])[-self._config.nbin_rows :]
                tile.finished = np.concatenate([tile.finished, finished])
                tile.ready = ready

    def _steps(self, tile: _TileTimes, nest: Nest | None, arrived: np.ndarray):
        """What is left in NBin, times of freed rows and of finished ones, and the end of a nest."""
        nothing = np.zeros(0, dtype=np.int64)
        if nest is None:
            return arrived, nothing, nothing, tile.ready
        steps = np.arange(nest.steps)
        rows = nest.at("nbin", steps) // self._config.ti
        ready = np.maximum(arrived[rows], max(tile.ready, self._dispatched))
        pace = self._pace(nest)
        times = pace + np.maximum.accumulate(ready - pace)
        freed = nest.freed("nbin_free", steps + 1) // self._config.ti
        count = int(freed[-1])
        gone = times[np.searchsorted(freed, np.arange(1, count + 1))]
        finished = nothing
        if nest.slot.target == NfuOut.NFU3:
            last = nest.first_steps() + nest.duration
            if isinstance(nest.slot, TileNest) and nest.slot.held == Held.EACH:
                last = last[1::2]  # the second steps of pairs
            finished = times[last] + self._latencies.nfu
        return arrived[count:], gone, finished, int(times[-1]) + 1

    def _pace(self, nest: Nest) -> np.ndarray:
        """Earliest times of steps, from 0 on, as far as the banks of SB allow.

        A bank that has read a row is busy until the row is there and restored. A row that is the
        same as the last one of its bank is not read again.
        """
        steps = np.arange(nest.steps)
        if not nest.reads_sb:
            return steps
        # The same rows come again with every iteration of the loops that stay on them.
        period = max((loop.period * loop.count for loop in nest.loops if loop.sb), default=1)
        rows = nest.at("sb", np.arange(2 * period) % period).tolist()
        busy = self._config.sb_latency + self._config.sb_restore
        free = [0] * self._config.sb_banks
        held: list[int | None] = [None] * self._config.sb_banks
        pace, now = [], -1
        for row in rows:
            now += 1
            bank = row % self._config.sb_banks
            if row != held[bank]:
                now = max(now, free[bank])
                free[bank] = now + busy
                held[bank] = row
            pace.append(now)
        once = np.array(pace, dtype=np.int64)
        first, again = once[:period], once[period:]
        rounds = steps // period
        step = int(again[-1] - first[-1])
        inside = again - again[0]
        start = np.where(rounds > 0, again[0] + (rounds - 1) * step, 0)
        return start + np.where(rounds > 0, inside[steps % period], first[steps % period])

    def _send(self, slot: Send) -> None:
        start = max(self.now, self._waited["send"], self._sender)
        self._sender = start
        if slot.op == SendOp.WAIT:
            return
        assert self._network is not None
        run = slot.levels[0].count
        rows = prod(level.count for level in slot.levels)
        ready = start + self._latencies.send + np.arange(rows)
        first = np.arange(rows) % run == 0
        self._sender = self._network.send(self._number, slot.node, ready, first)

    def _write(self, slot: Write) -> None:
        numbers = self._numbers(slot.tiles)
        count = len(addresses(slot.address, slot.levels))
        each = count // len(numbers)
        rows = np.stack([self._tiles[n].finished[:each] for n in numbers])
        rows = rows.reshape(len(numbers), -1, slot.burst).transpose(1, 0, 2).reshape(-1)
        order = np.arange(count) * self._config.trunk_beats
        start = max(self._writer, self.now)
        times = order + np.maximum.accumulate(np.maximum(rows, start) - order)
        self._writer = int(times[-1]) + self._latencies.write
        for n in numbers:
            self._tiles[n].finished = self._tiles[n].finished[each:]
