"""The arithmetic of the NFU over a whole nest at once."""

from dataclasses import replace
from math import prod

import numpy as np
from numpy.lib.stride_tricks import as_strided

from hw.arith.numbers import NO_MIRROR, bounds, compensation, requantise, truncated_product, wrap
from hw.diannao.config import Config
from hw.diannao.isa import NfuIn, NfuOut
from hw.nfu.layouts import Op

from .errors import ExecutionError
from .nest import Loop, Nest

__all__ = ["Nfu"]

_LARGEST = 1 << 22
"""Elements of the largest operand that is gathered at once; also keeps float64 sums exact."""


class Nfu:
    """NFU-1 to NFU-3 with their state: bias rows, activation table, parked partial sums."""

    def __init__(self, config: Config):
        self._config = config
        self._biases: dict[int, np.ndarray] = {}
        self._parked: dict[int, np.ndarray] = {}
        self._table = np.zeros(0, dtype=np.int64)
        self._no_outputs = np.zeros((0, config.tn), dtype=np.int64)

    def run(self, nest: Nest, neurons: np.ndarray, rows: np.ndarray, pc: int) -> np.ndarray:
        """Execute ``nest``.

        Parameters
        ----------
        nest : whose positions have been checked
        neurons : elements of NBin from its tail on (at least those the nest reads)
        rows : (rows, bytes) of SB from its tail on (at least those the nest reads)
        pc : for messages

        Returns
        -------
        the (rows, Tn) outputs that the nest finishes, in order
        """
        if nest.slot.op in (Op.BIAS, Op.TABLE):
            self._load_parameters(nest, rows)
            return self._no_outputs
        if any(loop.reduce and loop.nbout for loop in nest.loops):
            raise ExecutionError(pc, "reduction loops must stay on one row of NBout")
        lines = nest.over_accumulations("nbout")
        self._check_lines(nest, lines, pc)
        sums = self._sums(nest, neurons, rows)
        if nest.slot.source == NfuIn.NBOUT:
            parked = np.stack([self._parked.pop(line) for line in lines.tolist()])
            sums = self._larger(parked, sums, pc) if nest.slot.op == Op.MAX else parked + sums
        elif nest.slot.op == Op.MAC:
            sums += self._bias(nest, pc)
        low, high = bounds(self._config.acc_width)
        if sums.min() < low or sums.max() > high:
            raise ExecutionError(
                pc,
                f"sums must fit {self._config.acc_width} bits, which is certain for up to "
                f"max_reduction = {self._config.max_reduction} products",
            )
        if nest.slot.target == NfuOut.NBOUT:
            self._parked.update(zip(lines.tolist(), sums, strict=True))
            return self._no_outputs
        return self._finish(sums, nest, pc)

    def _larger(self, parked: np.ndarray, sums: np.ndarray, pc: int) -> np.ndarray:
        """The larger ones of partial sums, which must be neurons here, and ``sums``."""
        low, high = bounds(self._config.width)
        if parked.min() < low or parked.max() > high:
            raise ExecutionError(
                pc, f"MAX compares neurons, and partial sums only if they fit {self._config.width} "
                "bits"
            )  # fmt: skip
        return np.maximum(parked, sums)

    # Parameters

    def _load_parameters(self, nest: Nest, rows: np.ndarray) -> None:
        config = self._config
        words = rows[:, : 2 * config.tn * config.element_bytes].view(
            f"<i{2 * config.element_bytes}"
        )
        for steps in nest.scan():
            loaded = words[nest.at("sb", steps)].astype(np.int64)
            if nest.slot.op == Op.TABLE:
                table = np.concatenate([self._table, loaded.ravel()])
                self._table = table[-config.table_words :]
            else:
                self._biases.update(zip(nest.at("bias", steps).tolist(), loaded, strict=True))

    def _bias(self, nest: Nest, pc: int) -> np.ndarray:
        """(accumulations, Tn) start values."""
        wanted = nest.over_accumulations("bias")
        missing = set(wanted.tolist()) - self._biases.keys()
        if missing:
            raise ExecutionError(pc, f"bias row {min(missing)} was never loaded")
        table = np.zeros((self._config.bias_rows, self._config.tn), dtype=np.int64)
        for row, words in self._biases.items():
            table[row] = words
        return table[wanted]

    # Partial sums

    def _check_lines(self, nest: Nest, lines: np.ndarray, pc: int) -> None:
        """Every row of NBout must belong to one accumulation at a time, and hold what is read."""
        begins = nest.first_steps()
        ends = begins + nest.duration
        if nest.slot.source == NfuIn.NBOUT:
            begins = np.full_like(begins, -1)
            missing = set(lines.tolist()) - self._parked.keys()
            if missing:
                raise ExecutionError(pc, f"row {min(missing)} of NBout has no partial sums")
        elif nest.duration == 0 and nest.slot.target == NfuOut.NFU3:
            return  # sums go straight through
        elif lost := set(lines.tolist()) & self._parked.keys():
            raise ExecutionError(pc, f"row {min(lost)} of NBout still holds parked partial sums")
        if nest.slot.target == NfuOut.NBOUT:
            ends = np.full_like(ends, nest.steps)
        order = np.argsort(lines, kind="stable")
        same = lines[order][1:] == lines[order][:-1]
        clash = np.flatnonzero(same & (begins[order][1:] <= ends[order][:-1]))
        if clash.size:
            raise ExecutionError(
                pc,
                f"row {lines[order][clash[0]]} of NBout is used by two accumulations at a time",
            )

    # NFU-1 and NFU-2

    def _sums(self, nest: Nest, neurons: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """(accumulations, Tn) sums or maxima of the nest's operands, without start values."""
        config = self._config
        loops = nest.loops[::-1]
        nbin, sb = nest.start["nbin"], nest.start["sb"]
        if nest.slot.op == Op.MAC:
            size = config.element_bytes
            synapses = np.ascontiguousarray(rows[:, : config.tn * config.ti * size])
            synapses = synapses.view(f"<i{size}").reshape(-1, config.tn, config.ti)
            return self._products(loops, neurons, nbin, synapses, sb)
        sums = np.zeros((nest.accumulations, config.tn), dtype=np.int64)
        combine = np.maximum if nest.slot.op == Op.MAX else np.add
        sums[:, : config.lanes] = self._pooled(combine, loops, neurons, nbin)
        return sums

    def _pooled(
        self, combine: np.ufunc, loops: list[Loop], neurons: np.ndarray, nbin: int
    ) -> np.ndarray:
        """(accumulations, lanes): the neurons of all steps, combined over the reduction.

        ``loops`` are the loops from the outermost on, ``nbin`` is where they start.
        """
        lanes = self._config.lanes
        if prod(loop.count for loop in loops) * lanes > _LARGEST:
            low, high, middle = _halves(loops)
            a = self._pooled(combine, low, neurons, nbin)
            b = self._pooled(combine, high, neurons, nbin + middle.nbin)
            return combine(a, b) if middle.reduce else np.concatenate([a, b])
        steps = _gather(neurons[nbin:], [(loop.count, loop.nbin) for loop in loops], (lanes,))
        axes = tuple(axis for axis, loop in enumerate(loops) if loop.reduce)
        return combine.reduce(steps.astype(np.int64), axis=axes).reshape(-1, lanes)

    def _products(
        self, loops: list[Loop], neurons: np.ndarray, nbin: int, synapses: np.ndarray, sb: int
    ) -> np.ndarray:
        """(accumulations, Tn): truncated products of all steps, summed over the reduction.

        Steps that differ in their neurons only or in their synapses only share the other operand,
        so the nest is a matrix product: (points, inner) neurons times (inner, shared) synapses, for
        each combination of the loops that move both and do not reduce.
        """
        tn, ti = self._config.tn, self._config.ti
        inner = [loop for loop in loops if loop.reduce]
        outer = [loop for loop in loops if not loop.reduce]
        points = [loop for loop in outer if not loop.sb]
        shared = [loop for loop in outer if loop.sb and not loop.nbin]
        both = [loop for loop in outer if loop.sb and loop.nbin]
        n_both, n_points, n_inner, n_shared = (
            prod(loop.count for loop in group) for group in (both, points, inner, shared)
        )
        largest = max(
            n_both * n_points * n_inner * ti,
            n_both * n_shared * n_inner * ti * tn,
            n_both * n_points * n_shared * tn,
        )
        if largest > _LARGEST and len(loops):
            low, high, middle = _halves(loops)
            a = self._products(low, neurons, nbin, synapses, sb)
            b = self._products(high, neurons, nbin + middle.nbin, synapses, sb + middle.sb)
            return a + b if middle.reduce else np.concatenate([a, b])

        x = _gather(
            neurons[nbin:], [(loop.count, loop.nbin) for loop in (*both, *points, *inner)], (ti,)
        ).reshape(n_both, n_points, n_inner * ti)
        w = _gather(
            synapses[sb:], [(loop.count, loop.sb) for loop in (*both, *shared, *inner)], (tn, ti)
        ).reshape(n_both, n_shared, n_inner, tn, ti)
        w = w.transpose(0, 2, 4, 1, 3).reshape(n_both, n_inner * ti, n_shared * tn)
        sums = self._truncated_matmul(x, w)
        order = [*both, *points, *shared]
        sums = sums.reshape(*(loop.count for loop in order), tn)
        return sums.transpose(*(order.index(loop) for loop in outer), -1).reshape(-1, tn)

    def _truncated_matmul(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        """``sum_k T(x[b, p, k], w[b, k, n])`` of integers in their own width, as int64."""
        width, drop = self._config.width, self._config.drop
        sums = (x.astype(np.float64) @ w.astype(np.float64)).astype(np.int64)
        sums += x.shape[-1] * compensation(width, drop)
        exact = np.float32 if x.shape[-1] << drop < 1 << 24 else np.float64
        x = x.astype(np.int32)
        for j in range(drop):
            # What row j of the multipliers' arrays leaves out; the sign bit is negative by itself.
            row = w & np.array(1 << j).astype(w.dtype)
            lost = x & ((1 << (drop - j)) - 1)
            sums -= (lost.astype(exact) @ row.astype(exact)).astype(np.int64)
        return sums

    # NFU-3

    def _finish(self, sums: np.ndarray, nest: Nest, pc: int) -> np.ndarray:
        """(rows, Tn) outputs: requantise, piecewise-linear activation, requantise."""
        config = self._config
        width = config.width
        if len(self._table) < config.table_words:
            raise ExecutionError(pc, "the activation table was never loaded")
        low_half = (1 << width) - 1
        slopes = self._table[::2] >> width
        offsets = self._table[1::2]
        breakpoints = self._table[::2] & low_half
        breakpoints -= (breakpoints >> (width - 1)) << width

        x = requantise(sums, nest.slot.shift, width)
        mirrored = breakpoints[0] != NO_MIRROR
        key = np.where(mirrored & (x < 0), ~x, x)
        segment = np.zeros(x.shape, dtype=np.int64)
        for breakpoint_ in breakpoints[1:].tolist():
            segment += key >= breakpoint_
        offset = offsets[segment]
        if mirrored:
            constant = (self._table[0] & low_half) << nest.slot.scale
            reflected = constant - offset - 2 * compensation(width, config.drop)
            offset = np.where(x < 0, wrap(reflected, 2 * width), offset)
        y = truncated_product(x, slopes[segment], width, config.drop) + offset
        return requantise(y, nest.slot.scale, width)


def _halves(loops: list[Loop]) -> tuple[list[Loop], list[Loop], Loop]:
    """The nest cut in two at its outermost loop, and what leads from the first to the second half.

    The last is a copy of that loop whose strides are those from start to middle.
    """
    loops = [loop for loop in loops if loop.count > 1]
    outermost, rest = loops[0], loops[1:]
    half = outermost.count // 2
    low = [replace(outermost, count=half), *rest]
    high = [replace(outermost, count=outermost.count - half), *rest]
    return low, high, replace(outermost, nbin=half * outermost.nbin, sb=half * outermost.sb)


def _gather(entries: np.ndarray, loops: list[tuple[int, int]], item: tuple[int, ...]) -> np.ndarray:
    """View of the operands, each of shape ``item``, at all iterations of (count, stride) loops.

    An operand is one entry or, along the innermost axis of ``item``, the neighbours of a number.
    """
    pitch = entries.strides[0]
    inside = entries.strides[-len(item) :] if entries.ndim == 1 else entries.strides[1:]
    shape = (*(count for count, _ in loops), *item)
    return as_strided(entries, shape, (*(pitch * stride for _, stride in loops), *inside))
