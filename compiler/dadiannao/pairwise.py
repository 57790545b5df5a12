"""Code for what combines two maps place by place: residual additions and products.

A row of pixels of one operand is in NBin, then the same row of the other one. An addition is a
reduction of two steps with diagonal weights; a product holds a row of neurons in NFU-1, which the
other one then meets. The fat tree brings a row per cycle, which is what one tile can take; of a
square it brings every row once, and tiles take turns.
"""

from itertools import count, product

import numpy as np

from compiler.parameters import adjusted_bias, pack_biases, pack_rows
from compiler.split import split
from hw.arith.numbers import compensation
from hw.dadiannao.assembler import Loop, Read, RowLoop, Tile, TileNest, Write, nest, row_levels
from hw.dadiannao.isa import ReadOp
from hw.errors import UserError
from hw.nfu.layouts import Held, Op
from sim.graph import Add, Mul, Pairwise

from .areas import Area
from .emitter import Emitter
from .maps import CentralMap

__all__ = ["emit_pairwise"]


def emit_pairwise(
    emitter: Emitter,
    node: Pairwise,
    area: Area,
    sources: tuple[CentralMap, CentralMap],
    target: CentralMap,
) -> None:
    """Emit ``area`` of the outputs.

    Raises
    ------
    UserError
        If the operands' channels do not lie alike in their blocks.
    """
    config = emitter.config
    a, b = sources
    if not np.array_equal(a.places, b.places):
        raise UserError(
            f"layer {node.name!r}: the channels of both operands must lie alike in blocks of "
            f"{config.ti}, but one of them is a concatenation of parts that fill no whole blocks"
        )
    operands = (a,) if node.inputs[0] == node.inputs[1] else (a, b)
    synapses = _parameters(emitter, node)
    blocks = a.blocks
    # Few enough pixels for both operands; many blocks go in parts, too.
    room = config.nbin_rows // 2
    turn = count()
    for block, height in split(blocks, min(blocks, room)):
        parts = split(len(area.columns), max(1, room // height))
        for n, y, (start, columns) in product(range(a.batch), area.rows, parts):
            x, size = area.columns.start + start, columns * height
            tile = 1 << next(turn) % config.tiles if len(operands) == 1 else 1

            def levels(where: CentralMap, columns: int = columns, height: int = height):
                return row_levels(
                    [RowLoop(count=height, rows=1), RowLoop(count=columns, rows=where.pitch)]
                )

            reads = [
                Read(
                    ReadOp.BROADCAST, bank=where.bank, mask=emitter.masks([tile]),
                    address=where.at(n, y, x, block), levels=levels(where),
                )
                for where in operands
            ]  # fmt: skip
            write = Write(
                bank=target.bank, burst=1, tiles=tile, address=target.at(n, y, x, block),
                levels=levels(target),
            )  # fmt: skip
            for read in reads[:-1]:
                emitter.emit(read=read)
            slot = _nest(node, synapses, size, len(operands), config.ti)
            emitter.emit(read=reads[-1], tile=Tile(slot, tile), write=write)


def _parameters(emitter: Emitter, node: Pairwise) -> int:
    """Load table and biases; returns the first SB row of what an addition has as synapses."""
    config = emitter.config
    if isinstance(node, Mul):
        rows = emitter.whole(pack_biases(np.zeros((1, config.tn), np.int64), config.core))
        key = "zero biases"
    else:
        bias = adjusted_bias(
            np.zeros(config.tn), 2 * (config.ti - 1), compensation(config.width, config.drop),
            config.core, node.name,
        )  # fmt: skip
        diagonal = np.eye(config.tn, config.ti, dtype=np.int64)
        weights = np.stack([diagonal * factor for factor in node.multipliers])
        parts = pack_biases(bias[None], config.core), pack_rows(weights, config.core)
        rows = np.concatenate([emitter.whole(part) for part in parts])
        key = node.name
    first, new = emitter.reserve(key, len(rows))
    if new:
        emitter.load_synapses(emitter.all_tiles, first, rows)
    emitter.load_table(node.table)
    emitter.load_biases(emitter.all_tiles, first, 1)
    return first + 1


def _nest(node: Pairwise, synapses: int, size: int, operands: int, ti: int) -> TileNest:
    """The nest over ``size`` rows of each operand."""
    add = isinstance(node, Add)
    pair = Loop(count=2, nbin=(operands - 1) * size * ti, sb=int(add), reduce=add)
    return nest(
        Op.MAC, [pair, Loop(count=size, nbin=ti)], shift=node.shift, scale=node.table.shift,
        sb=synapses if add else 0, nbin_free=operands * size * ti,
        held=Held.SB if add else Held.EACH,
    )  # fmt: skip
