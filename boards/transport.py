"""The driver's way to a core on a board, and the target for programs."""

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hw.errors import UserError
from hw.link.protocol import REGISTERS
from sim.driver import Driver, bytes_moved
from sim.execution import Activity, Execution, Progress
from sim.memory import MemorySettings
from sim.model import estimate
from sim.program import Program

from .serial_link import SerialLink

if TYPE_CHECKING:
    from .simulation import LineSimulation

__all__ = ["BoardTarget", "SerialTransport"]

_IRQ_STATUS = 0x064


class SerialTransport:
    """Registers and memory of a board; see ``sim.driver.Transport``."""

    def __init__(self, link: SerialLink, progress: Progress | None = None):
        self.link = link
        self._progress = progress

    def read_memory(self, address: int, size: int) -> np.ndarray:
        start = address // 4 * 4
        count = -(-(address + size - start) // 4)
        words = np.array(self.link.read_words(start, count), dtype="<u4")
        return words.view(np.uint8)[address - start :][:size].copy()

    def write_memory(self, address: int, content: np.ndarray) -> None:
        start, end = address // 4 * 4, -(-(address + content.size) // 4) * 4
        whole = np.zeros(end - start, dtype=np.uint8)
        if start != address:
            whole[:4] = self.read_memory(start, 4)
        if end != address + content.size:
            whole[-4:] = self.read_memory(end - 4, 4)
        whole[address - start :][: content.size] = content
        words = whole.view("<u4").tolist()
        for n in range(0, len(words), 1024):
            if self._progress is not None and len(words) > 4096:
                self._progress("sending the network to the board", 4 * n, 4 * len(words))
            self.link.write_words(start + 4 * n, words[n : n + 1024])

    def read_register(self, offset: int) -> int:
        return self.link.read_register(REGISTERS + offset)

    def write_register(self, offset: int, value: int) -> None:
        self.link.write_register(REGISTERS + offset, value)

    def wait(self, timeout: int | None) -> bool:
        limit = None if timeout is None else time.monotonic() + timeout / self.link.clock
        while not self.read_register(_IRQ_STATUS):
            self.link.check_session()
            if limit is not None and time.monotonic() > limit:
                return False
        return True


class BoardTarget:
    """Executes programs on the core of a board.

    Parameters
    ----------
    link : the board
    every : read all tensors back, not only outputs (they then can be compared one by one)
    progress : told while a network is sent
    simulation : what has to be closed after the link

    Attributes
    ----------
    config : what the core says about itself
    memory : how fast its memory is, as the compiler wants to know it

    Raises
    ------
    UserError
        If there is no core behind the link that the driver knows.
    """

    def __init__(
        self,
        link: SerialLink,
        *,
        every: bool,
        progress: Progress | None = None,
        simulation: "LineSimulation | None" = None,
    ):
        self.link = link
        self._simulation = simulation
        self.driver = Driver(SerialTransport(link, progress))
        self.config = replace(self.driver.config, name="board")
        self.memory = MemorySettings(
            latency=link.latency, bandwidth=link.bandwidth, on_chip=link.on_chip
        )
        self._every = every
        self._loaded: Program | None = None
        self._layers: dict[int, Activity] = {}

    def run(self, program: Program, inputs: dict[str, np.ndarray]) -> Execution:
        """Execute ``program``; see ``sim.execution.Target``.

        The core counts for the whole program; what it did for each layer is the model's estimate.
        """
        seconds = self.link.seconds
        if program is not self._loaded:
            self.driver.check(program)
            if program.memory_size > self.link.memory:
                raise UserError(
                    f"the model needs {program.memory_size} bytes of memory, the board has "
                    f"{self.link.memory}; use fewer images at a time, or another board"
                )
            self._loaded = None
            self.driver.load(program)
            self._loaded = program
            self._layers = estimate(program, memory=self.memory).layers
        outputs = self.driver.run(inputs)
        counters = self.driver.counters()
        tensors = program.tensors if self._every else {}
        everything = {name: self.driver.read_tensor(layout) for name, layout in tensors.items()}
        self.link.check_session()
        return Execution(
            tensors={**inputs, **outputs, **everything},
            source="board", cycles=counters["CYCLES"], layers=self._layers,
            bytes=bytes_moved(counters), link_seconds=self.link.seconds - seconds,
            layer_source="model",
        )  # fmt: skip

    def close(self) -> None:
        """Close the port."""
        self.link.close()
        if self._simulation is not None:
            self._simulation.close()
