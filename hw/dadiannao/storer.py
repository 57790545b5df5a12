"""The storer: executes the store slots of the program."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..bus.axi import WritePort
from ..bus.streams import Queue
from ..bus.write_dma import WriteDma
from ..program.decoder import QueuedLayout
from .config import NodeConfig
from .isa import ErrorCode, StoreSlot
from .layouts import CentralRowLayout
from .ranges import bad_row
from .rows import Rows, nest

__all__ = ["Storer"]

_SLOTS_IN_WORK = 16
"""Slots whose responses may be outstanding."""


class Storer(wiring.Component):
    """Writes rows of the central memories to the host's memory.

    ::

        slots -+-> Rows -> read ..... central ..... row -> FIFO -+
               +-> WriteDma <------------------------------------+

    Rows and runs meet only in the FIFO, as in DianNao's stores: if the loops of a slot are fewer
    rows than its runs take, the runs wait for those of the next slot, or for ever, which the
    watchdog ends.

    Parameters
    ----------
    config : of the node

    Members
    -------
    i : In(stream(QueuedLayout(StoreSlot))), the queue
    axi : Out(WritePort)
    read : Out(stream(CentralRowLayout))
    row : In(stream(row_bits))
    halt : In(1), send no more than what is owed to the bus; a reset must follow
    idle : Out(1), no slot is waiting or in work, everything is answered
    done : Out(1), pulse: the data of a slot has reached memory
    error : Out(1), high while there is a fault, or a pulse for BUS_STORE; of kind ``code``
    pc : Out(32), of the oldest slot in work, or of the slot at fault
    bytes : Out, bytes stored in this cycle
    """

    i: stream.Interface
    axi: Any
    read: stream.Interface
    row: stream.Interface
    halt: Signal
    idle: Signal
    done: Signal
    error: Signal
    code: Any
    pc: Signal
    bytes: Signal

    def __init__(self, *, config: NodeConfig):
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(QueuedLayout(StoreSlot))),
                "axi": Out(WritePort(config.address_width, config.bus_port)),
                "read": Out(stream.Signature(CentralRowLayout(config))),
                "row": In(stream.Signature(unsigned(config.row_bits))),
                "halt": In(1),
                "idle": Out(1),
                "done": Out(1),
                "error": Out(1),
                "code": Out(ErrorCode),
                "pc": Out(32),
                "bytes": Out(range(config.bus_port // 8 + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        # Two bursts' worth of rows: one is sent while the other gathers.
        depth = max(8, 2 * config.burst * config.bus_port // config.row_bits + 2)
        m.submodules.dma = dma = WriteDma(
            address_width=config.address_width,
            data_width=config.bus_port,
            burst=config.burst,
            row_bytes=config.row_bytes,
            rows=depth,
            outstanding=max(2, config.outstanding),
        )
        connect(m, flipped(self.axi), dma.axi)
        m.submodules.rows = rows = Rows()
        slot, row = self.i.payload.slot, rows.o.payload
        nest(m, rows.i.payload, slot)

        # A slot goes to both sides in the same cycle; its response tells by order whose it is.
        m.submodules.pcs = pcs = Queue(shape=unsigned(32), depth=_SLOTS_IN_WORK)
        bank, pc = Signal(), Signal(32, reset_less=True)
        taken = Signal()
        m.d.comb += [
            self.i.ready.eq(rows.i.ready & dma.i.ready & pcs.i.ready & ~self.halt),
            taken.eq(self.i.valid & self.i.ready),
            rows.i.valid.eq(self.i.valid & dma.i.ready & pcs.i.ready & ~self.halt),
            dma.i.valid.eq(self.i.valid & rows.i.ready & pcs.i.ready & ~self.halt),
            dma.i.payload.eq(slot.descriptor),
            pcs.i.valid.eq(taken),
            pcs.i.payload.eq(self.i.payload.pc),
            pcs.o.ready.eq(dma.done),
            self.done.eq(dma.done),
        ]
        with m.If(taken):
            m.d.sync += [bank.eq(slot.bank), pc.eq(self.i.payload.pc)]

        # Ask for rows.
        outside = Signal()
        m.d.comb += [
            outside.eq(bad_row(row.address, config.central_rows)),
            self.read.payload.bank.eq(bank),
            self.read.payload.address.eq(row.address),
            self.read.valid.eq(rows.o.valid & ~outside & ~self.halt),
            rows.o.ready.eq(self.read.ready & ~outside & ~self.halt),
        ]

        # Store what comes.
        m.submodules.fifo = fifo = Queue(shape=unsigned(config.row_bits), depth=depth)
        connect(m, flipped(self.row), fifo.i)
        connect(m, fifo.o, dma.row)
        m.d.comb += [
            dma.level.eq(fifo.level),
            dma.halt.eq(self.halt),
            self.bytes.eq(dma.stored),
            self.idle.eq(
                dma.idle
                & (self.halt | ~Cat(self.i.valid, rows.o.valid, pcs.level, fifo.level).any())
            ),
        ]
        m.d.comb += self.pc.eq(pcs.o.payload)
        with m.If(dma.error):
            m.d.comb += [self.error.eq(1), self.code.eq(ErrorCode.BUS_STORE)]
        with m.Elif(rows.o.valid & outside):
            m.d.comb += [
                self.error.eq(1),
                self.code.eq(ErrorCode.CENTRAL_RANGE),
                self.pc.eq(pc),
            ]
        return m
