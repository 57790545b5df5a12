"""Code for convolutions and classifier layers."""

from dataclasses import replace

import numpy as np

from hw.arith.numbers import Table, compensation
from hw.diannao.assembler import Loop, nest
from hw.diannao.config import Config
from hw.diannao.isa import NfuIn, NfuOut
from hw.nfu.layouts import Op
from sim.memory import MemorySettings

from .access import pattern
from .blocks import Block, Convolution, Patch, Tiling, load_runs, passes_of, weight_rows
from .emitter import Emitter, Load, Store
from .maps import Map
from .parameters import adjusted_bias, pack_rows
from .ring import with_frees
from .split import split
from .tiling import choose

__all__ = ["emit_conv"]


def emit_conv(
    emitter: Emitter,
    *,
    name: str,
    source: Map,
    target: Map,
    weight: np.ndarray,
    bias: np.ndarray,
    strides: tuple[int, int],
    pads: tuple[int, int],
    shift: int,
    table: Table,
    memory: MemorySettings,
) -> None:
    """Emit a convolution.

    Parameters
    ----------
    emitter : takes the instructions
    name : of the layer, for messages
    source : input; its halo holds zeros as far as windows reach beyond it
    target : output
    weight, bias : (O, C, Kh, Kw) and (O,), see ``sim.graph.Conv``
    strides : vertical and horizontal
    pads : at the top and on the left
    shift, table : requantisation of the sums, and the activation
    memory : what the choice of tiles assumes about the memory
    """
    source, target, strides = _normal(source, target, weight.shape[2:], strides, pads)
    shape = Convolution(
        source.batch, target.height, target.width, source.channels, target.channels,
        (weight.shape[2], weight.shape[3]), strides, source.pitches,
    )  # fmt: skip
    tiling = choose(shape, emitter.config, memory)
    _Generator(emitter, source, target, weight, shift, table, shape, tiling).run(bias, name)


def _normal(
    source: Map,
    target: Map,
    kernel: tuple[int, ...],
    strides: tuple[int, int],
    pads: tuple[int, int],
) -> tuple[Map, Map, tuple[int, int]]:
    """Source, target and strides of the same convolution in a simpler form.

    Windows start at pixel (0, 0); pixels that no window needs are stepped over by the pitches; and
    a 1x1 kernel sees all pixels as one row if they lie so.
    """
    image, row, pixel = source.pitches
    start = source.at(0, -pads[0], -pads[1])
    sy, sx = strides
    if kernel[0] == 1:
        row, sy = row * sy, 1
    if kernel[1] == 1:
        pixel, sx = pixel * sx, 1
    source = replace(
        source, address=start, height=(target.height - 1) * sy + kernel[0],
        width=(target.width - 1) * sx + kernel[1], pitches=(image, row, pixel),
    )  # fmt: skip
    if kernel == (1, 1) and source.lies_flat and target.lies_flat:
        source, target = source.flat(), target.flat()
    return source, target, (sy, sx)


