"""External memory of a core in cocotb: the same, cycle by cycle, as sim/verilator/memory.h.

It has no random pauses, faults or checks of AXI; those are examined with Verilator.
"""

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from hw.bus.axi import Response

from ..memory import MemorySettings
from ..ports import MemoryPort

__all__ = ["ExternalMemory"]


@dataclass
class _Burst:
    """An accepted address."""

    identifier: int
    address: int
    beats: int
    due: int


@dataclass
class _Answer:
    """A burst of read data: words, whether they exist, and the next one to be shown."""

    burst: _Burst
    words: list[int]
    responses: list[int]
    beat: int = 0


class ExternalMemory:
    """Memory behind the ports of ``dut``; ``step`` is called after every rising edge.

    Members
    -------
    content : uint8 array, replaced by a longer one if more is needed
    moved : bytes moved so far in this cycle by stream
    """

    def __init__(self, dut: Any, ports: tuple[MemoryPort, ...], settings: MemorySettings):
        self.content = np.zeros(0, dtype=np.uint8)
        self.settings = settings
        self.now = 0
        self.moved: dict[str, int] = {}
        self._credit = 0
        self._refused: int | None = None
        self._turn = 0
        self._ports = [(_Write if port.writes else _Read)(dut, port, self) for port in ports]

    def step(self) -> None:
        """Take what the core showed before the edge, and show the next values."""
        rate = self.settings.bandwidth
        self._credit = min(self._credit + rate, rate)
        if self._refused is not None:
            self._turn = self._refused
        self._refused = None
        self.moved = {}
        count = len(self._ports)
        for number in (*range(self._turn, count), *range(self._turn)):
            self._ports[number].step(number)
        self.now += 1

    @property
    def due(self) -> int:
        """The edge at which an answer to a request of now may be taken."""
        return self.now + self.settings.latency

    def take(self, number: int, size: int) -> bool:
        """Ask for the bandwidth of one beat."""
        if self._credit > 0:
            self._credit -= size
            return True
        if self._refused is None:
            self._refused = number
        return False

    def response(self, address: int, size: int) -> int:
        inside = address + size <= self.content.size
        return (Response.OKAY if inside else Response.DECERR).value

    def count(self, stream: str, size: int) -> None:
        self.moved[stream] = self.moved.get(stream, 0) + size


class _Port:
    """One direction of an AXI port."""

    def __init__(self, dut: Any, port: MemoryPort, memory: ExternalMemory, channel: str):
        self.port = port
        self.size = port.width // 8
        self.memory = memory
        self._dut = dut
        self._address = {
            name: self.signal(channel + name) for name in ("id", "addr", "len", "valid", "ready")
        }
        self._address["ready"].value = 0
        self._ready = False

    def signal(self, name: str) -> Any:
        return getattr(self._dut, f"{self.port.name}__{name}")

    def accept(self) -> _Burst | None:
        """The burst that starts at this edge."""
        if not (self._ready and self._address["valid"].value == 1):
            return None
        field = {name: int(self._address[name].value) for name in ("id", "addr", "len")}
        start = field["addr"] // self.size * self.size
        return _Burst(field["id"], start, field["len"] + 1, self.memory.due)

    def offer(self) -> None:
        """Always be ready for an address."""
        if not self._ready:
            self._ready = True
            self._address["ready"].value = 1


