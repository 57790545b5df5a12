"""The nests of NFU slots: word by word into memories, row by row out of them."""

from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..bus.streams import Queue, Register
from ..memory.ram import Ram
from ..program.fields import is_reserved
from .config import Config
from .fields import slot_words
from .isa import LEVELS, WORD_BITS, Level, NfuSlot

__all__ = ["HEAD", "ROWS", "Count", "Head", "Moves", "Nests", "is_two"]

ROWS = 8
"""Rows that a nest has in the memories: its levels, and one more."""

HEAD = LEVELS
"""The row with what belongs to the whole nest: where it starts and what it frees at its end."""


_HEAD_BITS = 32
"""Of a slot's first word: what belongs to the whole nest and has no row in the memories."""


class Head(data.StructLayout):
    """What does not change in a nest: the fields of the first half of its slot, ``pc``, ``tag``."""

    def __init__(self, slot: type[data.Struct]):
        fields = dict(data.Layout.cast(slot))
        self.names = [
            str(name) for name, field in fields.items()
            if field.offset < _HEAD_BITS and not is_reserved(name)
        ]  # fmt: skip
        shapes: dict = {name: fields[name].shape for name in self.names}
        super().__init__({**shapes, "pc": unsigned(32), "tag": unsigned(16)})


class Moves(data.StructLayout):
    """Strides of a level, or where a nest starts.

    As wide as they have to be: whatever is far outside a buffer only has to stay outside, so it is
    saturated to about twice the buffer's size.
    """

    def __init__(self, config: Config):
        sizes = {
            "nbin": config.nbin_elements,
            "sb": config.sb_rows,
            "nbout": config.nbout_rows,
            "bias": config.bias_rows,
        }
        super().__init__(
            {name: signed(min(17, (2 * size).bit_length() + 1)) for name, size in sizes.items()}
        )


class _Frees(data.StructLayout):
    """What is given up, saturated to more than there is."""

    def __init__(self, config: Config):
        super().__init__({"nbin": range(config.nbin_elements + 2), "sb": range(config.sb_rows + 2)})


class Count(data.StructLayout):
    """A number of iterations and, unless ``config`` has an engine, whether they are two.

    That is known early then; but a block RAM of a small FPGA has 16 bits.
    """

    def __init__(self, config: Config):
        early = {} if config.engine else {"two": unsigned(1)}
        super().__init__({"count": unsigned(16), **early})


def is_two(iterations: data.View) -> Value:
    """Whether a ``Count`` is two."""
    if "two" in dict(iterations.shape()):
        return iterations.two
    return iterations.count == 2


