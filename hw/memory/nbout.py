"""NBout, the scratchpad of partial sums and finished output neurons."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..bus.streams import Queue
from ..nfu.layouts import PartialPort, lanes
from .ram import Ram

__all__ = ["Nbout"]


class Nbout(wiring.Component):
    """NBout (paper section 5.1): partial sums for NFU-2, and the output rows of NFU-3.

    Partial sums keep their full width in a memory that NFU-2 addresses row by row. Finished outputs
    pass through a first-in-first-out ring from NFU-3 to the store DMA, which therefore never waits
    for the NFU in the middle of a burst: ``level`` says how many rows it can take.

    Timing: ``partial`` as PartialPort says. A row accepted at ``i`` counts in ``level`` from the
    next cycle on and is offered at ``o`` one cycle later at the latest; both ends move one row per
    cycle. Once a first row was offered, the others that ``level`` counts follow without a gap.

    Parameters
    ----------
    rows : rows of partial sums, and of the output ring; at least 2
    tn : output neurons of a row
    acc_width : bits of a partial sum
    width : bits of an output neuron

    Members
    -------
    partial : In(PartialPort)
    i : In(stream of lanes(width, tn)), from NFU-3
    o : Out(stream of lanes(width, tn)), to the store DMA
    level : Out(range(rows + 1)), output rows in the ring
    """

    partial: Any
    i: stream.Interface
    o: stream.Interface
    level: Signal

    def __init__(self, *, rows: int, tn: int, acc_width: int, width: int):
        self._rows, self._tn, self._acc_width = rows, tn, acc_width
        row = stream.Signature(lanes(width, tn))
        super().__init__(
            {
                "partial": In(PartialPort(rows=rows, acc_width=acc_width, tn=tn)),
                "i": In(row),
                "o": Out(row),
                "level": Out(range(rows + 1)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()

        sums = lanes(self._acc_width, self._tn)
        m.submodules.partial = partial = Ram(shape=sums, depth=self._rows)
        m.d.comb += [
            partial.write_row.eq(self.partial.write_row),
            partial.write.eq(self.partial.write),
            partial.write_data.eq(self.partial.write_data),
            partial.read_row.eq(self.partial.read_row),
            partial.read.eq(self.partial.read),
            self.partial.read_data.eq(partial.read_data),
        ]

        m.submodules.ring = ring = Queue(shape=self.i.payload.shape(), depth=self._rows)
        connect(m, flipped(self.i), ring.i)
        connect(m, ring.o, flipped(self.o))
        m.d.comb += self.level.eq(ring.level)
        return m
