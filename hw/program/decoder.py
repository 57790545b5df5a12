"""Instruction decoder, made from an instruction set's layouts."""

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..diannao.fetch import FetchedWord
from .fields import WORD_BITS, fields_of, slot_words

__all__ = ["Decoder", "QueuedLayout", "Slots"]

Slots = Mapping[str, type[data.Struct]]
"""The slots of an instruction set by name, in their order; the first one is CP, whose fields of the
others' names say which of them follow."""


class QueuedLayout(data.StructLayout):
    """A slot in its unit's queue.

    slot : the slot
    pc : unsigned(32), byte offset of its instruction from the program's start
    tag : unsigned(16), layer
    """

    def __init__(self, slot: type[data.Struct]):
        super().__init__({"slot": slot, "pc": unsigned(32), "tag": unsigned(16)})


def _illegal(slot: type[data.Struct], bits: Value, magic: int) -> Value:
    """Whether a field of the slot has a value that it may not have."""
    reserved, broken = [], []
    for field in fields_of(slot, magic):
        value = bits[field.offset : field.offset + field.width]
        if field.reserved:
            reserved.append(value)
        elif field.legal is not None:
            broken.append(~Cat(value == choice for choice in field.legal).any())
        elif field.positive:
            broken.append(value == 0)
    return Cat(broken).any() | Cat(reserved).any()


def _without_reserved(slot: type[data.Struct], bits: Value) -> Value:
    """The slot with constant reserved bits, so that synthesis does not store them in the queue."""
    return Cat(
        Const(0, field.width) if field.reserved else bits[field.offset :][: field.width]
        for field in fields_of(slot)
    )


class Decoder(wiring.Component):
    """Collects the words of each slot, checks it, and hands it to its unit.

    Words are shifted into a window as long as the longest slot. When the last word of a slot has
    arrived, the slot is checked and offered in the next cycle, while the first word of the next
    slot comes in. Throughput is one word per cycle as long as the units take their slots; an
    illegal slot is not offered. After the instruction with END no word is taken.

    If CP has a field ``fence``, an instruction in which it is 1 waits until ``drained``.

    Parameters
    ----------
    slots : of the instruction set
    magic : what CP's field ``magic`` must be

    Members
    -------
    i : In(stream(FetchedWord))
    for each slot but CP, by its name : Out(stream(QueuedLayout))
    start : In(1), a new program begins
    enable : In(1), while low nothing is taken and offered
    drained : In(1), everything that was handed out has been done
    pc : Out(32), byte offset of the instruction in work, or of the next one
    illegal : Out(1), a slot of the instruction at ``pc`` is not legal
    fencing : Out(1), an instruction waits for ``drained``
    ended : Out(1), all slots up to END have been taken by the units
    exhausted : Out(1), the program's last word was taken and there was no END
    """

    i: stream.Interface
    start: Signal
    enable: Signal
    drained: Signal
    pc: Signal
    illegal: Signal
    fencing: Signal
    ended: Signal
    exhausted: Signal

    def __init__(self, *, slots: Slots, magic: int):
        self._slots = slots
        self._magic = magic
        self._words = {name: slot_words(slot) for name, slot in slots.items()}
        self._cp, *self._units = slots
        units = {unit: Out(stream.Signature(QueuedLayout(slots[unit]))) for unit in self._units}
        super().__init__(
            {
                "i": In(stream.Signature(FetchedWord)),
                **units,
                "start": In(1),
                "enable": In(1),
                "drained": In(1),
                "pc": Out(32),
                "illegal": Out(1),
                "fencing": Out(1),
                "ended": Out(1),
                "exhausted": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        names, words = list(self._slots), self._words
        units: list[Any] = [getattr(self, unit) for unit in self._units]

        longest = max(words.values())
        window = Signal(longest * WORD_BITS, reset_less=True)  # newest word on top
        complete = Signal(len(names))  # one-hot: the slot that the window holds
        coming = Signal(len(units))  # slots of the instruction whose last word has not come
        left = Signal(range(longest + 1), reset_less=True)  # words of the next of them
        end = Signal()
        out_of_words = Signal()
        offset = Signal(32, reset_less=True)
        pc = Signal(32, reset_less=True)
        tag = Signal(16, reset_less=True)

        # Check the slot in the window and offer it.
        content = {name: window[-words[name] * WORD_BITS :] for name in names}
        illegal = Signal(len(names))
        passed = Signal()
        held: Any = Signal(self._slots[self._cp])
        m.d.comb += held.eq(content[self._cp])
        if "fence" in dict(data.Layout.cast(self._slots[self._cp])):
            m.d.comb += self.fencing.eq(complete[0] & held.fence & ~self.drained)
        m.d.comb += [
            illegal.eq(
                Cat(_illegal(self._slots[n], bits, self._magic) for n, bits in content.items())
            ),
            self.illegal.eq(self.enable & (complete & illegal).any()),
            passed.eq((complete & Cat(~self.fencing, *(unit.ready for unit in units))).any()),
        ]
        for n, (name, unit) in enumerate(zip(self._units, units, strict=True), start=1):
            m.d.comb += [
                unit.valid.eq(self.enable & complete[n] & ~illegal[n]),
                unit.payload.slot.eq(_without_reserved(self._slots[name], content[name])),
                unit.payload.pc.eq(pc),
                unit.payload.tag.eq(tag),
            ]

        # Take the next word.
        cp: Any = Signal(self._slots[self._cp])
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
            m.d.comb += following.eq(Cat(cp[name] for name in self._units))
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
                for n, name in reversed(list(enumerate(self._units))):
                    with m.If(following[n]):
                        m.d.sync += left.eq(words[name])
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
