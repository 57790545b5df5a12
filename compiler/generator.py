"""Code of one convolution under a tiling."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from hw.arith.numbers import Table, compensation
from hw.diannao.assembler import Loop, NfuNest, Runs, nest
from hw.diannao.config import Config
from hw.diannao.isa import NfuIn, NfuOut
from hw.nfu.layouts import Op

from .access import pattern
from .blocks import (
    Block,
    Convolution,
    Passes,
    Patch,
    Tiling,
    load_runs,
    passes_of,
    row_bytes,
    weight_rows,
)
from .emitter import Emitter, Load, Store
from .maps import Map
from .parameters import adjusted_bias, pack_rows
from .ring import with_frees
from .split import split

__all__ = ["Generator"]


@dataclass(frozen=True)
class _Part:
    """Some groups of outputs: first one and number, their biases and their weights in memory.

    With private weights these are those of one block.
    """

    first: int
    groups: int
    biases: int
    weights: tuple[Runs, ...]


class Generator:
    """Emits the blocks of one convolution."""

    def __init__(
        self,
        emitter: Emitter,
        source: Map,
        target: Map,
        shape: Convolution,
        tiling: Tiling,
        shift: int,
        table: Table,
    ):
        self._emitter = emitter
        self._config: Config = emitter.config
        self._source = source
        self._target = target
        self._shape = shape
        self._tiling = tiling
        self._shift = shift
        self._table = table
        self._passes = passes_of(shape.channels, tiling.channels)
        # Most blocks are of equal size.
        self._patch = lru_cache(maxsize=None)(self._patch_of)
        self._nest = lru_cache(maxsize=None)(self._nest_of)

    def run(self, weight: np.ndarray, bias: np.ndarray, name: str) -> None:
        """Emit everything behind the table: biases, and blocks in the order of the tiling.

        A draft needs no more of ``weight`` than its shape.
        """
        config, tiling = self._config, self._tiling
        emitter = self._emitter
        groups = -(-self._shape.outputs // config.tn)
        words = self._start_values(bias, name)
        words = np.pad(words, (0, groups * config.tn - len(words))).reshape(groups, config.tn)
        biases = emitter.place_biases(words)
        parts = [
            _Part(
                first, count, biases + first * config.bias_row_bytes,
                self._place_weights(weight[first * config.tn : (first + count) * config.tn], count),
            )
            for first, count in split(groups, tiling.groups)
        ]  # fmt: skip
        blocks = self._blocks()
        if tiling.inputs_stay:
            # Every block of positions meets all groups; their biases stay too if they can.
            together = groups <= config.bias_rows
            if together:
                emitter.load_biases(biases, groups)
            for block in blocks:
                for part in parts:
                    if not together:
                        emitter.load_biases(part.biases, part.groups)
                    self._block(
                        block, part,
                        first_bias=part.first if together else 0,
                        load_inputs=part is parts[0],
                        keep_inputs=part is not parts[-1],
                    )  # fmt: skip
            return
        for part in parts:
            emitter.load_biases(part.biases, part.groups)
            stay = self._rows_per_output * part.groups <= config.sb_rows
            for block in blocks:
                self._block(
                    block, part,
                    load_weights=not stay or block is blocks[0],
                    keep_weights=stay and block is not blocks[-1],
                )  # fmt: skip

    def private_blocks(self) -> Iterator[tuple[int, int, Block]]:
        """Blocks of a convolution with private weights: first group, number of groups, positions.

        ``emit_private`` expects them in this order.
        """
        for first, groups in split(-(-self._shape.outputs // self._config.tn), self._tiling.groups):
            for block in self._blocks():
                yield first, groups, block

    def emit_private(
        self, first: int, groups: int, block: Block, weight: np.ndarray, bias: np.ndarray, name: str
    ) -> None:
        """Emit one of ``private_blocks``.

        Parameters
        ----------
        weight, bias : (pixels * groups * Tn, C, Kh, Kw) and (pixels * groups * Tn,)
        """
        rows = block.pixels * groups
        words = self._start_values(bias, name).reshape(rows, -1)
        biases = self._emitter.place_biases(words)
        self._emitter.load_biases(biases, rows)
        self._block(block, _Part(first, groups, biases, self._place_weights(weight, rows)))

    def _blocks(self) -> list[Block]:
        shape, tiling = self._shape, self._tiling
        return [
            Block(n, y, x, images, rows, columns)
            for n, images in split(shape.batch, tiling.images)
            for y, rows in split(shape.height, tiling.rows)
            for x, columns in split(shape.width, tiling.columns)
        ]

    @property
    def _rows_per_output(self) -> int:
        """SB rows of one group of outputs, all passes together."""
        return sum(self._rows_per_group(number) for number in range(len(self._passes)))

    def _start_values(self, bias: np.ndarray, name: str) -> np.ndarray:
        """Biases without what the multipliers add that have no synapse."""
        config, shape = self._config, self._shape
        taps = shape.channels * shape.kernel[0] * shape.kernel[1]
        idle = self._rows_per_output * config.ti - taps
        return adjusted_bias(bias, idle, compensation(config.width, config.drop), config, name)

    def _patch_of(self, number: int, images: int, rows: int, columns: int) -> Patch:
        """The input patch of a block of that size, for one entry of the passes."""
        return Patch.of(
            self._shape, self._tiling.window, self._passes[number], images, rows, columns,
            self._config.ti,
        )  # fmt: skip

    def _rows_per_group(self, number: int) -> int:
        """SB rows of one group of outputs, which do not depend on the block."""
        return self._patch(number, 1, 1, 1).rows_of_weights(self._passes[number])

    def _place_weights(self, weight: np.ndarray, groups: int) -> tuple[Runs, ...]:
        """Put the weights of some groups into memory; returns how to load them, pass by pass."""
        config = self._config
        size = row_bytes(self._shape, config)
        loads = []
        for number, passes in enumerate(self._passes):
            patch = self._patch(number, 1, 1, 1)
            steps = patch.rows_of_weights(passes)

            def packed(passes: Passes = passes, reads: int = patch.reads) -> np.ndarray:
                rows = weight_rows(weight, self._tiling.window, passes, reads, config.tn, config.ti)
                return pack_rows(rows, config)[:, :size]

            address = self._emitter.place_made(steps * groups * size, packed)
            loops = [(groups, size), (steps, groups * size)]
            loads.append(pattern(address, size, loops, granule=None))
        return tuple(loads)

    def _block(
        self,
        block: Block,
        part: _Part,
        *,
        first_bias: int = 0,
        load_weights: bool = True,
        keep_weights: bool = False,
        load_inputs: bool = True,
        keep_inputs: bool = False,
    ) -> None:
        """Emit one block of positions for some groups.

        One instruction per entry of the passes; partial sums wait in NBout between them.
        """
        nbin = sb = 0
        for number, passes in enumerate(self._passes):
            patch = self._patch(number, block.images, block.rows, block.columns)
            load = None
            if load_inputs:
                runs = load_runs(
                    self._source, self._shape, self._tiling.window, passes, block, self._config
                )
                load = Load(runs, (self._source.region,), patch.skip)
            last = number == len(self._passes) - 1
            self._emitter.emit(
                sb=part.weights[number] if load_weights else None,
                load=load,
                store=self._store(block, part) if last else None,
                nfu=self._nest(
                    number, block.images, block.rows, block.columns, part.groups,
                    nbin if keep_inputs else None, sb if keep_weights else None, first_bias,
                ),
            )  # fmt: skip
            # What stays in the rings lies before the next instruction's part.
            nbin += patch.elements + patch.skip
            sb += patch.rows_of_weights(passes) * part.groups

    def _nest_of(
        self,
        number: int,
        images: int,
        rows: int,
        columns: int,
        groups: int,
        kept_inputs: int | None,
        kept_weights: int | None,
        first_bias: int,
    ) -> NfuNest:
        """The nest of a block, for one entry of the passes.

        ``kept_inputs`` and ``kept_weights`` are the places in NBin and SB before its own operands
        if these shall stay, or None to free them.
        """
        patch = self._patch(number, images, rows, columns)
        x, y, n, read, kernel_row, again = patch.loops
        # Groups, positions and reduction, with their strides in NBin, SB, NBout and bias buffer.
        own_x, own_y = (groups, groups * columns) if self._shape.private else (0, 0)
        loops = [
            Loop(count=groups, sb=1, nbout=1, bias=1),
            Loop(count=x[0], nbin=x[1], sb=own_x, nbout=groups, bias=own_x),
            Loop(count=y[0], nbin=y[1], sb=own_y, nbout=groups * columns, bias=own_y),
            Loop(count=n[0], nbin=n[1], nbout=groups * columns * rows),
        ]
        weights = own_y * rows or groups
        for count, stride in (read, kernel_row, again):
            loops.append(Loop(count=count, nbin=stride, sb=weights, reduce=True))
            weights *= count
        nbin_rest = sb_rest = 0
        if kept_inputs is None:
            loops, nbin_rest = with_frees(loops, "nbin", patch.elements + patch.skip)
        if kept_weights is None:
            loops, sb_rest = with_frees(loops, "sb", weights)
        return nest(
            Op.MAC,
            loops,
            source=NfuIn.BIAS if number == 0 else NfuIn.NBOUT,
            target=NfuOut.NFU3 if number == len(self._passes) - 1 else NfuOut.NBOUT,
            shift=self._shift,
            scale=self._table.shift,
            nbin=kept_inputs or 0,
            sb=kept_weights or 0,
            bias=first_bias,
            nbin_free=nbin_rest,
            sb_free=sb_rest,
        )

    def _store(self, block: Block, part: _Part) -> Store:
        """The finished rows: for every position, all channels of the part."""
        config, target = self._config, self._target
        first = part.first * config.tn
        channels = min(part.groups * config.tn, target.channels - first)
        image, row, pixel = target.pitches
        runs = pattern(
            target.at(block.n, block.y, block.x, first * config.element_bytes),
            channels * config.element_bytes,
            [(block.columns, pixel), (block.rows, row), (block.images, image)],
            granule=config.tn * config.element_bytes,
        )
        return Store(runs, target.region)
