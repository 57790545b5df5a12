"""Checked frames as the host makes and reads them; see ``hw.link.protocol``."""

import struct
import zlib
from collections.abc import Sequence

from hw.link.protocol import MOST_WORDS, Checked, Status

__all__ = ["BadAnswerError", "answer_bytes", "parse_answer", "read_frame", "write_frame"]


class BadAnswerError(Exception):
    """What came is not the answer to what was sent."""


def _header(command: Checked, address: int, count: int, sequence: int) -> bytes:
    if not 1 <= count <= MOST_WORDS:
        raise ValueError(f"a frame must hold 1 to {MOST_WORDS} words, not {count}")
    return _checked(struct.pack(">BBBL", command, 0x80 | count - 1, sequence, address // 4))


def _checked(content: bytes) -> bytes:
    return content + struct.pack("<L", zlib.crc32(content))


def read_frame(address: int, count: int, sequence: int) -> bytes:
    """The frame that reads ``count`` words from byte ``address`` on."""
    return _header(Checked.READ, address, count, sequence) + b"\0"


def write_frame(address: int, words: Sequence[int], sequence: int) -> bytes:
    """The frame that writes ``words`` from byte ``address`` on."""
    content = struct.pack(f">{len(words)}L", *words)
    header = _header(Checked.WRITE, address, len(words), sequence)
    return header + _checked(content) + b"\0"


def answer_bytes(count: int) -> int:
    """Size of an answer that holds ``count`` words."""
    return 4 * count + 6


def parse_answer(answer: bytes, count: int, sequence: int) -> tuple[list[int], Status]:
    """The words in ``answer``, and how the command ended.

    Raises
    ------
    BadAnswerError
        If it is not the answer to a frame with that ``sequence``, or damaged.
    """
    if len(answer) != answer_bytes(count):
        raise BadAnswerError(f"{len(answer)} bytes came, not {answer_bytes(count)}")
    content, crc = answer[:-4], answer[-4:]
    if struct.pack("<L", zlib.crc32(content)) != crc:
        raise BadAnswerError("its checksum is wrong")
    if content[0] != sequence:
        raise BadAnswerError("it answers something else")
    return list(struct.unpack(f">{count}L", content[1:-1])), Status(content[-1])