class _Generator:
    """Emits the blocks of one convolution."""

    def __init__(
        self,
        emitter: Emitter,
        source: Map,
        target: Map,
        weight: np.ndarray,
        shift: int,
        table: Table,
        shape: Convolution,
        tiling: Tiling,
    ):
        self._emitter = emitter
        self._config: Config = emitter.config
        self._source = source
        self._target = target
        self._weight = weight
        self._shift = shift
        self._table = table
        self._shape = shape
        self._tiling = tiling
        self._passes = passes_of(shape.channels, tiling.channels)

    def run(self, bias: np.ndarray, name: str) -> None:
        """Emit everything: table, biases, and blocks in the order of the tiling."""
        config, tiling, shape = self._config, self._tiling, self._shape
        emitter = self._emitter
        groups = -(-shape.outputs // config.tn)
        emitter.load_table(self._table)

        # Weights and biases of each block of groups.
        one = Block(0, 0, 0, 1, 1, 1)
        per_group = [self._patch(one, k).rows_of_weights(p) for k, p in enumerate(self._passes)]
        taps = shape.channels * shape.kernel[0] * shape.kernel[1]
        words = adjusted_bias(
            bias, sum(per_group) * config.ti - taps, compensation(config.width, config.drop),
            config, name,
        )  # fmt: skip
        words = np.pad(words, (0, groups * config.tn - len(words))).reshape(groups, config.tn)
        parts = split(groups, tiling.groups)
        biases = [emitter.place_biases(words[g : g + count]) for g, count in parts]
        weights = [self._place_weights(*part) for part in parts]

        blocks = [
            Block(n, y, x, images, rows, columns)
            for n, images in split(shape.batch, tiling.images)
            for y, rows in split(shape.height, tiling.rows)
            for x, columns in split(shape.width, tiling.columns)
        ]
        if not tiling.inputs_stay:
            for part, address, rows in zip(parts, biases, weights, strict=True):
                emitter.load_biases(address, part[1])
                stay = len(blocks) > 1 and sum(per_group) * part[1] <= config.sb_rows
                for block in blocks:
                    self._block(
                        block, part, rows,
                        load_weights=not stay or block is blocks[0],
                        keep_weights=stay and block is not blocks[-1],
                    )  # fmt: skip
            return
        # With inputs that stay, every block of positions meets all groups; their biases stay too.
        all_biases = groups <= config.bias_rows
        if all_biases:
            emitter.load_biases(emitter.place_biases(words), groups)
        for block in blocks:
            for part, address, rows in zip(parts, biases, weights, strict=True):
                if not all_biases:
                    emitter.load_biases(address, part[1])
                self._block(
                    block, part, rows,
                    first_bias=part[0] if all_biases else 0,
                    load_inputs=part is parts[0],
                    keep_inputs=part is not parts[-1],
                )  # fmt: skip

    def _patch(self, block: Block, number: int) -> Patch:
        return Patch.of(
            self._shape, self._tiling.window, self._passes[number],
            block.images, block.rows, block.columns, self._config.ti,
        )  # fmt: skip

    def _place_weights(self, first: int, groups: int) -> list[int]:
        """Put the weights of some groups into memory; one address per entry of the passes."""
        tn, ti = self._config.tn, self._config.ti
        part = self._weight[first * tn : (first + groups) * tn]
        one = Block(0, 0, 0, 1, 1, 1)
        return [
            self._emitter.place(
                pack_rows(
                    weight_rows(
                        part, self._tiling.window, passes, self._patch(one, k).reads, tn, ti
                    ),
                    self._config,
                )
            )
            for k, passes in enumerate(self._passes)
        ]

    def _block(
        self,
        block: Block,
        part: tuple[int, int],
        weights: list[int],
        *,
        first_bias: int = 0,
        load_weights: bool = True,
        keep_weights: bool = False,
        load_inputs: bool = True,
        keep_inputs: bool = False,
    ) -> None:
        """Emit one block of positions for one block of groups.

        One instruction per entry of the passes; partial sums wait in NBout between them.
        """
        config = self._config
        groups = part[1]
        nbin_base = sb_base = 0
        for number, passes in enumerate(self._passes):
            patch = self._patch(block, number)
            last = number == len(self._passes) - 1
            nbin_held = patch.elements + patch.skip
            sb_held = patch.rows_of_weights(passes) * groups

            # Groups, positions and reduction, with their strides in NBin, SB and NBout.
            x, y, n, read, kernel_row, again = patch.loops
            rows = (1, groups, groups * block.columns, groups * block.columns * block.rows)
            loops = [
                Loop(count=groups, sb=1, nbout=rows[0], bias=1),
                Loop(count=x[0], nbin=x[1], nbout=rows[1]),
                Loop(count=y[0], nbin=y[1], nbout=rows[2]),
                Loop(count=n[0], nbin=n[1], nbout=rows[3]),
                Loop(count=read[0], nbin=read[1], sb=groups, reduce=True),
                Loop(
                    count=kernel_row[0], nbin=kernel_row[1], sb=groups * patch.reads, reduce=True
                ),
                Loop(
                    count=again[0], nbin=again[1],
                    sb=groups * patch.reads * patch.kernel_rows, reduce=True,
                ),
            ]  # fmt: skip
            nbin_rest = sb_rest = 0
            if not keep_inputs:
                loops, nbin_rest = with_frees(loops, "nbin", nbin_held)
            if not keep_weights:
                loops, sb_rest = with_frees(loops, "sb", sb_held)
            nfu = nest(
                Op.MAC,
                loops,
                source=NfuIn.BIAS if number == 0 else NfuIn.NBOUT,
                target=NfuOut.NFU3 if last else NfuOut.NBOUT,
                shift=self._shift,
                scale=self._table.shift,
                nbin=nbin_base,
                sb=sb_base,
                bias=first_bias,
                nbin_free=nbin_rest,
                sb_free=sb_rest,
            )
            load = None
            if load_inputs:
                runs = load_runs(
                    self._source, self._shape, self._tiling.window, passes, block, config
                )
                load = Load(runs, (self._source.region,), patch.skip)
            sb = None
            if load_weights:
                size = config.weight_row_bytes
                counts = [groups, *(loop.count for loop in loops[4:])]
                rows_before = np.cumprod([1, *counts[:-1]]).tolist()
                sb = pattern(
                    weights[number], size,
                    [(c, size * b) for c, b in zip(counts, rows_before, strict=True)],
                    granule=None,
                )  # fmt: skip
            self._emitter.emit(
                sb=sb, load=load, store=self._store(block, part) if last else None, nfu=nfu
            )
            # What stays in the rings lies before the next instruction's part.
            nbin_base += nbin_held if keep_inputs else 0
            sb_base += sb_held if keep_weights else 0

    def _store(self, block: Block, part: tuple[int, int]) -> Store:
        """The finished rows: for every position, all channels of the block's groups."""
        config, target = self._config, self._target
        first = part[0] * config.tn
        channels = min(part[1] * config.tn, target.channels - first)
        image, row, pixel = target.pitches
        runs = pattern(
            target.at(block.n, block.y, block.x, first * config.element_bytes),
            channels * config.element_bytes,
            [(block.columns, pixel), (block.rows, row), (block.images, image)],
            granule=config.tn * config.element_bytes,
        )
        return Store(runs, target.region)
