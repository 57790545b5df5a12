"""From an NFU slot as a whole to the words in which the sequencer takes it."""

from amaranth.hdl import Module, Mux, Signal, Value, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .fields import slot_words
from .isa import WORD_BITS, NfuSlot
from .sequencer import QueuedNest

__all__ = ["NestWords"]


class NestWords(wiring.Component):
    """Hands a nest to a Sequencer, a word per cycle; one more cycle commits it.

    Members
    -------
    i : In(stream(QueuedNest))
    o : Out(stream(64)); ``commit``, ``pc``, ``tag`` : Out, as Sequencer takes them
    """

    i: stream.Interface
    o: stream.Interface
    commit: Signal
    pc: Signal
    tag: Signal

    def __init__(self):
        super().__init__(
            {
                "i": In(stream.Signature(QueuedNest)),
                "o": Out(stream.Signature(unsigned(WORD_BITS))),
                "commit": Out(1),
                "pc": Out(32),
                "tag": Out(16),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        words = slot_words(NfuSlot)
        index = Signal(range(words + 1))
        m.d.comb += [
            self.commit.eq(index == words),
            self.i.ready.eq(self.commit),
            self.o.valid.eq(self.i.valid & ~self.commit),
            self.o.payload.eq(Value.cast(self.i.p.slot).word_select(index, WORD_BITS)),
            self.pc.eq(self.i.p.pc),
            self.tag.eq(self.i.p.tag),
        ]
        with m.If(self.commit | (self.o.valid & self.o.ready)):
            m.d.sync += index.eq(Mux(self.commit, 0, index + 1))
        return m
