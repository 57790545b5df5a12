"""Random nests for a tile, with synapses and neurons, and the rows that must come out."""

import random
from dataclasses import fields
from typing import Any

import numpy as np

from hw.dadiannao.config import NodeConfig
from hw.diannao.assembler import Loop, NfuNest, nest
from hw.diannao.isa import LEVELS, NfuIn, NfuOut
from hw.diannao.sequencer import QueuedNest
from hw.nfu.layouts import Op
from sim.interpreter.nest import Nest
from sim.interpreter.nfu import Nfu
from tests.hw.nfu.reference import Shape, Stimulus
from tests.streams import pack

__all__ = ["TileProgram", "encode"]


def encode(slot: NfuNest, pc: int = 0, tag: int = 0) -> int:
    """The nest as the bits of Tile.instruction."""
    content: dict[str, Any] = {field.name: getattr(slot, field.name) for field in fields(slot)}
    content["levels"] = [
        {field.name: getattr(level, field.name) for field in fields(level)} for level in slot.levels
    ]
    assert len(content["levels"]) == LEVELS
    return QueuedNest.const({"slot": content, "pc": pc, "tag": tag}).as_bits()


class TileProgram:
    """Nests, the neurons that they use up, and the outputs that the interpreter gives for them.

    Row contents are random: parameter rows (``table`` and ``bias``) first, then synapses.

    Parameters
    ----------
    config : of the node
    seed : of everything random
    """

    def __init__(self, config: NodeConfig, seed: int):
        self.config, self.core = config, config.core
        core = self.core
        self.rng = random.Random(seed)
        self.stimulus = Stimulus(
            Shape.of(core),
            seed,
        )  # fmt: skip
        self.rows: list[int] = []
        for step in [*self.stimulus.table(), *self.stimulus.biases(range(core.bias_rows))]:
            self.rows.append(pack(step.words, 2 * core.width))
        self.table = 0
        self.bias = core.table_rows
        self.synapses = len(self.rows)
        while len(self.rows) < core.sb_rows:
            self.rows.append(pack(self.stimulus.values(core.width, core.tn * core.ti), core.width))
        self.nests: list[NfuNest] = []
        self.neurons: list[int] = []
        self._parked: list[int] = []

    def parameters(self) -> None:
        """Nests that load table and biases."""
        core = self.core
        self.nests += [
            nest(Op.TABLE, [Loop(count=core.table_rows, sb=1)], sb=self.table),
            nest(Op.BIAS, [Loop(count=core.bias_rows, sb=1, bias=1)], sb=self.bias),
        ]

    def add(self, slot: NfuNest) -> None:
        """Append ``slot`` and as many neurons as it frees."""
        self.nests.append(slot)
        freed = int(Nest(slot).freed("nbin_free", Nest(slot).steps))
        self.neurons += self.stimulus.values(self.core.width, freed)

    def mixture(self, count: int) -> None:
        """Random nests of all kinds, over all rows of synapses."""
        for _ in range(count):
            self.add(self._random())

    def _random(self) -> NfuNest:
        rng, core = self.rng, self.core
        ti = core.ti
        kind = rng.choice(("class", "conv", "stay", "park", "pool", "bias", "dense"))
        reduction = rng.randint(1, 6)
        groups = rng.randint(1, 3)
        points = rng.randint(1, 5)
        numbers: dict[str, Any] = {
            "shift": rng.randrange(2 * core.width),
            "scale": rng.randrange(2 * core.width),
        }
        numbers["bias"] = rng.randrange(core.bias_rows)
        last = core.sb_rows - 1 - reduction * groups
        sb = rng.choice((self.synapses, last, rng.randint(self.synapses, last)))
        if kind == "bias":
            return nest(Op.BIAS, [], sb=self.bias, bias=numbers["bias"])
        if kind == "dense":
            # A row of outputs in every step, from rows that lie in the same bank, or anywhere.
            count = rng.randint(1, 24)
            most = (core.sb_rows - 1 - self.synapses) // count
            step = rng.choice([n for n in (0, 1, 2, 3, 4, 8) if n <= most])
            return nest(
                Op.MAC, [Loop(count=count, sb=step)], sb=self.synapses, nbin_free=ti, **numbers
            )
        if kind == "class":
            return nest(
                Op.MAC,
                [
                    Loop(count=reduction, nbin=ti, sb=1, reduce=True),
                    Loop(count=groups, sb=reduction, nbout=1),
                ],
                sb=sb, nbin_free=reduction * ti, **numbers,
            )  # fmt: skip
        if kind == "conv":
            step = rng.randint(1, ti)
            return nest(
                Op.MAC,
                [
                    Loop(count=reduction, nbin=ti, sb=1, reduce=True),
                    Loop(count=groups, sb=reduction, nbout=1),
                    Loop(count=points, nbin=step, nbin_free=step),
                ],
                sb=sb, nbin_free=reduction * ti + rng.choice((0, ti)), **numbers,
            )  # fmt: skip
        if kind == "stay":
            # Every row of synapses for all points: partial sums wait in NBout.
            return nest(
                Op.MAC,
                [
                    Loop(count=points, nbin=ti, nbout=1),
                    Loop(count=reduction, nbin=points * ti, nbin_free=points * ti, sb=1,
                         reduce=True),
                ],
                sb=sb, **numbers,
            )  # fmt: skip
        if kind == "pool":
            return nest(
                rng.choice((Op.MAX, Op.SUM)),
                [
                    Loop(count=reduction, nbin=ti, reduce=True),
                    Loop(count=points, nbin=reduction * ti, nbin_free=reduction * ti),
                ],
                **numbers,
            )
        # Partial sums that stay for the next nest, which goes through the rows backwards.
        row = core.nbout_rows - 1
        begin = nest(
            Op.MAC,
            [Loop(count=reduction, nbin=ti, nbin_free=ti, sb=1, reduce=True)],
            sb=sb, nbout=row, target=NfuOut.NBOUT, **numbers,
        )  # fmt: skip
        self.add(begin)
        return nest(
            Op.MAC,
            [Loop(count=reduction, nbin=ti, nbin_free=ti, sb=-1, reduce=True)],
            sb=sb + reduction, nbout=row, source=NfuIn.NBOUT, **numbers,
        )  # fmt: skip

    def outputs(self) -> list[int]:
        """The finished rows, packed, as the interpreter has them."""
        core = self.core
        nfu = Nfu(core)
        size = core.sb_row_bits // 8
        rows = np.array(
            [np.frombuffer(row.to_bytes(size, "little"), dtype=np.uint8) for row in self.rows]
        )
        neurons = np.array(self.neurons, dtype=np.int16 if core.width == 16 else np.int8)
        # The last windows may reach beyond the neurons of the program.
        neurons = np.concatenate([neurons, np.zeros(core.nbin_elements, dtype=neurons.dtype)])
        tail, outputs = 0, []
        for slot in self.nests:
            walk = Nest(slot)
            made = nfu.run(walk, neurons[tail:], rows, 0)
            outputs += [pack(row, core.width) for row in made.tolist()]
            tail += int(walk.freed("nbin_free", walk.steps))
        return outputs
