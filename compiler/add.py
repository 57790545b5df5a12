"""Code for residual additions: two taps with diagonal weights."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from hw.arith.numbers import compensation
from hw.diannao.assembler import Loop, nest
from hw.diannao.config import Config
from hw.nfu.layouts import Op
from sim.graph import Add

from .access import COUNT_LIMIT, pattern
from .emitter import Emitter, Load, Store
from .maps import Map
from .parameters import adjusted_bias, pack_rows
from .ring import with_frees

__all__ = ["emit_add"]


@dataclass(frozen=True)
class _Strip:
    """What one instruction adds: ``count`` pieces of ``elements`` each.

    Offsets and strides are in bytes, within operands and within the output.
    """

    elements: int
    count: int
    offsets: tuple[int, int]
    strides: tuple[int, int]


def emit_add(emitter: Emitter, node: Add, a: Map, b: Map, target: Map) -> None:
    """Emit a residual addition of maps with equal pitches.

    Both operands' weights are diagonal matrices, in SB throughout. NBin holds a piece of one
    operand, then the same piece of the other; the two are a reduction of two steps.
    """
    assert a.pitches == b.pitches, "the layout gives both operands the same form"
    config = emitter.config
    emitter.load_table(node.table)
    bias = adjusted_bias(
        np.zeros(config.tn), 2 * (config.ti - 1), compensation(config.width, config.drop),
        config, node.name,
    )  # fmt: skip
    emitter.load_biases(emitter.place_biases(bias[None]), 1)
    diagonal = np.eye(config.tn, config.ti, dtype=np.int64)
    weights = np.stack([diagonal * factor for factor in node.multipliers])
    rows = emitter.place(pack_rows(weights, config))

    size = config.element_bytes
    strips = list(_strips(a, target, config))
    for number, strip in enumerate(strips):
        first, last = number == 0, number == len(strips) - 1
        steps = -(-strip.elements // config.lanes)
        per_strip = 2 * strip.elements * strip.count
        skip = max(0, (steps - 1) * config.lanes + config.ti - strip.elements)
        loops, rest = with_frees(
            [
                Loop(count=2, nbin=strip.elements, sb=1, reduce=True),
                Loop(count=steps, nbin=config.lanes),
                Loop(count=strip.count, nbin=2 * strip.elements),
            ],
            "nbin", per_strip + skip,
        )  # fmt: skip
        in_run, in_stride = strip.elements * size, strip.strides[0]
        out_run, out_loops = in_run, [(strip.count, strip.strides[1])]
        if config.lanes < config.tn and steps > 1:
            out_run = config.lanes * size
            out_loops.insert(0, (steps, out_run))
        emitter.emit(
            sb=pattern(
                rows, config.weight_row_bytes, [(2, config.weight_row_bytes)], granule=None
            ) if first else None,
            load=Load(
                pattern(
                    a.address + strip.offsets[0], in_run,
                    [(2, b.address - a.address), (strip.count, in_stride)],
                ),
                (a.region, b.region), skip,
            ),
            store=Store(
                pattern(
                    target.address + strip.offsets[1], out_run, out_loops,
                    granule=config.tn * size,
                ),
                target.region,
            ),
            nfu=nest(
                Op.MAC, loops, shift=node.shift, scale=node.table.shift, nbin_free=rest,
                sb_free=2 if last else 0,
            ),
        )  # fmt: skip


def _strips(source: Map, target: Map, config: Config) -> Iterator[_Strip]:
    """Cut the maps into strips: contiguous elements first, then whatever repeats them."""
    size = config.element_bytes
    maps = (source, target)
    run = source.channels
    # (count, stride in the source, stride in the target), innermost first.
    loops = [
        (count, *strides)
        for count, strides in zip(
            (source.width, source.height, source.batch),
            zip(*(where.pitches[::-1] for where in maps), strict=True),
            strict=True,
        )
        if count > 1
    ]
    while loops and all(stride == run * size for stride in loops[0][1:]):
        run *= loops.pop(0)[0]

    # Runs longer than a piece are a loop of pieces and a remainder.
    most = max(1, config.nbin_elements // 4 // config.lanes) * config.lanes
    parts: list[tuple[int, int]] = []  # (first element, length) of pieces within a run
    pieces = run // most if run > most else 0
    rest = run - pieces * most
    exact = rest - rest % config.lanes if config.lanes < config.tn else rest
    first = pieces * most
    for length in (exact, rest - exact):
        if length:
            parts.append((first, length))
            first += length

    # One instruction repeats a strip: over the pieces, or over the innermost loop.
    repeat: tuple[int, int, int] = (1, 0, 0)
    if not pieces and loops and loops[0][0] <= COUNT_LIMIT:
        repeat = loops.pop(0)
    for index in product(*(range(count) for count, _, _ in reversed(loops))):
        at = [
            sum(i * loop[1 + which] for i, loop in zip(reversed(index), loops, strict=True))
            for which in (0, 1)
        ]
        for start in range(0, pieces, COUNT_LIMIT):
            offsets = at[0] + start * most * size, at[1] + start * most * size
            yield _Strip(
                most, min(COUNT_LIMIT, pieces - start), offsets, (most * size, most * size)
            )
        for start, length in parts:
            offsets = at[0] + start * size, at[1] + start * size
            yield _Strip(length, repeat[0], offsets, (repeat[1], repeat[2]))
