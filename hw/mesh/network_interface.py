"""Between a node's streams and its router: packets to flits and back."""

from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..bus.streams import Register
from ..cells import cell
from .buffers import ChannelBuffers
from .channel import Channel, PlaceLayout, WordLayout
from .config import MeshConfig
from .round_robin import RoundRobin

__all__ = ["Depacketiser", "NetworkInterface", "Packetiser"]


class Packetiser(wiring.Component):
    """Makes each word of a packet a flit, in the next cycle if there is a credit.

    The virtual channel is (number of source + number of destination) modulo their count, and stays
    the same on the whole way. So all packets of a pair of nodes use the same buffers, which keeps
    their order, and packets of different pairs that share a link mostly use different ones.

    A packet to a node outside the mesh is swallowed and reported.

    Parameters
    ----------
    config : of the mesh

    Members
    -------
    place : In(PlaceLayout), of this node; constant
    i : In(stream(WordLayout)); ``node`` of a packet's first word is its destination
    o : Out(Channel)
    error : Out(1), a pulse for each packet without a valid destination
    """

    place: Any
    i: stream.Interface
    o: Any
    error: Signal

    def __init__(self, *, config: MeshConfig):
        self._config = config
        self._word = WordLayout(config)
        super().__init__(
            {
                "place": In(PlaceLayout(config)),
                "i": In(stream.Signature(self._word)),
                "o": Out(Channel(config)),
                "error": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.word = word = Register(shape=self._word)
        connect(m, flipped(self.i), word.i)
        node = word.o.payload.node
        flit, credit = self.o.flit, self.o.credit

        # A packet's first word decides for all of it.
        inside = Signal()
        kept = Signal(data.StructLayout({"vc": range(config.vcs), "valid": unsigned(1)}))
        route = Signal.like(kept)
        numbers = (place.y * config.columns + place.x for place in (self.place, node))
        with m.If(inside):
            m.d.comb += route.eq(kept)
        with m.Else():
            m.d.comb += [
                route.vc.eq(
                    sum(numbers)
                ),  # as vcs is a power of two, the carry is what is too much
                route.valid.eq((node.x < config.columns) & (node.y < config.rows)),
            ]
            m.d.sync += kept.eq(route)
        taken = Signal()
        m.d.comb += [
            taken.eq(word.o.valid & word.o.ready),
            self.error.eq(taken & ~inside & ~route.valid),
        ]
        with m.If(taken):
            m.d.sync += inside.eq(~word.o.payload.last)

        counts = Array(
            Signal(range(config.local_depth + 1), init=config.local_depth, name=f"credits_{vc}")
            for vc in range(config.vcs)
        )
        possible = Signal()
        m.d.comb += [
            possible.eq(counts[route.vc] != 0),
            flit.valid.eq(word.o.valid & route.valid & possible),
            flit.payload.data.eq(word.o.payload.data),
            flit.payload.head.eq(~inside),
            flit.payload.tail.eq(word.o.payload.last),
            flit.payload.vc.eq(route.vc),
            flit.payload.destination.eq(node),
            flit.payload.source.eq(self.place),
            word.o.ready.eq(~route.valid | (possible & flit.ready)),
        ]
        for vc in range(config.vcs):
            spent = flit.valid & flit.ready & (route.vc == vc)
            returned = credit.valid & (credit.vc == vc)
            m.d.sync += counts[vc].eq(counts[vc] - spent + returned)
        return m


class Depacketiser(wiring.Component):
    """Gives out the packets that arrive, one after the other, each as a whole.

    Flits of different packets come mixed, on different virtual channels. Each virtual channel has
    its buffer; a packet is given out up to its last word before another one is chosen, round robin
    over the virtual channels. A word leaves two cycles after its flit came at the earliest; a word
    per cycle, also from packet to packet.

    Parameters
    ----------
    config : of the mesh

    Members
    -------
    i : In(Channel)
    o : Out(stream(WordLayout)); ``node`` is where the packet comes from
    """

    i: Any
    o: stream.Interface

    def __init__(self, *, config: MeshConfig):
        self._config = config
        super().__init__(
            {
                "i": In(Channel(config)),
                "o": Out(stream.Signature(WordLayout(config))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.buffers = buffers = ChannelBuffers(
            config=config, depth=config.local_depth, mark=unsigned(1)
        )
        m.submodules.arbiter = arbiter = RoundRobin(config.vcs)
        connect(m, flipped(self.i), buffers.channel)
        flit, word = buffers.flit, self.o.payload

        # The packet that is given out, if any.
        packet, chosen = Signal(config.vcs), Signal(config.vcs)
        tail = Signal()
        m.d.comb += [
            buffers.mark.eq(self.i.flit.payload.tail),
            arbiter.requests.eq(buffers.waiting),
            arbiter.served.eq(~packet.any() & buffers.read.any()),
            chosen.eq(Mux(packet.any(), packet & buffers.waiting, arbiter.grant)),
            tail.eq((chosen & Cat(buffers.marks)).any()),
        ]
        source = Signal(PlaceLayout(config))
        m.d.comb += [
            word.data.eq(flit.data),
            word.last.eq(flit.tail),
            word.node.eq(Mux(flit.head, flit.source, source)),
        ]
        with m.If(self.o.valid & flit.head):
            m.d.sync += source.eq(flit.source)
        with m.If(~self.o.valid | self.o.ready):
            m.d.comb += buffers.read.eq(chosen)
            m.d.sync += self.o.valid.eq(chosen.any())
            with m.If(chosen.any()):
                m.d.sync += packet.eq(Mux(tail, 0, chosen))
        return m


class NetworkInterface(wiring.Component):
    """A node's end of the network: ``Packetiser`` and ``Depacketiser``.

    Parameters
    ----------
    config : of the mesh

    Members
    -------
    place : In(PlaceLayout), of this node; constant
    i, o : In(stream(WordLayout)), Out(stream(WordLayout)), packets of the node
    to_router, from_router : Out(Channel), In(Channel)
    error : Out(1), a pulse for each packet without a valid destination
    """

    place: Any
    i: stream.Interface
    o: stream.Interface
    to_router: Any
    from_router: Any
    error: Signal

    def __init__(self, *, config: MeshConfig):
        self.cell_name = f"network_interface_{config.label}"
        self._config = config
        word, channel = stream.Signature(WordLayout(config)), Channel(config)
        super().__init__(
            {
                "place": In(PlaceLayout(config)),
                "i": In(word),
                "o": Out(word),
                "to_router": Out(channel),
                "from_router": In(channel),
                "error": Out(1),
            }
        )

    @cell
    def elaborate(self, platform):
        m = Module()
        m.submodules.packetiser = packetiser = Packetiser(config=self._config)
        m.submodules.depacketiser = depacketiser = Depacketiser(config=self._config)
        connect(m, flipped(self.i), packetiser.i)
        connect(m, packetiser.o, flipped(self.to_router))
        connect(m, flipped(self.from_router), depacketiser.i)
        connect(m, depacketiser.o, flipped(self.o))
        m.d.comb += [packetiser.place.eq(self.place), self.error.eq(packetiser.error)]
        return m
