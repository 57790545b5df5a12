"""Code for convolutions and classifier layers.

Tile p * Q + q computes output row y + p of the outputs of group q. All inputs of a window pass
through NBin once; each output group of the tile reads them again. Where a window is larger than
NBin, chunks of it follow each other, and partial sums stay in NBout.
"""

from dataclasses import dataclass, replace
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

from .areas import Area
from .emitter import Arrival, Emitter
from .exchange import Step
from .maps import CentralMap
from .windows import Patch, Windows, bands, images_together, read_slot, write_slot

__all__ = ["Layer", "Piece", "Plan", "Region", "emit_conv", "plans"]


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
    """The outputs that a node makes: pixels, and groups of Tn."""

    area: Area
    groups: range


class Piece(NamedTuple):
    """A part of the reduction that comes by itself: kernel rows and blocks."""

    row: int
    rows: int
    block: int
    blocks: int


Chunk = tuple[Piece, ...]
"""What one nest sums up."""


@dataclass(frozen=True)
class Plan:
    """How a layer is laid over a node's tiles.

    Parameters
    ----------
    region : the outputs
    positions, groups : P rows of outputs times Q parts of the output groups
    per_tile : output groups of a tile
    chunks : of the reduction
    cycles : estimate
    sb_rows : of a tile
    """

    region: Region
    positions: int
    groups: int
    per_tile: int
    chunks: tuple[Chunk, ...]
    cycles: int
    sb_rows: int


