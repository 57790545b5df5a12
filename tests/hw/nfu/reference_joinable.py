"""What the NFU does when its operators can join, in Python's integers; and random steps for it."""

from dataclasses import dataclass, replace

import numpy as np

from hw.arith import wide
from hw.arith.numbers import NO_MIRROR, Table, activate, requantise, wrap
from hw.nfu.layouts import Control, Op, Operands, lanes, row_bits
from tests.hw.nfu import reference

__all__ = ["Reference", "Shape", "Step", "Stimulus"]


class Shape(reference.Shape):
    """As that of the plain NFU."""

    def operands(self) -> Operands:
        control = Control(self.nbout_rows, self.bias_rows, True)
        bits = row_bits(self.width, self.tn, self.ti)
        return Operands(control, lanes(self.width, self.ti), bits)


@dataclass
class Step(reference.Step):
    """With the fields that joining takes."""

    joined: int = 0
    half: int = 0
    derivative: int = 0

    @property
    def wide(self) -> bool:
        return bool(self.joined) and self.op in (Op.MAC, Op.MAX, Op.SUM)


def join(halves: list[int], width: int) -> list[int]:
    """Numbers of twice the width from their halves, low ones first."""
    return [
        wrap((high << width) + low % (1 << width), 2 * width)
        for low, high in zip(halves[::2], halves[1::2], strict=True)
    ]


def halves(values: list[int], width: int) -> list[int]:
    """The reverse of ``join``."""
    return [wrap(value >> shift, width) for value in values for shift in (0, width)]


class Reference(reference.Reference):
    """The NFU without a clock; ``rows`` gives all rows of outputs of a step."""

    def __init__(self, shape: Shape):
        super().__init__(shape)
        self.tables = [self.table, list(self.table)]

    def rows(self, step: Step) -> list[list[int]]:
        """Execute one step; its rows of outputs."""
        if step.op is Op.TABLE:
            number = step.derivative
            self.tables[number] = (self.tables[number] + step.words)[-2 * self.shape.segments :]
            return []
        if not step.wide:
            outputs = []
            for number in range(1 + step.derivative):
                self.table = self.tables[number]
                parked = dict(self.partial)
                outputs.append(self.step(step))
                if outputs[0] is None:
                    return []
                if number < step.derivative:
                    self.partial = parked
            return [row for row in outputs if row is not None]
        sums = self._wide_sums(step)
        if not step.last:
            self.partial[step.row] = sums
            return []
        return [self._wide_finish(sums, step)]

    def _wide_sums(self, step: Step) -> list[int]:
        shape = self.shape
        neurons = join(step.neurons, shape.width)
        if step.op is Op.MAC:
            base = (
                join(self.bias[step.bias], 2 * shape.width) if step.first
                else self.partial[step.row]
            )  # fmt: skip
            operands = []
            for m in range(shape.tn // 2):
                first = (2 * m + step.half) * shape.ti
                row = join(step.synapses[first : first + shape.ti], shape.width)
                operands.append(sum(x * w for x, w in zip(neurons, row, strict=True)))
        else:
            operands = neurons
            if step.first:
                return operands
            base = self.partial[step.row]
        pairs = list(zip(base, operands, strict=True))
        if step.op is Op.MAX:
            return [max(pair) for pair in pairs]
        return [wrap(sum(pair), 2 * shape.acc_width) for pair in pairs]

    def _wide_finish(self, sums: list[int], step: Step) -> list[int]:
        width = self.shape.width
        low, high = self.tables
        pairs = list(zip(low[::2], high[::2], strict=True))
        starts = join([wrap(word, width) for pair in pairs for word in pair], width)
        slopes = join([word >> width for pair in pairs for word in pair], width)
        pairs = zip(low[1::2], high[1::2], strict=True)
        offsets = join([word for pair in pairs for word in pair], 2 * width)
        table = Table(
            breakpoints=tuple(starts[1:]),
            a=tuple(slopes),
            b=tuple(offsets),
            shift=step.scale,
            mirror=None if starts[0] == NO_MIRROR else starts[0] % (1 << 2 * width),
        )
        narrow = np.array([requantise(s, step.shift, 2 * width) for s in sums], dtype=np.int64)
        if 2 * width == wide.WIDTH:
            return halves(wide.activate(narrow, table).tolist(), width)
        return halves(activate(narrow, table, 2 * width, 0).tolist(), width)


class Stimulus(reference.Stimulus):
    """Random steps in which joined ones and others alternate.

    Rows of NBout are read as they were written. A pair of tables serves one kind of steps until the
    next one is loaded, since the starts of its segments ascend only for that.
    """

    def __init__(self, shape: Shape, seed: int):
        super().__init__(shape, seed)
        self.wide_rows: set[int] = set()
        self.wide_tables = False

    def table(self) -> list[reference.Step]:
        shape = self.shape
        self.wide_tables = not self.wide_tables
        steps: list[reference.Step] = []
        if not self.wide_tables:
            for number in range(2):
                steps += [Step(**vars(step), derivative=number) for step in super().table()]
            return steps
        wide_shape = replace(shape, width=2 * shape.width)
        drawn = reference.Stimulus(wide_shape, self.rng.getrandbits(32)).table()
        words = [word for step in drawn for word in step.words][-2 * shape.segments :]
        parts: list[list[int]] = [[], []]
        for start, offset in zip(words[::2], words[1::2], strict=True):
            for number in range(2):
                low, high = (wrap(start >> shift + number * shape.width, shape.width)
                             for shift in (0, 2 * shape.width))  # fmt: skip
                parts[number] += [(high << shape.width) | (low % (1 << shape.width))]
                parts[number] += [wrap(offset >> 2 * number * shape.width, 2 * shape.width)]
        for number, part in enumerate(parts):
            part = [0] * (-len(part) % shape.tn) + part
            for k in range(0, len(part), shape.tn):
                steps.append(Step(Op.TABLE, words=part[k : k + shape.tn], derivative=number))
        return steps

    def biases(self, rows) -> list[reference.Step]:
        return [Step(**vars(step)) for step in super().biases(rows)]

    def data(
        self, near: int | None = None, first: bool | None = None, last: bool | None = None
    ) -> Step:
        plain = super().data(near, first, last)
        step = Step(**vars(plain), half=self.rng.randrange(2), joined=int(self.rng.random() < 0.5))
        if step.last:
            step.joined = int(self.wide_tables)
            step.derivative = self.rng.randrange(2)
        if not step.joined or 2 * self.shape.width < wide.WIDTH:
            step.scale %= 2 * self.shape.width
        if not step.first and (step.row in self.wide_rows) != bool(step.joined):
            step.first = 1
        if not step.last:
            (self.wide_rows.add if step.joined else self.wide_rows.discard)(step.row)
        return step
