"""A node, unit after unit."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod

import numpy as np

from hw.dadiannao.assembler import Instruction, Load, Read, Send, Store, Tile, TileNest, Write
from hw.dadiannao.config import NodeConfig
from hw.dadiannao.isa import ErrorCode, LoadOp, ReadOp, SendOp
from hw.diannao.isa import ErrorCode as CoreErrorCode
from hw.nfu.layouts import Held, Op
from sim.interpreter.errors import ExecutionError
from sim.interpreter.memory import Memory

from . import tile
from .central import Central
from .errors import NodeError
from .rows import addresses

__all__ = ["LayerStatistics", "Node"]


@dataclass
class LayerStatistics:
    """Work of a node's instructions of one tag.

    Parameters
    ----------
    active : NFU steps of MAC, MAX and SUM of the busiest tile
    steps : such steps of all tiles together
    parameters : steps of BIAS and TABLE of the busiest tile
    rows_read, rows_written, rows_sent : rows of the central memories by unit
    rows_received : rows that tiles took from the fat tree, all tiles together
    bytes : of the host's memory, by stream: "nbin" (loads of the central memory), "sb" (loads of
        synapses), "nbout" (stores)
    """

    active: int = 0
    steps: int = 0
    parameters: int = 0
    rows_read: int = 0
    rows_received: int = 0
    rows_written: int = 0
    rows_sent: int = 0
    bytes: dict[str, int] = field(default_factory=lambda: {"nbin": 0, "sb": 0, "nbout": 0})


class Node:
    """State of node ``number``.

    Parameters
    ----------
    config : the machine
    number : of the node
    memory : the host's
    deliver : called with (this node, node, bank, rows' addresses, rows, pc) for what it sends
    """

    def __init__(
        self,
        config: NodeConfig,
        number: int,
        memory: Memory,
        deliver: Callable[[int, int, int, np.ndarray, np.ndarray, int], None],
    ):
        self._config = config
        self._number = number
        self._memory = memory
        self._deliver = deliver
        self.central = Central(config, number)
        self._tiles = [tile.Tile(config, number) for _ in range(config.tiles)]
        self._masks: dict[int, int] = {}
        # Arrivals that units have waited for: reader and sender in a slot, all with a fence.
        self._waited = {
            unit: np.zeros(config.nodes, dtype=np.int64) for unit in ("read", "send", "store")
        }
        self.layers: dict[int, LayerStatistics] = {}

    def keep(self, before: "Node") -> None:
        """Take over what the memories of the node held after another program."""
        self.central.keep(before.central)
        for mine, other in zip(self._tiles, before._tiles, strict=True):
            mine.keep(other)

    def missing(self, instruction: Instruction, pc: int) -> dict[int, int]:
        """Rows by node that have to arrive before ``instruction`` can run to its end."""
        rows: dict[int, int] = {}
        for slot in (instruction.read, instruction.send):
            if slot is None or (isinstance(slot, Read) and slot.op == ReadOp.MASK):
                continue
            if slot.source >= self._config.nodes:
                self._fail(
                    pc, f"there are {self._config.nodes} nodes to wait for, no node {slot.source}",
                    ErrorCode.NODE_RANGE,
                )  # fmt: skip
            more = slot.arrivals - int(self.central.arrivals[slot.source])
            if more > 0:
                rows[slot.source] = max(more, rows.get(slot.source, 0))
        return rows

    def _wait(self, unit: str, slot: Read | Send) -> np.ndarray:
        """What ``unit`` has waited for, with ``slot``."""
        for waited in (self._waited[unit], self.central.waited):
            waited[slot.source] = max(waited[slot.source], slot.arrivals)
        return self._waited[unit]

    def execute(self, instruction: Instruction, pc: int) -> None:
        """Run all slots of an instruction."""
        layer = self.layers.setdefault(instruction.tag, LayerStatistics())
        if instruction.fence:
            for each in self._tiles:
                each.settle()
            self.central.fence()
            for each in self._tiles:
                each.fence()
            for waited in self._waited.values():
                waited[:] = self.central.waited
        if instruction.load is not None:
            self._load(instruction.load, layer, pc)
        if instruction.store is not None:
            self._store(instruction.store, layer, pc)
        if instruction.read is not None:
            self._read(instruction.read, layer, pc)
        if instruction.tile is not None:
            self._run(instruction.tile, layer, pc)
        if instruction.write is not None:
            self._write(instruction.write, layer, pc)
        if instruction.send is not None:
            self._send(instruction.send, layer, pc)

    def end(self, pc: int) -> None:
        """The program has ended: nothing may be left."""
        for number, each in enumerate(self._tiles):
            each.settle()
            if each.finished:
                self._fail(pc, f"{each.finished} finished rows of tile {number} were never written")
            if each.unread:
                self._fail(pc, f"{each.unread} neurons in NBin of tile {number} were never freed")

    def _fail(self, pc: int, message: str, code: ErrorCode = ErrorCode.NONE):
        raise NodeError(self._number, pc, message, code)

    def _numbers(self, tiles: int, pc: int) -> list[int]:
        """The tiles in a mask."""
        if not 0 < tiles < 1 << self._config.tiles:
            self._fail(
                pc, f"tiles must be some of {self._config.tiles}, not {tiles:#x}",
                ErrorCode.TILE_RANGE,
            )  # fmt: skip
        return [n for n in range(self._config.tiles) if tiles >> n & 1]

    # Host

    def _fetch(self, slot: Load, pc: int) -> np.ndarray:
        """What the descriptor names as (rows, row bytes), each run filled up with zeros."""
        try:
            runs = self._memory.load(slot.descriptor, CoreErrorCode.BUS_SB, pc, fenced=False)
        except ExecutionError as error:
            code = ErrorCode.BUS_LOAD if error.code.value else ErrorCode.NONE
            self._fail(pc, str(error).partition(": ")[2], code)
            raise
        size = self._config.row_bytes
        return np.pad(runs, ((0, 0), (0, -runs.shape[1] % size))).reshape(-1, size)

    def _load(self, slot: Load, layer: LayerStatistics, pc: int) -> None:
        config = self._config
        if slot.op == LoadOp.SYNAPSES:
            tiles = self._numbers(slot.tiles, pc)
            count = slot.levels[0].count
            if any(level.count != 1 for level in slot.levels[1:]):
                self._fail(
                    pc, "only the innermost loop of a load of synapses may iterate",
                    ErrorCode.SB_RANGE,
                )  # fmt: skip
            rows = self._fetch(slot, pc)
            if len(rows) != count * config.tn:
                self._fail(
                    pc, f"{count} rows of synapses are {count * config.tn} rows, not {len(rows)}",
                    ErrorCode.SB_RANGE,
                )  # fmt: skip
            if slot.address + count > config.sb_rows:
                self._fail(
                    pc, f"SB has {config.sb_rows} rows, not {slot.address + count}",
                    ErrorCode.SB_RANGE,
                )  # fmt: skip
            for number in tiles:
                self._tiles[number].load(slot.address, rows.reshape(count, -1))
            layer.bytes["sb"] += slot.descriptor.run * prod(slot.descriptor.count)
            return
        at = addresses(slot.address, slot.levels)
        if slot.op == LoadOp.CLEAR:
            rows = np.zeros((len(at), config.ti))
        else:
            rows = self._fetch(slot, pc).view(f"<i{config.element_bytes}")
            if len(rows) != len(at):
                self._fail(
                    pc, f"the loops have {len(at)} rows, the runs {len(rows)}",
                    ErrorCode.CENTRAL_RANGE,
                )  # fmt: skip
            layer.bytes["nbin"] += slot.descriptor.run * prod(slot.descriptor.count)
        self.central.write("load", slot.bank, at, rows, pc)

    def _store(self, slot: Store, layer: LayerStatistics, pc: int) -> None:
        at = addresses(slot.address, slot.levels)
        runs = slot.descriptor
        size = self._config.row_bytes
        count, per_run = prod(runs.count), -(-runs.run // size)
        if count * per_run != len(at):
            self._fail(
                pc, f"the loops have {len(at)} rows, the runs {count * per_run}", ErrorCode.WATCHDOG
            )
        rows = self.central.read("store", slot.bank, at, self._waited["store"], pc)
        content = np.ascontiguousarray(rows).view(np.uint8).reshape(count, -1)[:, : runs.run]
        try:
            self._memory.store(runs, content, pc)
        except ExecutionError as error:
            code = ErrorCode.BUS_STORE if error.code.value else ErrorCode.NONE
            self._fail(pc, str(error).partition(": ")[2], code)
        layer.bytes["nbout"] += runs.run * count

    # Fat tree

    def _read(self, slot: Read, layer: LayerStatistics, pc: int) -> None:
        if slot.op == ReadOp.MASK:
            self._check_mask(slot.mask, pc)
            self._numbers(slot.tiles, pc)
            self._masks[slot.mask] = slot.tiles
            return
        waited = self._wait("read", slot)
        if slot.op == ReadOp.WAIT:
            return
        at = addresses(slot.address, slot.levels)
        entries = addresses(slot.mask, slot.levels, "mask_step")
        unset = np.flatnonzero(~np.isin(entries, list(self._masks)))
        asked = at[: unset[0] + 1] if len(unset) else at  # rows up to the first without tiles
        rows = self.central.read("read", slot.bank, asked, waited, pc)
        if len(unset):
            entry = int(entries[unset[0]])
            self._check_mask(entry, pc)
            self._fail(pc, f"entry {entry} of the mask table was never set", ErrorCode.TILE_RANGE)
        masks = {entry: self._numbers(self._masks[entry], pc) for entry in set(entries.tolist())}
        for number, each in enumerate(self._tiles):
            wanted = [entry for entry, tiles in masks.items() if number in tiles]
            takes = np.isin(entries, wanted)
            if takes.any():
                each.append(rows[takes])
                layer.rows_received += int(takes.sum())
        layer.rows_read += len(at)

    def _check_mask(self, entry: int, pc: int) -> None:
        if not 0 <= entry < self._config.masks:
            self._fail(
                pc, f"the mask table has {self._config.masks} entries, not {entry}",
                ErrorCode.TILE_RANGE,
            )  # fmt: skip

    def _check_mode(self, nest: TileNest, pc: int) -> None:
        config = self._config
        plain = nest.held == Held.SB
        modes = nest.joined or nest.half or nest.derivative
        ok = plain or (config.training and nest.op == Op.MAC)
        if not ok or (modes and not config.aggregate):
            self._fail(
                pc, "the nest is in a mode that needs aggregate, or training and MAC",
                ErrorCode.ILLEGAL_INSTRUCTION,
            )  # fmt: skip

    def _run(self, slot: Tile, layer: LayerStatistics, pc: int) -> None:
        self._check_mode(slot.nest, pc)
        tiles = self._numbers(slot.tiles, pc)
        nests = [self._tiles[number].run(slot.nest, pc) for number in tiles]
        if slot.nest.op in (Op.BIAS, Op.TABLE):
            layer.parameters += nests[0].steps
        else:
            layer.active += nests[0].steps
            layer.steps += nests[0].steps * len(nests)

    def _write(self, slot: Write, layer: LayerStatistics, pc: int) -> None:
        tiles = self._numbers(slot.tiles, pc)
        at = addresses(slot.address, slot.levels)
        turn = slot.burst * len(tiles)
        turns = -(-len(at) // turn)
        shares = []
        for position, number in enumerate(tiles):
            last = len(at) - (turns - 1) * turn - position * slot.burst
            count = (turns - 1) * slot.burst + min(max(last, 0), slot.burst)
            each = self._tiles[number]
            each.settle()
            if count > each.finished:
                self._fail(
                    pc, f"tile {number} must have finished {count} rows, not {each.finished}",
                    ErrorCode.WATCHDOG,
                )  # fmt: skip
            share = each.take(count) if count else np.zeros((0, self._config.tn))
            shares.append(np.pad(share, ((0, turns * slot.burst - count), (0, 0))))
        rows = np.stack(shares).reshape(len(tiles), turns, slot.burst, -1)
        rows = rows.transpose(1, 0, 2, 3).reshape(turns * turn, -1)[: len(at)]
        self.central.write("write", slot.bank, at, rows, pc)
        layer.rows_written += len(at)

    # Mesh

    def _send(self, slot: Send, layer: LayerStatistics, pc: int) -> None:
        waited = self._wait("send", slot)
        if slot.op == SendOp.WAIT:
            return
        if slot.node >= self._config.nodes or slot.node == self._number:
            self._fail(
                pc, f"rows go to another one of {self._config.nodes} nodes, not to {slot.node}",
                ErrorCode.NODE_RANGE,
            )  # fmt: skip
        at = addresses(slot.address, slot.levels)
        rows = self.central.read("send", slot.bank, at, waited, pc)
        there = addresses(slot.to_address, slot.levels, "to_step")
        self._deliver(self._number, slot.node, slot.to_bank, there, rows, pc)
        layer.rows_sent += len(at)
