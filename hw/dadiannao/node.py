"""The DaDianNao node (paper, figures 4 and 5): tiles on a fat tree around central memories."""

from typing import Any

from amaranth.hdl import Module, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import connect, flipped

from ..cells import cell
from .centre import Centre, TilePort, node_ports
from .config import NodeConfig
from .tile import Tile

__all__ = ["Node"]


class _TileCell(wiring.Component):
    """A tile with the reset that the centre gives it; elaborated once for all tiles."""

    def __init__(self, *, config: NodeConfig):
        self._config = config
        self.cell_name = "tile"  # all tiles of a machine are equal
        super().__init__(TilePort(config).flip())

    @cell
    def elaborate(self, platform):
        m = Module()
        this: Any = self
        tile = Tile(config=self._config)
        m.submodules.tile = ResetInserter(this.clear)(tile)
        for name in ("instruction", "broadcast"):
            connect(m, flipped(getattr(this, name)), getattr(tile, name))
        connect(m, tile.o, flipped(this.o))
        m.d.comb += tile.halt.eq(this.halt)
        for name in (
            "busy", "active", "step", "wait_nbin", "wait_sb", "tag", "error", "code", "pc",
        ):  # fmt: skip
            m.d.comb += getattr(this, name).eq(getattr(tile, name))
        return m


class Node(wiring.Component):
    """A DaDianNao node.

    ::

        host   <-> Centre: loader, storer, central memories, reader, writer, control
        mesh   <->   |
                     +-- fat tree -- tiles

    Parameters
    ----------
    config : of the machine that the node belongs to

    Members
    -------
    number : In(range(nodes)), of this node; constant
    network_clear : In(1), forget a packet that has not come to its end, and all arrivals
    csr : In, AXI4-Lite, see ``register_map``
    irq : Out(1), level, done or error and enabled
    status : In(32).array, what the registers ``STATUS`` show
    failed : Out(1), the last program has failed
    busy : Out(1), from start until the node can be started again
    events : Out(Events), what the node does in this cycle, for profilers: ``active`` for a step in
        some tile; ``sb`` is the loader, ``nbin`` the reader, ``nbout`` the storer; ``nfu`` stays 0,
        since tiles run the nests of a slot each in its own time
    bus : Out, AXI4 port to the host's memory
    send, receive : Out and In, streams of words to and from the mesh
    """

    number: Signal
    network_clear: Signal
    csr: Any
    irq: Signal
    status: Any
    failed: Signal
    busy: Signal
    events: Any
    bus: Any
    send: stream.Interface
    receive: stream.Interface

    def __init__(self, *, config: NodeConfig):
        self.config = config
        super().__init__(node_ports(config))

    def elaborate(self, platform):
        m = Module()
        m.submodules.centre = centre = Centre(config=self.config)
        for name in ("csr", "bus", "send", "receive"):
            connect(m, getattr(centre, name), flipped(getattr(self, name)))
        m.d.comb += [
            centre.number.eq(self.number),
            centre.network_clear.eq(self.network_clear),
            self.irq.eq(centre.irq),
            self.failed.eq(centre.failed),
            self.busy.eq(centre.busy),
            self.events.eq(centre.events),
        ]
        for inner, outer in zip(centre.status, self.status, strict=True):
            m.d.comb += inner.eq(outer)
        for n, port in enumerate(centre.tiles):
            m.submodules[f"tile_{n}"] = tile = _TileCell(config=self.config)
            connect(m, port, tile)
        return m
