"""Programs for single layers, made by hand: simple, slow, and independent of the compiler."""

from math import prod

import numpy as np

from hw.arith.numbers import NO_MIRROR, Table, compensation
from hw.diannao.assembler import (
    Instruction,
    Loop,
    NbinLoad,
    NboutStore,
    Runs,
    SbLoad,
    encode,
    nest,
)
from hw.diannao.config import Config
from hw.diannao.isa import NfuIn, NfuOut
from hw.nfu.layouts import Op
from sim.graph import Conv, Gemm, Pool
from sim.interpreter import Interpreter, Statistics


class Handmade:
    """A memory that fills up, and a program that grows.

    Feature maps are (H, W, C) integers, stored in that order.
    """

    def __init__(self, config: Config, size: int = 1 << 20):
        self.config = config
        self.memory = np.zeros(size, dtype=np.uint8)
        self.program: list[Instruction] = []
        self._end = 0

    def place(self, values: np.ndarray, element_bytes: int | None = None) -> int:
        """Put integers into memory; returns their address."""
        eb = element_bytes or self.config.element_bytes
        content = np.ascontiguousarray(values).astype(f"<i{eb}").view(np.uint8).ravel()
        address = self.reserve(content.size)
        self.memory[address : address + content.size] = content
        return address

    def reserve(self, size: int) -> int:
        address = self._end
        self._end = -(-(address + size) // 64) * 64
        return address

    def read(self, address: int, shape: tuple[int, ...]) -> np.ndarray:
        eb = self.config.element_bytes
        content = self.memory[address : address + prod(shape) * eb]
        return content.view(f"<i{eb}").reshape(shape).astype(np.int64)

    def emit(self, **slots) -> None:
        self.program.append(Instruction(**slots))

    def run(self, seed: int = 0) -> Statistics:
        """Run the program, with an END, on the memory."""
        words = encode([*self.program, Instruction(end=True)])
        address = self.place(words.view(np.int64), 8)
        return Interpreter(self.config, self.memory, seed).run(address, words.nbytes)

    # Parameters

    def _parameter_rows(self, words: np.ndarray, op: Op) -> None:
        """Load (rows, Tn) words of twice the width."""
        config = self.config
        pitch = config.bias_row_bytes
        padded = np.zeros((len(words), pitch // (2 * config.element_bytes)), dtype=np.int64)
        padded[:, : config.tn] = words
        address = self.place(padded, 2 * config.element_bytes)
        for n in range(len(words)):
            load = SbLoad(Runs(address + n * pitch, pitch))
            bias = n if op == Op.BIAS else 0
            self.emit(sb=load, nfu=nest(op, [Loop(count=1)], bias=bias, sb_free=1))

    def table(self, table: Table) -> None:
        """Load an activation; unused segments lie beyond all numbers."""
        config = self.config
        width, spare = config.width, config.segments - table.segments
        mirror = NO_MIRROR if table.mirror is None else table.mirror
        breakpoints = [mirror, *table.breakpoints, *[(1 << (width - 1)) - 1] * spare]
        slopes, offsets = [*table.a, *[table.a[-1]] * spare], [*table.b, *[table.b[-1]] * spare]
        words = np.zeros(config.table_rows * config.tn, dtype=np.int64)
        start = len(words) - config.table_words
        words[start::2] = [
            a << width | (point & ((1 << width) - 1))
            for a, point in zip(slopes, breakpoints, strict=True)
        ]
        words[start + 1 :: 2] = offsets
        self._parameter_rows(words.reshape(-1, config.tn), Op.TABLE)

    def biases(self, bias: np.ndarray, padding: int) -> None:
        """Load start values; ``padding`` of an output's products are with padded synapses."""
        tn = self.config.tn
        words = np.zeros((-(-len(bias) // tn), tn), dtype=np.int64)
        words.ravel()[: len(bias)] = bias
        words -= padding * compensation(self.config.width, self.config.drop)
        self._parameter_rows(words, Op.BIAS)

    def synapses(self, rows: np.ndarray) -> int:
        """Place (rows, Tn, Ti) weights; returns their address."""
        config = self.config
        padded = np.zeros((len(rows), config.weight_row_bytes // config.element_bytes), np.int64)
        padded[:, : config.tn * config.ti] = rows.reshape(len(rows), -1)
        return self.place(padded)

    def synapse_load(self, address: int, rows: int) -> SbLoad:
        pitch = self.config.weight_row_bytes
        return SbLoad(Runs(address, pitch, (rows, 1, 1), (pitch, 0, 0)))

    # Layers. Each returns the address of its (H, W, C) output.

    def conv(self, node: Conv, x: np.ndarray) -> int:
        """One nest per output row and group of Tn outputs."""
        config, eb = self.config, self.config.element_bytes
        tn, ti = config.tn, config.ti
        outputs, channels, kh, kw = node.weight.shape
        padded = np.pad(x, (node.pads[::2], node.pads[1::2], (0, 0)))
        height, width = (
            (padded.shape[a] - k) // s + 1
            for a, k, s in ((0, kh, node.strides[0]), (1, kw, node.strides[1]))
        )
        source = self.place(padded)
        pitch = padded.shape[1] * channels
        chunks = -(-kw * channels // ti)
        groups = -(-outputs // tn)
        weights = np.zeros((groups * tn, kh, chunks * ti), dtype=np.int64)
        weights[:outputs, :, : kw * channels] = node.weight.transpose(0, 2, 3, 1).reshape(
            outputs, kh, -1
        )
        rows = weights.reshape(groups, tn, kh, chunks, ti).transpose(0, 2, 3, 1, 4)
        weights_at = self.synapses(rows.reshape(-1, tn, ti))
        self.table(node.table)
        self.biases(node.bias, kh * (chunks * ti - kw * channels))

        target = self.reserve(height * width * outputs * eb)
        per_group = kh * chunks
        for y in range(height):
            start = source + y * node.strides[0] * pitch * eb
            load = NbinLoad(Runs(start, pitch * eb, (kh, 1, 1), (pitch * eb, 0, 0)), skip=ti)
            for group in range(groups):
                count = min(tn, outputs - group * tn)
                at = target + (y * width * outputs + group * tn) * eb
                self.emit(
                    tag=7,
                    nbin=load if group == 0 else None,
                    sb=self.synapse_load(
                        weights_at + group * per_group * config.weight_row_bytes, per_group
                    ),
                    nbout=NboutStore(
                        Runs(at, count * eb, (width, 1, 1), (outputs * eb, 0, 0))
                    ),
                    nfu=nest(
                        Op.MAC,
                        [
                            Loop(count=chunks, nbin=ti, sb=1, reduce=True),
                            Loop(count=kh, nbin=pitch, sb=chunks, reduce=True),
                            Loop(count=width, nbin=node.strides[1] * channels),
                        ],
                        bias=group,
                        shift=node.shift,
                        scale=node.table.shift,
                        sb_free=per_group,
                        nbin_free=kh * pitch + ti if group == groups - 1 else 0,
                    ),
                )  # fmt: skip
        return target

    def pool(self, node: Pool, x: np.ndarray) -> int:
        """One nest per output row; channels are a multiple of the lanes, there is no padding."""
        config, eb = self.config, self.config.element_bytes
        (kh, kw), (sy, sx) = node.kernel, node.strides
        channels = x.shape[2]
        height, width = (x.shape[0] - kh) // sy + 1, (x.shape[1] - kw) // sx + 1
        source, pitch = self.place(x), x.shape[1] * channels
        ((shift, table),) = node.scales.values()
        self.table(table)
        target = self.reserve(height * width * channels * eb)
        groups = channels // config.lanes
        for y in range(height):
            self.emit(
                nbin=NbinLoad(
                    Runs(source + y * sy * pitch * eb, kh * pitch * eb), skip=config.ti
                ),
                nbout=NboutStore(
                    Runs(
                        target + y * width * channels * eb, config.lanes * eb,
                        (groups, width, 1), (config.lanes * eb, channels * eb, 0),
                    )
                ),
                nfu=nest(
                    Op.MAX if node.kind == "max" else Op.SUM,
                    [
                        Loop(count=kw, nbin=channels, reduce=True),
                        Loop(count=kh, nbin=pitch, reduce=True),
                        Loop(count=groups, nbin=config.lanes),
                        Loop(count=width, nbin=sx * channels),
                    ],
                    shift=shift,
                    scale=table.shift,
                    nbin_free=kh * pitch + config.ti,
                ),
            )  # fmt: skip
        return target

    def gemm(self, node: Gemm, x: np.ndarray) -> int:
        """All inputs in one load, which may be longer than NBin, and freed as they are used.

        The first half of the reduction parks its sums of all outputs in NBout.
        """
        config, eb = self.config, self.config.element_bytes
        tn, ti = config.tn, config.ti
        outputs, length = node.weight.shape
        chunks, groups = -(-length // ti), -(-outputs // tn)
        source = self.place(np.pad(x, (0, chunks * ti - length)))
        weights = np.zeros((groups * tn, chunks * ti), dtype=np.int64)
        weights[:outputs, :length] = node.weight
        rows = weights.reshape(groups, tn, chunks, ti).transpose(2, 0, 1, 3)
        weights_at = self.synapses(rows.reshape(-1, tn, ti))
        self.table(node.table)
        self.biases(node.bias, chunks * ti - length)
        target = self.reserve(groups * tn * eb)
        self.emit(
            nbin=NbinLoad(Runs(source, chunks * ti * eb)),
            sb=self.synapse_load(weights_at, chunks * groups),
        )
        first = chunks // 2
        for part, last in ((first, False), (chunks - first, True)):
            self.emit(
                nbout=NboutStore(Runs(target, groups * tn * eb)) if last else None,
                nfu=nest(
                    Op.MAC,
                    [
                        Loop(count=groups, sb=1, nbout=1, bias=1, sb_free=1),
                        Loop(count=part, nbin=ti, sb=groups, nbin_free=ti, reduce=True),
                    ],
                    source=NfuIn.NBOUT if last else NfuIn.BIAS,
                    target=NfuOut.NFU3 if last else NfuOut.NBOUT,
                    shift=node.shift,
                    scale=node.table.shift,
                ),
            )
        return target
