"""A DaDianNao machine: nodes and the mesh between them (paper, section V.B.3)."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..bus.arbiter import SharedPort
from ..bus.axi import AxiLitePort, ReadWritePort
from ..bus.lite_demux import LiteDemux
from ..bus.port_arbiter import PortArbiter
from ..diannao.events import Events
from ..mesh.mesh import Mesh
from .config import NodeConfig
from .csr import ADDRESS_WIDTH
from .node import Node

__all__ = ["Machine"]


class Machine(wiring.Component):
    """Nodes with one control port, one port to the host's memory, and a mesh between them.

    Every node runs a program of its own. The registers of node n begin at n << 12. Those of node 0
    tell which nodes have failed, and on which link a word was waiting when the first one did.

    The mesh is emptied, and what has arrived at nodes forgotten, while no node is busy; so after a
    fault of one node, all of them are to be reset before the next programs start.

    Parameters
    ----------
    config : of the machine

    Members
    -------
    csr : In, AXI4-Lite
    irq : Out(1), level, some node's interrupt
    events : Out(Events), of node 0
    bus : Out, AXI4; identifiers have 2 bits and those of a node's number
    link_hold : In(links), stops links (there are none in a machine of one node): an input for what
        drives the wires
    """

    csr: Any
    irq: Signal
    events: Any
    bus: Any
    link_hold: Signal

    def __init__(self, *, config: NodeConfig):
        self.config = config
        self._links = len(config.mesh.links)
        digits = (config.nodes - 1).bit_length()
        id_width = SharedPort.ID_WIDTH + digits
        links = {"link_hold": In(self._links)} if self._links else {}
        super().__init__(
            {
                "csr": In(AxiLitePort(ADDRESS_WIDTH + digits)),
                "irq": Out(1),
                "events": Out(Events),
                "bus": Out(ReadWritePort(config.address_width, config.bus_port, id_width)),
                **links,
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        nodes: list[Any] = [Node(config=config) for _ in range(config.nodes)]
        for n, node in enumerate(nodes):
            m.submodules[f"node_{n}"] = node
            m.d.comb += node.number.eq(n)
        m.d.comb += [
            self.irq.eq(Cat(node.irq for node in nodes).any()),
            self.events.eq(nodes[0].events),
        ]
        if config.nodes == 1:
            connect(m, flipped(self.csr), nodes[0].csr)
            connect(m, nodes[0].bus, flipped(self.bus))
            return m

        m.submodules.registers = registers = LiteDemux(
            address_width=ADDRESS_WIDTH, cores=config.nodes
        )
        m.submodules.axi_mux = mux = PortArbiter(
            address_width=config.address_width,
            data_width=config.bus_port,
            id_width=SharedPort.ID_WIDTH,
            cores=config.nodes,
        )
        connect(m, flipped(self.csr), registers.bus)
        connect(m, mux.axi, flipped(self.bus))

        mesh = Mesh(config=config.mesh)
        quiet = Signal(init=1)
        m.submodules.mesh = ResetInserter(quiet)(mesh)
        m.d.sync += quiet.eq(~Cat(node.busy for node in nodes).any())
        for n, node in enumerate(nodes):
            connect(m, registers.cores[n], node.csr)
            connect(m, node.bus, mux.cores[n])
            connect(m, node.send, mesh.i[n])
            connect(m, mesh.o[n], node.receive)
            m.d.comb += node.network_clear.eq(quiet)

        failed = Signal(config.nodes)
        first, waiting = Signal(range(self._links + 1)), Signal(range(self._links + 1))
        m.d.comb += [failed.eq(Cat(node.failed for node in nodes)), mesh.hold.eq(self.link_hold)]
        for n in reversed(range(self._links)):
            with m.If(mesh.waiting[n]):
                m.d.comb += first.eq(n + 1)
        with m.If(~failed.any()):
            m.d.sync += waiting.eq(Mux(quiet, 0, first))
        for inner, value in zip(nodes[0].status, (failed[:32], failed[32:], waiting), strict=True):
            m.d.comb += inner.eq(value)
        return m
