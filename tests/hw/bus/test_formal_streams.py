"""Proofs of the stream blocks: rules of the handshake, order, and levels."""

import pytest
from amaranth.hdl import Array, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hw.bus.streams import Queue, Register
from tests.formal import assert_, check, formal_module

WIDTH = 1
"""The blocks do not look at the words: whether they mix them up shows in one bit."""


class StreamSpec(wiring.Component):
    """What any block with one input and one output stream must do.

    The environment may even withdraw what it offers; the block must not. A shadow ring remembers
    every word that entered.
    """

    payload: In(WIDTH)
    valid: In(1)
    ready: In(1)

    def __init__(self, block: Register | Queue, capacity: int):
        self.block = block
        self.capacity = capacity
        super().__init__()

    def elaborate(self, platform):
        m = formal_module()
        m.submodules.block = block = self.block
        entered, left = Signal(), Signal()
        m.d.comb += [
            block.i.payload.eq(self.payload),
            block.i.valid.eq(self.valid),
            block.o.ready.eq(self.ready),
            entered.eq(block.i.valid & block.i.ready),
            left.eq(block.o.valid & block.o.ready),
        ]

        # What is offered stays until it is taken.
        past = Signal(WIDTH)
        waiting = Signal()
        m.d.sync += [past.eq(block.o.payload), waiting.eq(block.o.valid & ~block.o.ready)]
        with m.If(waiting):
            m.d.comb += [assert_(block.o.valid), assert_(block.o.payload == past)]

        # As many words are inside as entered and did not leave; an empty block accepts.
        inside = Signal(range(self.capacity + 2))
        m.d.sync += inside.eq(inside + entered - left)
        m.d.comb += assert_(inside <= self.capacity)
        with m.If(inside == 0):
            m.d.comb += [assert_(block.i.ready), assert_(~block.o.valid)]
        level = block.level if isinstance(block, Queue) else block.o.valid
        m.d.comb += assert_(level == inside)

        # They leave unchanged and in order.
        size = 1 << self.capacity.bit_length()
        ring = Array(Signal(WIDTH, name=f"ring_{n}") for n in range(size))
        head, tail = Signal(range(size)), Signal(range(size))
        m.d.comb += assert_(inside == (head - tail)[: len(head)])
        with m.If(entered):
            m.d.sync += [ring[head].eq(block.i.payload), head.eq(head + 1)]
        with m.If(block.o.valid):
            m.d.comb += assert_(block.o.payload == ring[tail])
        with m.If(left):
            m.d.sync += tail.eq(tail + 1)
        return m


def test_register_for_all_time(tmp_path):
    """By induction: capacity 1, and a register that is read every cycle accepts every cycle."""
    check(StreamSpec(Register(shape=unsigned(WIDTH)), 1), tmp_path, depth=4)


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_queue(tmp_path, depth):
    """All behaviours of the first cycles, in which the queue wraps around."""
    check(
        StreamSpec(Queue(shape=unsigned(WIDTH), depth=depth), depth), tmp_path, depth=8, mode="bmc"
    )
