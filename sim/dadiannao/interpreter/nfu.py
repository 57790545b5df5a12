"""The NFU of a tile: joined operators, a second table, held neurons."""

from copy import copy
from dataclasses import replace
from math import prod

import numpy as np

from hw.arith.numbers import NO_MIRROR, bounds, saturate
from hw.arith.wide import Wide, product
from hw.dadiannao.assembler import TileNest
from hw.diannao.config import Config
from hw.diannao.isa import NfuIn, NfuOut
from hw.nfu.layouts import Held, Op
from sim.interpreter.errors import ExecutionError
from sim.interpreter.nest import Nest
from sim.interpreter.nfu import Nfu

__all__ = ["TileNfu"]

_CHUNK = 1 << 20
"""Products that are looked at together."""

_LOW = (1 << 32) - 1


class TileNfu(Nfu):
    """As DianNao's NFU, with the modes of ``hw.dadiannao.isa.TileNest``."""

    def __init__(self, config: Config):
        super().__init__(config)
        self._second = np.zeros(0, dtype=np.int64)
        self._unfinished: tuple[Wide, bool] | None = None

    def run(self, nest: Nest, neurons: np.ndarray, rows: np.ndarray, pc: int) -> np.ndarray:
        """As that of DianNao's NFU; with ``derivative`` two rows of outputs after each other."""
        slot = nest.slot
        assert isinstance(slot, TileNest)
        if slot.op in (Op.BIAS, Op.TABLE):
            if slot.derivative and slot.op == Op.TABLE:
                self._swap()
                super().run(nest, neurons, rows, pc)
                self._swap()
                return self._no_outputs
            return super().run(nest, neurons, rows, pc)
        if slot.held == Held.SB and not slot.joined:
            if slot.source == NfuIn.NBOUT:
                self._check_parked(nest, False, pc)
            return super().run(nest, neurons, rows, pc)
        walk = nest if slot.held == Held.SB else paired(nest, pc)
        if any(loop.reduce and loop.nbout for loop in walk.loops):
            raise ExecutionError(pc, "reduction loops must stay on one row of NBout")
        lines = walk.over_accumulations("nbout")
        self._check_lines(walk, lines, pc)
        if slot.op == Op.MAX:
            sums = self._largest(walk, neurons)
        else:
            sums = self._accumulated(nest, walk, neurons, rows)
        if slot.source == NfuIn.NBOUT:
            sums = self._continued(walk, sums, lines, pc)
        elif slot.op == Op.MAC:
            sums = sums + self._start(walk, pc)
        if slot.target == NfuOut.NBOUT:
            for n, line in enumerate(lines.tolist()):
                parts = (sums.high[n], sums.low[n])
                self._parked[line] = np.stack(parts) if slot.joined else _narrow(sums)[n]
            return self._no_outputs
        if not slot.joined:
            return self._finish(_narrow(sums), nest, pc)
        return self._finish_joined(sums, slot, pc)

    def update(
        self, nest: Nest, neurons: np.ndarray, rows: np.ndarray, pc: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Execute a nest of weight updates (Held.ALL).

        Returns
        -------
        numbers of the rows of SB that change, and their bytes
        """
        slot, config = nest.slot, self._config
        assert isinstance(slot, TileNest)
        walk = paired(nest, pc)
        if any(loop.reduce and loop.sb for loop in walk.loops):
            raise ExecutionError(pc, "the products of an update must be of one row of SB")
        numbers = walk.over_accumulations("sb")
        if len(np.unique(numbers)) < len(numbers):
            raise ExecutionError(pc, "a nest may update a row of SB once")
        sums = self._accumulated(nest, walk, neurons, rows)
        parts = slot.source, slot.target
        if parts != (NfuIn.BIAS, NfuOut.NFU3) and walk.accumulations > 1:
            raise ExecutionError(pc, "an update in several nests must be of one row of SB")
        if slot.source == NfuIn.NBOUT:
            if self._unfinished is None or self._unfinished[1] != slot.joined:
                raise ExecutionError(pc, "no update was begun that this one continues")
            sums = self._unfinished[0] + sums
        self._unfinished = (sums, slot.joined) if slot.target == NfuOut.NBOUT else None
        if self._unfinished is not None:
            return numbers[:0], rows[:0]
        bits = config.acc_width + 2 * config.width * slot.joined
        top, (low, high) = (
            (sums.high, bounds(bits - 32)) if bits > 64 else (_narrow(sums), bounds(bits))
        )
        if top.min() < low or top.max() > high:
            raise ExecutionError(
                pc, f"an update must have at most max_reduction = {config.max_reduction} products"
            )
        size = (1 + slot.joined) * config.element_bytes
        step = sums.requantise(slot.shift, 8 * size)
        used = config.tn * config.ti * config.element_bytes
        changed = rows[numbers].copy()
        old = np.ascontiguousarray(changed[:, :used]).view(f"<i{size}")
        old = old.reshape(len(numbers), config.tn, -1)
        mine = old[:, slot.half :: 2] if slot.joined else old
        mine[:] = saturate(mine.astype(np.int64) + step, 8 * size)
        changed[:, :used] = old.reshape(len(numbers), -1).view(np.uint8)
        return numbers, changed

    def _swap(self) -> None:
        self._table, self._second = self._second, self._table

    # Operands

    def _numbers(self, neurons: np.ndarray, at: np.ndarray, joined: bool) -> np.ndarray:
        """(steps, lanes): the neurons from the elements ``at`` on, as int64."""
        window = neurons[at[:, None] + np.arange(self._config.ti)]
        kind = f"<i{(1 + joined) * self._config.element_bytes}"
        return np.ascontiguousarray(window).view(kind).astype(np.int64)

    def _synapses(self, rows: np.ndarray, slot: TileNest) -> np.ndarray:
        """(rows, outputs, inputs) of joined synapses, as int64."""
        config = self._config
        used = config.tn * config.ti * config.element_bytes
        joined = np.ascontiguousarray(rows[:, :used]).view(f"<i{2 * config.element_bytes}")
        joined = joined.reshape(len(rows), config.tn, config.ti // 2)
        return joined[:, slot.half :: 2].astype(np.int64)

    def _accumulated(self, nest: Nest, walk: Nest, neurons: np.ndarray, rows: np.ndarray) -> Wide:
        """(accumulations, outputs) sums, or of updates (accumulations, outputs, inputs)."""
        config, slot = self._config, nest.slot
        assert isinstance(slot, TileNest)
        lanes = config.ti // (1 + slot.joined)
        shape = (walk.accumulations, lanes)
        if slot.held == Held.ALL:
            shape = (*shape, lanes)
        high, low = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        synapses = None
        if slot.op == Op.MAC and slot.held == Held.SB:
            synapses = self._synapses(rows, slot)
        some = max(1, _CHUNK // lanes**2)
        for begin in range(0, walk.steps, some):
            steps = np.arange(begin, min(begin + some, walk.steps))
            x = self._numbers(neurons, walk.at("nbin", steps), slot.joined)
            if synapses is not None:
                terms = x[:, None] * synapses[walk.at("sb", steps)]
                terms = np.stack(((terms >> 32).sum(-1), (terms & _LOW).sum(-1)))
            else:
                if slot.held != Held.SB:
                    held = self._numbers(neurons, nest.at("nbin", 2 * steps), slot.joined)
                    x = held[:, :, None] * x[:, None] if slot.held == Held.ALL else held * x
                terms = np.stack((x >> 32, x & _LOW))
            into = accumulation_of(walk, steps)
            np.add.at(high, into, terms[0])
            np.add.at(low, into, terms[1])
        return Wide(high + (low >> 32), low & _LOW)

    def _largest(self, walk: Nest, neurons: np.ndarray) -> Wide:
        """(accumulations, outputs) maxima."""
        slot = walk.slot
        assert isinstance(slot, TileNest)
        largest = np.full((walk.accumulations, self._config.ti // 2), np.iinfo(np.int64).min)
        for steps in walk.scan():
            x = self._numbers(neurons, walk.at("nbin", steps), slot.joined)
            np.maximum.at(largest, accumulation_of(walk, steps), x)
        return Wide.of(largest)

    # Where sums start

    def _start(self, walk: Nest, pc: int) -> Wide:
        words = self._bias(walk, pc)
        slot = walk.slot
        assert isinstance(slot, TileNest)
        if not slot.joined:
            return Wide.of(words)
        bits = 2 * self._config.width
        if bits < 32:
            return Wide.of((words[:, 1::2] << bits) + (words[:, ::2] & ((1 << bits) - 1)))
        return Wide(words[:, 1::2], words[:, ::2] & _LOW)

    def _check_parked(self, nest: Nest, joined: bool, pc: int) -> None:
        for line in nest.over_accumulations("nbout").tolist():
            if line in self._parked and (self._parked[line].ndim == 2) != joined:
                raise ExecutionError(pc, f"row {line} of NBout has sums of another width")

    def _continued(self, walk: Nest, sums: Wide, lines: np.ndarray, pc: int) -> Wide:
        """``sums`` with what was parked in NBout."""
        slot = walk.slot
        assert isinstance(slot, TileNest)
        self._check_parked(walk, slot.joined, pc)
        parked = [self._parked.pop(line) for line in lines.tolist()]
        if slot.joined:
            high, low = np.stack(parked, axis=1)
            before = Wide(high, low)
        else:
            before = Wide.of(np.stack(parked))
        if slot.op != Op.MAX:
            return before + sums
        same = before.high == sums.high
        larger = (before.high > sums.high) | (same & (before.low > sums.low))
        return Wide(
            np.where(larger, before.high, sums.high), np.where(larger, before.low, sums.low)
        )

    # NFU-3

    def _finish(self, sums: np.ndarray, nest: Nest, pc: int) -> np.ndarray:
        outputs = super()._finish(sums, nest, pc)
        slot = nest.slot
        if not (isinstance(slot, TileNest) and slot.derivative):
            return outputs
        self._swap()
        second = super()._finish(sums, nest, pc)
        self._swap()
        return np.stack((outputs, second), axis=1).reshape(-1, outputs.shape[1])

    def _finish_joined(self, sums: Wide, slot: TileNest, pc: int) -> np.ndarray:
        config, width = self._config, self._config.width
        if min(len(self._table), len(self._second)) < config.table_words:
            raise ExecutionError(pc, "the activation table was never loaded")
        mask = (1 << width) - 1
        low, high = self._table, self._second

        def signed(value: np.ndarray) -> np.ndarray:
            return value - ((value >> (2 * width - 1)) << 2 * width)

        slopes = ((high[::2] >> width) << width) + ((low[::2] >> width) & mask)
        starts = signed(((high[::2] & mask) << width) | (low[::2] & mask))
        b_low, b_high = low[1::2] & ((1 << 2 * width) - 1), high[1::2]
        x = sums.requantise(slot.shift, 2 * width)
        mirrored = starts[0] != NO_MIRROR
        key = np.where(mirrored & (x < 0), ~x, x)
        segment = np.zeros(x.shape, dtype=np.int64)
        for start in starts[1:].tolist():
            segment += key >= start
        if 2 * width < 32:
            offset = Wide.of((b_high[segment] << 2 * width) + b_low[segment])
        else:
            offset = Wide(b_high[segment], b_low[segment])
        if mirrored:
            constant = (int(starts[0]) & ((1 << 2 * width) - 1)) << slot.scale
            constant = Wide(np.asarray(constant >> 32), np.asarray(constant & _LOW))
            other = constant - offset
            # Offsets have four times the width.
            if 2 * width < 32:
                whole = (other.high << 32) + other.low
                bits = 4 * width
                whole &= (1 << bits) - 1
                other = Wide.of(whole - ((whole >> (bits - 1)) << bits))
            else:
                top = other.high & _LOW
                other = Wide(top - ((top >> 31) << 32), other.low)
            offset = Wide(
                np.where(x < 0, other.high, offset.high), np.where(x < 0, other.low, offset.low)
            )
        y = (product(x, slopes[segment]) + offset).requantise(slot.scale, 2 * width)
        halves = np.stack((y & mask, y >> width), axis=-1).reshape(len(y), -1)
        return halves - ((halves >> (width - 1)) << width)


def _narrow(sums: Wide) -> np.ndarray:
    """Sums that fit int64."""
    return (sums.high << 32) + sums.low


def paired(nest: Nest, pc: int) -> Nest:
    """The steps of a nest that multiply: the second ones of the pairs."""
    if nest.slot.levels[0].count != 2 or nest.slot.reduce & 1:
        raise ExecutionError(
            pc, "the innermost loop must have 2 iterations and not reduce where neurons are held"
        )
    pair, *rest = nest.loops
    walk = copy(nest)
    walk.loops = [replace(loop, period=loop.period // 2) for loop in rest]
    walk.steps = nest.steps // 2
    walk.start = {key: start + getattr(pair, key) for key, start in nest.start.items()}
    walk.outer_loops = [loop for loop in walk.loops if not loop.reduce]
    walk.accumulations = prod(loop.count for loop in walk.outer_loops)
    walk.duration = sum(loop.period * (loop.count - 1) for loop in walk.loops if loop.reduce)
    return walk


def accumulation_of(walk: Nest, steps: np.ndarray) -> np.ndarray:
    """To which accumulation each step belongs, counted in the order in which they begin."""
    number, weight = np.zeros(steps.shape, dtype=np.int64), 1
    for loop in walk.outer_loops:
        number += steps // loop.period % loop.count * weight
        weight *= loop.count
    return number
