"""Times of rows and steps of one node, slot after slot.

A unit does one row or step per cycle unless it waits, so its times are a running maximum over what
it waits for. Tiles that share a slot are alike but for the rows they are sent, so the first and the
last of them stand for all. Loads from the host and stores are not timed: what counts is the time
from one fence to the next when everything is in the central memories.
"""

from dataclasses import dataclass, field

import numpy as np

from hw.dadiannao.assembler import Instruction, Read, Tile, Write
from hw.dadiannao.config import NodeConfig
from hw.dadiannao.instructions import DADIANNAO
from hw.dadiannao.isa import ReadOp
from hw.diannao.isa import NfuOut
from hw.nfu.layouts import Op
from sim.interpreter.nest import Nest

from ..interpreter.rows import addresses

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
    """

    fence: int = 2
    read: int = 0
    between: int = 5
    tree: int = 0
    nfu: int = 10
    write: int = 2

    @classmethod
    def of(cls, config: NodeConfig) -> "Latencies":
        """Those of the RTL of ``config``, as measured on small machines."""
        levels = max(1, (config.tiles.bit_length() - 1) // (config.arity.bit_length() - 1))
        return cls(
            read=cls.read + config.central_latency,
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


class NodeModel:
    """Times of a program on one node.

    Members
    -------
    layers : cycles by tag, from the fence before a layer's first slot to the end of its last one
    active : NFU steps by tag
    """

    def __init__(self, config: NodeConfig, latencies: Latencies | None = None):
        self._config = config
        self._latencies = latencies or Latencies.of(config)
        self._tiles = [_TileTimes(config.nbin_rows) for _ in range(config.tiles)]
        self._masks: dict[int, int] = {}
        self._now = 0  # when the next slot can be handed out
        self._reader = 0
        self._writer = 0
        self.layers: dict[int, int] = {}
        self.active: dict[int, int] = {}

    @property
    def end(self) -> int:
        """When everything so far has ended."""
        return max(self._reader, self._writer, self._now, *(tile.ready for tile in self._tiles))

    def run(self, program: list[Instruction]) -> int:
        """Cycles of all instructions but loads and stores."""
        begin = self.end
        for instruction in program:
            before = self.end
            if instruction.fence:
                self._now = before + self._latencies.fence
            slots = [kind for kind in DADIANNAO.kinds if getattr(instruction, kind) is not None]
            self._now += 1 + sum(DADIANNAO.words[kind] for kind in slots)
            if instruction.read is not None:
                self._read(instruction.read, instruction.tile)
            if instruction.tile is not None and instruction.read is None:
                self._parameters(instruction.tile)
            if instruction.write is not None:
                self._write(instruction.write)
            tag = instruction.tag
            self.layers[tag] = self.layers.get(tag, 0) + self.end - before
            if instruction.tile is not None and instruction.tile.nest.op in (
                Op.MAC, Op.MAX, Op.SUM
            ):  # fmt: skip
                steps = instruction.tile.nest.steps
                self.active[tag] = self.active.get(tag, 0) + steps
        return self.end - begin

    def _numbers(self, mask: int) -> list[int]:
        return [n for n in range(self._config.tiles) if mask >> n & 1]

    def _parameters(self, slot: Tile) -> None:
        for number in self._numbers(slot.tiles):
            tile = self._tiles[number]
            tile.ready = max(tile.ready, self._now) + slot.nest.steps

    def _read(self, slot: Read, work: Tile | None) -> None:
        if slot.op == ReadOp.MASK:
            self._masks[slot.mask] = slot.tiles
            return
        entries = addresses(slot.mask, slot.levels, "mask_step")
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
        beats = self._config.trunk_beats
        order = np.arange(len(entries)) * beats
        start = max(self._now, self._reader - self._latencies.read)
        earliest = np.full(len(entries), start + self._latencies.read, dtype=np.int64)
        earliest = np.maximum(earliest, self._reader + self._latencies.between)
        nest = None if work is None else Nest(work.nest)
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
        ready = np.maximum(arrived[rows], max(tile.ready, self._now))
        pace = self._pace(nest)
        times = pace + np.maximum.accumulate(ready - pace)
        freed = nest.freed("nbin_free", steps + 1) // self._config.ti
        count = int(freed[-1])
        gone = times[np.searchsorted(freed, np.arange(1, count + 1))]
        finished = nothing
        if nest.slot.target == NfuOut.NFU3:
            finished = times[nest.first_steps() + nest.duration] + self._latencies.nfu
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

    def _write(self, slot: Write) -> None:
        numbers = self._numbers(slot.tiles)
        count = len(addresses(slot.address, slot.levels))
        each = count // len(numbers)
        rows = np.stack([self._tiles[n].finished[:each] for n in numbers])
        rows = rows.reshape(len(numbers), -1, slot.burst).transpose(1, 0, 2).reshape(-1)
        order = np.arange(count) * self._config.trunk_beats
        start = max(self._writer, self._now)
        times = order + np.maximum.accumulate(np.maximum(rows, start) - order)
        self._writer = int(times[-1]) + self._latencies.write
        for n in numbers:
            self._tiles[n].finished = self._tiles[n].finished[each:]
