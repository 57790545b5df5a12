"""What the NFU does, step by step, from the formulas of ``hw.arith.numbers``; and random steps."""

import random
from dataclasses import dataclass, field, fields
from typing import Self

import numpy as np

from hw.arith.numbers import (
    NO_MIRROR,
    Table,
    activate,
    bounds,
    requantise,
    truncated_product,
    wrap,
)
from hw.diannao.config import Config
from hw.nfu.layouts import Control, Op, Operands, lanes, row_bits
from tests.streams import pack

__all__ = ["Reference", "Shape", "Step", "Stimulus"]


@dataclass(frozen=True)
class Shape:
    """The numbers that describe an NFU (the parameters of ``Nfu`` that matter for results)."""

    tn: int
    ti: int
    width: int
    drop: int
    acc_width: int
    nbout_rows: int
    bias_rows: int
    segments: int

    @classmethod
    def of(cls, core: Config) -> Self:
        """That of a core's NFU."""
        return cls(**{field.name: getattr(core, field.name) for field in fields(cls)})

    def operands(self) -> Operands:
        control = Control(self.nbout_rows, self.bias_rows)
        bits = row_bits(self.width, self.tn, self.ti)
        return Operands(control, lanes(self.width, self.ti), bits)


@dataclass
class Step:
    """One step; ``row_words`` are the synapses or the parameter words."""

    op: Op
    first: int = 0
    last: int = 0
    row: int = 0
    bias: int = 0
    shift: int = 0
    scale: int = 0
    neurons: list[int] = field(default_factory=list)
    synapses: list[int] = field(default_factory=list)
    words: list[int] = field(default_factory=list)

    def payload(self, shape: Shape) -> int:
        """The step as the bits of Nfu.i."""
        layout = shape.operands()
        word = 0
        control = layout["control"]
        assert isinstance(control.shape, Control)
        for name, place in control.shape:
            value = getattr(self, str(name))
            word |= (value.value if isinstance(value, Op) else value) << place.offset
        word <<= control.offset
        word |= pack(self.neurons, shape.width) << layout["neurons"].offset
        if self.words:
            word |= pack(self.words, 2 * shape.width) << layout["row"].offset
        else:
            word |= pack(self.synapses, shape.width) << layout["row"].offset
        return word


class Reference:
    """The NFU without a clock."""

    def __init__(self, shape: Shape):
        self.shape = shape
        self.partial: dict[int, list[int]] = {}
        self.bias: dict[int, list[int]] = {}
        self.table = [0] * (2 * shape.segments)

    def step(self, step: Step) -> list[int] | None:
        """Execute one step; the outputs, if it has any."""
        shape = self.shape
        if step.op is Op.BIAS:
            self.bias[step.bias] = step.words
            return None
        if step.op is Op.TABLE:
            self.table = (self.table + step.words)[-2 * shape.segments :]
            return None
        sums = self._accumulate(step)
        if step.last:
            return self._finish(sums, step)
        self.partial[step.row] = sums
        return None

    def _accumulate(self, step: Step) -> list[int]:
        shape = self.shape
        if step.op is Op.MAC:
            base = self.bias[step.bias] if step.first else self.partial[step.row]
            operands = [
                sum(
                    truncated_product(x, w, shape.width, shape.drop)
                    for x, w in zip(
                        step.neurons, step.synapses[n * shape.ti : (n + 1) * shape.ti], strict=True
                    )
                )
                for n in range(shape.tn)
            ]
        else:
            operands = (step.neurons + [0] * shape.tn)[: shape.tn]
            if step.first:
                return operands
            base = self.partial[step.row]
        pairs = zip(base, operands, strict=True)
        if step.op is Op.MAX:
            return [max(pair) for pair in pairs]
        return [wrap(sum(pair), shape.acc_width) for pair in pairs]

    def _finish(self, sums: list[int], step: Step) -> list[int]:
        width = self.shape.width
        starts = [wrap(word, width) for word in self.table[::2]]
        mirror = None if starts[0] == NO_MIRROR else starts[0] % (1 << width)
        table = Table(
            breakpoints=tuple(starts[1:]),
            a=tuple(word >> width for word in self.table[::2]),
            b=tuple(self.table[1::2]),
            shift=step.scale,
            mirror=mirror,
        )
        narrow = np.array([requantise(s, step.shift, width) for s in sums], dtype=np.int64)
        return activate(narrow, table, width, self.shape.drop).tolist()


