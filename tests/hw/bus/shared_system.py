"""Three read DMAs and a write DMA on one AXI port, as a core with a shared port has them."""

from typing import Any

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.bus.arbiter import SharedPort
from hw.bus.axi import ReadWritePort
from hw.bus.descriptor import Descriptor
from hw.bus.read_dma import Permit, ReadDma
from hw.bus.realigner import WordLayout
from hw.bus.write_dma import WriteDma

READERS = ("nbin", "sb", "cp")


class SharedSystem(wiring.Component):
    """``bus``, and ``i``, ``permit``, ``o``, ``halt``, ``idle`` of each DMA behind its name."""

    bus: Any
    nbout_i: stream.Interface
    nbout_row: stream.Interface
    nbout_level: Signal
    nbout_done: Signal
    nbout_idle: Signal

    def __init__(self, *, data_width: int, row_bytes: int, rows: int):
        self._data_width = data_width
        self._row_bytes = row_bytes
        self._rows = rows
        members = {
            "bus": Out(ReadWritePort(32, data_width, 2)),
            "nbout_i": In(stream.Signature(Descriptor)),
            "nbout_row": In(stream.Signature(unsigned(8 * row_bytes))),
            "nbout_level": In(range(rows + 1)),
            "nbout_done": Out(1),
            "nbout_idle": Out(1),
        }
        for name in READERS:
            members |= {
                f"{name}_i": In(stream.Signature(Descriptor)),
                f"{name}_permit": Out(stream.Signature(Permit)),
                f"{name}_o": Out(stream.Signature(WordLayout(data_width))),
                f"{name}_halt": In(1),
                f"{name}_idle": Out(1),
            }
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        m.submodules.port = port = SharedPort(address_width=32, data_width=self._data_width)
        connect(m, port.bus, flipped(self.bus))
        for name in READERS:
            dma = ReadDma(
                address_width=32, data_width=self._data_width, outstanding=8, burst=16,
                aligned=name == "sb",
            )  # fmt: skip
            m.submodules[name] = dma
            for member in ("i", "permit", "o"):
                connect(m, flipped(getattr(self, f"{name}_{member}")), getattr(dma, member))
            connect(m, dma.axi, getattr(port, name))
            m.d.comb += [
                dma.halt.eq(getattr(self, f"{name}_halt")),
                getattr(self, f"{name}_idle").eq(dma.idle),
            ]
        m.submodules.nbout = nbout = WriteDma(
            address_width=32, data_width=self._data_width, burst=16, row_bytes=self._row_bytes,
            rows=self._rows,
        )  # fmt: skip
        connect(m, flipped(self.nbout_i), nbout.i)
        connect(m, flipped(self.nbout_row), nbout.row)
        connect(m, nbout.axi, port.nbout)
        m.d.comb += [
            nbout.level.eq(self.nbout_level),
            self.nbout_done.eq(nbout.done),
            self.nbout_idle.eq(nbout.idle),
        ]
        return m
