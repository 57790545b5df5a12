"""The host's end of the link: words of memory and registers over a serial port."""

import errno
import random
import time
from collections.abc import Sequence

import serial

from hw.errors import UserError
from hw.link.protocol import BOARD, MOST_WORDS, Status

from .frames import BadAnswerError, answer_bytes, parse_answer, read_frame, write_frame
from .registers import IDENTIFICATION, board_registers

__all__ = ["BoardError", "BoardResetError", "SerialLink"]

ATTEMPTS = 8
"""How often a frame is sent before it is given up."""

FIRST_ATTEMPTS = 4
"""The same for the first frame of all, which may be for nobody."""

PATIENCE = 0.15
"""Seconds that an answer may be late the first time; twice as long each further time. Longer than
what a USB adapter and its driver hold data back, and than the silence that a board waits for."""

_BOARD = board_registers()
_WHY = {
    errno.ENOENT: "there is no such port",
    errno.EACCES: "permission denied (on Linux, users of serial ports are in the group dialout)",
    errno.EBUSY: "another program uses it",
    errno.EAGAIN: "another program uses it",
    errno.ENOTTY: "it is no serial port",
    errno.EWOULDBLOCK: "another program uses it",
}


class BoardError(UserError):
    """The board does not answer, or not as one of ours."""


class BoardResetError(BoardError):
    """The board was reset or configured anew while it was in use."""


class SerialLink:
    """A board at a serial port.

    Each word is protected by a checksum; what gets lost or damaged is sent again. A register is
    written once, however often that takes.

    Parameters
    ----------
    port : name of the port, or whatever else ``serial.serial_for_url`` takes
    baud : bits per second
    patience : seconds that a first answer may be late

    Attributes
    ----------
    seconds : time spent on the line
    moved : bytes on the line, both ways
    frames : questions with their answers
    repeated : frames that had to be sent again
    memory : bytes of the board's memory
    bandwidth, latency : of that memory, in bytes per cycle and cycles
    on_chip : it is on the FPGA, see ``sim.memory.MemorySettings``
    clock : cycles per second of its core

    Raises
    ------
    BoardError
        If the port cannot be opened, or no board answers.
    """

    def __init__(self, port: str, baud: int = 1_000_000, *, patience: float = PATIENCE):
        self.seconds = 0.0
        self.moved = 0
        self.frames = 0
        self.repeated = 0
        self._name = port
        self._baud = baud
        self._patience = patience
        self._attempts = FIRST_ATTEMPTS
        self._sequence = random.randrange(256)
        self._session: int | None = None
        try:
            self._port = serial.serial_for_url(port, baud, exclusive=True)
        except (OSError, ValueError) as error:  # SerialException is an OSError
            # Some of pyserial's errors have the system's only as what they came from.
            number = getattr(error, "errno", None) or next(
                iter(getattr(error.__context__, "args", ())), 0
            )
            reason = _WHY.get(number, str(error))
            raise BoardError(f"cannot open {port!r}: {reason}") from None
        try:
            if self.read_register(BOARD + _BOARD["BOARD_ID"].offset) != IDENTIFICATION:
                raise BoardError(f"what answers at {port!r} is no board of ours")
            self._attempts = ATTEMPTS
            self.memory = self.read_register(BOARD + _BOARD["MEMORY"].offset)
            register = _BOARD["SPEED"]
            speed = register.unpack(self.read_register(BOARD + register.offset))
            self.bandwidth, self.latency = speed["bandwidth"], speed["latency"]
            self.on_chip = bool(speed["on_chip"])
            self.clock = self.read_register(BOARD + _BOARD["CLOCK"].offset)
            self.write_register(BOARD + _BOARD["LINK"].offset, 1)
            session = random.randrange(1, 1 << 16)
            self.write_register(BOARD + _BOARD["SESSION"].offset, session)
            self._session = session
        except BaseException:
            self._port.close()
            raise

    def close(self) -> None:
        """Let plain tools write again, and close the port."""
        if self._port.is_open:
            try:
                self.write_register(BOARD + _BOARD["LINK"].offset, 0)
            except BoardError:
                pass  # it is gone anyway
            self._port.close()

    def read_register(self, address: int) -> int:
        """The register at a byte address."""
        return self.read_words(address, 1)[0]

    def write_register(self, address: int, value: int) -> None:
        """Set the register at a byte address."""
        self.write_words(address, [value])

    def read_words(self, address: int, count: int) -> list[int]:
        """``count`` words from byte ``address``, a multiple of 4, on."""
        words = []
        for start in range(0, count, MOST_WORDS):
            size = min(MOST_WORDS, count - start)
            sequence = self._next()
            frame = read_frame(address + 4 * start, size, sequence)
            words += self._ask(frame, size, sequence, address)
        return words

    def write_words(self, address: int, words: Sequence[int]) -> None:
        """Write words from byte ``address``, a multiple of 4, on."""
        for start in range(0, len(words), MOST_WORDS):
            sequence = self._next()
            frame = write_frame(address + 4 * start, words[start : start + MOST_WORDS], sequence)
            self._ask(frame, 0, sequence, address)

    def check_session(self) -> None:
        """Make sure that the board has not been reset.

        Raises
        ------
        BoardResetError
            If it has.
        """
        expected, self._session = self._session, None
        if expected is not None:
            if self.read_register(BOARD + _BOARD["SESSION"].offset) != expected:
                raise BoardResetError(f"the board at {self._name!r} was reset; start again")
            self._session = expected

    def _next(self) -> int:
        self._sequence = (self._sequence + 1) % 256
        return self._sequence

    def _ask(self, frame: bytes, count: int, sequence: int, address: int) -> list[int]:
        begin = time.perf_counter()
        try:
            words, status, attempts = self._exchange(frame, count, sequence)
        except OSError as error:  # SerialException is one
            raise BoardError(f"the port {self._name!r} has failed: {error}") from None
        finally:
            self.seconds += time.perf_counter() - begin
        if attempts:
            self.repeated += attempts
            self.check_session()
        if status != Status.OKAY:
            raise BoardError(f"nothing answers at address {address:#010x} of the board")
        return words

    def _exchange(self, frame: bytes, count: int, sequence: int) -> tuple[list[int], Status, int]:
        begin = time.perf_counter()
        why = BadAnswerError("nothing was tried")
        on_line = 10 * (len(frame) + answer_bytes(count)) / self._baud
        for attempt in range(self._attempts):
            late = self._patience * 2 ** min(attempt, 4)
            self._port.reset_input_buffer()
            self._port.write(frame)
            self._port.timeout = on_line + late
            answer = self._port.read(answer_bytes(count))
            self.moved += len(frame) + len(answer)
            self.frames += 1
            try:
                return *parse_answer(answer, count, sequence), attempt
            except BadAnswerError as error:
                why = error
            # The board waits for silence before it listens again.
            self._port.timeout = late
            while self._port.read(1024):
                pass
        raise BoardError(
            f"no board answers at {self._name!r} within "
            f"{time.perf_counter() - begin:.1f} s ({why}); is it configured (diannao board load), "
            f"and does it run at {self._baud} baud?"
        )