class Stimulus:
    """Random steps, corner values included, that never read what was not written before."""

    def __init__(self, shape: Shape, seed: int):
        self.shape = shape
        self.rng = random.Random(seed)
        self.parked: set[int] = set()
        self.neurons: set[int] = set()
        """Rows whose partial sums are neurons, and so can be compared with some."""

    def value(self, width: int) -> int:
        low, high = bounds(width)
        rng = self.rng
        return rng.choice((low, low + 1, -1, 0, 1, high, *(rng.randint(low, high),) * 6))

    def values(self, width: int, count: int) -> list[int]:
        if self.rng.random() < 0.1:
            return [self.value(width)] * count
        return [self.value(width) for _ in range(count)]

    def biases(self, rows) -> list[Step]:
        shape = self.shape
        return [
            Step(Op.BIAS, bias=row, words=self.values(2 * shape.width, shape.tn)) for row in rows
        ]

    def table(self) -> list[Step]:
        """All rows of a random table, padded in front."""
        shape, width = self.shape, self.shape.width
        starts = sorted(self.values(width, shape.segments - 1))
        mirror = self.rng.choice((NO_MIRROR, 0, self.rng.randrange((1 << width) - 1)))
        words = []
        for start in (wrap(mirror, width), *starts):
            words += [(self.value(width) << width) | (start % (1 << width))]
            words += [self.value(2 * width)]
        words = self.values(2 * width, -len(words) % shape.tn) + words
        return [
            Step(Op.TABLE, words=words[k : k + shape.tn]) for k in range(0, len(words), shape.tn)
        ]

    def data(
        self, near: int | None = None, first: bool | None = None, last: bool | None = None
    ) -> Step:
        """A MAC, MAX or SUM; on row ``near``, or on a random one."""
        shape, rng = self.shape, self.rng
        row = rng.randrange(shape.nbout_rows) if near is None else near
        if first is None:
            first = row not in self.parked or rng.random() < 0.3
        if last is None:
            last = rng.random() < 0.4
        op = rng.choice((Op.MAC, Op.MAC, Op.MAX, Op.SUM))
        if not first and (row in self.neurons or op is Op.MAX):
            # Chains of maxima are long enough to go through all that keeps sums.
            op = Op.MAX if row in self.neurons and rng.random() < 0.8 else Op.MAC
        if not last:
            self.parked.add(row)
            (self.neurons.add if op is Op.MAX else self.neurons.discard)(row)
        return Step(
            op,
            first=int(first),
            last=int(last),
            row=row,
            bias=rng.randrange(shape.bias_rows),
            shift=rng.choice((0, 1, shape.width, rng.randrange(2 * shape.width), 63)),
            scale=rng.randrange(2 * shape.width),
            neurons=self.values(shape.width, shape.ti),
            synapses=self.values(shape.width, shape.tn * shape.ti),
        )

    def mixture(self, count: int) -> list[Step]:
        """About ``count`` data steps, with bias and table rows reloaded in between."""
        steps = self.biases(range(self.shape.bias_rows)) + self.table()
        row = 0
        for _ in range(count):
            kind = self.rng.random()
            if kind < 0.1:
                steps += self.biases([self.rng.randrange(self.shape.bias_rows)])
            elif kind < 0.13:
                steps += self.table()
            near = row if self.rng.random() < 0.4 else None
            steps.append(self.data(near))
            row = steps[-1].row
        return steps
