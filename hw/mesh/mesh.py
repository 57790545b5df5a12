"""The whole network."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .channel import WordLayout
from .config import MeshConfig
from .link import Link
from .network_interface import NetworkInterface
from .port import Port
from .router import Router

__all__ = ["Mesh"]


class Mesh(wiring.Component):
    """Routers of all nodes and the links between neighbours.

    Every packet arrives once, as a whole, and in order with the others from the same node to the
    same node, if nodes do what keeps the network moving: a node that has begun a packet goes on
    with it, and takes what arrives, without either waiting for the other.

    Parameters
    ----------
    config : of the mesh

    Members
    -------
    i : In(stream(WordLayout)).array(nodes), packets into the mesh, nodes counted along the rows
    o : Out(stream(WordLayout)).array(nodes), packets out of the mesh
    error : Out(nodes), pulses for packets without a valid destination
    hold : In(number of links), stops each of ``config.links``
    waiting, sent : Out(number of links), see ``Link``
    """

    i: Any
    o: Any
    error: Signal
    hold: Signal
    waiting: Signal
    sent: Signal

    def __init__(self, *, config: MeshConfig):
        self._config = config
        word = stream.Signature(WordLayout(config))
        links = len(config.links)
        super().__init__(
            {
                "i": In(word).array(config.nodes),
                "o": Out(word).array(config.nodes),
                "error": Out(config.nodes),
                "hold": In(links),
                "waiting": Out(links),
                "sent": Out(links),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        routers = {}
        for y in range(config.rows):
            for x in range(config.columns):
                router, interface = Router(config=config), NetworkInterface(config=config)
                m.submodules[f"router_{x}_{y}"] = routers[x, y] = router
                m.submodules[f"interface_{x}_{y}"] = interface
                number = config.number(x, y)
                connect(m, flipped(self.i[number]), interface.i)
                connect(m, interface.o, flipped(self.o[number]))
                connect(m, interface.to_router, router.i[Port.LOCAL])
                connect(m, router.o[Port.LOCAL], interface.from_router)
                m.d.comb += self.error[number].eq(interface.error)
                for part in (router, interface):
                    m.d.comb += [part.place.x.eq(x), part.place.y.eq(y)]
        for number, (x, y, port) in enumerate(config.links):
            link = Link(config=config)
            m.submodules[f"link_{x}_{y}_{port.name.lower()}"] = link
            connect(m, routers[x, y].o[port], link.i)
            connect(m, link.o, routers[config.neighbour(x, y, port)].i[port.opposite])
            m.d.comb += [
                link.hold.eq(self.hold[number]),
                self.waiting[number].eq(link.waiting),
                self.sent[number].eq(link.sent),
            ]
        return m
