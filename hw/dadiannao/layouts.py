"""What travels between the units of a node and its central memories."""

from amaranth.hdl import unsigned
from amaranth.lib import data

from .config import NodeConfig

__all__ = ["CentralRowLayout", "CentralWriteLayout"]


class CentralRowLayout(data.StructLayout):
    """Where a row is: ``bank`` (0 or 1) and ``address``, a row of it."""

    def __init__(self, config: NodeConfig):
        super().__init__({"address": range(config.central_rows), "bank": unsigned(1)})


class CentralWriteLayout(data.StructLayout):
    """A row to be written: ``place`` and ``data``."""

    def __init__(self, config: NodeConfig):
        super().__init__({"place": CentralRowLayout(config), "data": unsigned(config.row_bits)})
