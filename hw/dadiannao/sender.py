"""The sender: executes the send slots of the program."""

from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..bus.streams import Queue
from ..mesh.channel import PlaceLayout, WordLayout
from ..program.decoder import QueuedLayout
from .config import NodeConfig
from .isa import ErrorCode, SendOp, SendSlot
from .layouts import CentralRowLayout
from .packets import HeadLayout, head_words, row_words
from .ranges import bad_row
from .rows import Rows, nest

__all__ = ["Sender"]


class _TargetLayout(data.StructLayout):
    """What is known of a row on its way from the central memory."""

    def __init__(self, config: NodeConfig):
        super().__init__(
            {
                "head": HeadLayout(),
                "node": PlaceLayout(config.mesh),
                "first": unsigned(1),
                "last": unsigned(1),
            }
        )


class Sender(wiring.Component):
    """Reads rows of the central memories and sends them to other nodes.

    ::

        slots -> Rows --+-> read ..... central ..... row -+-> words -> o
                        +-> head, node -> queue ----------+

    The rows of the innermost loop are a packet. Once it has begun, nothing but the central memory
    and the mesh can hold it up, as the mesh demands of its nodes. A word per cycle.

    Parameters
    ----------
    config : of the node

    Members
    -------
    number : In(range(nodes)), of this node; constant
    i : In(stream(QueuedLayout(SendSlot))), the queue
    arrived : In(32).array(nodes), rows that have come from each node
    read : Out(stream(CentralRowLayout))
    row : In(stream(row_bits))
    o : Out(stream(hw.mesh WordLayout))
    idle : Out(1), no slot is waiting or in work
    waiting : Out(1), a slot waits for arrivals, and none is in work
    sent : Out(1), pulse: the last word of a row has gone
    error : Out(1), high while there is a fault, of kind ``code``
    pc : Out(32), of the slot that is in work, waits or is at fault
    """

    number: Signal
    i: stream.Interface
    arrived: Any
    read: stream.Interface
    row: stream.Interface
    o: stream.Interface
    idle: Signal
    waiting: Signal
    sent: Signal
    error: Signal
    code: Any
    pc: Signal

    def __init__(self, *, config: NodeConfig):
        self._config = config
        super().__init__(
            {
                "number": In(range(max(2, config.nodes))),
                "i": In(stream.Signature(QueuedLayout(SendSlot))),
                "arrived": In(32).array(config.nodes),
                "read": Out(stream.Signature(CentralRowLayout(config))),
                "row": In(stream.Signature(unsigned(config.row_bits))),
                "o": Out(stream.Signature(WordLayout(config.mesh))),
                "idle": Out(1),
                "waiting": Out(1),
                "sent": Out(1),
                "error": Out(1),
                "code": Out(ErrorCode),
                "pc": Out(32),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.rows = rows = Rows()
        slot, row = self.i.payload.slot, rows.o.payload
        nest(m, rows.i.payload, slot, "to_address", "to_step")

        # Take a slot.
        bank, to_bank = Signal(), Signal()
        step = Signal.like(slot.levels[0].step, reset_less=True)
        node = Signal(range(max(2, config.nodes)), reset_less=True)
        pc = Signal(32, reset_less=True)
        waits, nobody, late = Signal(), Signal(), Signal()
        m.d.comb += [
            waits.eq(slot.op == SendOp.WAIT),
            nobody.eq(
                (~waits & ((slot.node > config.nodes - 1) | (slot.node == self.number)))
                | (slot.source > config.nodes - 1)
            ),
            late.eq(slot.arrivals > Array(self.arrived)[slot.source]),
            self.waiting.eq(self.i.valid & ~nobody & late & ~rows.o.valid),
            rows.i.valid.eq(self.i.valid & ~waits & ~nobody & ~late),
            self.i.ready.eq((waits | rows.i.ready) & ~nobody & ~late),
        ]
        with m.If(rows.i.valid & rows.i.ready):
            m.d.sync += [
                bank.eq(slot.bank),
                to_bank.eq(slot.to_bank),
                step.eq(slot.levels[0].to_step),
                node.eq(slot.node),
                pc.eq(self.i.payload.pc),
            ]

        # Ask for its rows, and keep where they go.
        m.submodules.targets = targets = Queue(
            shape=_TargetLayout(config), depth=config.central_latency + 8
        )
        outside, good = Signal(), Signal()
        target = targets.i.payload
        columns, numbers = config.columns, range(config.nodes)
        m.d.comb += [
            outside.eq(
                bad_row(row.address, config.central_rows) | bad_row(row.other, config.central_rows)
            ),
            good.eq(rows.o.valid & ~outside),
            self.read.payload.bank.eq(bank),
            self.read.payload.address.eq(row.address),
            self.read.valid.eq(good & targets.i.ready),
            targets.i.valid.eq(good & self.read.ready),
            target.head.to_bank.eq(to_bank),
            target.head.to_address.eq(row.other),
            target.head.step.eq(step),
            target.node.x.eq(Array(n % columns for n in numbers)[node]),
            target.node.y.eq(Array(n // columns for n in numbers)[node]),
            target.first.eq(row.first_of_run),
            target.last.eq(row.last_of_run),
            rows.o.ready.eq(good & self.read.ready & targets.i.ready),
        ]

        # Cut heads and rows into words.
        heads, width = head_words(config), config.mesh.data_width
        words = heads + row_words(config)
        place = Signal(range(words + 1))  # word of head and row; those of the head may be left out
        now = Signal.like(place)
        going = targets.o.payload
        content = Signal(words * width)
        final = Signal()
        m.d.comb += [
            now.eq(Mux(~going.first & (place < heads), heads, place)),
            content[: HeadLayout().size].eq(going.head),
            content[heads * width :].eq(self.row.payload),
            final.eq(now == words - 1),
            self.o.payload.data.eq(content.word_select(now, width)),
            self.o.payload.last.eq(final & going.last),
            self.o.payload.node.eq(going.node),
            self.o.valid.eq(self.row.valid & targets.o.valid),
            self.sent.eq(self.o.valid & self.o.ready & final),
            self.row.ready.eq(self.o.ready & final & targets.o.valid),
            targets.o.ready.eq(self.o.ready & final & self.row.valid),
            self.idle.eq(~Cat(self.i.valid, rows.o.valid, targets.level.any()).any()),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += place.eq(Mux(final, 0, now + 1))

        m.d.comb += self.pc.eq(Mux(self.waiting, self.i.payload.pc, pc))
        with m.If(rows.o.valid & outside):
            m.d.comb += [self.error.eq(1), self.code.eq(ErrorCode.CENTRAL_RANGE)]
        with m.Elif(self.i.valid & nobody & rows.i.ready):
            m.d.comb += [
                self.error.eq(1),
                self.code.eq(ErrorCode.NODE_RANGE),
                self.pc.eq(self.i.payload.pc),
            ]
        return m