def _chunks(layer: Layer, pieces: list[Piece], limit: int) -> list[Piece]:
    """Cut ``pieces`` of the reduction into what NBin can hold."""
    span = layer.windows.span()
    result = []
    for row, rows, block, blocks in pieces:
        if span * rows * blocks <= limit:
            result.append(Piece(row, rows, block, blocks))
        elif span * rows <= limit:
            for start, count in split(blocks, limit // (span * rows)):
                result.append(Piece(row, rows, block + start, count))
        elif span <= limit:
            for first, few in split(rows, limit // span):
                result += [Piece(row + first, few, block + b, 1) for b in range(blocks)]
        else:
            raise UserError(
                f"layer {layer.name!r} needs {span} rows of NBin for one row of a window, but "
                f"there are {limit}; set nbin_rows={span}"
            )
    return result


def plans(
    layer: Layer,
    region: Region,
    config: NodeConfig,
    *,
    exact: bool,
    pieces: list[Piece] | None = None,
    images: int = 1,
) -> list[tuple[Plan, ...]]:
    """All ways to lay a layer over the tiles, by the number of output groups of a tile.

    Parameters
    ----------
    exact : tiles must make no blocks but the layer's own; what they cannot share out evenly is
        then made after the rest
    pieces : of the reduction, in the order in which they come (default: all of it is one)
    images : of a pass
    """
    count = len(region.groups)
    alone = [
        (plan,)
        for per_tile in range(1, count + 1)
        if not exact or count % per_tile == 0
        for plan in _plan(layer, region, config, per_tile, pieces, images)
    ]
    if not exact:
        return alone
    for per_tile in range(1, count // config.tiles + 1):
        first = range(region.groups.start, region.groups.start + per_tile * config.tiles)
        rest = range(first.stop, region.groups.stop)
        if not 0 < len(rest) <= config.tiles:
            continue
        both = [
            _plan(layer, Region(region.area, groups), config, each, pieces, images)
            for groups, each in ((first, per_tile), (rest, 1))
        ]
        alone += [(a, b) for a in both[0] for b in both[1]]
    return alone


def _plan(
    layer: Layer,
    region: Region,
    config: NodeConfig,
    per_tile: int,
    pieces: list[Piece] | None,
    images: int,
) -> list[Plan]:
    """The plan for ``per_tile`` output groups of a tile, if there are tiles enough."""
    windows = layer.windows
    groups = -(-len(region.groups) // per_tile)
    if groups > config.tiles:
        return []
    pieces = pieces or [Piece(0, windows.kernel[0], 0, layer.blocks)]
    cut = _chunks(layer, pieces, config.nbin_rows)
    if len(cut) > len(pieces):
        # More than one chunk at a time, so that one can come while the other is worked on.
        cut = _chunks(layer, pieces, max(config.nbin_rows // 2, windows.span()))
    reads = sum(windows.kernel[1] * piece.rows * piece.blocks for piece in cut)
    chunks: tuple[Chunk, ...] = tuple((piece,) for piece in cut)
    if (
        per_tile == images == 1
        and reads <= config.nbin_rows
        and windows.kernel == (1, 1)
        and len(region.area.rows) == len(region.area.columns) == 1
    ):
        # One nest takes the pieces as they come. Others would have to wait for all of a window
        # before they could begin their second output.
        chunks = (tuple(cut),)
    rows = len(region.area.rows)
    positions = min(config.tiles // groups, max(rows, 1))
    while positions > 1 and any(
        Windows((piece.rows, windows.kernel[1]), windows.strides).masks(positions) > config.masks
        for piece in cut
    ):
        positions -= 1
    bands = -(-rows // positions)
    parts = -(-per_tile // _part(per_tile, len(chunks), config))
    broadcast = parts * sum(
        Windows((piece.rows, windows.kernel[1]), windows.strides).height(positions)
        * piece.blocks * windows.column_stride for piece in cut
    ) * config.trunk_beats  # fmt: skip
    gather = positions * groups * per_tile * config.trunk_beats
    cycles = bands * len(region.area.columns) * max(per_tile * reads, broadcast, gather)
    plan = Plan(region, positions, groups, per_tile, chunks, cycles, per_tile * (reads + 1))
    return [plan]


def _part(per_tile: int, chunks: int, config: NodeConfig) -> int:
    """Output groups that a tile works on at a time."""
    most = config.bias_rows if chunks == 1 else min(config.bias_rows, config.nbout_rows)
    return min(per_tile, most)


def emit_conv(
    emitter: Emitter,
    layer: Layer,
    plan: Plan,
    source: CentralMap,
    target: CentralMap,
    *,
    near: Area,
    steps: list[Step],
    first_block: int = 0,
) -> None:
    """Emit what a node does for a layer.

    Parameters
    ----------
    source : whose blocks are those of ``layer``
    target : blocks of outputs begin at ``first_block`` of it
    near : see ``bands``
    steps : of gathering the inputs, one for each piece of the reduction and perhaps some that only
        pass on; used up
    """
    config = emitter.config
    block = first_block + plan.region.groups.start
    bias_row, new = emitter.reserve((layer.name, block), plan.sb_rows)
    if new:
        _load(emitter, layer, plan, source, bias_row)
    emitter.load_table(layer.table)
    part = _part(plan.per_tile, len(plan.chunks), config)
    for first, count in split(plan.per_tile, part):
        emitter.load_biases((1 << (plan.groups * plan.positions)) - 1, bias_row + first, count)
        for area, is_near in bands(plan.region.area, near, plan.positions):
            if not (is_near or steps):
                emitter.wait()
            _emit_band(
                emitter, layer, plan, source, target, area, (first, count), bias_row, block, steps
            )
    for step in steps:
        emitter.pass_on(step.waits, step.sends)
    steps.clear()


def _emit_band(
    emitter: Emitter,
    layer: Layer,
    plan: Plan,
    source: CentralMap,
    target: CentralMap,
    area: Area,
    part: tuple[int, int],
    bias_row: int,
    block: int,
    steps: list[Step],
) -> None:
    """Emit the outputs in ``area``, a row per tile, for some groups of every tile."""
    config, windows = emitter.config, layer.windows
    first, count = part
    chunked = len(plan.chunks) > 1
    positions = len(area.rows)
    tiles = (1 << (plan.groups * positions)) - 1
    columns = len(area.columns)
    if chunked:
        columns = min(columns, config.nbout_rows // count)
    outer = sum(n > 1 for n in (count, plan.groups))
    together = min(
        images_together(
            Windows((piece.rows, windows.kernel[1]), windows.strides), positions, piece.blocks,
            columns, outer, source.batch,
        )
        for chunk in plan.chunks
        for piece in chunk
    )  # fmt: skip
    if chunked:
        whole = columns == len(area.columns)
        room = config.nbout_rows // (count * columns) if whole else 1
        together = min(together, room)
    y = area.rows.start
    for n, images in split(source.batch, together):
        for start, wide in split(len(area.columns), columns):
            x = area.columns.start + start
            row = bias_row + plan.per_tile
            for number, chunk in enumerate(plan.chunks):
                patches = [
                    Patch(
                        Windows((piece.rows, windows.kernel[1]), windows.strides), n, images,
                        y * windows.strides[0] - layer.pads[0] + piece.row,
                        x * windows.strides[1] - layer.pads[1], positions, wide, piece.block,
                        piece.blocks,
                    )
                    for piece in chunk
                ]  # fmt: skip
                run = windows.kernel[1] * sum(patch.column for patch in patches)
                last = number == len(plan.chunks) - 1
                if len(patches) == 1:
                    loops = patches[0].window_loops(config.ti, nbout=count * chunked)
                else:  # a single window, in pieces
                    loops = [Loop(count=1, nbin_free=run * config.ti)]
                slot = nest(
                    Op.MAC,
                    [
                        Loop(count=run, nbin=config.ti, sb=1, reduce=True),
                        Loop(count=count, sb=run, bias=1, nbout=int(chunked)),
                        *loops,
                    ],
                    source=NfuIn.NBOUT if number else NfuIn.BIAS,
                    target=NfuOut.NFU3 if last else NfuOut.NBOUT,
                    shift=layer.shift, scale=layer.table.shift, sb=row + first * run,
                )  # fmt: skip
                row += plan.per_tile * run
                tile = Tile(slot, tiles)
                for patch in patches:
                    halves = _halves(patch, _forward(emitter, steps, patch))
                    for some, arrival in halves:
                        read = read_slot(emitter, source, some, plan.groups, arrival)
                        write = None
                        if last and patch is patches[-1] and some is halves[-1][0]:
                            write = write_slot(
                                target, patch, y, x, block + first, count, plan.groups,
                                plan.per_tile,
                            )  # fmt: skip
                        emitter.emit(read=read, tile=tile, write=write)
                        tile = None


def _forward(emitter: Emitter, steps: list[Step], patch: Patch) -> Arrival | None:
    """Pass on what has come before ``patch``, and with it; the arrival that brings it."""
    while steps and (steps[0].share is None or patch.block in steps[0].share.blocks):
        step = steps.pop(0)
        emitter.pass_on(step.waits, step.sends)
        if step.share is not None:
            return step.arrival
    return None


def _halves(patch: Patch, arrival: Arrival | None) -> list[tuple[Patch, Arrival | None]]:
    """Parts of a patch with their arrivals: of a lone pixel, a half is read as the other comes."""
    lone = patch.images == patch.columns == patch.positions == 1
    half = patch.blocks // 2
    if arrival is None or not lone or patch.windows.kernel != (1, 1) or half == 0:
        return [(patch, arrival)]
    rest = patch.blocks - half
    return [
        (replace(patch, blocks=half), arrival._replace(rows=arrival.rows - rest)),
        (replace(patch, block=patch.block + half, blocks=rest), arrival),
    ]


def _load(
    emitter: Emitter, layer: Layer, plan: Plan, source: CentralMap, first: int
) -> None:  # fmt: skip
    """Load biases and synapses of all tiles: biases, then (chunk, group, run of the window)."""
    config = emitter.config
    tn, ti = config.tn, config.ti
    groups = plan.region.groups
    outputs = slice(groups.start * tn, groups.stop * tn)
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
        for row, some, block, blocks in (piece for chunk in plan.chunks for piece in chunk):
            part = full[group][:, :, block : block + blocks, :, row : row + some]
            # (group, tn, block, ti, ky, kx) to (group, kx, ky, block, tn, ti)
            part = np.ascontiguousarray(part.transpose(0, 5, 4, 2, 1, 3))
            rows.append(part.view(np.uint8).reshape(-1, rows[0].shape[1]))
        tiles = sum(1 << (p * plan.groups + group) for p in range(plan.positions))
        emitter.load_synapses(tiles, first, np.concatenate(rows))
