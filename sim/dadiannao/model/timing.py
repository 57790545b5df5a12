"""Times of rows and steps of one node, slot after slot.

A unit does one row or step per cycle unless it waits, so its times are a running maximum over what
it waits for. Tiles that get the same rows are alike, and one of them is computed for all. Loads
from the host and stores are not timed, only that their slots are fetched: what counts is the time
when everything is in the central memories.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import pairwise
from math import prod

import numpy as np

from hw.dadiannao.assembler import Instruction, Load, Read, Send, Tile, TileNest, Write
from hw.dadiannao.config import NodeConfig
from hw.dadiannao.fat_tree import height
from hw.dadiannao.instructions import DADIANNAO
from hw.dadiannao.isa import LoadOp, ReadOp, SendOp
from hw.diannao.fields import slot_words
from hw.diannao.isa import NfuOut, NfuSlot
from hw.nfu.layouts import Held

from ...interpreter.nest import Nest
from ..interpreter.rows import addresses
from .fetch import Fetch
from .network import NetworkModel
from .queue import SlotQueue

__all__ = ["Latencies", "NodeModel"]


@dataclass(frozen=True)
class Latencies:
    """Cycles between units when nothing is in the way, as the pipelines of ``hw/dadiannao`` have
    them.

    Parameters
    ----------
    fence : from the end of everything to the next slot
    arrive : from a row's last word at the receiver until a slot that waits for it leaves its queue
    row : from the request for a row of a central memory until it leaves that memory's queue
    tree : from there to the first step that can use it in a tile
    nest : from a nest at the tiles to its first step
    free : from a step to the first step with the row that has its place in NBin
    nfu : from the last step of an accumulation until the row leaves the tile
    gather : from there to the central memory
    """

    fence: int
    arrive: int
    row: int
    tree: int
    nest: int
    free: int
    nfu: int
    gather: int

    @classmethod
    def of(cls, config: NodeConfig) -> "Latencies":
        """Those of ``config``."""
        levels = height(config.tiles, config.arity) + config.trunk_beats
        operands = max(config.sb_latency, 2) + 1
        return cls(
            fence=1,
            arrive=1,
            row=config.central_latency + 2,
            tree=levels + 3,
            nest=_NEST_WORDS + 3,
            free=operands,
            nfu=operands + config.nfu1_stages + config.nfu2_stages + config.nfu3_stages + 1,
            gather=levels + 1,
        )


_NEST_WORDS = slot_words(NfuSlot)
"""Cycles in which a tile takes a nest, and one more to commit it."""


@dataclass
class _TileTimes:
    """A tile: when it can go on, and when the rows of its NBin come and go.

    ``arrived`` are all rows so far that have not been freed, ``freed`` the times at which the last
    ``nbin_rows`` rows were given up, ``banks`` those of SB. ``committed`` is when the last nest had
    come as a whole, ``nests`` how many have, and ``done`` the last steps of those that are known.
    """

    banks: "_Banks"
    ready: int = 0
    committed: int = -1
    nests: int = 0
    done: list[int] = field(default_factory=list)
    arrived: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    freed: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    finished: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


def _kinds(instruction: Instruction) -> list[str]:
    """The slots that an instruction has."""
    return [kind for kind in DADIANNAO.kinds if getattr(instruction, kind) is not None]


def _multiplies_neurons(nest: Nest) -> bool:
    """Whether the steps of a nest come in pairs, for products of neurons by neurons."""
    return isinstance(nest.slot, TileNest) and nest.slot.held == Held.EACH


class _User(IntEnum):
    """Users of the central memories, in the order of their turns."""

    READER = 0
    SENDER = 1
    WRITER = 2


@dataclass(frozen=True)
class _Banks:
    """Banks of a tile's SB: when each may read another row, and the row that it holds."""

    free: list[int]
    held: list[int | None]

    def after(self, cycles: int) -> "_Banks":
        """The same, with times that count from so many cycles later."""
        return _Banks([time - cycles for time in self.free], self.held)


@dataclass(frozen=True)
class _Rows:
    """Rows of a read slot.

    ``entries`` of the mask table, ``banks`` that they are in, ``gaps`` of cycles from each row to
    the next, and ``start``, when the first of them may be asked for.
    """

    entries: np.ndarray
    banks: np.ndarray
    gaps: np.ndarray
    start: int


