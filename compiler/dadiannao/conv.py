"""Code for convolutions and classifier layers.

Tile p * Q + q computes output row y + p of the outputs of group q. All inputs of a window pass
through NBin once; each output group of the tile reads them again. Where a window is larger than
NBin, chunks of it follow each other, and partial sums stay in NBout.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from compiler.parameters import adjusted_bias, pack_biases
from compiler.split import split
from hw.arith.numbers import Table, compensation
from hw.dadiannao.assembler import Loop, Tile, nest
from hw.dadiannao.config import NodeConfig
from hw.diannao.isa import NfuIn, NfuOut
from hw.errors import UserError
from hw.nfu.layouts import Op

from .emitter import Emitter
from .maps import CentralMap
from .windows import Patch, Windows, images_together, read_slot, write_slot

__all__ = ["Chunk", "Layer", "Plan", "Region", "emit_conv", "plans"]


@dataclass(frozen=True)
class Layer:
    """Shape of a convolution, and its numbers.

    Parameters
    ----------
    name : for messages
    weight : (O, C, Ky, Kx)
    bias : (O,)
    windows : kernel and strides
    pads : top, left
    shift, table : what becomes of the sums
    blocks : blocks of input channels
    """

    name: str
    weight: np.ndarray
    bias: np.ndarray
    windows: Windows
    pads: tuple[int, int]
    shift: int
    table: Table
    blocks: int


class Region(NamedTuple):
    """The outputs that a node makes: rows, and groups of Tn; first and last but one each."""

    first_row: int
    end_row: int
    first_group: int
    end_group: int

    @property
    def rows(self) -> int:
        return self.end_row - self.first_row

    @property
    def groups(self) -> int:
        return self.end_group - self.first_group


class Chunk(NamedTuple):
    """A part of the reduction: kernel rows and blocks, and the arrivals it has to wait for."""

    row: int
    rows: int
    block: int
    blocks: int
    arrivals: int = 0


@dataclass(frozen=True)
class Plan:
    """How a layer is laid over a node's tiles.

    Parameters
    ----------
    positions, groups : P rows of outputs times Q parts of the output groups
    per_tile : output groups of a tile
    chunks : of the reduction
    cycles : estimate
    sb_rows : of a tile
    """

    positions: int
    groups: int
    per_tile: int
    chunks: tuple[Chunk, ...]
    cycles: int
    sb_rows: int


def _chunks(layer: Layer, pieces: list[Chunk], config: NodeConfig, limit: int) -> tuple[Chunk, ...]:
    """Cut ``pieces`` of the reduction into what NBin can hold."""
    span = layer.windows.span()
    result = []
    for row, rows, block, blocks, arrivals in pieces:
        if span * rows * blocks <= limit:
            result.append(Chunk(row, rows, block, blocks, arrivals))
        elif span * rows <= limit:
            for start, count in split(blocks, limit // (span * rows)):
                result.append(Chunk(row, rows, block + start, count, arrivals))
        elif span <= limit:
            for first, few in split(rows, limit // span):
                result += [Chunk(row + first, few, block + b, 1, arrivals) for b in range(blocks)]
        else:
            raise UserError(
                f"layer {layer.name!r} needs {span} rows of NBin for one row of a window, but "
                f"there are {limit}; set nbin_rows={span}"
            )
    return tuple(result)


def plans(
    layer: Layer,
    region: Region,
    columns: int,
    config: NodeConfig,
    *,
    exact: bool,
    pieces: list[Chunk] | None = None,
) -> list[Plan]:
    """All ways to lay a layer over the tiles, by the number of output groups of a tile.

    Parameters
    ----------
    columns : of the output
    exact : tiles must make no blocks but the layer's own
    pieces : of the reduction that must not be joined (default: all of it is one)
    """
    windows = layer.windows
    pieces = pieces or [Chunk(0, windows.kernel[0], 0, layer.blocks)]
    chunks = _chunks(layer, pieces, config, config.nbin_rows)
    if len(chunks) > len(pieces):
        # More than one chunk at a time, so that one can come while the other is worked on.
        chunks = _chunks(layer, pieces, config, max(config.nbin_rows // 2, windows.span()))
    reads = sum(windows.kernel[1] * chunk.rows * chunk.blocks for chunk in chunks)
    found = []
    for per_tile in range(1, region.groups + 1):
        groups = -(-region.groups // per_tile)
        if groups > config.tiles or (exact and groups * per_tile != region.groups):
            continue
        positions = min(config.tiles // groups, max(region.rows, 1))
        while positions > 1 and any(
            Windows((c.rows, windows.kernel[1]), windows.strides).masks(positions) > config.masks
            for c in chunks
        ):
            positions -= 1
        bands = -(-region.rows // positions)
        parts = -(-per_tile // _part(per_tile, len(chunks), config))
        broadcast = parts * sum(
            Windows((c.rows, windows.kernel[1]), windows.strides).height(positions)
            * c.blocks * windows.column_stride for c in chunks
        ) * config.trunk_beats  # fmt: skip
        gather = positions * groups * per_tile * config.trunk_beats
        cycles = bands * columns * max(per_tile * reads, broadcast, gather)
        found.append(Plan(positions, groups, per_tile, chunks, cycles, per_tile * (reads + 1)))
    return found


def _part(per_tile: int, chunks: int, config: NodeConfig) -> int:
    """Output groups that a tile works on at a time."""
    most = config.bias_rows if chunks == 1 else min(config.bias_rows, config.nbout_rows)
    return min(per_tile, most)


def emit_conv(
    emitter: Emitter,
    layer: Layer,
    plan: Plan,
    region: Region,
    source: CentralMap,
    target: CentralMap,
    *,
    first_block: int = 0,
) -> None:
    """Emit what a node does for a layer.

    Parameters
    ----------
    region : the outputs that the node makes
    source : whose blocks are those of ``layer``
    target : blocks of outputs begin at ``first_block`` of it
    """
    config = emitter.config
    bias_row, new = emitter.reserve((layer.name, first_block), plan.sb_rows)
    if new:
        _load(emitter, layer, plan, region, source, bias_row)
    emitter.load_table(layer.table)
    part = _part(plan.per_tile, len(plan.chunks), config)
    for first, count in split(plan.per_tile, part):
        emitter.load_biases((1 << (plan.groups * plan.positions)) - 1, bias_row + first, count)
        for y in range(region.first_row, region.end_row, plan.positions):
            positions = min(plan.positions, region.end_row - y)
            _emit_band(
                emitter, layer, plan, source, target, y, positions, (first, count), bias_row,
                first_block + region.first_group,
            )  # fmt: skip


def _emit_band(
    emitter: Emitter,
    layer: Layer,
    plan: Plan,
    source: CentralMap,
    target: CentralMap,
    y: int,
    positions: int,
    part: tuple[int, int],
    bias_row: int,
    block: int,
) -> None:
    """Emit the rows of outputs from ``y`` on, one per tile, for some groups of every tile."""
    config, windows = emitter.config, layer.windows
    first, count = part
    chunked = len(plan.chunks) > 1
    tiles = (1 << (plan.groups * positions)) - 1
    columns = min(target.width, config.nbout_rows // count) if chunked else target.width
    outer = sum(n > 1 for n in (count, plan.groups))
    together = min(
        images_together(
            Windows((c.rows, windows.kernel[1]), windows.strides), positions, c.blocks, columns,
            outer, source.batch,
        )
        for c in plan.chunks
    )  # fmt: skip
    if chunked:
        room = config.nbout_rows // (count * columns) if columns == target.width else 1
        together = min(together, room)
    for n, images in split(source.batch, together):
        for x, wide in split(target.width, columns):
            row = bias_row + plan.per_tile
            for number, chunk in enumerate(plan.chunks):
                patch = Patch(
                    Windows((chunk.rows, windows.kernel[1]), windows.strides), n, images,
                    y * windows.strides[0] - layer.pads[0] + chunk.row,
                    x * windows.strides[1] - layer.pads[1], positions, wide, chunk.block,
                    chunk.blocks,
                )  # fmt: skip
                run = windows.kernel[1] * patch.column
                last = number == len(plan.chunks) - 1
                slot = nest(
                    Op.MAC,
                    [
                        Loop(count=run, nbin=config.ti, sb=1, reduce=True),
                        Loop(count=count, sb=run, bias=1, nbout=int(chunked)),
                        *patch.window_loops(config.ti, nbout=count * chunked),
                    ],
                    source=NfuIn.NBOUT if number else NfuIn.BIAS,
                    target=NfuOut.NFU3 if last else NfuOut.NBOUT,
                    shift=layer.shift, scale=layer.table.shift, sb=row + first * run,
                )  # fmt: skip
                row += plan.per_tile * run
                write = None
                if last:
                    write = write_slot(
                        target, patch, y, x, block + first, count, plan.groups, plan.per_tile
                    )
                read = read_slot(emitter, source, patch, plan.groups, chunk.arrivals)
                emitter.emit(read=read, tile=Tile(slot, tiles), write=write)


def _load(
    emitter: Emitter, layer: Layer, plan: Plan, region: Region, source: CentralMap, first: int
) -> None:
    """Load biases and synapses of all tiles: biases, then (chunk, group, run of the window)."""
    config = emitter.config
    tn, ti = config.tn, config.ti
    outputs = slice(region.first_group * tn, region.end_group * tn)
    weight, bias = layer.weight[outputs], layer.bias[outputs]
    (ky, kx), taps = weight.shape[2:], int(np.prod(weight.shape[1:]))
    idle = layer.blocks * ti * ky * kx - taps
    words = adjusted_bias(
        bias, idle, compensation(config.width, config.drop), config.core, layer.name
    )
    padded = plan.groups * plan.per_tile * tn
    words = np.pad(words, (0, padded - len(words))).reshape(plan.groups, plan.per_tile, tn)
    full = np.zeros((padded, layer.blocks * ti, ky, kx), dtype=f"<i{config.element_bytes}")
    full[: len(weight), source.places] = weight
    full = full.reshape(plan.groups, plan.per_tile, tn, layer.blocks, ti, ky, kx)
    for group in range(plan.groups):
        rows = [emitter.whole(pack_biases(words[group], config.core))]
        for row, some, block, blocks, _ in plan.chunks:
            part = full[group][:, :, block : block + blocks, :, row : row + some]
            # (group, tn, block, ti, ky, kx) to (group, kx, ky, block, tn, ti)
            part = np.ascontiguousarray(part.transpose(0, 5, 4, 2, 1, 3))
            rows.append(part.view(np.uint8).reshape(-1, rows[0].shape[1]))
        tiles = sum(1 << (p * plan.groups + group) for p in range(plan.positions))
        emitter.load_synapses(tiles, first, np.concatenate(rows))
