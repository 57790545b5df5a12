"""The input side of a router port: buffers, route computation, and the state of each packet."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .buffers import ChannelBuffers
from .channel import Channel, FlitLayout, PlaceLayout
from .config import MeshConfig
from .port import PORTS, dimension_order

__all__ = ["InputUnit"]


class _MarkLayout(data.StructLayout):
    """What is known of a waiting flit: the end of a packet, and for a head the port it goes to."""

    def __init__(self):
        super().__init__({"output": unsigned(PORTS), "tail": unsigned(1)})


class InputUnit(wiring.Component):
    """Buffers the flits of a port and asks for the outputs that they need.

    The route is computed (RC) while the flit is written into its buffer. In the next cycle the
    packet asks for its virtual channel at the output (VA), and once it has it, each flit asks for
    the switch (SA); the flit leaves the buffer in the cycle after (ST).

    Parameters
    ----------
    config : of the mesh
    depth : flits per virtual channel

    Members
    -------
    channel : In(Channel)
    place : In(PlaceLayout), of this router
    outputs : Out(ArrayLayout(PORTS bits, vcs)), one-hot, where each packet in front goes
    opening : Out(vcs), the packet in front wants its virtual channel at the output
    opened : In(vcs), it gets it
    ready : Out(vcs), the flit in front has its virtual channel and may use the switch
    tails : Out(vcs), the flit in front is the last of its packet
    read : In(vcs), one-hot or 0: this flit uses the switch in the next cycle
    flit : Out(FlitLayout), the flit that was read in the cycle before
    """

    channel: Any
    place: Any
    outputs: Any
    opening: Signal
    opened: Signal
    ready: Signal
    tails: Signal
    read: Signal
    flit: Any

    def __init__(self, *, config: MeshConfig, depth: int):
        self._config = config
        self._depth = depth
        vcs = config.vcs
        super().__init__(
            {
                "channel": In(Channel(config)),
                "place": In(PlaceLayout(config)),
                "outputs": Out(data.ArrayLayout(PORTS, vcs)),
                "opening": Out(vcs),
                "opened": In(vcs),
                "ready": Out(vcs),
                "tails": Out(vcs),
                "read": In(vcs),
                "flit": Out(FlitLayout(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        vcs = self._config.vcs
        m.submodules.buffers = buffers = ChannelBuffers(
            config=self._config, depth=self._depth, mark=_MarkLayout()
        )
        has_channel = Signal(vcs)  # the packet in front has its virtual channel
        connect(m, flipped(self.channel), buffers.channel)
        coming = self.channel.flit.payload
        goal = coming.destination
        m.d.comb += [
            buffers.mark.output.eq(dimension_order(self.place.x, self.place.y, goal.x, goal.y)),
            buffers.mark.tail.eq(coming.tail),
            buffers.read.eq(self.read),
            self.flit.eq(buffers.flit),
            self.opening.eq(buffers.waiting & ~has_channel),
            self.ready.eq(buffers.waiting & has_channel),
            self.tails.eq(Cat(mark.tail for mark in buffers.marks)),
        ]
        m.d.sync += has_channel.eq((has_channel | self.opened) & ~(self.read & self.tails))
        for vc in range(vcs):
            kept = Signal(PORTS, name=f"output_{vc}")
            m.d.comb += self.outputs[vc].eq(Mux(has_channel[vc], kept, buffers.marks[vc].output))
            with m.If(self.opened[vc]):
                m.d.sync += kept.eq(buffers.marks[vc].output)
        return m
