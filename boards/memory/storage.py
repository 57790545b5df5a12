"""Where on-chip memories keep their data: one access per cycle, a read or a write."""

from typing import Any, Protocol

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.memory.ram import Ram

__all__ = ["BlockRam", "Spram", "Storage", "StoragePort"]


class StoragePort(wiring.Signature):
    """Seen from the storage's user.

    address : Out, row
    read : Out(1), ``r_data`` shows the row from the next cycle on, until the next read
    write : Out(bytes of a row), bytes written; none while ``read``
    w_data : Out
    r_data : In; undefined after a write
    """

    def __init__(self, depth: int, width: int):
        super().__init__(
            {
                "address": Out(range(depth)),
                "read": Out(1),
                "write": Out(width // 8),
                "w_data": Out(width),
                "r_data": In(width),
            }
        )


class Storage(Protocol):
    """A component with ``port`` : In(StoragePort(depth, width))."""

    depth: int
    width: int
    port: Any


class BlockRam(wiring.Component):
    """Rows in the block RAM of any FPGA.

    It is made of memories with a power of two of rows, the largest first: a single one would be
    made larger than it is, or of narrow columns with a wide multiplexer. Behind the last row,
    writes do nothing, and reads show anything.

    Parameters
    ----------
    depth : rows, even
    width : bits of a row
    """

    port: Any

    def __init__(self, *, depth: int, width: int):
        self.depth = depth
        self.width = width
        super().__init__({"port": In(StoragePort(depth, width))})

    def elaborate(self, platform):
        m = Module()
        port = self.port
        start = 0
        for bits in reversed(range(self.depth.bit_length())):
            if not self.depth >> bits & 1:
                continue
            name = f"ram_{start}" if start else "ram"
            ram = Ram(shape=self.width, depth=1 << bits, granularity=8)
            m.submodules[name] = ram
            here = port.address[bits:] == start >> bits
            m.d.comb += [
                ram.write_row.eq(port.address[:bits]),
                ram.write.eq(Mux(here, port.write, 0)),
                ram.write_data.eq(port.w_data),
                ram.read_row.eq(port.address[:bits]),
                ram.read.eq(port.read & here),
            ]
            if start == 0:
                m.d.comb += port.r_data.eq(ram.read_data)
            else:
                shown = Signal(name=f"shown_{start}")  # it was the last to be read
                with m.If(port.read):
                    m.d.sync += shown.eq(here)
                with m.If(shown):
                    m.d.comb += port.r_data.eq(ram.read_data)
            start += 1 << bits
        return m


class Spram(wiring.Component):
    """All of the 128 KiB of single-port RAM of an iCE40 UltraPlus: four blocks of 16384 x 16."""

    port: Any

    width = 32
    depth = 32768

    def __init__(self):
        super().__init__({"port": In(StoragePort(self.depth, self.width))})

    def elaborate(self, platform):
        m = Module()
        port = self.port
        row, high = port.address[:14], port.address[14]
        shown = Signal()  # the half that was read last
        halves = []
        for half in range(2):
            here = high == half
            pieces = []
            for lane in range(2):
                out = Signal(16, name=f"out_{half}_{lane}")
                strobes = port.write[2 * lane : 2 * lane + 2]
                m.submodules[f"spram_{half}_{lane}"] = Instance(
                    "SB_SPRAM256KA",
                    i_CLOCK=ClockSignal(),
                    i_ADDRESS=row,
                    i_DATAIN=port.w_data[16 * lane : 16 * lane + 16],
                    # One bit for each half of a byte.
                    i_MASKWREN=Cat(strobe.replicate(2) for strobe in strobes),
                    i_WREN=port.write.any(),
                    i_CHIPSELECT=here & (port.read | port.write.any()),
                    i_STANDBY=Const(0, 1),
                    i_SLEEP=Const(0, 1),
                    i_POWEROFF=Const(1, 1),  # active low
                    o_DATAOUT=out,
                )
                pieces.append(out)
            halves.append(Cat(pieces))
        with m.If(port.read):
            m.d.sync += shown.eq(high)
        m.d.comb += port.r_data.eq(Mux(shown, halves[1], halves[0]))
        return m
