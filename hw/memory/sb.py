"""SB, the scratchpad of synapses: wide rows, written piece by piece."""

from typing import Any

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .ram import Ram

__all__ = ["Sb", "SbLanePort", "SbWritePort"]


class SbWritePort(wiring.Signature):
    """Writes one piece of a row of SB, seen from the loader.

    Parameters
    ----------
    rows : rows of SB
    row_bits : bits of a row
    port : bits of a piece; a row is written in ``ceil(row_bits / port)`` of them
    """

    def __init__(self, *, rows: int, row_bits: int, port: int):
        self.pieces = -(-row_bits // port)
        super().__init__(
            {
                "row": Out(range(rows)),
                "piece": Out(range(self.pieces)),
                "data": Out(unsigned(port)),
                "enable": Out(1),
            }
        )


class SbLanePort(wiring.Signature):
    """Writes bytes of a row of SB that already stand in their lanes.

    Parameters
    ----------
    rows : rows of SB
    row_bits : bits of a row
    port : bits of a word, the lanes; byte n of a row is written from lane n modulo ``port / 8``
    """

    def __init__(self, *, rows: int, row_bits: int, port: int):
        self.pieces = -(-row_bits // port)
        super().__init__(
            {
                "row": Out(range(rows)),
                "enables": Out(self.pieces * port // 8),
                "data": Out(unsigned(port)),
            }
        )


class Sb(wiring.Component):
    """SB (paper section 5.1): the Tn x Ti synapses of an NFU step in one row.

    Timing: a piece written in cycle t can be read from cycle t + 1 on; ``synapses`` shows ``row``
    from the cycle after one with ``read`` and keeps it until the next. A row must not be read while
    a piece of it is being written. Contents are not reset.

    Parameters
    ----------
    rows : rows, at least 2
    row_bits : bits of a row
    port : bits of a piece; piece k is bits ``k*port .. (k+1)*port - 1``, of which those beyond
        ``row_bits`` cannot be read
    in_lanes : any bytes of a row are written together, from the lanes of a word

    Members
    -------
    write : In(SbWritePort), or In(SbLanePort)
    row : In(range(rows))
    read : In(1)
    synapses : Out(row_bits)
    """

    write: Any
    row: Signal
    read: Signal
    synapses: Signal

    def __init__(self, *, rows: int, row_bits: int, port: int, in_lanes: bool = False):
        self._rows, self._port = rows, port
        self._in_lanes = in_lanes
        kind = SbLanePort if in_lanes else SbWritePort
        signature = kind(rows=rows, row_bits=row_bits, port=port)
        self._pieces = signature.pieces
        super().__init__(
            {
                "write": In(signature),
                "row": In(range(rows)),
                "read": In(1),
                "synapses": Out(unsigned(row_bits)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        granule = 8 if self._in_lanes else self._port
        row = data.ArrayLayout(unsigned(granule), self._pieces * self._port // granule)
        m.submodules.ram = ram = Ram(shape=row, depth=self._rows, granularity=1)
        m.d.comb += [
            ram.write_row.eq(self.write.row),
            ram.read_row.eq(self.row),
            ram.read.eq(self.read),
            self.synapses.eq(ram.read_data),
        ]
        if self._in_lanes:
            m.d.comb += ram.write.eq(self.write.enables)
        else:
            m.d.comb += ram.write.eq(self.write.enable << self.write.piece)
        m.d.comb += ram.write_data.eq(self.write.data.replicate(self._pieces))
        return m