class Nests(wiring.Component):
    """Keeps the nest in work and those that wait for it.

    A nest comes as the words of its slot, whole or in pieces of as many bits as ``config`` decodes
    in a cycle, one per cycle, and may be begun once it was committed. Of
    the nest in work, and of the start of the next one, a row can be read in every cycle.

    Parameters
    ----------
    config : core configuration
    slot : NfuSlot, or a layout that differs in nothing but what is reserved there

    Members
    -------
    i : In(stream(decoded_bits)), words of the slots; ready for all of a slot or for none
    commit : In(1), the slot whose words have all come is legal; ``pc``, ``tag`` : In, its place
    head : Out(stream(Head)), of the nest in work; it gives way to the next one with ``ready``,
        which also frees its place
    row, read : In, row to be read and enable; they give in the next cycle and until the next read
    moves : Out(Moves), ``count``, ``two``, ``single`` : Out, of that row
    free_row, free_read : In, likewise; ``nbin_free``, ``sb_free`` : Out
    """

    i: stream.Interface
    commit: Signal
    pc: Signal
    tag: Signal
    head: stream.Interface
    row: Signal
    read: Signal
    moves: Any
    count: Signal
    two: Signal
    single: Signal
    free_row: Signal
    free_read: Signal
    nbin_free: Signal
    sb_free: Signal

    def __init__(self, *, config: Config, slot: type[data.Struct] = NfuSlot):
        self._config = config
        self._slot = slot
        self._head = Head(slot)
        self.banks = config.queue + 2
        self.depth = self.banks * ROWS
        frees = _Frees(config)
        super().__init__(
            {
                "i": In(stream.Signature(unsigned(config.decoded_bits))),
                "commit": In(1),
                "pc": In(32),
                "tag": In(16),
                "head": Out(stream.Signature(self._head)),
                "row": In(range(self.depth)),
                "read": In(1),
                "moves": Out(Moves(config)),
                "count": Out(16),
                "two": Out(1),
                "single": Out(LEVELS),
                "free_row": In(range(self.depth)),
                "free_read": In(1),
                "nbin_free": Out(frees["nbin"].shape),
                "sb_free": Out(frees["sb"].shape),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self._config
        word = self.i.payload
        pieces = WORD_BITS // config.decoded_bits  # of a word
        last_word = slot_words(NfuSlot) * pieces - 1
        per_row = 2 * pieces

        def place_of(layout, name: str) -> tuple[int, int, int]:
            return _place(layout, name, config.decoded_bits)

        # Which word of which nest it is: two of the head, then two of each level.
        index = Signal(range(last_word + 1))
        bank = Signal(range(self.banks))
        used = Signal(range(self.banks + 1))
        fresh, full = Signal(init=1), Signal()  # no word of the nest has come; all places are used
        taken, of_head = Signal(), Signal()
        number = Signal(range(per_row))  # of the word in its row
        begun, ended = Signal(), Signal()
        m.d.comb += [
            taken.eq(self.i.valid & self.i.ready),
            of_head.eq(index < per_row),
            number.eq(index),
            begun.eq(taken & fresh),
            ended.eq(self.head.valid & self.head.ready),
            self.i.ready.eq(~fresh | ~full),
        ]
        with_new = used + begun
        m.d.sync += [
            used.eq(Mux(ended, with_new - 1, with_new)),
            full.eq(~ended & (full | (begun & (used == self.banks - 1)))),
        ]
        with m.If(taken):
            m.d.sync += fresh.eq(index == last_word)
            with m.If(index == last_word):
                m.d.sync += [
                    index.eq(0),
                    bank.eq(Mux(bank == self.banks - 1, 0, bank + 1)),
                ]
            with m.Else():
                m.d.sync += index.eq(index + 1)
        row = Signal(range(self.depth))
        level = Signal(range(ROWS))
        m.d.comb += [
            level.eq(Mux(of_head, HEAD, (index // per_row) - 1)),
            row.eq(Cat(level, bank)),
        ]

        # Moves: the second word of a level has only that of the bias rows, and so on.
        moves = Moves(config)
        frees = _Frees(config)
        for name in ("nbin", "sb", "nbout", "bias"):
            m.submodules[f"{name}_moves"] = ram = Ram(shape=moves[name].shape, depth=self.depth)
            stride, start = place_of(Level, f"{name}_step"), place_of(NfuSlot, name)
            from_start, from_stride = _bits(word, start), _bits(word, stride)
            value = Signal(signed(17), name=f"{name}_move")
            m.d.comb += [
                value.eq(Mux(of_head, Cat(from_start, C(0, 1)), Cat(from_stride, from_stride[-1]))),
                ram.write_row.eq(row),
                ram.write.eq(taken & (number == Mux(of_head, start[0], stride[0]))),
                ram.write_data.eq(_saturated(value, ram.write_data)),
                ram.read_row.eq(self.row),
                ram.read.eq(self.read),
                self.moves[name].eq(ram.read_data),
            ]
        for name, port in (("nbin", self.nbin_free), ("sb", self.sb_free)):
            m.submodules[f"{name}_frees"] = ram = Ram(shape=frees[name].shape, depth=self.depth)
            inner, final = place_of(Level, f"{name}_free"), place_of(NfuSlot, f"{name}_free")
            amount = Mux(of_head, _bits(word, final), _bits(word, inner))
            most = (1 << len(ram.write_data)) - 1
            m.d.comb += [
                ram.write_row.eq(row),
                ram.write.eq(taken & (number == Mux(of_head, final[0], inner[0]))),
                # Kept inverted, as it is subtracted and compared: iCE40 adders do not invert.
                ram.write_data.eq(~Mux(amount > most, most, amount)),
                ram.read_row.eq(self.free_row),
                ram.read.eq(self.free_read),
                port.eq(~ram.read_data),
            ]

        # Counts, and in the head's row, at the end, which of them are one.
        m.submodules.counts = counts = Ram(shape=Count(config), depth=self.depth)
        first = number == place_of(Level, "count")[0]
        count = _bits(word, place_of(Level, "count"))
        single = Signal(LEVELS, reset_less=True)
        m.d.comb += [
            counts.write_row.eq(Mux(index == last_word, Cat(C(HEAD, 3), bank), row)),
            counts.write.eq(taken & (first | (index == last_word))),
            counts.write_data.count.eq(Mux(index == last_word, single, count)),
            *([] if config.engine else [counts.write_data.two.eq(count == 2)]),
            counts.read_row.eq(self.row),
            counts.read.eq(self.read),
            self.count.eq(counts.read_data.count),
            self.two.eq(is_two(counts.read_data)),
            self.single.eq(counts.read_data.count),
        ]
        with m.If(taken & first):
            m.d.sync += single.eq(Cat(single, count == 1)[1:])

        # Heads.
        kept = Signal(_HEAD_BITS, reset_less=True)  # the first word's part that has no row
        for n in range(max(1, _HEAD_BITS // config.decoded_bits)):
            with m.If(taken & (index == n)):
                m.d.sync += kept[n * config.decoded_bits :][: config.decoded_bits].eq(word)
        waiting = Signal(self._head)
        for name in self._head.names:
            place = _place(self._slot, name, _HEAD_BITS)
            m.d.comb += Value.cast(waiting[name]).eq(_bits(kept, place))
        if self.banks == 2:
            # The one nest that waits can stay where it came.
            m.submodules.heads = heads = Register(shape=self._head)
            pc, tag = Signal.like(self.pc, reset_less=True), Signal.like(self.tag, reset_less=True)
            with m.If(self.commit):
                m.d.sync += [pc.eq(self.pc), tag.eq(self.tag)]
            m.d.sync += heads.i.valid.eq(self.commit | (heads.i.valid & ~heads.i.ready))
            m.d.comb += [waiting.pc.eq(pc), waiting.tag.eq(tag)]
        else:
            m.submodules.heads = heads = Queue(shape=self._head, depth=self.banks)
            m.d.comb += [
                heads.i.valid.eq(self.commit), waiting.pc.eq(self.pc), waiting.tag.eq(self.tag)
            ]  # fmt: skip
        m.d.comb += heads.i.payload.eq(waiting)
        connect(m, heads.o, flipped(self.head))
        return m


def _place(layout, name: str, size: int) -> tuple[int, int, int]:
    """Where a field is: the word of ``size`` bits, its lowest bit there, its width."""
    field = data.Layout.cast(layout)[name]
    return field.offset // size, field.offset % size, field.width


def _bits(word: Value, place: tuple[int, int, int]) -> Value:
    return word[place[1] : place[1] + place[2]]


def _saturated(value: Value, target) -> Value:
    """``value`` clamped to the range of ``target``'s shape."""
    width = len(target)
    if len(value) <= width:
        return value
    top = value[width - 1 :]
    most = C((1 << (width - 1)) - 1, signed(width))
    least = C(-(1 << (width - 1)), signed(width))
    return Mux(top.all() | ~top.any(), value[:width].as_signed(), Mux(value[-1], least, most))
