"""Wide counters that share an adder: their lower bits count, the upper ones lie in a memory."""

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["WIDTH", "Counters"]

WIDTH = 64
"""Bits of a counter."""


class Counters(wiring.Component):
    """Counters of ``WIDTH`` bits, each of which may grow in every cycle.

    One counter after the other is ``shown``: its lower bits, and its upper ones from a memory with
    the carries that have come since its last turn. The lower bits are just wide enough for the
    turns in between. So one adder and one memory do for all.

    Parameters
    ----------
    most : the most that each counter grows by in a cycle, by name

    Members
    -------
    clear : In(1), all counters become 0
    amounts : In, interface with the growth of each counter
    turn : Out, number of the counter that is shown; it changes with every cycle
    shown : Out(64), its value, without this cycle's growth
    """

    clear: Signal
    amounts: Any
    turn: Signal
    shown: Signal

    def __init__(self, *, most: Mapping[str, int]):
        self._most = dict(most)
        self._count = len(most)
        self._low_bits = (self._count * max(most.values())).bit_length()
        # For tests, which cannot count that far.
        self._low = [Signal(self._low_bits, name=f"{name}_low") for name in most]
        self._upper = memory.Memory(
            shape=WIDTH - self._low_bits, depth=max(2, self._count), init=[]
        )
        super().__init__(
            {
                "clear": In(1),
                "amounts": In(
                    wiring.Signature({name: Out(range(limit + 1)) for name, limit in most.items()})
                ),
                "turn": Out(range(max(2, self._count))),
                "shown": Out(WIDTH),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.upper = self._upper
        reading, writing = self._upper.read_port(), self._upper.write_port()
        next_turn = Signal.like(self.turn)
        carries = Signal(self._count)
        empty = Signal(
            self._count, init=-1
        )  # counters whose upper bits are 0, whatever the memory has
        low, carry, is_empty = Signal(self._low_bits), Signal(), Signal()
        upper = Signal(WIDTH - self._low_bits)
        m.d.comb += [
            next_turn.eq(Mux(self.turn == self._count - 1, 0, self.turn + 1)),
            low.eq(Array(self._low)[self.turn]),
            carry.eq(carries.bit_select(self.turn, 1)),
            is_empty.eq(empty.bit_select(self.turn, 1)),
            upper.eq(Mux(is_empty, 0, reading.data) + carry),
            self.shown.eq(Cat(low, upper)),
            reading.addr.eq(next_turn),
            writing.addr.eq(self.turn),
            writing.data.eq(upper),
            writing.en.eq(1),
        ]
        m.d.sync += self.turn.eq(next_turn)
        for n, name in enumerate(self._most):
            grown = Signal(self._low_bits + 1, name=f"{name}_grown")
            m.d.comb += grown.eq(self._low[n] + getattr(self.amounts, name))
            with m.If(self.clear):
                m.d.sync += [self._low[n].eq(0), carries[n].eq(0), empty[n].eq(1)]
            with m.Else():
                m.d.sync += self._low[n].eq(grown)
                with m.If(self.turn == n):
                    m.d.sync += [carries[n].eq(grown[-1]), empty[n].eq(0)]
                with m.Else():
                    m.d.sync += carries[n].eq(carries[n] | grown[-1])
        return m
