"""Where the engine keeps the slots of the units: rows of one memory."""

from amaranth.hdl import Cat, Value, unsigned
from amaranth.lib import data, enum

from ..config import Config
from ..fields import SLOTS, fields_of

__all__ = ["HALF_BITS", "PLACES", "Client", "Part", "Row", "row_bits", "row_number", "rows"]

HALF_BITS = 16
"""The engine's decoder takes the program in pieces of as many bits."""


class Client(enum.IntEnum, shape=2):
    """Who the engine moves data for."""

    CP = 0
    SB = 1
    NBIN = 2
    NBOUT = 3


class Row(enum.IntEnum, shape=4):
    """The rows of a slot: what the program says, and how far the engine has come."""

    START_2 = 0
    """Where the present iteration of the outermost loop began; at first the slot's address."""
    RUN = 1
    COUNT_0 = 2
    COUNT_1 = 3
    LEFT_2 = 4
    """Iterations left, with the present one; at first the count."""
    STRIDE_0 = 5
    STRIDE_1 = 6
    STRIDE_2 = 7
    SKIP = 8
    PC = 9
    """Byte offset of the slot's instruction."""
    LEFT_0 = 10
    LEFT_1 = 11
    START_1 = 12
    START_0 = 13
    NEXT = 14
    """Address of the next byte."""
    REST = 15
    """Bytes left of the run, or of the skip."""


_FIELDS = {
    "descriptor.address": Row.START_2,
    "descriptor.run": Row.RUN,
    "descriptor.count[0]": Row.COUNT_0,
    "descriptor.count[1]": Row.COUNT_1,
    "descriptor.count[2]": Row.LEFT_2,
    "descriptor.stride[0]": Row.STRIDE_0,
    "descriptor.stride[1]": Row.STRIDE_1,
    "descriptor.stride[2]": Row.STRIDE_2,
    "skip": Row.SKIP,
}


def _places() -> dict[int, tuple[Row, bool]]:
    places = {}
    for kind in ("sb", "nbin", "nbout"):
        for field in fields_of(SLOTS[kind]):
            if field.name in _FIELDS:
                for n in range(min(2, field.width // HALF_BITS)):
                    places[field.offset // HALF_BITS + n] = _FIELDS[field.name], bool(n)
                    if field.name == "skip":
                        # What stands before it is 0, and so is the upper half of its row.
                        places[field.offset // HALF_BITS - 1] = _FIELDS[field.name], True
    return places


PLACES = _places()
"""By number of a half word in its slot: the row that keeps it, and whether in the upper half."""


class Part(data.StructLayout):
    """What is written to a slot: the lower or upper half of a row, or both.

    client, row : whose slot, and where
    data : both halves
    halves : which of them
    """

    def __init__(self):
        super().__init__(
            {
                "client": Client,
                "row": Row,
                "data": unsigned(2 * HALF_BITS),
                "halves": unsigned(2),
            }
        )


def rows(config: Config) -> int:
    """Rows of the memory: those of all slots that the units hold."""
    return len(Client) * _banks(config) * len(Row)


def row_bits(config: Config) -> int:
    """Bits of a row that are of use."""
    return max(HALF_BITS, config.address_width)


def row_number(config: Config, client: Value, bank: Value, row: Value) -> Value:
    """The number of a row in the memory."""
    return Cat(row, bank[: _banks(config).bit_length() - 1], client)


def _banks(config: Config) -> int:
    """Slots of a unit, up to a power of two."""
    return 1 << config.queue.bit_length()
