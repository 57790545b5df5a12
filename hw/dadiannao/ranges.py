"""What several units check."""

from amaranth.hdl import Signal, Value

from .config import NodeConfig

__all__ = ["bad_row", "bad_tiles"]


def bad_row(address: Signal, rows: int) -> Value:
    """Whether a signed row address is outside a memory of so many rows."""
    return (address < 0) | (address > rows - 1)


def bad_tiles(config: NodeConfig, tiles: Value) -> Value:
    """Whether a slot's ``tiles`` names none, or one that does not exist."""
    return ~tiles[: config.tiles].any() | tiles[config.tiles :].any()
