"""Dispatch of tile slots: one node instruction becomes an instruction of each tile."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..diannao.sequencer import QueuedNest
from ..nfu.layouts import Held, Op
from ..program.decoder import QueuedLayout
from .config import NodeConfig
from .fat_tree import Fork
from .isa import ErrorCode, TileSlot
from .ranges import bad_tiles

__all__ = ["Dispatch"]


class Dispatch(wiring.Component):
    """Hands the nest of a tile slot to each of its tiles, to all of them in the same cycle if they
    have room in their queues.

    Parameters
    ----------
    config : of the node

    Members
    -------
    i : In(stream(QueuedLayout(TileSlot))), the queue
    o : Out(stream(QueuedNest)).array(tiles)
    idle : Out(1), no slot is waiting
    error : Out(1), high while there is a fault: ``code`` and ``pc`` of the slot. A nest in a mode
        that the node does not have is an illegal instruction
    """

    i: stream.Interface
    o: Any
    idle: Signal
    error: Signal
    code: Any
    pc: Signal

    def __init__(self, *, config: NodeConfig):
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(QueuedLayout(TileSlot))),
                "o": Out(stream.Signature(QueuedNest)).array(config.tiles),
                "idle": Out(1),
                "error": Out(1),
                "code": Out(ErrorCode),
                "pc": Out(32),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        slot = self.i.payload.slot
        m.submodules.fork = fork = Fork(shape=QueuedNest, count=config.tiles)
        for inner, outer in zip(fork.o, self.o, strict=True):
            connect(m, inner, flipped(outer))
        illegal, nest = Signal(), slot.nest
        if not config.aggregate:
            m.d.comb += illegal.eq(nest.joined | nest.half | nest.derivative | _holds(nest))
        elif config.training:
            m.d.comb += illegal.eq(_holds(nest) & (nest.op != Op.MAC))
        else:
            m.d.comb += illegal.eq(_holds(nest))
        m.d.comb += [
            self.error.eq(self.i.valid & (illegal | bad_tiles(config, slot.tiles))),
            self.code.eq(Mux(illegal, ErrorCode.ILLEGAL_INSTRUCTION, ErrorCode.TILE_RANGE)),
            self.pc.eq(self.i.payload.pc),
            fork.i.payload.slot.eq(slot.nest),
            fork.i.payload.pc.eq(self.i.payload.pc),
            fork.i.payload.tag.eq(self.i.payload.tag),
            fork.i.valid.eq(self.i.valid & ~self.error),
            self.i.ready.eq(fork.i.ready & ~self.error),
            fork.targets.eq(slot.tiles),
            self.idle.eq(~self.i.valid),
        ]
        return m


def _holds(nest):
    """Whether the synapses of a nest are held neurons."""
    return nest.held != Held.SB
