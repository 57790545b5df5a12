"""Code for residual additions: two taps with diagonal weights.

A row of pixels of one operand is in NBin, then the same row of the other one; the two are a
reduction of two steps. The fat tree brings a row per cycle, which is what one tile can take.
"""

from itertools import product

import numpy as np

from compiler.parameters import adjusted_bias, pack_biases, pack_rows
from compiler.split import split
from hw.arith.numbers import compensation
from hw.dadiannao.assembler import Loop, Read, RowLoop, Tile, Write, nest, row_levels
from hw.dadiannao.isa import ReadOp
from hw.errors import UserError
from hw.nfu.layouts import Op
from sim.graph import Add

from .areas import Area
from .emitter import Emitter
from .maps import CentralMap

__all__ = ["emit_add"]

_TILE = 1


def emit_add(
    emitter: Emitter,
    node: Add,
    area: Area,
    sources: tuple[CentralMap, CentralMap],
    target: CentralMap,
) -> None:
    """Emit ``area`` of the outputs of an addition.

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
    bias = adjusted_bias(
        np.zeros(config.tn), 2 * (config.ti - 1), compensation(config.width, config.drop),
        config.core, node.name,
    )  # fmt: skip
    diagonal = np.eye(config.tn, config.ti, dtype=np.int64)
    weights = np.stack([diagonal * factor for factor in node.multipliers])
    rows = np.concatenate(
        [
            emitter.whole(pack_biases(bias[None], config.core)),
            emitter.whole(pack_rows(weights, config.core)),
        ]
    )
    first, new = emitter.reserve(node.name, len(rows))
    if new:
        emitter.load_synapses(emitter.all_tiles, first, rows)
    emitter.load_table(node.table)
    emitter.load_biases(emitter.all_tiles, first, 1)
    blocks = a.blocks
    # Few enough pixels for both operands; many blocks go in parts, too.
    some = min(blocks, config.nbin_rows // 2)
    mask = emitter.masks([_TILE])
    for block, count in split(blocks, some):
        parts = split(len(area.columns), max(1, config.nbin_rows // 2 // count))
        for n, y, (start, columns) in product(range(a.batch), area.rows, parts):
            x, size = area.columns.start + start, columns * count
            slot = nest(
                Op.MAC,
                [
                    Loop(count=2, nbin=size * config.ti, sb=1, reduce=True),
                    Loop(count=size, nbin=config.ti),
                ],
                shift=node.shift, scale=node.table.shift, sb=first + 1,
                nbin_free=2 * size * config.ti,
            )  # fmt: skip

            def loops(where: CentralMap, columns: int = columns, count: int = count):
                return row_levels(
                    [RowLoop(count=count, rows=1), RowLoop(count=columns, rows=where.pitch)]
                )

            reads = [
                Read(
                    ReadOp.BROADCAST, bank=where.bank, mask=mask, address=where.at(n, y, x, block),
                    levels=loops(where),
                )
                for where in sources
            ]  # fmt: skip
            write = Write(
                bank=target.bank, burst=1, tiles=_TILE, address=target.at(n, y, x, block),
                levels=loops(target),
            )  # fmt: skip
            emitter.emit(read=reads[0])
            emitter.emit(read=reads[1], tile=Tile(slot, _TILE), write=write)
