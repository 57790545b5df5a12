"""The router of a node."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..cells import cell
from .channel import Channel, FlitLayout, PlaceLayout
from .config import MeshConfig
from .crossbar import Crossbar
from .input_unit import InputUnit
from .output_unit import OutputUnit
from .port import PORTS, Port
from .switch_allocator import SwitchAllocator
from .vc_allocator import VcAllocator

__all__ = ["Router"]


class Router(wiring.Component):
    """Five ports, wormhole switching, virtual channels, four pipeline stages (section V.B.3).

    ::

        RC  route computation, while the flit is written into its buffer   InputUnit
        VA  virtual-channel allocation, for heads                          VcAllocator
        SA  switch allocation                                              SwitchAllocator
        ST  switch traversal, into the queue of the output                 Crossbar, OutputUnit

    A head that meets nobody leaves 4 cycles after it came, the flits behind it follow cycle by
    cycle; each port takes and gives a flit per cycle. A packet whose predecessor on the same
    virtual channel leaves just before it needs a cycle more, for its own VA.

    Parameters
    ----------
    config : of the mesh

    Members
    -------
    place : In(PlaceLayout), of this router; constant
    i, o : In(Channel), Out(Channel), one for each ``Port``
    """

    place: Any
    i: Any
    o: Any

    def __init__(self, *, config: MeshConfig):
        self.cell_name = f"router_{config.label}"
        self._config = config
        channel = Channel(config)
        super().__init__(
            {
                "place": In(PlaceLayout(config)),
                "i": In(channel).array(PORTS),
                "o": Out(channel).array(PORTS),
            }
        )

    @cell
    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.vc_allocator = va = VcAllocator(config=config)
        m.submodules.switch_allocator = sa = SwitchAllocator(config=config)
        m.submodules.crossbar = crossbar = Crossbar(FlitLayout(config))
        inputs = [InputUnit(config=config, depth=config.depth(port)) for port in Port]
        outputs = [OutputUnit(config=config, depth=config.depth(port)) for port in Port]

        for port, unit in zip(Port, inputs, strict=True):
            m.submodules[f"input_{port.name.lower()}"] = unit
            connect(m, flipped(self.i[port]), unit.channel)
            m.d.comb += [
                unit.place.eq(self.place),
                va.opening[port].eq(unit.opening),
                va.outputs[port].eq(unit.outputs),
                unit.opened.eq(va.opened[port]),
                sa.ready[port].eq(unit.ready),
                sa.outputs[port].eq(unit.outputs),
                unit.read.eq(sa.reads[port]),
                crossbar.i[port].eq(unit.flit),
            ]
        m.d.sync += crossbar.select.eq(sa.grants)
        for port, unit in zip(Port, outputs, strict=True):
            m.submodules[f"output_{port.name.lower()}"] = unit
            connect(m, unit.channel, flipped(self.o[port]))
            goes = ends = 0
            for i, source in enumerate(inputs):
                granted = sa.grants[port][i].replicate(config.vcs)
                goes |= granted & source.read
                ends |= granted & source.read & source.tails
            m.d.comb += [
                sa.credits[port].eq(unit.credits),
                unit.grant.eq(goes),
                unit.flit.eq(crossbar.o[port]),
                va.closing[port].eq(ends),
            ]
        return m
