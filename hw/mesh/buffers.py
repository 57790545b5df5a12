"""Flits that wait, a queue for each virtual channel."""

from typing import Any

from amaranth.hdl import Module, Mux, ShapeLike, Signal, Value
from amaranth.lib import data, fifo, wiring
from amaranth.lib.wiring import In, Out

from ..memory.ram import Ram
from .channel import Channel, FlitLayout
from .config import MeshConfig

__all__ = ["ChannelBuffers"]


class ChannelBuffers(wiring.Component):
    """The receiving end of a channel: its virtual channels share one memory of flits.

    A flit can be read from the cycle after the one in which it came; one flit per cycle comes and
    one goes. Its place is free from then on: the credit is sent in the cycle after the read.

    Beside the memory, a *mark* of each flit waits in registers, so that those who choose the next
    flit know what it is without reading it.

    Parameters
    ----------
    config : of the mesh
    depth : flits per virtual channel
    mark : shape of a mark

    Members
    -------
    channel : In(Channel)
    mark : In(mark), of the flit that comes in this cycle
    waiting : Out(vcs), the virtual channels with flits
    marks : Out(ArrayLayout(mark, vcs)), of the first flit in each
    read : In(vcs), one-hot or 0; only virtual channels in ``waiting``
    flit : Out(FlitLayout), from the cycle after a read until the next read
    """

    channel: Any
    mark: Any
    waiting: Signal
    marks: Any
    read: Signal
    flit: Any

    def __init__(self, *, config: MeshConfig, depth: int, mark: ShapeLike):
        self._vcs = config.vcs
        self._depth = depth
        self._mark = mark
        self._flit = FlitLayout(config)
        super().__init__(
            {
                "channel": In(Channel(config)),
                "mark": In(mark),
                "waiting": Out(config.vcs),
                "marks": Out(data.ArrayLayout(mark, config.vcs)),
                "read": In(config.vcs),
                "flit": Out(self._flit),
            }
        )
        # Read by the proof, too.
        self._levels = [Signal(range(depth + 1), name=f"level_{vc}") for vc in range(self._vcs)]

    def elaborate(self, platform):
        m = Module()
        m.submodules.flits = flits = Ram(shape=self._flit, depth=self._vcs * self._depth)
        flit, credit = self.channel.flit, self.channel.credit
        m.d.comb += [
            flit.ready.eq(1),
            flits.write.eq(flit.valid),
            flits.write_data.eq(flit.payload),
            flits.read.eq(self.read.any()),
            self.flit.eq(flits.read_data),
        ]
        m.d.sync += credit.valid.eq(self.read.any())

        for vc in range(self._vcs):
            first, last = vc * self._depth, (vc + 1) * self._depth - 1
            write_row, read_row = (
                Signal(range(last + 1), init=first, name=f"{name}_row_{vc}")
                for name in ("write", "read")
            )
            marks = fifo.SyncFIFO(width=len(Value.cast(self.mark)), depth=self._depth)
            m.submodules[f"marks_{vc}"] = marks
            m.d.comb += [
                marks.w_data.eq(self.mark),
                marks.w_en.eq(flit.valid & (flit.payload.vc == vc)),
                marks.r_en.eq(self.read[vc]),
                self.marks[vc].eq(marks.r_data),
                self.waiting[vc].eq(marks.r_rdy),
                self._levels[vc].eq(marks.r_level),
            ]
            with m.If(marks.w_en):
                m.d.comb += flits.write_row.eq(write_row)
                m.d.sync += write_row.eq(Mux(write_row == last, first, write_row + 1))
            with m.If(marks.r_en):
                m.d.comb += flits.read_row.eq(read_row)
                m.d.sync += [
                    read_row.eq(Mux(read_row == last, first, read_row + 1)),
                    credit.vc.eq(vc),
                ]
        return m
