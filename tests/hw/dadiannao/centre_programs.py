"""Random programs for the centre of a node, and what they do, written down row by row."""

import random
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from hw.dadiannao.assembler import (
    Instruction,
    Load,
    Read,
    Send,
    Store,
    Tile,
    TileNest,
    Write,
    nest,
)
from hw.dadiannao.config import NodeConfig
from hw.dadiannao.instructions import NO_RUNS, RowLevel
from hw.dadiannao.isa import ErrorCode, LoadOp, ReadOp
from hw.diannao.instructions import NestLevel, Runs
from hw.diannao.isa import NfuIn, NfuOut
from hw.nfu.layouts import Op

__all__ = ["MEMORY", "Expected", "addresses", "faults", "random_program", "rows"]

MEMORY = 1 << 16
"""Bytes of the host's memory; programs are in the upper half, stores in the second quarter."""


def addresses(start: int, levels, step: str = "step") -> list[int]:
    """The loops written down as the ISA defines them."""
    found, index, value = [], [0] * len(levels), start
    while True:
        found.append(value)
        for n, level in enumerate(levels):
            if index[n] < level.count - 1:
                value += getattr(level, step)
                index[: n + 1] = [0] * n + [index[n] + 1]
                break
        else:
            return found


@dataclass
class Expected:
    """What a program makes of the node and of what is around it.

    central : rows of both memories, as integers
    neurons, synapses : by tile, rows it gets: integers; (row of SB, integer)
    nests : by tile, (pc, tag) of the instructions it gets
    given : by tile, rows that it gives
    memory : the host's, at the end
    """

    config: NodeConfig
    memory: bytearray
    rng: random.Random
    central: list = field(init=False)
    masks: dict[int, int] = field(default_factory=dict)

    def __post_init__(self):
        tiles = range(self.config.tiles)
        self.central = [[0] * self.config.central_rows for _ in range(2)]
        self.neurons: list[list[int]] = [[] for _ in tiles]
        self.synapses: list[list[tuple[int, int]]] = [[] for _ in tiles]
        self.nests: list[list[tuple[int, int]]] = [[] for _ in tiles]
        self.given: list[list[int]] = [[] for _ in tiles]

    def _runs(self, runs: Runs) -> list[int]:
        return [
            runs.address + i0 * runs.stride[0] + i1 * runs.stride[1] + i2 * runs.stride[2]
            for i2 in range(runs.count[2])
            for i1 in range(runs.count[1])
            for i0 in range(runs.count[0])
        ]

    def _loaded(self, runs: Runs) -> list[int]:
        size = self.config.row_bytes
        rows = []
        for start in self._runs(runs):
            content = bytes(self.memory[start : start + runs.run])
            content += bytes(-len(content) % size)
            rows += [
                int.from_bytes(content[n : n + size], "little")
                for n in range(0, len(content), size)
            ]
        return rows

    def _tiles(self, mask: int) -> list[int]:
        return [n for n in range(self.config.tiles) if mask >> n & 1]

    def execute(self, instruction: Instruction, pc: int):
        """One instruction, slot by slot."""
        load, store, read = instruction.load, instruction.store, instruction.read
        tile, write = instruction.tile, instruction.write
        if load is not None and load.op == LoadOp.SYNAPSES:
            for n, row in enumerate(self._loaded(load.descriptor)):
                for target in self._tiles(load.tiles):
                    self.synapses[target].append((load.address + n // self.config.tn, row))
        elif load is not None:
            at = addresses(load.address, load.levels)
            clear = load.op == LoadOp.CLEAR
            rows = [0] * len(at) if clear else self._loaded(load.descriptor)
            for place, row in zip(at, rows, strict=True):
                self.central[load.bank][place] = row
        if store is not None:
            rows = [self.central[store.bank][a] for a in addresses(store.address, store.levels)]
            size, run = self.config.row_bytes, store.descriptor.run
            per_run = -(-run // size)
            for n, start in enumerate(self._runs(store.descriptor)):
                content = b"".join(
                    row.to_bytes(size, "little") for row in rows[n * per_run :][:per_run]
                )
                self.memory[start : start + run] = content[:run]
        if read is not None and read.op == ReadOp.MASK:
            self.masks[read.mask] = read.tiles
        elif read is not None:
            entries = addresses(read.mask, read.levels, "mask_step")
            for place, entry in zip(addresses(read.address, read.levels), entries, strict=True):
                for target in self._tiles(self.masks[entry]):
                    self.neurons[target].append(self.central[read.bank][place])
        if tile is not None:
            for target in self._tiles(tile.tiles):
                self.nests[target].append((pc, instruction.tag))
        if write is not None:
            tiles = self._tiles(write.tiles)
            for n, place in enumerate(addresses(write.address, write.levels)):
                row = self.rng.getrandbits(self.config.row_bits)
                self.given[tiles[n // write.burst % len(tiles)]].append(row)
                self.central[write.bank][place] = row


def _levels(rng: random.Random, rows: int, most: int = 24) -> tuple[int, tuple[RowLevel, ...]]:
    """Loops whose rows lie in a memory of ``rows``: start and levels."""
    while True:
        counts = [rng.choice((1, 1, 2, 3, rng.randint(1, 6))) for _ in range(4)]
        if np.prod(counts) > most:
            continue
        levels = tuple(
            RowLevel(count, rng.choice((1, -1, 4, rng.randint(-9, 9), rng.randint(-40, 40))))
            for count in counts
        )
        found = addresses(0, levels)
        low, high = min(found), max(found)
        if high - low < rows and len(set(found)) == len(found):
            start = rng.choice((-low, rows - 1 - high, rng.randint(-low, rows - 1 - high)))
            return start, levels


def _runs(rng: random.Random, config: NodeConfig, rows: int, region: tuple[int, int]) -> Runs:
    """Runs of so many rows in all, anywhere in ``region``; the last row of a run may be partial."""
    per_run = rng.choice([n for n in range(1, rows + 1) if rows % n == 0])
    count = rows // per_run
    size = config.row_bytes
    run = per_run * size - rng.choice((0, 0, rng.randrange(size)))
    gap = rng.choice((run, run + rng.randint(0, 50)))
    low, high = region
    span = count * gap
    address = rng.randint(low, high - span)
    if rng.random() < 0.5:
        address -= address % (config.bus_port // 8)
    split = rng.choice([n for n in range(1, count + 1) if count % n == 0])
    return Runs(address, run, (split, count // split, 1), (gap, split * gap, 0))


_NEST = TileNest(
    op=Op.MAC, source=NfuIn.BIAS, target=NfuOut.NFU3, levels=(NestLevel(),) * 6
)  # fmt: skip


def _mask(rng: random.Random, config: NodeConfig) -> int:
    everyone = (1 << config.tiles) - 1
    return rng.choice((everyone, 1 << rng.randrange(config.tiles), rng.randint(1, everyone)))


def random_program(rng: random.Random, config: NodeConfig, length: int) -> list[Instruction]:
    """Instructions that do something of everything, with fences where rows pass on.

    Between two fences, central memory 0 is only written by one unit, and 1 only read, or the other
    way round.
    """
    program = [
        Instruction(
            load=Load(
                NO_RUNS,
                LoadOp.CLEAR,
                bank,
                0,
                0,
                (RowLevel(config.central_rows, 1), *(RowLevel(),) * 3),
            )
        )
        for bank in range(2)
    ]
    known = rng.sample(range(config.masks), 5)
    program += [
        Instruction(read=Read(ReadOp.MASK, mask=n, tiles=_mask(rng, config))) for n in known
    ]
    second = MEMORY // 4
    written, unit = 0, "load"
    for number in range(length):
        fence = number == 0 or rng.random() < 0.5
        if fence:
            written = rng.getrandbits(1)
            unit = rng.choice(("load", "write"))
        slots: dict[str, Any] = {}
        start, levels = _levels(rng, config.central_rows)
        rows = len(addresses(start, levels))
        if rng.random() < 0.5:
            if unit == "load":
                runs = _runs(rng, config, rows, (0, second))
                op = rng.choice((LoadOp.CENTRAL, LoadOp.CENTRAL, LoadOp.CLEAR))
                slots["load"] = Load(runs, op, written, start, 0, levels)
            else:
                burst = rng.choice((1, 1, 2, 3, 100))
                slots["write"] = Write(
                    bank=written, burst=burst, address=start, tiles=_mask(rng, config),
                    levels=levels,
                )  # fmt: skip
        if "load" not in slots and rng.random() < 0.3:
            count = rng.randint(1, 4)
            runs = _runs(rng, config, count * config.tn, (0, second))
            only = (RowLevel(count), *(RowLevel(),) * 3)
            at = rng.choice((0, config.sb_rows - count, rng.randrange(config.sb_rows - count)))
            slots["load"] = Load(runs, LoadOp.SYNAPSES, 0, at, _mask(rng, config), only)
        if rng.random() < 0.5:
            start, levels = _levels(rng, config.central_rows)
            steps = [RowLevel(level.count, level.step, 0) for level in levels]
            slots["read"] = Read(
                ReadOp.BROADCAST, bank=1 - written, mask=rng.choice(known), address=start,
                levels=tuple(steps),
            )  # fmt: skip
        if rng.random() < 0.3:
            slots["tile"] = Tile(nest=_NEST, tiles=_mask(rng, config))
        if rng.random() < 0.5:
            start, levels = _levels(rng, config.central_rows)
            runs = _runs(rng, config, len(addresses(start, levels)), (second, 2 * second))
            slots["store"] = Store(runs, bank=1 - written, address=start, levels=levels)
        program.append(Instruction(tag=rng.getrandbits(16), fence=fence, **slots))
    program.append(Instruction(end=True))
    return program


def rows(*levels) -> tuple[RowLevel, ...]:
    return tuple(RowLevel(*level) for level in levels) + (RowLevel(),) * (4 - len(levels))


def faults(config: NodeConfig) -> list[tuple[Instruction, ErrorCode]]:
    """Instructions that leave what there is, most of them with their last row."""
    c, code = config, ErrorCode
    everyone = (1 << c.tiles) - 1
    row = c.row_bytes
    few = rows((3, 1))
    last = c.central_rows - 2
    load = partial(Load, Runs(0, row, (3, 1, 1), (row, 0, 0)))
    synapses = partial(Load, Runs(0, c.tn * row, (2, 1, 1), (c.tn * row, 0, 0)), LoadOp.SYNAPSES)
    cases = [
        (Instruction(load=load(LoadOp.CENTRAL, 0, last, 0, few)), code.CENTRAL_RANGE),
        (Instruction(load=load(LoadOp.CLEAR, 1, 1, 0, rows((3, -1)))), code.CENTRAL_RANGE),
        (Instruction(load=load(LoadOp.CENTRAL, 0, 0, 0, rows((2, 1)))), code.CENTRAL_RANGE),
        (Instruction(load=load(LoadOp.CENTRAL, 0, 0, 0, rows((4, 1)))), code.CENTRAL_RANGE),
        (Instruction(load=synapses(0, c.sb_rows - 1, 1, rows((2,)))), code.SB_RANGE),
        (Instruction(load=synapses(0, 0, 1, rows((3,)))), code.SB_RANGE),
        (Instruction(load=synapses(0, 0, 1, rows((1,)))), code.SB_RANGE),
        (Instruction(load=synapses(0, 0, 1, rows((1,), (2,)))), code.SB_RANGE),
        (Instruction(load=synapses(0, 0, 0, rows((2,)))), code.TILE_RANGE),
        (Instruction(load=synapses(0, 0, everyone + 1, rows((2,)))), code.TILE_RANGE),
        (Instruction(store=Store(Runs(0, 3 * row), address=last, levels=few)), code.CENTRAL_RANGE),
        (Instruction(read=Read(ReadOp.MASK, mask=0, tiles=0)), code.TILE_RANGE),
        (Instruction(read=Read(ReadOp.MASK, mask=0, tiles=everyone + 1)), code.TILE_RANGE),
        (Instruction(read=Read(ReadOp.BROADCAST, mask=1, levels=few)), code.TILE_RANGE),
        (
            Instruction(read=Read(ReadOp.BROADCAST, mask=0, address=last, levels=few)),
            code.CENTRAL_RANGE,
        ),
        (
            Instruction(read=Read(ReadOp.BROADCAST, mask=0, levels=rows((2, 0, -1)))),
            code.TILE_RANGE,
        ),
        (Instruction(tile=Tile(nest(Op.MAC), 0)), code.TILE_RANGE),
        (Instruction(tile=Tile(nest(Op.MAC), 1 << 63)), code.TILE_RANGE),
        (Instruction(write=Write(tiles=0)), code.TILE_RANGE),
        (Instruction(write=Write(tiles=everyone + 1)), code.TILE_RANGE),
        (Instruction(write=Write(tiles=1, address=last, levels=few)), code.CENTRAL_RANGE),
        (Instruction(send=Send(node=0)), code.NODE_RANGE),
        (Instruction(send=Send(node=c.nodes)), code.NODE_RANGE),
    ]  # fmt: skip
    if c.masks < 256:
        mask = Instruction(read=Read(ReadOp.MASK, mask=c.masks, tiles=1))
        cases.append((mask, code.TILE_RANGE))
    return cases
