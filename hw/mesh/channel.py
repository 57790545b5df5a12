"""What travels through the mesh: words of packets, flits, and the channel between two routers."""

from amaranth.hdl import unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .config import MeshConfig

__all__ = ["Channel", "CreditLayout", "FlitLayout", "PlaceLayout", "WordLayout"]


class PlaceLayout(data.StructLayout):
    """A node: ``x`` is its column, ``y`` its row, both from 0 in the north-west corner."""

    def __init__(self, config: MeshConfig):
        super().__init__({"x": range(config.columns), "y": range(config.rows)})


class WordLayout(data.StructLayout):
    """A word of a packet, as nodes see it.

    data : unsigned(data_width)
    last : 1 in the last word of the packet
    node : PlaceLayout; where the packet goes (taken from its first word), or where it comes from
        (in all words)
    """

    def __init__(self, config: MeshConfig):
        super().__init__(
            {
                "data": unsigned(config.data_width),
                "last": unsigned(1),
                "node": PlaceLayout(config),
            }
        )


class FlitLayout(data.StructLayout):
    """A flow-control digit: a word of a packet on its way.

    data : unsigned(data_width)
    head, tail : 1 in the first, in the last flit of a packet; both in a packet of one flit
    vc : virtual channel, the same on the whole way
    destination, source : PlaceLayout; of any meaning only in a head
    """

    def __init__(self, config: MeshConfig):
        place = PlaceLayout(config)
        super().__init__(
            {
                "data": unsigned(config.data_width),
                "head": unsigned(1),
                "tail": unsigned(1),
                "vc": range(config.vcs),
                "destination": place,
                "source": place,
            }
        )


class CreditLayout(data.StructLayout):
    """A place has become free, if ``valid``, in the buffer of virtual channel ``vc``."""

    def __init__(self, config: MeshConfig):
        super().__init__({"valid": unsigned(1), "vc": range(config.vcs)})


class Channel(wiring.Signature):
    """Flits one way, credits back.

    ::

        flit   : Out(stream(FlitLayout))
        credit : In(stream(virtual channel)), always ready

    The sender starts with as many credits for each virtual channel as the receiver has places. A
    flit costs one; each credit that comes back says that a place is free again. So a receiver with
    buffers is always ready. ``flit.ready`` is for what lies between: a link that is busy.
    """

    def __init__(self, config: MeshConfig):
        super().__init__(
            {
                "flit": Out(stream.Signature(FlitLayout(config))),
                "credit": In(CreditLayout(config)),
            }
        )
