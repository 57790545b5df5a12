"""Instruction decoder: takes words apart into the slots of the units."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .fetch import FetchedWord
from .fields import SLOTS, fields_of, slot_words
from .isa import WORD_BITS, CpSlot, NboutSlot
from .load import NbinLoad, SbLoad

__all__ = ["Decoder", "QueuedStore"]


class QueuedStore(data.Struct):
    """An NBout slot in its queue; ``pc`` is the byte offset of its instruction."""

    slot: NboutSlot
    pc: unsigned(32)


_KINDS = list(SLOTS)
_UNITS = _KINDS[1:]
_WORDS = {kind: slot_words(layout) for kind, layout in SLOTS.items()}
_LOADS = {kind: _WORDS[kind] for kind in ("sb", "nbin", "nbout")}


def _rules() -> dict[tuple, list[tuple[str, int]]]:
    """What is checked, by lowest bit, width and the values that are legal (none: all but zero).

    With it the words to which it applies, each a kind of slot and a number.
    """
    rules: dict[tuple, list[tuple[str, int]]] = {}
    for kind, layout in SLOTS.items():
        for field in fields_of(layout):
            if field.reserved:
                legal = (0,)
            elif field.legal is not None:
                legal = tuple(field.legal)
            elif field.positive:
                legal = ()
            else:
                continue
            low, end = field.offset, field.offset + field.width
            while low < end:
                stop = min(end, (low // WORD_BITS + 1) * WORD_BITS)
                rule = (low % WORD_BITS, stop - low, legal)
                rules.setdefault(rule, []).append((kind, low // WORD_BITS))
                low = stop
    return rules


def _without_reserved(kind: str, bits: Value) -> Value:
    """The slot with constant reserved bits, so that synthesis does not store them in the queue."""
    return Cat(
        Const(0, field.width) if field.reserved else bits[field.offset :][: field.width]
        for field in fields_of(SLOTS[kind])
    )


class Decoder(wiring.Component):
    """Takes the words of the slots, checks them, and hands them to the units.

    A slot is begun when its unit has a place for it, and then taken one word per cycle. The words
    of NFU slots go on as they come; those of the others are collected. Every word is checked while
    the next one comes in. A cycle after a slot's last word it is handed out as a whole (SB, NBin,
    NBout) or committed (NFU), unless one of its words was not legal. After the instruction with END
    no word is taken.

    If there are no queues to take the slots of SB, NBin and NBout, one that has come is held until
    its unit is ready. Meanwhile only NFU slots of the same instruction go on.

    Parameters
    ----------
    address_width : bits of an address, beyond which a program cannot reach
    queued : SB, NBin and NBout slots go into queues

    Members
    -------
    i : In(stream(FetchedWord))
    sb, nbin, nbout : Out(streams of SbLoad, NbinLoad, QueuedStore); if ``queued``, ``ready`` is
        looked at before a slot is begun, and must not fall until the slot has come
    nfu : Out(stream(64)), words of NFU slots; ``ready`` is looked at before a slot is begun, and
        must not fall until it has come
    commit : Out(1), the NFU slot that has come is legal
    tag : Out(16), layer of the instruction in work
    start : In(1), a new program begins
    enable : In(1), while low nothing is taken and offered
    pc : Out(32), byte offset of the instruction in work, or of the next one
    illegal : Out(1), a slot of the instruction at ``pc`` is not legal
    ended : Out(1), all slots up to END have been handed out
    exhausted : Out(1), the program's last word was taken and there was no END
    """

    i: stream.Interface
    sb: stream.Interface
    nbin: stream.Interface
    nbout: stream.Interface
    nfu: stream.Interface
    commit: Signal
    tag: Signal
    start: Signal
    enable: Signal
    pc: Signal
    illegal: Signal
    ended: Signal
    exhausted: Signal

    def __init__(self, *, address_width: int, queued: bool = True):
        self._offset_width = min(32, address_width)
        self._queued = queued
        super().__init__(
            {
                "i": In(stream.Signature(FetchedWord)),
                "sb": Out(stream.Signature(SbLoad)),
                "nbin": Out(stream.Signature(NbinLoad)),
                "nbout": Out(stream.Signature(QueuedStore)),
                "nfu": Out(stream.Signature(unsigned(WORD_BITS))),
                "commit": Out(1),
                "tag": Out(16),
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
        word = self.i.payload.word

        coming = Signal(len(_UNITS))  # slots of the instruction whose last word has not come
        index = Signal(range(max(_WORDS.values())))  # of the word that is next in its slot
        complete = Signal(len(_KINDS))  # one-hot: the slot whose last word has just come
        bad = Signal()  # the last word that has come is not legal
        end = Signal()
        out_of_words = Signal()
        offset = Signal(self._offset_width, reset_less=True)
        pc = Signal(self._offset_width, reset_less=True)
        stores = Signal(16)

        # The slot that is next: CP between instructions, else the lowest of those to come.
        cp: Any = Signal(CpSlot)
        kind = Signal(len(_KINDS), init=1)
        following = Signal.like(coming)  # of those to come, when the one that is next has come
        offered = Signal(len(_KINDS))  # one-hot: the slot that is handed out as a whole
        places = Cat(1, *(units[name].ready for name in _UNITS))
        if not self._queued:
            places = Cat((~offered.any()).replicate(len(_UNITS)), self.nfu.ready)
        closing, ready, taken, idle = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            cp.eq(word),
            following.eq(Mux(kind[0], Cat(cp[name] for name in _UNITS), coming & (coming - 1))),
            ready.eq((kind & places).any()),
            self.i.ready.eq(self.enable & ~bad & ~(end & kind[0]) & (ready | index.any())),
            taken.eq(self.i.valid & self.i.ready),
            closing.eq(
                Cat(kind[n] & (index == _WORDS[name] - 1) for n, name in enumerate(_KINDS)).any()
            ),
        ]
        m.d.sync += complete.eq(Mux(taken & closing, kind, 0))
        with m.If(taken):
            m.d.sync += [
                index.eq(Mux(closing, 0, index + 1)),
                offset.eq(offset + WORD_BITS // 8),
                out_of_words.eq(self.i.payload.last),
            ]
            with m.If(kind[0]):
                m.d.sync += [pc.eq(offset), self.tag.eq(cp.tag), end.eq(cp.end)]
            with m.If(closing):
                m.d.sync += [
                    coming.eq(following),
                    kind.eq(Cat(~following.any(), following & -following)),
                ]

        # Check each word; the result is there with what its slot's last word makes complete.
        broken = Signal()
        for (low, width, legal), places in _rules().items():
            value = word[low : low + width]
            applies = Cat(
                kind[_KINDS.index(name)] & (index == number if _WORDS[name] > 1 else 1)
                for name, number in places
            ).any()
            fails = ~Cat(value == choice for choice in legal).any() if legal else value == 0
            with m.If(applies & fails):
                m.d.comb += broken.eq(1)
        m.d.sync += bad.eq(taken & broken)
        m.d.comb += [
            idle.eq(~complete.any() & ~offered.any() & ~bad),
            self.illegal.eq(self.enable & bad),
            self.pc.eq(Mux(kind[0] & idle, offset, pc)),
            self.ended.eq(end & kind[0] & idle),
            self.exhausted.eq(out_of_words & idle & ~self.ended),
        ]

        # Hand out the slots.
        m.d.comb += [
            self.nfu.payload.eq(word),
            self.nfu.valid.eq(taken & kind[_KINDS.index("nfu")]),
            self.commit.eq(self.enable & complete[_KINDS.index("nfu")] & ~bad),
        ]
        held = [
            Signal(WORD_BITS, name=f"word_{n}", reset_less=True)
            for n in range(max(_LOADS.values()))
        ]
        is_load = Cat(kind[_KINDS.index(name)] for name in _LOADS).any()
        for n, register in enumerate(held):
            with m.If(taken & is_load & (index == n)):
                m.d.sync += register.eq(word)
        waiting = Signal.like(offered)
        for n, name in enumerate(_KINDS):
            if name in _LOADS:
                m.d.comb += offered[n].eq(waiting[n] | (complete[n] & ~bad))
                if not self._queued:
                    m.d.sync += waiting[n].eq(offered[n] & ~units[name].ready)
        for name, words in _LOADS.items():
            slot = Cat(held[:words])
            m.d.comb += [
                units[name].valid.eq(self.enable & offered[_KINDS.index(name)]),
                units[name].payload.slot.eq(_without_reserved(name, slot)),
                units[name].payload.pc.eq(pc),
            ]
        m.d.comb += self.nbin.payload.stores.eq(stores)
        with m.If(self.nbout.valid & self.nbout.ready):
            m.d.sync += stores.eq(stores + 1)

        with m.If(self.start):
            m.d.sync += [
                complete.eq(0),
                bad.eq(0),
                waiting.eq(0),
                coming.eq(0),
                kind.eq(1),
                index.eq(0),
                end.eq(0),
                out_of_words.eq(0),
                offset.eq(0),
            ]
        return m
