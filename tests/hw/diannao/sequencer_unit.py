"""The sequencer with whole slots at its input."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, connect, flipped

from hw.diannao.config import Config
from hw.diannao.nest_words import NestWords
from hw.diannao.sequencer import QueuedNest, Sequencer

__all__ = ["SequencerUnit"]


class SequencerUnit(wiring.Component):
    """``NestWords`` in front of ``Sequencer``, whose other members it has."""

    i: stream.Interface

    def __init__(self, *, config: Config):
        self._sequencer = Sequencer(config=config)
        taken = ("i", "commit", "nest_pc", "nest_tag")
        others = self._sequencer.signature.members.items()
        super().__init__(
            {"i": In(stream.Signature(QueuedNest))}
            | {name: member for name, member in others if name not in taken}
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.words = words = NestWords()
        m.submodules.sequencer = sequencer = self._sequencer
        connect(m, flipped(self.i), words.i)
        connect(m, words.o, sequencer.i)
        m.d.comb += [
            sequencer.commit.eq(words.commit),
            sequencer.nest_pc.eq(words.pc),
            sequencer.nest_tag.eq(words.tag),
        ]
        unit: Any = self
        for name, member in self.signature.members.items():
            if name == "o":
                connect(m, sequencer.o, flipped(unit.o))
            elif name != "i":
                inner, outer = getattr(sequencer, name), getattr(unit, name)
                m.d.comb += inner.eq(outer) if member.flow is In else outer.eq(inner)
        return m
