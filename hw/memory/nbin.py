"""NBin, the scratchpad of input neurons: a ring that is read at any element offset."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..arith.pipeline import delay
from ..nfu.layouts import lanes
from .ram import Ram
from .ring import wrapped
from .rotate import rotate_down, rotate_up

__all__ = ["Nbin", "NbinLanePort", "NbinWritePort"]


class NbinWritePort(wiring.Signature):
    """Appends to NBin's ring, seen from the loader.

    In each cycle elements ``first .. first + count - 1`` of the word are written at the head of the
    ring, which then moves by ``advance >= count`` elements; what it moves beyond ``count`` is
    skipped, its contents are of no value. The word may be offered again in the next cycle with a
    higher ``first``, when only a part of it had room.

    Parameters
    ----------
    elements : capacity of the ring
    width : bits of an element
    write_lanes : elements of a word
    """

    def __init__(self, *, elements: int, width: int, write_lanes: int):
        super().__init__(
            {
                "word": Out(lanes(width, write_lanes)),
                "first": Out(range(write_lanes)),
                "count": Out(range(write_lanes + 1)),
                "advance": Out(range(elements + 1)),
            }
        )


class NbinLanePort(wiring.Signature):
    """Writes bytes that already stand in the lanes of their banks.

    Parameters
    ----------
    elements : capacity of the ring
    width : bits of an element, a multiple of 8
    banks : banks of the ring
    lanes : bytes of a word; byte n of a row of banks is written from lane n modulo ``lanes``

    Members
    -------
    row : the row of the first element, in bank ``first``; banks below it are in the next row. The
        first byte may be any of the first element, but no bank is written in two rows
    enables : by byte of a row of banks, whether it is written
    data : the lanes
    """

    def __init__(self, *, elements: int, width: int, banks: int, lanes: int):
        super().__init__(
            {
                "row": Out(range(elements // banks)),
                "first": Out(range(banks)),
                "enables": Out(banks * width // 8),
                "data": Out(unsigned(8 * lanes)),
            }
        )


class Nbin(wiring.Component):
    """NBin (paper section 5.1) as a ring in single-element banks.

    ::

        word -> rotate -> register -> bank 0 .. bank n-1 -> rotate -> register -> neurons

    Consecutive elements lie in consecutive banks, so any ``ti`` (and any ``write_lanes``)
    neighbours are in different banks and move in one cycle: the banks below the first one of them
    work on the next row, and a rotation puts the elements in order. This is why pooling needs no
    transposition of its inputs: with channels innermost, neighbours in memory are the lanes.

    Timing: what is written in cycle t can be read with ``read`` in cycle t + 2 or later. A read
    takes ``read_stages`` cycles with ``read``, nothing moves in the others; after them ``neurons``
    shows what was at ``position`` in the first one. The banks are read in the first one of two, in
    the second one of more: then its elements must not be overwritten. Contents are not reset; the
    head of the ring is position 0 after reset.

    Parameters
    ----------
    elements : capacity, a multiple of ``banks``
    banks : single-element banks, a power of two, at least ``max(ti, write_lanes)``
    width : bits of an element
    ti : elements read together
    write_lanes : elements written together
    read_stages : 2, 3 with a register in front of the banks' addresses, 4 with one behind the banks
        as well (block RAM of an ECP5 takes almost 6 ns)
    in_lanes : they come byte by byte, in the lanes of their banks. What is written can then be
        read in the next cycle

    Members
    -------
    write : In(NbinWritePort), or In(NbinLanePort)
    position : In(range(elements)), address of the first element to be read; the others follow,
        modulo the capacity
    read : In(1)
    neurons : Out(lanes(width, ti))
    """

    write: Any
    position: Signal
    read: Signal
    neurons: data.View

    def __init__(
        self, *, elements: int, banks: int, width: int, ti: int, write_lanes: int,
        read_stages: int = 2, in_lanes: bool = False,
    ):  # fmt: skip
        if not 2 <= read_stages <= 4:
            raise ValueError(f"read_stages must be 2 to 4, not {read_stages!r}")
        if banks < 2 or banks & (banks - 1):
            raise ValueError(f"banks must be a power of two from 2 upwards, not {banks!r}")
        if banks < max(ti, write_lanes):
            raise ValueError(
                f"banks must be at least ti ({ti}) and write_lanes ({write_lanes}), not {banks!r}"
            )
        if elements % banks or elements < 2 * banks:
            raise ValueError(
                f"elements must be a multiple of banks ({banks}), at least two, not {elements!r}"
            )
        self._elements, self._banks, self._width = elements, banks, width
        self._rows = elements // banks
        self._ti = ti
        self._read_stages = read_stages
        self._in_lanes = in_lanes
        if in_lanes:
            port = NbinLanePort(
                elements=elements, width=width, banks=banks, lanes=write_lanes * width // 8
            )
        else:
            port = NbinWritePort(elements=elements, width=width, write_lanes=write_lanes)
        super().__init__(
            {
                "write": In(port),
                "position": In(range(elements)),
                "read": In(1),
                "neurons": Out(lanes(width, ti)),
            }
        )

    def _split(self, position: Value) -> tuple[Value, Value]:
        """Row and bank of an element."""
        bank_bits = (self._banks - 1).bit_length()
        return position[bank_bits:], position[:bank_bits]

    def _bank_rows(self, m: Module, row: Value, first_bank: Value, name: str) -> list[Value]:
        """The row in each bank, for neighbours that start in ``first_bank`` of ``row``."""
        following = Signal.like(row, name=name)
        m.d.comb += following.eq(wrapped(row + 1, self._rows))
        return [Mux(bank < first_bank, following, row) for bank in range(self._banks)]

    def elaborate(self, platform) -> Module:
        m = Module()
        banks = []
        for bank in range(self._banks):
            granularity = 8 if self._in_lanes else None
            banks.append(
                Ram(shape=unsigned(self._width), depth=self._rows, granularity=granularity)
            )
            m.submodules[f"bank_{bank}"] = banks[-1]
        if self._in_lanes:
            self._write(m, banks)
        else:
            self._append(m, banks)
        self._read(m, banks)
        return m

    def _write(self, m: Module, banks: list[Ram]):
        rows = self._bank_rows(m, self.write.row, self.write.first, "next_row")
        for bank, ram in enumerate(banks):
            lane = bank % (len(self.write.data) // self._width)
            m.d.comb += [
                ram.write_row.eq(rows[bank]),
                ram.write.eq(self.write.enables.word_select(bank, len(ram.write))),
                ram.write_data.eq(self.write.data.word_select(lane, self._width)),
            ]

    def _append(self, m: Module, banks: list[Ram]):
        head = Signal(range(self._elements))
        moved = Signal(range(2 * self._elements))
        m.d.comb += moved.eq(head + self.write.advance)
        m.d.sync += head.eq(wrapped(moved, self._elements))
        head_row, head_bank = self._split(head)

        # Lane ``first`` goes to the head's bank, the lanes after it to the banks after it.
        places = Signal.like(head_bank, name="places")
        word = Signal(self._banks * self._width)
        chosen = Signal(self._banks)
        end = Signal(range(2 * len(self.write.word)))
        m.d.comb += [
            end.eq(self.write.first + self.write.count),
            places.eq(head_bank - self.write.first),
            word.eq(self.write.word.as_value()),
            chosen.eq(
                Cat(
                    (self.write.first <= lane) & (end > lane)
                    for lane in range(len(self.write.word))
                )
            ),
        ]
        rotated = Signal.like(word, name="rotated", reset_less=True)
        row = Signal.like(head_row, name="row", reset_less=True)
        first_bank = Signal.like(head_bank, name="first_bank", reset_less=True)
        enables = Signal(self._banks)
        m.d.sync += [
            rotated.eq(rotate_up(m, word, places, self._width, "word")),
            enables.eq(rotate_up(m, chosen, places, 1, "chosen")),
            row.eq(head_row),
            first_bank.eq(head_bank),
        ]
        rows = self._bank_rows(m, row, first_bank, "next_row")
        for bank, ram in enumerate(banks):
            m.d.comb += [
                ram.write_row.eq(rows[bank]),
                ram.write.eq(enables[bank]),
                ram.write_data.eq(rotated.word_select(bank, self._width)),
            ]

    def _read(self, m: Module, banks: list[Ram]):
        row, first_bank = self._split(self.position)
        following = Signal.like(row, name="next_read_row")
        beyond = Signal(self._banks)  # banks that work on the next row
        m.d.comb += [
            following.eq(wrapped(row + 1, self._rows)),
            beyond.eq(Cat(bank < first_bank for bank in range(self._banks))),
        ]

        in_front = min(self._read_stages - 2, 1)
        behind = self._read_stages - 2 - in_front

        def registered(value: Value, stages: int, name: str) -> Value:
            return delay(m, value, stages, enable=self.read, name=name)

        row, following, beyond, first_bank = (
            registered(value, in_front, name)
            for value, name in (
                (row, "read_row"), (following, "read_following"), (beyond, "read_beyond"),
                (first_bank, "read_bank"),
            )
        )  # fmt: skip
        for bank, ram in enumerate(banks):
            m.d.comb += ram.read_row.eq(Mux(beyond[bank], following, row))
            m.d.comb += ram.read.eq(self.read)
        word = Signal(self._banks * self._width, name="read_word")
        m.d.comb += word.eq(Cat(ram.read_data for ram in banks))
        places = registered(first_bank, 1 + behind, "read_places")
        word = registered(word, behind, "read_words")
        neurons = rotate_down(m, word, places, self._width, "read")
        with m.If(self.read):
            m.d.sync += self.neurons.eq(neurons[: self._ti * self._width])