class NodeModel:
    """Times of a program on one node.

    Parameters
    ----------
    number, network : of the node, and the mesh that it sends to

    Members
    -------
    now : when the last slot was handed to its unit's queue
    layers : cycles by tag, from the begin of a layer's first nest in a tile to that of the next
        layer; of the last one, to the end
    active : NFU steps by tag
    """

    def __init__(self, config: NodeConfig, *, number: int, network: NetworkModel):
        self._config = config
        self._number = number
        self._network = network
        self._latencies = Latencies.of(config)
        idle = _Banks([0] * config.sb_banks, [None] * config.sb_banks)
        self._tiles = [_TileTimes(idle) for _ in range(config.tiles)]
        self._masks: dict[int, int] = {}
        self._queues = {kind: SlotQueue(config.queue + 1) for kind in DADIANNAO.kinds}
        self.now = 0
        self._word = -1  # when the decoder took the last word
        self._done = 0  # instructions of the program
        self._asked = -1  # when the reader asked for the last row
        self._ordered = -1  # when the writer asked for the last row
        self._written = np.zeros(0, dtype=np.int64)  # the last ones
        # Cycle and bank of what reads may still meet.
        nothing = np.zeros((0, 2), dtype=np.int64)
        self._others = {_User.SENDER: nothing, _User.WRITER: nothing}
        self._sending = -1  # when the sender asked for the last row
        self._sent = 0
        self._cleared = 0
        self._rows: list[_Rows] = []  # that a nest still waits for more of
        self._nest: Nest | None = None
        self._dispatched = 0
        self._writes: list[tuple[Write, int]] = []  # of rows whose times are not known
        self._begins: list[tuple[int, int]] = []
        self.active: dict[int, int] = {}

    @property
    def end(self) -> int:
        """The last cycle in which anything so far happens."""
        written = int(self._written[-1]) if len(self._written) else 0
        drained = max(tile.ready for tile in self._tiles) + self._latencies.nfu - 2
        taken = max(
            (queue.popped[-1] for queue in self._queues.values() if queue.popped), default=0
        )
        return max(written, self._sent, self._cleared, self.now, self._asked, drained, taken)

    @property
    def layers(self) -> dict[int, int]:
        result: dict[int, int] = {}
        for (tag, begin), (_, end) in pairwise([*self._begins, (-1, self.end + 1)]):
            result[tag] = result.get(tag, 0) + end - begin
        return result

    def wait(self, time: int) -> None:
        """Go on at ``time`` at the earliest."""
        self.now = max(self.now, time)

    def execute(self, program: list[Instruction], fetch: Fetch) -> Iterator[bool]:
        """Go through a program whose words come from ``fetch``.

        Yields whether an instruction is done, or waits for words or for other nodes.
        """
        decoder = self._decode(program, fetch)
        for done in self._work(program):
            # The decoder goes ahead of the units as far as their queues have room.
            if done or not next(decoder, False):
                yield done

    def _decode(self, program: list[Instruction], fetch: Fetch) -> Iterator[bool]:
        """Fill the queues; yields whether a slot was handed over, or cannot be yet."""
        for number, instruction in enumerate(program):
            for kind in ("cp", *_kinds(instruction)):
                for _ in range(DADIANNAO.words[kind]):
                    while (there := fetch.available()) is None:
                        yield False
                    self._word = max(self._word + 1, there, self.now)
                    fetch.take(self._word)
                self.now = self._word + 1
                if kind != "cp":
                    queue = self._queues[kind]
                    while (room := queue.room()) is None:
                        yield False
                    self.now = max(self.now, room)
                    queue.put(self.now)
                    yield True
                elif instruction.fence:
                    while self._done < number:
                        yield False
                    self.now = max(self.now, self.end + self._latencies.fence)

    def _work(self, program: list[Instruction]) -> Iterator[bool]:
        """Let the units take slots; yields whether an instruction is done, or cannot be yet."""
        for number, instruction in enumerate(program, start=1):
            for kind in _kinds(instruction):
                slot, queue = getattr(instruction, kind), self._queues[kind]
                while (start := queue.valid(len(queue.popped))) is None:
                    yield False
                if isinstance(slot, (Read, Send)) and slot.arrivals:
                    while (arrived := self._arrival(slot)) is None:
                        yield False
                    start = max(start, arrived + self._latencies.arrive)
                queue.pop(self._take(slot, start, instruction))
            self._done = number
            yield True

    def _arrival(self, slot: Read | Send) -> int | None:
        return self._network.arrival(slot.source, self._number, slot.arrivals)

    def _take(self, slot: object, start: int, instruction: Instruction) -> int:
        """Do what a slot says, which its unit can take from ``start`` on; returns when it does."""
        if isinstance(slot, Read):
            return self._read(slot, start, instruction.tile is not None)
        if isinstance(slot, Tile):
            return self._dispatch(slot, start, instruction.tag)
        if isinstance(slot, Write):
            taken = max(start, self._ordered)
            self._writes.append((slot, taken))
            self._ordered = taken + prod(level.count for level in slot.levels)
            self._write()
            return taken
        if isinstance(slot, Send):
            return self._send(slot, start)
        if isinstance(slot, Load) and slot.op == LoadOp.CLEAR:
            self._cleared = max(self._cleared, start) + prod(level.count for level in slot.levels)
        return start

    def _numbers(self, mask: int) -> list[int]:
        return [n for n in range(self._config.tiles) if mask >> n & 1]

    def _banks(self, slot: Read | Write | Send) -> np.ndarray:
        """The banks of the central memories in which the rows of a slot are."""
        count = self._config.central_banks
        return slot.bank * count + addresses(slot.address, slot.levels) % count

    def _gaps(self, banks: np.ndarray) -> np.ndarray:
        """Cycles from a row of each bank to the next: a bank writes back what it gave."""
        restore = self._config.central_restore
        gaps = np.full(len(banks), self._config.trunk_beats)
        for distance in range(1, min(restore, len(banks) - 1) + 1):
            same = banks[distance:] == banks[:-distance]
            last = gaps[distance - 1 : -1]
            last[same] = np.maximum(last[same], restore + 2 - distance)
        return gaps

    # Neurons to the tiles

    def _read(self, slot: Read, start: int, with_tile: bool) -> int:
        if slot.op == ReadOp.WAIT:
            return start
        if slot.op == ReadOp.MASK:
            self._masks[slot.mask] = slot.tiles
            self._asked = max(start, self._asked + 1)
            return self._asked
        taken = max(start, self._asked)
        entries = addresses(slot.mask, slot.levels, "mask_step")
        banks = self._banks(slot)
        gaps = self._gaps(banks)
        self._rows.append(_Rows(entries, banks, gaps, taken + 1))
        self._asked = taken + int(gaps[:-1].sum()) + 1
        if not with_tile:
            self._go()
        return taken

    def _dispatch(self, slot: Tile, start: int, tag: int) -> int:
        """A nest to its tiles."""
        nest = Nest(slot.nest)
        banks, taken = self._config.queue + 2, start
        numbers = self._numbers(slot.tiles)
        for number in numbers:
            tile = self._tiles[number]
            begin = max(start, tile.committed + 1)
            before = tile.nests - banks
            if 0 <= before < len(tile.done):
                begin = max(begin, tile.done[before] + 2)
            tile.committed = begin + _NEST_WORDS
            tile.nests += 1
            taken = max(taken, tile.committed)
        begin = taken - _NEST_WORDS + self._latencies.nest
        if not self._begins or self._begins[-1][0] != tag:
            self._begins.append((tag, max(begin, self._tiles[numbers[0]].ready)))
        if not nest.reads_nbin:
            for number in numbers:
                tile = self._tiles[number]
                pace, tile.banks = self._pace(nest, tile.banks)
                tile.ready = max(tile.ready + int(pace[0]), begin) + int(pace[-1] - pace[0]) + 1
                tile.done.append(tile.ready - 1)
            return taken
        assert self._nest is None, "a nest comes before all rows of the one before"
        self._nest, self._dispatched = nest, begin
        self.active[tag] = self.active.get(tag, 0) + nest.steps
        self._go()
        return taken

    def _go(self) -> None:
        """Broadcast the rows so far if they are all that the nest needs."""
        if not self._rows or (self._nest is not None and not self._enough(self._nest)):
            return
        self._broadcast(self._nest)
        self._rows, self._nest = [], None
        self._write()

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
        way = self._latencies.row + self._latencies.tree
        gaps = np.concatenate([rows.gaps for rows in self._rows])
        order = np.cumsum(gaps) - gaps
        banks = np.concatenate([rows.banks for rows in self._rows])
        earliest = np.concatenate([np.full(len(rows.entries), rows.start) for rows in self._rows])
        results = {}
        times = order
        while True:  # until no row has to wait longer for room in NBin
            times = self._granted(order + np.maximum.accumulate(earliest - order), gaps, banks)
            later = earliest
            for key, (takes, members) in kinds.items():
                tile = self._tiles[members[0]]
                arrived = np.concatenate([tile.arrived, times[takes] + way])
                results[key] = outcome = self._steps(tile, nest, arrived)
                freed = np.concatenate([tile.freed, outcome[1]])
                # Row k of a tile waits for the place of row k - nbin_rows.
                waits = np.zeros(int(takes.sum()), dtype=np.int64)
                held = len(tile.arrived)
                place = np.arange(len(waits)) + held - self._config.nbin_rows + len(tile.freed)
                known = (place >= 0) & (place < len(freed))
                waits[known] = freed[place[known]] + self._latencies.free - way
                bound = earliest.copy()
                bound[takes] = np.maximum(bound[takes], waits)
                later = np.maximum(later, bound)
            if np.array_equal(later, earliest):
                break
            earliest = later
        self._asked = int(times[-1])
        for key, (_, members) in kinds.items():
            arrived, freed, finished, ready, sb = results[key]
            for number in members:
                tile = self._tiles[number]
                tile.arrived = arrived
                tile.freed = np.concatenate([tile.freed, freed])[-self._config.nbin_rows :]
                tile.finished = np.concatenate([tile.finished, finished])
                if nest is not None:
                    tile.ready, tile.banks = ready, sb
                    tile.done.append(ready - 1)

    def _granted(self, times: np.ndarray, gaps: np.ndarray, banks: np.ndarray) -> np.ndarray:
        """When rows are read that are asked for at ``times``, beside what sender and writer do.

        Each bank serves its users in turns, and writes a row back after it was read.
        """
        count, restore = self._config.central_banks, self._config.central_restore
        streams: dict[_User, deque[list[int]]] = {}
        for user in self._others:
            others = self._others[user] = self._others[user][self._others[user][:, 0] >= times[0]]
            if np.isin(others[:, 1] // count, banks // count).any():
                streams[user] = deque(others.tolist())
        if not streams:
            return times
        wanted = list(zip(times.tolist(), banks.tolist(), gaps.tolist(), strict=True))
        free = [0] * (2 * count)  # when each bank can be used again
        turn = [_User.READER] * (2 * count)  # whom each bank has served last
        granted: list[int] = []
        earliest = 0
        while any(streams.values()) and len(granted) < len(wanted):
            time, place, gap = wanted[len(granted)]
            asks = {user: tuple(stream[0]) for user, stream in streams.items() if stream}
            asks[_User.READER] = max(time, earliest), place
            now = min(ask[0] for ask in asks.values())
            asking: dict[int, list[_User]] = {}
            for user, (cycle, bank) in asks.items():
                if cycle == now:
                    asking.setdefault(bank, []).append(user)
            for bank, users in asking.items():
                served = None
                if free[bank] <= now:
                    served = min(users, key=lambda user: (user <= turn[bank], user))
                    turn[bank] = served
                    free[bank] = now + 1 + (restore if served != _User.WRITER else 0)
                for user in users:
                    if user == _User.READER:
                        earliest = now + (gap if served == user else 1)
                    else:
                        if served == user:
                            streams[user].popleft()
                        if streams[user]:
                            streams[user][0][0] = max(streams[user][0][0], now + 1)
                if served == _User.READER:
                    granted.append(now)
        done = len(granted)
        order = np.cumsum(gaps[done:]) - gaps[done:]
        rest = order + np.maximum.accumulate(np.maximum(times[done:], earliest) - order)
        return np.concatenate([np.array(granted, dtype=np.int64), rest])

    def _steps(self, tile: _TileTimes, nest: Nest | None, arrived: np.ndarray):
        """What a nest leaves behind.

        Rows in NBin, times of freed rows and of finished ones, and when the tile and the banks of
        its SB can go on.
        """
        nothing = np.zeros(0, dtype=np.int64)
        if nest is None:
            return arrived, nothing, nothing, tile.ready, tile.banks
        steps = np.arange(nest.steps)
        rows = nest.at("nbin", steps) // self._config.ti
        ready = np.maximum(arrived[rows], max(tile.ready, self._dispatched))
        pace, banks = self._pace(nest, tile.banks)
        ready[0] = max(ready[0], tile.ready + pace[0])
        times = pace + np.maximum.accumulate(ready - pace)
        freed = nest.freed("nbin_free", steps + 1) // self._config.ti
        count = int(freed[-1])
        gone = times[np.searchsorted(freed, np.arange(1, count + 1))]
        finished = nothing
        if nest.slot.target == NfuOut.NFU3:
            last = nest.first_steps() + nest.duration
            if _multiplies_neurons(nest):
                last = last[1::2]  # the second steps of pairs
            finished = times[last] + self._latencies.nfu
        return arrived[count:], gone, finished, int(times[-1]) + 1, banks

    def _pace(self, nest: Nest, banks: "_Banks") -> tuple[np.ndarray, "_Banks"]:
        """Earliest times of steps as far as the banks of SB allow, and what those do then.

        The times count from the first cycle behind the last step of the nest before.

        A bank keeps a row for the steps that have been issued with it, and writes it back. A row
        that is the same as the last one of its bank is not read again.
        """
        steps = np.arange(nest.steps)
        if not nest.reads_sb or _multiplies_neurons(nest):
            return steps, banks.after(nest.steps)
        # The same rows come again with every iteration of the loops that stay on them.
        period = max((loop.period * loop.count for loop in nest.loops if loop.sb), default=1)
        rows = nest.at("sb", np.arange(period)).tolist()
        kept, restored = max(self._config.sb_latency, 2) + 1, self._config.sb_restore + 1
        free, held = list(banks.free), list(banks.held)
        count, now = len(free), -1

        def once() -> np.ndarray:
            nonlocal now
            pace = []
            for row in rows:
                now += 1
                bank = row % count
                if row != held[bank]:
                    now = max(now, free[bank])
                    free[bank] = now + restored
                    held[bank] = row
                free[bank] = max(free[bank], now + kept)
                pace.append(now)
            return np.array(pace, dtype=np.int64)

        times = first = once()
        if nest.steps > period:
            again = once()
            rounds = steps // period - 1
            times = again[steps % period] + rounds * int(again[-1] - first[-1])
            times[:period] = first
        end = int(times[-1])
        return times, _Banks([time - now + end for time in free], held).after(end + 1)

    # Rows from the tiles, and to other nodes

    def _write(self) -> None:
        """Times of rows that tiles have finished, for the writes so far."""
        while self._writes:
            slot, taken = self._writes[0]
            numbers = self._numbers(slot.tiles)
            count = len(addresses(slot.address, slot.levels))
            each = count // len(numbers)
            if any(len(self._tiles[n].finished) < each for n in numbers):
                return
            del self._writes[0]
            rows = np.stack([self._tiles[n].finished[:each] for n in numbers])
            rows = rows.reshape(len(numbers), -1, slot.burst).transpose(1, 0, 2).reshape(-1)
            beats, way = self._config.trunk_beats, self._latencies.gather
            order = np.arange(count) * beats
            first = int(self._written[-1]) + beats if len(self._written) else 0
            earliest = np.maximum(rows + way, max(first, taken + way + 1))
            times = order + np.maximum.accumulate(earliest - order)
            # The inner nodes of the tree hold the orders of some rows to come.
            ahead = 2 * height(self._config.tiles, self._config.arity) + 4
            self._written = np.concatenate([self._written, times])[-ahead - 1 :]
            self._note(_User.WRITER, times, self._banks(slot))
            self._ordered = max(taken + count, int(self._written[0]) - way)
            for n in numbers:
                self._tiles[n].finished = self._tiles[n].finished[each:]

    def _note(self, user: "_User", times: np.ndarray, banks: np.ndarray) -> None:
        """That a user of the central memories wants rows of ``banks`` at ``times``."""
        more = np.stack([times, banks], axis=1)
        self._others[user] = np.concatenate([self._others[user], more])

    def _send(self, slot: Send, start: int) -> int:
        if slot.op == SendOp.WAIT:
            return start
        taken = max(start, self._sending)
        run = slot.levels[0].count
        rows = prod(level.count for level in slot.levels)
        banks = self._banks(slot)
        gaps = self._gaps(banks)
        asked = taken + 1 + np.cumsum(gaps) - gaps
        ready = asked + self._latencies.row
        first = np.arange(rows) % run == 0
        given = self._network.send(self._number, slot.node, ready, first)
        self._sent = max(self._sent, given - 1)
        self._note(_User.SENDER, asked, banks)
        # The queue behind the memory holds rows that wait.
        waiting = (self._config.central_latency + 4) * self._network.row_words
        self._sending = max(int(ready[-1]) - self._latencies.row, given - 1 - waiting)
        return taken
