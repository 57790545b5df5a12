"""Frames as bytes: what is sent is what the protocol says, and damaged answers are refused."""

import struct
import zlib

import pytest

from boards.frames import BadAnswerError, answer_bytes, parse_answer, read_frame, write_frame
from hw.link.protocol import CRC_RESIDUE, Status


def checked(content):
    return content + struct.pack("<L", zlib.crc32(content))


def test_frames():
    header = checked(bytes([0xF9, 0x80 | 4, 7, 0x20, 0, 4, 1]))
    assert read_frame(0x80001004, 5, 7) == header + b"\0"
    header = checked(bytes([0xF8, 0x81, 8, 0, 0, 0, 0x10]))
    assert write_frame(0x40, [1, 0xFF000002], 8) == (
        header + checked(bytes([0, 0, 0, 1, 0xFF, 0, 0, 2])) + b"\0"
    )


def test_residue():
    """What a CRC register holds after content and CRC, of which zlib shows the complement."""
    assert zlib.crc32(checked(b"anything")) ^ 0xFFFFFFFF == CRC_RESIDUE


@pytest.mark.parametrize("count", [0, 129])
def test_a_frame_holds_1_to_128_words(count):
    with pytest.raises(ValueError, match=f"a frame must hold 1 to 128 words, not {count}"):
        read_frame(0, count, 0)


def test_answers():
    answer = checked(bytes([9, 0, 0, 0, 5, Status.OKAY]))
    assert len(answer) == answer_bytes(1)
    assert parse_answer(answer, 1, 9) == ([5], Status.OKAY)
    assert parse_answer(checked(bytes([3, Status.ERROR])), 0, 3) == ([], Status.ERROR)


def test_damaged_answers():
    answer = checked(bytes([9, 0, 0, 0, 5, Status.OKAY]))
    for n in range(len(answer)):
        for wrong in (answer[:n] + answer[n + 1 :], answer[:n] + answer[n:][:1] + answer[n:]):
            with pytest.raises(BadAnswerError, match=r"bytes came, not 10"):
                parse_answer(wrong, 1, 9)
        for bit in range(8):
            wrong = answer[:n] + bytes([answer[n] ^ 1 << bit]) + answer[n + 1 :]
            with pytest.raises(BadAnswerError, match="its checksum is wrong"):
                parse_answer(wrong, 1, 9)
    with pytest.raises(BadAnswerError, match="it answers something else"):
        parse_answer(answer, 1, 8)
