"""What nodes send each other: a head that says where rows go, then the rows."""

from amaranth.hdl import Value, signed, unsigned
from amaranth.lib import data

from .config import NodeConfig

__all__ = ["HeadLayout", "head_words", "node_number", "row_words"]


class HeadLayout(data.StructLayout):
    """Where the rows of a packet go.

    to_bank : central memory
    to_address : of the first row
    step : from one row to the next
    """

    def __init__(self):
        super().__init__({"to_bank": unsigned(1), "to_address": unsigned(24), "step": signed(24)})


def head_words(config: NodeConfig) -> int:
    """Words of the mesh that a head takes."""
    return -(-HeadLayout().size // config.mesh.data_width)


def row_words(config: NodeConfig) -> int:
    """Words of the mesh that a row takes."""
    return config.row_bits // config.mesh.data_width


def node_number(config: NodeConfig, place: data.View) -> Value:
    """The number of the node at ``place`` (hw.mesh PlaceLayout): nodes count along the rows."""
    return (place.y * config.columns + place.x)[: max(1, (config.nodes - 1).bit_length())]
