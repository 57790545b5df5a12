"""A nest carried out step by step, word for word as ``hw.diannao.isa`` describes it.

Nothing of the interpreter's closed formulas and matrix products is used here; only good for tests.
"""

from dataclasses import dataclass, field

import numpy as np

from hw.arith.numbers import compensation, requantise, truncated_product
from hw.diannao.assembler import NfuNest
from hw.diannao.config import Config
from hw.diannao.isa import ErrorCode, NfuIn, NfuOut
from hw.nfu.layouts import Op


@dataclass
class Stepper:
    """NFU, with NBin and SB as lists of all entries ever loaded.

    Parameters
    ----------
    config : the core
    nbin : integers
    sb : rows of bytes
    """

    config: Config
    nbin: list[int]
    sb: list[bytes]
    nbin_tail: int = 0
    sb_tail: int = 0
    biases: dict[int, list[int]] = field(default_factory=dict)
    partial: dict[int, list[int]] = field(default_factory=dict)
    table: list[int] = field(default_factory=list)
    outputs: list[list[int]] = field(default_factory=list)

    def run(self, slot: NfuNest) -> ErrorCode:
        """All steps of ``slot``; stops at the first fault and returns its code."""
        index = [0] * len(slot.levels)
        nbin, sb = self.nbin_tail + slot.nbin, self.sb_tail + slot.sb
        nbout, bias = slot.nbout, slot.bias
        while True:
            moving = next((n for n, x in enumerate(slot.levels) if index[n] < x.count - 1), None)
            event = slot if moving is None else slot.levels[moving]
            code = self._check(slot, nbin, sb, nbout, bias, event.nbin_free, event.sb_free)
            if code != ErrorCode.NONE:
                return code
            reduced = [n for n in range(len(index)) if slot.reduce >> n & 1]
            first = all(index[n] == 0 for n in reduced) and slot.source == NfuIn.BIAS
            last = all(index[n] == slot.levels[n].count - 1 for n in reduced)
            last = last and slot.target == NfuOut.NFU3
            self._step(slot, nbin, sb, nbout, bias, first, last)
            self.nbin_tail += event.nbin_free
            self.sb_tail += event.sb_free
            if moving is None:
                return ErrorCode.NONE
            level = slot.levels[moving]
            nbin, sb = nbin + level.nbin_step, sb + level.sb_step
            nbout, bias = nbout + level.nbout_step, bias + level.bias_step
            index = [0] * moving + [index[moving] + 1] + index[moving + 1 :]

    def _check(self, slot, nbin, sb, nbout, bias, nbin_free, sb_free) -> ErrorCode:
        config = self.config
        reads_nbin = slot.op in (Op.MAC, Op.MAX, Op.SUM)
        reads_sb = slot.op in (Op.MAC, Op.BIAS, Op.TABLE)
        inside = self.nbin_tail <= nbin <= self.nbin_tail + config.nbin_elements - config.ti
        if (reads_nbin and not inside) or nbin_free > config.nbin_elements:
            return ErrorCode.NBIN_RANGE
        inside = self.sb_tail <= sb < self.sb_tail + config.sb_rows
        if (reads_sb and not inside) or sb_free > config.sb_rows:
            return ErrorCode.SB_RANGE
        if reads_nbin and not 0 <= nbout < config.nbout_rows:
            return ErrorCode.NBOUT_RANGE
        uses_bias = slot.op == Op.BIAS or (slot.op == Op.MAC and slot.source == NfuIn.BIAS)
        if uses_bias and not 0 <= bias < config.bias_rows:
            return ErrorCode.BIAS_RANGE
        loaded = len(self.nbin), len(self.sb)
        if (reads_nbin and nbin + config.ti > loaded[0]) or (reads_sb and sb + 1 > loaded[1]):
            return ErrorCode.WATCHDOG
        if self.nbin_tail + nbin_free > loaded[0] or self.sb_tail + sb_free > loaded[1]:
            return ErrorCode.WATCHDOG
        return ErrorCode.NONE

    def _step(self, slot, nbin, sb, nbout, bias, first, last) -> None:
        config = self.config
        size = config.element_bytes
        if slot.op in (Op.BIAS, Op.TABLE):
            words = np.frombuffer(self.sb[sb], f"<i{2 * size}")[: config.tn].tolist()
            if slot.op == Op.BIAS:
                self.biases[bias] = words
            else:
                self.table = (self.table + words)[-config.table_words :]
            return
        x = self.nbin[nbin : nbin + config.ti]
        if slot.op == Op.MAC:
            w = np.frombuffer(self.sb[sb], f"<i{size}").tolist()
            base = self.biases[bias] if first else self.partial[nbout]
            sums = [
                base[n]
                + sum(
                    truncated_product(x[i], w[n * config.ti + i], config.width, config.drop)
                    for i in range(config.ti)
                )
                for n in range(config.tn)
            ]
        else:
            x = [*x[: config.lanes], *[0] * (config.tn - config.lanes)]
            combine = max if slot.op == Op.MAX else lambda a, b: a + b
            base = x if first else self.partial[nbout]
            sums = x if first else [combine(a, b) for a, b in zip(base, x, strict=True)]
        if not last:
            self.partial[nbout] = sums
            return
        self.outputs.append([self._activate(value, slot.shift, slot.scale) for value in sums])

    def _activate(self, total: int, shift: int, scale: int) -> int:
        width, drop = self.config.width, self.config.drop
        x = requantise(total, shift, width)
        low = [word & ((1 << width) - 1) for word in self.table[::2]]
        breakpoints = [value - (value >> (width - 1) << width) for value in low]
        reflected = low[0] != (1 << width) - 1 and x < 0
        key = -1 - x if reflected else x
        segment = sum(key >= value for value in breakpoints[1:])
        a, b = self.table[2 * segment] >> width, self.table[2 * segment + 1]
        if reflected:
            b = ((low[0] << scale) - b - 2 * compensation(width, drop)) % (1 << 2 * width)
            b -= b >> (2 * width - 1) << 2 * width
        return requantise(truncated_product(x, a, width, drop) + b, scale, width)