class _Read(_Port):
    """AR and R."""

    def __init__(self, dut: Any, port: MemoryPort, memory: ExternalMemory):
        super().__init__(dut, port, memory, "ar")
        names = ("id", "data", "resp", "last", "valid", "ready")
        self._data = {name: self.signal("r" + name) for name in names}
        for name in names[:-1]:
            self._data[name].value = 0
        self._valid = False
        self._queue: deque[_Answer] = deque()

    def step(self, number: int) -> None:
        if self._valid and self._data["ready"].value == 1:
            self._valid = False
            self._queue[0].beat += 1
            if self._queue[0].beat == self._queue[0].burst.beats:
                self._queue.popleft()
        burst = self.accept()
        if burst is not None:
            self._queue.append(self._answer(burst))
        self.offer()
        if (
            not self._valid
            and self._queue
            and self._queue[0].burst.due <= self.memory.now + 1
            and self.memory.take(number, self.size)
        ):
            self._show(self._queue[0])
        elif not self._valid:
            self._data["valid"].value = 0

    def _answer(self, burst: _Burst) -> _Answer:
        answer = _Answer(burst, [], [])
        for beat in range(burst.beats):
            address = burst.address + beat * self.size
            word = self.memory.content[address : address + self.size].tobytes()
            answer.words.append(int.from_bytes(word, "little"))
            answer.responses.append(self.memory.response(address, self.size))
        return answer

    def _show(self, answer: _Answer) -> None:
        self._valid = True
        self._data["valid"].value = 1
        self._data["data"].value = answer.words[answer.beat]
        self._data["resp"].value = answer.responses[answer.beat]
        self._data["last"].value = int(answer.beat + 1 == answer.burst.beats)
        self._data["id"].value = answer.burst.identifier
        self.memory.count(self.port.streams[answer.burst.identifier], self.size)


class _Write(_Port):
    """AW, W and B."""

    def __init__(self, dut: Any, port: MemoryPort, memory: ExternalMemory):
        super().__init__(dut, port, memory, "aw")
        self._data = {name: self.signal("w" + name) for name in ("data", "strb", "valid", "ready")}
        self._response = {
            name: self.signal("b" + name) for name in ("id", "resp", "valid", "ready")
        }
        self._data["ready"].value = 0
        for name in ("id", "resp", "valid"):
            self._response[name].value = 0
        self._data_ready = False
        self._valid = False
        self._waiting: deque[_Burst] = deque()
        self._complete: deque[tuple[_Burst, list[tuple[bytes, int]]]] = deque()
        self._beats: deque[tuple[bytes, int]] = deque()

    def step(self, number: int) -> None:
        if self._valid and self._response["ready"].value == 1:
            self._valid = False
        burst = self.accept()
        if burst is not None:
            self._waiting.append(burst)
        if self._data_ready and self._data["valid"].value == 1:
            word = int(self._data["data"].value).to_bytes(self.size, "little")
            self._beats.append((word, int(self._data["strb"].value)))
            self._data_ready = False
            self.memory.count(self.port.streams[0], self.size)
        while self._waiting and len(self._beats) >= self._waiting[0].beats:
            burst = self._waiting.popleft()
            burst.due = self.memory.due
            beats = [self._beats.popleft() for _ in range(burst.beats)]
            self._complete.append((burst, beats))
        self.offer()
        # A beat's bandwidth is reserved when the port gets ready for it.
        if not self._data_ready:
            self._data_ready = self.memory.take(number, self.size)
        self._data["ready"].value = int(self._data_ready)
        if not self._valid and self._complete and self._complete[0][0].due <= self.memory.now + 1:
            self._respond(*self._complete.popleft())
        self._response["valid"].value = int(self._valid)

    def _respond(self, burst: _Burst, beats: list[tuple[bytes, int]]) -> None:
        self._valid = True
        worst = Response.OKAY.value
        for beat, (word, strobes) in enumerate(beats):
            address = burst.address + beat * self.size
            response = self.memory.response(address, self.size)
            worst = max(worst, response)
            if response == Response.OKAY.value:
                where = self.memory.content[address : address + self.size]
                bits = np.frombuffer(strobes.to_bytes(-(-self.size // 8), "little"), np.uint8)
                enabled = np.unpackbits(bits, bitorder="little")[: self.size].astype(bool)
                where[enabled] = np.frombuffer(word, np.uint8)[enabled]
        self._response["id"].value = burst.identifier
        self._response["resp"].value = worst
