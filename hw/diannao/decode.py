"""Instruction decoder: takes words apart into the slots of the units."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .fetch import FetchedWord
from .fields import SLOTS, fields_of, slot_words
from .isa import WORD_BITS, CpSlot, NboutSlot
from .load import NbinLoad, SbLoad
from .sequencer import QueuedNest

__all__ = ["Decoder", "QueuedStore"]


class QueuedStore(data.Struct):
    """An NBout slot in its queue; ``pc`` is the byte offset of its instruction."""

    slot: NboutSlot
    pc: unsigned(32)


_KINDS = list(SLOTS)
_UNITS = _KINDS[1:]
_WORDS = {kind: slot_words(layout) for kind, layout in SLOTS.items()}


def _illegal(kind: str, bits: Value) -> Value:
    """Whether a field of the slot has a value that it may not have."""
    reserved, broken = [], []
    for field in fields_of(SLOTS[kind]):
        value = bits[field.offset : field.offset + field.width]
        if field.reserved:
            reserved.append(value)
        elif field.legal is not None:
            broken.append(~Cat(value == choice for choice in field.legal).any())
        elif field.positive:
            broken.append(value == 0)
    return Cat(broken).any() | Cat(reserved).any()


def _without_reserved(kind: str, bits: Value) -> Value:
    """The slot with constant reserved bits, so that synthesis does not store them in the queue."""
    return Cat(
        Const(0, field.width) if field.reserved else bits[field.offset :][: field.width]
        for field in fields_of(SLOTS[kind])
    )


class Decoder(wiring.Component):
    """Collects the words of each slot, checks it, and hands it to its unit.

    Words are shifted into a window as long as the longest slot. When the last word of a slot has
    arrived, the slot is checked and offered in the next cycle, while the first word of the next
    slot comes in. Throughput is one word per cycle as long as the units take their slots; an
    illegal slot is not offered. After the instruction with END no word is taken.

    Members
    -------
    i : In(stream(FetchedWord))
    sb, nbin, nbout, nfu : Out(streams of SbLoad, NbinLoad, QueuedStore, QueuedNest)
    start : In(1), a new program begins
    enable : In(1), while low nothing is taken and offered
    pc : Out(32), byte offset of the instruction in work, or of the next one
    illegal : Out(1), a slot of the instruction at ``pc`` is not legal
    ended : Out(1), all slots up to END have been taken by the units
    exhausted : Out(1), the program's last word was taken and there was no END
    """

    i: stream.Interface
    sb: stream.Interface
    nbin: stream.Interface
    nbout: stream.Interface
    nfu: stream.Interface
    start: Signal
    enable: Signal
    pc: Signal
    illegal: Signal
    ended: Signal
    exhausted: Signal

    def __init__(self):
        super().__init__(
            {
                "i": In(stream.Signature(FetchedWord)),
                "sb": Out(stream.Signature(SbLoad)),
                "nbin": Out(stream.Signature(NbinLoad)),
                "nbout": Out(stream.Signature(QueuedStore)),
                "nfu": Out(stream.Signature(QueuedNest)),
                "start": In(1),
                "enable": In(1),
                "pc": Out(32),
                "illegal": Out(1),
                "ended": Out(1),
                "exhausted": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        units = {"sb": self.sb, "nbin": self.nbin, "nbout": self.nbout, "nfu": self.nfu}

        window = Signal(max(_WORDS.values()) * WORD_BITS, reset_less=True)  # newest word on top
        complete = Signal(len(_KINDS))  # one-hot: the slot that the window holds
        coming = Signal(len(_UNITS))  # slots of the instruction whose last word has not come
        left = Signal(range(max(_WORDS.values()) + 1), reset_less=True)  # words of the next of them
        end = Signal()
        out_of_words = Signal()
        offset = Signal(32, reset_less=True)
        pc = Signal(32, reset_less=True)
        tag = Signal(16, reset_less=True)
        stores = Signal(16)

        # Check the slot in the window and offer it.
        slots = {kind: window[-_WORDS[kind] * WORD_BITS :] for kind in _KINDS}
        illegal = Signal(len(_KINDS))
        passed = Signal()
        m.d.comb += [
            illegal.eq(Cat(_illegal(kind, bits) for kind, bits in slots.items())),
            self.illegal.eq(self.enable & (complete & illegal).any()),
            passed.eq((complete & Cat(1, *(units[kind].ready for kind in _UNITS))).any()),
        ]
        for n, kind in enumerate(_KINDS):
            if kind in units:
                m.d.comb += [
                    units[kind].valid.eq(self.enable & complete[n] & ~illegal[n]),
                    units[kind].payload.slot.eq(_without_reserved(kind, slots[kind])),
                    units[kind].payload.pc.eq(pc),
                ]
        m.d.comb += [
            self.nbin.payload.stores.eq(stores),
            self.nfu.payload.tag.eq(tag),
        ]
        with m.If(self.nbout.valid & self.nbout.ready):
            m.d.sync += stores.eq(stores + 1)

        # Take the next word.
        cp: Any = Signal(CpSlot)
        between, idle = Signal(), Signal()
        m.d.comb += [
            cp.eq(self.i.payload.word),
            between.eq(~coming.any()),
            idle.eq(~complete.any()),
            self.i.ready.eq(self.enable & ~(end & between) & (passed | idle)),
            self.pc.eq(Mux(between & idle, offset, pc)),
            self.ended.eq(end & between & idle),
            self.exhausted.eq(out_of_words & idle & ~self.ended),
        ]
        following = Signal.like(coming)
        with m.If(between):
            m.d.comb += following.eq(Cat(cp[kind] for kind in _UNITS))
        with m.Else():
            m.d.comb += following.eq(coming & (coming - 1))
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                window.eq(Cat(window, self.i.payload.word)[WORD_BITS:]),
                offset.eq(offset + WORD_BITS // 8),
                out_of_words.eq(self.i.payload.last),
                complete.eq(0),
                left.eq(left - 1),
            ]
            with m.If(between):
                m.d.sync += [complete.eq(1), pc.eq(offset), tag.eq(cp.tag), end.eq(cp.end)]
            with m.If(between | (left == 1)):
                m.d.sync += coming.eq(following)
                for n, kind in reversed(list(enumerate(_UNITS))):
                    with m.If(following[n]):
                        m.d.sync += left.eq(_WORDS[kind])
            with m.If(~between & (left == 1)):
                m.d.sync += complete.eq(Cat(0, coming & ~following))
        with m.Elif(passed & self.enable):
            m.d.sync += complete.eq(0)

        with m.If(self.start):
            m.d.sync += [
                complete.eq(0),
                coming.eq(0),
                end.eq(0),
                out_of_words.eq(0),
                offset.eq(0),
            ]
        return m
