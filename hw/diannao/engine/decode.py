"""The decoder of a core with an engine: slots go half word by half word to where they are kept."""

from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..fields import SLOTS, fields_of, slot_words
from ..isa import WORD_BITS, CpSlot
from .rows import HALF_BITS, PLACES, Client, Part, Row

__all__ = ["HalfDecoder"]

_KINDS = list(SLOTS)
_UNITS = _KINDS[1:]
_LOADS = {"sb": Client.SB, "nbin": Client.NBIN, "nbout": Client.NBOUT}
_HALVES = {kind: slot_words(layout) * (WORD_BITS // HALF_BITS) for kind, layout in SLOTS.items()}


def _bit(layout, name: str) -> tuple[int, int]:
    """The half word of a field, and its lowest bit there."""
    field = next(field for field in fields_of(layout) if field.name == name)
    return divmod(field.offset, HALF_BITS)


def _rules() -> dict[tuple, list[tuple[str, int]]]:
    """What is checked, by lowest bit, width and the values that are legal (none: all but zero).

    With it the half words to which it applies, each a kind of slot and a number. For a number of
    32 bits that may not be zero it is the upper half, and the width 32.
    """
    rules: dict[tuple, list[tuple[str, int]]] = {}
    for kind, layout in SLOTS.items():
        for field in fields_of(layout):
            low, end = field.offset, field.offset + field.width
            if field.reserved or field.legal is not None:
                legal = (0,) if field.legal is None else tuple(field.legal)
                assert legal == (0,) or low // HALF_BITS == (end - 1) // HALF_BITS, field.name
                while low < end:
                    stop = min(end, (low // HALF_BITS + 1) * HALF_BITS)
                    rule = (low % HALF_BITS, stop - low, legal)
                    rules.setdefault(rule, []).append((kind, low // HALF_BITS))
                    low = stop
            elif field.positive:
                assert low % HALF_BITS == 0, field.name
                assert field.width in (HALF_BITS, 2 * HALF_BITS), field.name
                rule = (0, field.width, ())
                rules.setdefault(rule, []).append((kind, end // HALF_BITS - 1))
    return rules


class HalfDecoder(wiring.Component):
    """Takes slots as half words, checks them, and sends each part to its place.

    Those of SB, NBin and NBout go to the engine's memory as they come, those of NFU to the
    sequencer. A slot is begun when its unit has room for it. The half words are checked while the
    next one comes in. A cycle or more after its last one, a slot is committed, unless one was not
    legal. After the instruction with END nothing is taken.

    Members
    -------
    i : In(stream(16))
    spent : In(1), no half word will come but what is offered
    room : In(3), SB, NBin and NBout have room for a slot; falls with ``commit`` only
    part : Out(Part), what the engine shall keep, if ``write``
    free : In(1), it can in this cycle
    commit : Out(3), the slot of SB, NBin or NBout is complete with this ``part``
    fence : Out(1), belongs to ``commit`` of NBin
    nfu : Out(stream(16)), half words of NFU slots; ``ready`` is looked at before a slot is begun,
        and must not fall until it has come
    nest_commit : Out(1), the NFU slot that has come is legal
    tag : Out(16), layer of the instruction in work
    enable : In(1), while low nothing is taken and offered
    pc : Out(32), byte offset of the instruction in work, or of the next one
    illegal : Out(1), a slot of the instruction at ``pc`` is not legal
    ended : Out(1), all slots up to END have been committed
    exhausted : Out(1), the program has ended without END
    """

    i: stream.Interface
    spent: Signal
    room: Signal
    part: Any
    write: Signal
    free: Signal
    commit: Signal
    fence: Signal
    nfu: stream.Interface
    nest_commit: Signal
    tag: Signal
    enable: Signal
    pc: Signal
    illegal: Signal
    ended: Signal
    exhausted: Signal

    def __init__(self, *, config: Config):
        self._width = config.address_width
        super().__init__(
            {
                "i": In(stream.Signature(unsigned(HALF_BITS))),
                "spent": In(1),
                "room": In(3),
                "part": Out(Part()),
                "write": Out(1),
                "free": In(1),
                "commit": Out(3),
                "fence": Out(1),
                "nfu": Out(stream.Signature(unsigned(HALF_BITS))),
                "nest_commit": Out(1),
                "tag": Out(16),
                "enable": In(1),
                "pc": Out(32),
                "illegal": Out(1),
                "ended": Out(1),
                "exhausted": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        half = self.i.payload
        # Slots whose last half word has not come: those of the instruction, or its CP.
        coming = Signal(len(_KINDS), init=1)
        index = Signal(range(max(_HALVES.values())))  # of the half word that is next in its slot
        complete = Signal(len(_KINDS))  # one-hot: the slot whose last half word has come
        bad = Signal()  # the half word that came last is not legal
        end = Signal()
        offset = Signal(self._width - 1)  # half words taken
        pc = Signal(self._width, reset_less=True)

        # The slot that is next is the lowest of them.
        kind = Signal(len(_KINDS))
        of = {name: kind[n] for n, name in enumerate(_KINDS)}
        loads = slice(1, 1 + len(_LOADS))
        is_load, between, idle = Signal(), Signal(), Signal()
        closing, ready, taken = Signal(), Signal(), Signal()
        m.d.comb += [
            kind.eq(coming & -coming),
            is_load.eq(kind[loads].any()),
            between.eq(of["cp"] & (index == 0)),
            idle.eq(~complete.any() & ~bad),
            ready.eq(
                of["cp"] & ~end | (kind[loads] & self.room).any() | (of["nfu"] & self.nfu.ready)
            ),
            self.i.ready.eq(
                self.enable & ~bad & ~complete[loads].any() & (ready | index.any())
                & (self.free | ~is_load)
            ),
            taken.eq(self.i.valid & self.i.ready),
            closing.eq(Cat(of[name] & (index == _HALVES[name] - 1) for name in _KINDS).any()),
        ]  # fmt: skip
        m.d.sync += complete.eq(complete & ~Cat(1, self.commit, 1))
        with m.If(taken):
            following = coming & (coming - 1)
            m.d.sync += [index.eq(Mux(closing, 0, index + 1)), offset.eq(offset + 1)]
            with m.If(closing):
                m.d.sync += [
                    coming.eq(Mux(following.any(), following, 1)),
                    complete.eq(kind),
                ]

        # Check each half word; the result is there with what its slot's last one makes complete.
        broken = Signal()
        nonzero = Signal()  # the half word before is not zero
        for (low, width, legal), places in _rules().items():
            value = half[low : low + width]
            applies = Cat(of[name] & (index == number) for name, number in places).any()
            if legal:
                fails = ~Cat(value == choice for choice in legal).any()
            else:
                fails = ~(value.any() | (nonzero if width > HALF_BITS else 0))
            with m.If(applies & fails):
                m.d.comb += broken.eq(1)
        m.d.sync += bad.eq(taken & broken)
        with m.If(taken):
            m.d.sync += nonzero.eq(half.any())

        # What CP says.
        cp = {name: _bit(CpSlot, name) for name in (*_UNITS, "end", "tag")}
        with m.If(taken & between):
            assert all(cp[name][0] == 0 for name in (*_UNITS, "end"))
            bits = Cat(half[cp[name][1]] for name in _UNITS)
            m.d.sync += [
                coming.eq(Cat(1, bits)), end.eq(half[cp["end"][1]]), pc.eq(Cat(C(0, 1), offset))
            ]  # fmt: skip
        with m.If(taken & of["cp"] & (index == cp["tag"][0])):
            m.d.sync += self.tag.eq(half)

        m.d.comb += [
            self.illegal.eq(self.enable & bad),
            self.pc.eq(Mux(between & idle, Cat(C(0, 1), offset), pc)),
            self.ended.eq(end & between & idle),
            self.exhausted.eq(self.spent & ~self.i.valid & idle & ~self.ended),
            self.nfu.payload.eq(half),
            self.nfu.valid.eq(taken & of["nfu"]),
            self.nest_commit.eq(self.enable & complete[_KINDS.index("nfu")] & ~bad),
        ]

        # What the engine keeps: half words as they come, and at the end where they come from.
        part = self.part
        m.d.comb += [
            part.data.eq(half.replicate(2)),
            self.commit.eq(Mux(self.enable & self.free & ~bad, complete[loads], 0)),
        ]
        for n, client in enumerate(_LOADS.values(), start=1):
            with m.If(kind[n] | complete[n]):
                m.d.comb += part.client.eq(client)
        with m.Switch(index):
            for number, (row, upper) in PLACES.items():
                with m.Case(number):
                    m.d.comb += [part.row.eq(row), part.halves.eq(2 if upper else 1)]
        m.d.comb += self.write.eq(taken & is_load & part.halves.any())
        with m.If(complete[loads].any()):
            m.d.comb += [
                part.data.eq(pc), part.row.eq(Row.PC), part.halves.eq(3), self.write.eq(1)
            ]  # fmt: skip
        number, low = _bit(SLOTS["nbin"], "fence")
        with m.If(taken & (index == number)):
            m.d.sync += self.fence.eq(half[low])
        return m
