"""Random nests in all modes of a tile that trains, and the rows that must come out."""

import random
from dataclasses import replace
from typing import Any

import numpy as np

from hw.dadiannao.assembler import Loop, TileNest, nest
from hw.dadiannao.config import NodeConfig
from hw.diannao.isa import NfuIn, NfuOut
from hw.nfu.layouts import Held, Op
from sim.dadiannao.interpreter.tile import Tile
from sim.interpreter.nest import Nest
from tests.hw.nfu.reference_joinable import Shape, Stimulus
from tests.streams import pack

__all__ = ["ModeProgram"]


class ModeProgram:
    """Phases of nests; those of a phase may run into one another, phases may not.

    Parameters
    ----------
    config : of the node
    seed : of everything random
    """

    def __init__(self, config: NodeConfig, seed: int):
        self.config, self.core = config, config.core
        core = config.core
        self.rng = random.Random(seed)
        self.stimulus = Stimulus(replace(Shape.of(core), drop=0), seed)
        self.rows: list[int] = []
        self.tables: dict[bool, list[tuple[int, bool]]] = {}
        for joined in (True, False):
            steps = self.stimulus.table()
            assert self.stimulus.wide_tables == joined
            begin = len(self.rows)
            self.tables[joined] = [
                (begin + n, bool(getattr(step, "derivative", 0))) for n, step in enumerate(steps)
            ]
            self.rows += [pack(step.words, 2 * core.width) for step in steps]
        self.bias = len(self.rows)
        for step in self.stimulus.biases(range(core.bias_rows)):
            self.rows.append(pack(step.words, 2 * core.width))
        self.synapses = len(self.rows)
        while len(self.rows) < core.sb_rows:
            self.rows.append(pack(self.stimulus.values(core.width, core.tn * core.ti), core.width))
        self.tile = Tile(config, 0)
        size = core.sb_row_bits // 8
        content = [np.frombuffer(row.to_bytes(size, "little"), dtype=np.uint8) for row in self.rows]
        self.tile.load(0, np.array(content))
        self.loaded: bool | None = None

    def phase(self, count: int) -> tuple[list[TileNest], list[int], list[int]]:
        """Nests, the neurons that they use up, and their packed outputs."""
        core, nests = self.core, []
        joined = self.rng.random() < 0.6
        if joined != self.loaded:
            for row, derivative in self.tables[joined]:
                nests.append(nest(Op.TABLE, sb=row, derivative=derivative))
            loops = [Loop(count=core.bias_rows, sb=1, bias=1)]
            nests.append(nest(Op.BIAS, loops, sb=self.bias))
            self.loaded = joined
        updated: set[int] = set()
        while count:
            slots = self._random(joined, updated)
            nests += slots
            count -= 1
        neurons, outputs = [], []
        kind = {8: np.int8, 16: np.int16}[core.width]
        self.tile.fence()
        for slot in nests:
            walk = Nest(slot)
            freed = int(walk.freed("nbin_free", walk.steps))
            values = self.stimulus.values(core.width, freed)
            neurons += values
            self.tile.append(np.array(values, dtype=kind))
            self.tile.run(slot, 0)
            if self.tile.finished:
                made = self.tile.take(self.tile.finished).tolist()
                outputs += [pack(row, core.width) for row in made]
        return nests, neurons, outputs

    def _random(self, joined: bool, updated: set[int]) -> list[TileNest]:
        rng, core = self.rng, self.core
        ti = core.ti
        numbers: dict[str, Any] = {
            "shift": rng.randrange(min(64, 2 * core.width * (1 + joined))),
            "scale": rng.randrange(min(64, 2 * core.width * (1 + joined))),
            "joined": joined, "bias": rng.randrange(core.bias_rows),
        }  # fmt: skip
        finishing = {**numbers, "derivative": rng.random() < 0.5}
        kind = rng.choice(("update", "each", "class", "pool", "park"))
        reduction, points = rng.randint(1, 5), rng.randint(1, 4)
        first = rng.randint(self.synapses, core.sb_rows - 1 - reduction * points)
        reads = set(range(first, first + reduction * points))
        if kind in ("class", "park") and reads & updated:
            kind = "each"
        if kind == "update":
            first = rng.randint(self.synapses, core.sb_rows - 1 - points)
            rows = set(range(first, first + points))
            if rows & updated:
                return []
            updated |= rows
            size = 2 * reduction * ti
            half = rng.randrange(2) if joined else 0
            if points == 1:
                # In two nests, with others in between.
                loops = [Loop(count=2, nbin=ti), Loop(count=reduction, nbin=2 * ti, reduce=True)]
                plain = {**numbers, "bias": 0, "sb": first, "held": Held.ALL, "nbin_free": size}
                return [
                    nest(Op.MAC, loops, target=NfuOut.NBOUT, half=half, **plain),
                    nest(Op.SUM, [Loop(count=3, nbin=ti, nbin_free=ti)], **finishing),
                    nest(Op.MAC, loops, source=NfuIn.NBOUT, half=half, **plain),
                ]
            return [
                nest(
                    Op.MAC,
                    [
                        Loop(count=2, nbin=ti),
                        Loop(count=reduction, nbin=2 * ti, reduce=True),
                        Loop(count=points, nbin=size, nbin_free=size, sb=1),
                    ],
                    sb=first, held=Held.ALL, half=half,
                    **{**numbers, "bias": 0},
                )
            ]  # fmt: skip
        if kind == "each":
            size = 2 * reduction * ti
            return [
                nest(
                    Op.MAC,
                    [
                        Loop(count=2, nbin=ti),
                        Loop(count=reduction, nbin=2 * ti, reduce=True),
                        Loop(count=points, nbin=size, nbin_free=size),
                    ],
                    held=Held.EACH, **finishing,
                )
            ]  # fmt: skip
        half = rng.randrange(2) if joined else 0
        if kind == "class":
            return [
                nest(
                    Op.MAC,
                    [
                        Loop(count=reduction, nbin=ti, sb=1, reduce=True),
                        Loop(count=points, sb=reduction),
                    ],
                    sb=first, nbin_free=reduction * ti, half=half, **finishing,
                )
            ]  # fmt: skip
        if kind == "pool":
            op = rng.choice((Op.MAX, Op.SUM))
            loops = [
                Loop(count=reduction, nbin=ti, reduce=True),
                Loop(count=points, nbin=reduction * ti, nbin_free=reduction * ti),
            ]
            return [nest(op, loops, **finishing)]
        loops = [Loop(count=reduction, nbin=ti, nbin_free=ti, sb=1, reduce=True)]
        row = core.nbout_rows - 1
        return [
            nest(Op.MAC, loops, sb=first, nbout=row, target=NfuOut.NBOUT, half=half, **numbers),
            nest(
                Op.MAC, loops, sb=first, nbout=row, source=NfuIn.NBOUT,
                half=rng.randrange(2) if joined else 0, **finishing,
            ),
        ]  # fmt: skip
