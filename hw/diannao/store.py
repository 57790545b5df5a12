"""The store unit: executes the NBout slots of the program."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..bus.axi import WritePort
from ..bus.streams import Queue
from ..bus.write_dma import WriteDma
from ..nfu.layouts import lanes
from .config import Config
from .decode import QueuedStore
from .isa import ErrorCode

__all__ = ["StoreUnit"]


class StoreUnit(wiring.Component):
    """Drains finished output rows to memory, in the order in which the NFU made them.

    ::

        slots -> WriteDma <- rows of NBout
                    |
                    +-> stores_done, for the fences of the NBin loader

    Members
    -------
    i : In(stream of QueuedStore)
    row : In(stream of lanes(width, tn)), from NBout, which has ``level`` of them
    axi : Out(WritePort)
    stores_done : Out(16), slots whose data has reached memory, modulo 2**16
    done : Out(1), pulse: the data of a slot has reached memory
    halt, idle, error, code, pc : as in the loaders
    bytes : Out, bytes stored in this cycle
    """

    i: stream.Interface
    row: stream.Interface
    level: Signal
    axi: Any
    stores_done: Signal
    halt: Signal
    idle: Signal
    done: Signal
    error: Signal
    code: Any
    pc: Signal
    bytes: Signal

    def __init__(self, *, config: Config):
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(QueuedStore)),
                "row": In(stream.Signature(lanes(config.width, config.tn))),
                "level": In(range(config.nbout_rows + 1)),
                "axi": Out(WritePort(config.address_width, config.nbout_port)),
                "stores_done": Out(16),
                "halt": In(1),
                "idle": Out(1),
                "done": Out(1),
                "error": Out(1),
                "code": Out(ErrorCode),
                "pc": Out(32),
                "bytes": Out(range(config.nbout_port // 8 + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.dma = dma = WriteDma(
            address_width=config.address_width,
            data_width=config.nbout_port,
            burst=config.burst,
            row_bytes=config.tn * config.element_bytes,
            rows=config.nbout_rows,
            outstanding=max(2, config.outstanding),
            burst_cycles=config.burst_cycles,
            run_width=min(32, config.address_width),
        )
        connect(m, flipped(self.axi), dma.axi)

        # Which slot a response belongs to; slots finish in order.
        m.submodules.pcs = pcs = Queue(shape=unsigned(32), depth=config.slots_in_work)
        m.d.comb += [
            dma.i.payload.eq(self.i.p.slot.descriptor),
            dma.i.valid.eq(self.i.valid & pcs.i.ready),
            self.i.ready.eq(dma.i.ready & pcs.i.ready),
            pcs.i.payload.eq(self.i.p.pc),
            pcs.i.valid.eq(self.i.valid & dma.i.ready),
            pcs.o.ready.eq(dma.done),
            self.done.eq(dma.done),
        ]
        m.d.sync += self.stores_done.eq(self.stores_done + dma.done)

        m.d.comb += [
            dma.row.payload.eq(Cat(*self.row.p)),
            dma.row.valid.eq(self.row.valid),
            self.row.ready.eq(dma.row.ready),
            dma.level.eq(self.level),
            dma.halt.eq(self.halt),
            self.idle.eq(dma.idle),
            self.error.eq(dma.error),
            self.code.eq(ErrorCode.BUS_NBOUT),
            self.pc.eq(pcs.o.payload),
            self.bytes.eq(dma.stored),
        ]
        return m
