"""What a machine's programs move: rows of memories, and bytes over links, layer by layer."""

from collections import Counter
from collections.abc import Sequence
from math import prod

import numpy as np

from hw.dadiannao.assembler import Instruction, Read, Send, Tile, decode
from hw.dadiannao.config import NodeConfig
from hw.dadiannao.isa import LoadOp, ReadOp, SendOp
from hw.dadiannao.packets import head_words, row_words
from hw.diannao.isa import NfuIn, NfuOut
from hw.nfu.layouts import Held, Op
from sim.interpreter.nest import Nest

from .interpreter.rows import addresses

__all__ = ["accesses"]


def _link_bytes(config: NodeConfig, sender: int, slot: Send) -> dict[tuple[int, int], int]:
    """Bytes that a send slot puts on each link (sender, receiver; neighbours), heads included."""
    if slot.op != SendOp.SEND:
        return {}
    rows = prod(level.count for level in slot.levels)
    words = rows * row_words(config) + rows // slot.levels[0].count * head_words(config)
    size = words * config.mesh.data_width // 8
    return dict.fromkeys(config.mesh.way(sender, slot.node), size)


def accesses(config: NodeConfig, programs: Sequence[np.ndarray]) -> dict[int, Counter[str]]:
    """Accesses by tag of the nodes' programs (words), of all nodes and tiles together.

    ``central_0_read``, ``central_0_written``, ``central_1_read``, ``central_1_written``
        rows of Ti neurons of either central memory
    ``nbin_written``, ``nbin_read``
        rows of Ti neurons that come to tiles, and that their NFUs take
    ``sb_written``, ``sb_read``
        rows of SB; steps that follow each other with the same row read it once
    ``nbout_read``, ``nbout_written``
        rows of Tn partial sums
    ``link_A_B``
        bytes from node A to its neighbour B
    """
    result: dict[int, Counter[str]] = {}
    for node, words in enumerate(programs):
        masks: dict[int, int] = {}
        for each in decode(words):
            counts = result.setdefault(each.tag, Counter())
            _central(counts, each)
            if each.load is not None and each.load.op == LoadOp.SYNAPSES:
                rows = each.load.levels[0].count * each.load.tiles.bit_count()
                counts["sb_written"] += rows
            if each.read is not None:
                counts["nbin_written"] += _received(masks, each.read)
            if each.tile is not None:
                _steps(counts, each.tile)
            if each.send is not None:
                for (a, b), size in _link_bytes(config, node, each.send).items():
                    counts[f"link_{a}_{b}"] += size
                if each.send.op == SendOp.SEND:
                    rows = prod(level.count for level in each.send.levels)
                    counts[f"central_{each.send.to_bank}_written"] += rows
    return result


def _central(counts: Counter[str], each: Instruction) -> None:
    """Count what units of one node read and write in its central memories."""
    reads = [
        each.store,
        each.read if each.read is not None and each.read.op is ReadOp.BROADCAST else None,
        each.send if each.send is not None and each.send.op is SendOp.SEND else None,
    ]
    load = each.load if each.load is not None and each.load.op is not LoadOp.SYNAPSES else None
    for slots, what in ((reads, "read"), ((load, each.write), "written")):
        for slot in slots:
            if slot is not None:
                rows = prod(level.count for level in slot.levels)
                counts[f"central_{slot.bank}_{what}"] += rows


def _received(masks: dict[int, int], slot: Read) -> int:
    """Rows that tiles take of a read slot; ``masks`` is the mask table."""
    if slot.op is ReadOp.MASK:
        masks[slot.mask] = slot.tiles
    if slot.op is not ReadOp.BROADCAST:
        return 0
    entries, times = np.unique(addresses(slot.mask, slot.levels, "mask_step"), return_counts=True)
    return sum(
        masks[entry].bit_count() * count
        for entry, count in zip(entries.tolist(), times.tolist(), strict=True)
    )


def _steps(counts: Counter[str], slot: Tile) -> None:
    nest, tiles = Nest(slot.nest), slot.tiles.bit_count()
    if nest.reads_nbin:
        counts["nbin_read"] += nest.steps * tiles
    if nest.reads_sb and slot.nest.held is not Held.EACH:
        last, rows = None, 0
        for steps in nest.scan():
            at = nest.at("sb", steps)
            rows += int(np.count_nonzero(np.diff(at))) + (int(at[0]) != last)
            last = int(at[-1])
        counts["sb_read"] += rows * tiles
    if nest.slot.op is not Op.MAC:
        return
    outputs = len(nest.first_steps()) * tiles
    if nest.slot.source is NfuIn.NBOUT:
        counts["nbout_read"] += outputs
    if nest.slot.target is NfuOut.NBOUT:
        counts["nbout_written"] += outputs
