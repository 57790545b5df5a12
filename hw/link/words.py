"""The port through which a host reads and writes single words."""

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["WordPort"]


class WordPort(wiring.Signature):
    """Reads and writes of 32-bit words, one at a time, seen from the one who asks.

    ``valid`` and what belongs to it stay until the cycle with ``ready``; in that cycle ``r_data``
    and ``error`` are the answer.

    address : Out, in words
    write : Out(1)
    w_data : Out(32)
    valid : Out(1)
    ready : In(1)
    r_data : In(32)
    error : In(1), nothing answers at this address
    """

    def __init__(self, address_width: int):
        self.address_width = address_width
        super().__init__(
            {
                "address": Out(address_width),
                "write": Out(1),
                "w_data": Out(32),
                "valid": Out(1),
                "ready": In(1),
                "r_data": In(32),
                "error": In(1),
            }
        )
