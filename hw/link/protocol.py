"""What host and board say to each other over a serial line.

Plain commands are those of LiteX's UARTBone, so that its tools work::

    command  length  address x 4  [data x 4 x length]        -> [data x 4 x length]

``command`` is one of ``Plain``, ``length`` counts words (0 for 256), ``address`` is a byte address
divided by 4, and addresses and words go most significant byte first. Nothing protects a plain
command, so there are checked ones besides::

    command  0x80 | length - 1  sequence  address x 4  crc x 4  [data x 4 x length  crc x 4]  0x00
                                                  -> sequence  [data x 4 x length]  status  crc x 4

A crc is CRC-32 as in zlib, least significant byte first, of all bytes since the command or since
the crc before it. A frame that is not as it must be is not answered; it is dropped, with all that
follows, until the line has been silent for a while. So whoever misses an answer waits and sends the
same frame again, with the same ``sequence``. The last word of a write (so the only one, in the case
of registers) is written only if everything was right, and not a second time when the frame comes
again with the ``sequence`` of the frame before because its answer was lost.

Words at addresses from ``REGISTERS`` on are registers, the core's first, then those of the board
from ``BOARD`` on; those below are memory, which is little-endian.
"""

from enum import IntEnum

__all__ = ["BOARD", "CRC_RESIDUE", "MOST_WORDS", "REGISTERS", "Checked", "Plain", "Status"]


class Plain(IntEnum):
    """Commands of UARTBone; a burst is to successive addresses or always to the same one."""

    WRITE = 1
    READ = 2
    WRITE_FIXED = 3
    READ_FIXED = 4


class Checked(IntEnum):
    """Checked commands; they differ in five bits or more from the plain ones and from 0."""

    WRITE = 0xF8
    READ = 0xF9


class Status(IntEnum):
    """How a checked command ended."""

    OKAY = 0x5A
    ERROR = 0xA5
    """Nothing answered at one of the addresses."""


MOST_WORDS = 128
"""Words in a checked frame."""

CRC_RESIDUE = 0xDEBB20E3
"""What the CRC register holds after a correct CRC has passed through it."""

REGISTERS = 1 << 31
"""Byte address of the core's registers."""

BOARD = REGISTERS + 0x1000
"""Byte address of the board's registers."""
