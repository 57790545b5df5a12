"""The driver: runs programs on a core, wherever the core is.

What differs between a simulated core and one on a board is only the transport. A machine of several
nodes is as many cores, each with registers and a program of its own.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from enum import Enum
from typing import Any, Protocol

import numpy as np

from hw.diannao.config import ConfigError
from hw.diannao.csr import IDENTIFICATION
from hw.errors import UserError

from .devices import DEVICES
from .ports import STREAMS
from .program import Program, TensorLayout

__all__ = ["CoreError", "CoreTimeoutError", "Driver", "Transport", "bytes_moved"]

WATCHDOG = 1 << 20
"""Cycles without any progress after which a program is given up; no memory is as slow as that."""


_ID, _VERSION = 0x000, 0x004
"""Registers that every device has."""

_NODE = 1 << 12
"""Bytes between the registers of one node and the next."""


class CoreError(Exception):
    """The core stopped with an error.

    Attributes
    ----------
    code : the device's ErrorCode
    pc : byte offset of the instruction from the start of the program
    """

    def __init__(self, message: str, code: Enum, pc: int):
        super().__init__(message, code, pc)  # all of them, so that it can be pickled
        self.code = code
        self.pc = pc

    def __str__(self) -> str:
        return self.args[0]


class CoreTimeoutError(Exception):
    """The core did not come to an end in time."""


def bytes_moved(counters: Mapping[str, int]) -> dict[str, int]:
    """Bytes by stream from a core's counters; empty if it does not count them."""
    names = {stream: f"BYTES_{stream.upper()}" for stream in STREAMS}
    return {stream: counters[name] for stream, name in names.items() if name in counters}


class Transport(Protocol):
    """The way to a core and its memory."""

    def read_memory(self, address: int, size: int) -> np.ndarray:
        """``size`` bytes (uint8) of the external memory."""
        ...

    def write_memory(self, address: int, content: np.ndarray) -> None:
        """Put bytes (uint8) into the external memory."""
        ...

    def read_register(self, offset: int) -> int:
        """The 32-bit register at byte ``offset``."""
        ...

    def write_register(self, offset: int, value: int) -> None:
        """Set the 32-bit register at byte ``offset``."""
        ...

    def wait(self, timeout: int | None) -> bool:
        """Wait for the interrupt, at most ``timeout`` clock cycles; true if it is high."""
        ...


class Driver:
    """Drives the core behind ``transport``.

    On construction it makes sure that there is a core that it knows, and learns its configuration.

    Raises
    ------
    UserError
        If there is no core, or one of another version.
    """

    def __init__(self, transport: Transport):
        self._transport = transport
        identification = transport.read_register(_ID)
        known = {device.identification: device for device in DEVICES}
        if identification not in known:
            raise UserError(
                f"there is no DianNao core: its identification must read {IDENTIFICATION:#010x}, "
                f"not {identification:#010x}"
            )
        device = self._device = known[identification]
        major, minor = divmod(transport.read_register(_VERSION), 1 << 16)
        if major != device.version[0] or minor < device.version[1]:
            raise UserError(
                f"the core has version {major}.{minor}, the driver is for {device.version[0]}."
                f"{device.version[1]} and later; generate the core anew"
            )
        try:
            self.config: Any = device.read_config(transport.read_register)
        except ConfigError as error:
            raise UserError(f"the core describes itself as impossible: {error}") from error
        self._registers = device.registers(self.config)
        self._nodes = range(getattr(self.config, "nodes", 1))
        self._program: Program | None = None

    # Registers

    def read(self, register: str, node: int = 0) -> int:
        """A register's value, by name."""
        return self._transport.read_register(node * _NODE + self._registers[register].offset)

    def write(self, register: str, node: int = 0, **values: int) -> None:
        """Set a register's fields (all others of it to 0), by name."""
        declared = self._registers[register]
        self._transport.write_register(node * _NODE + declared.offset, declared.pack(**values))

    def status(self, node: int = 0) -> dict[str, int]:
        """The fields of STATUS."""
        return self._registers["STATUS"].unpack(self.read("STATUS", node))

    def counters(self) -> dict[str, int]:
        """The counters of the last run: of all nodes together, but CYCLES of the longest.

        A core may have CYCLES only.
        """
        registers = {register.name for register in self._registers}
        names = [name for name in self._device.counters if f"{name}_LO" in registers]
        nodes = [
            {
                name: self.read(f"{name}_LO", node) | self.read(f"{name}_HI", node) << 32
                for name in names
            }
            for node in self._nodes
        ]
        return {
            name: (max if name == "CYCLES" else sum)(counters[name] for counters in nodes)
            for name in names
        }

    # Programs

    def check(self, program: Program) -> None:
        """Raise UserError if ``program`` was compiled for another configuration than the core's."""
        self.check_config(program.config)

    def check_config(self, config) -> None:
        """Raise UserError if programs for ``config`` cannot run on this core."""
        if type(config) is not type(self.config):
            raise UserError(
                f"the program is none for a {self._device.name}; compile it for this one"
            )
        differing = [
            f"{field.name} is {getattr(self.config, field.name)!r}, "
            f"not {getattr(config, field.name)!r}"
            for field in fields(self.config)
            if field.name != "name"
            and getattr(self.config, field.name) != getattr(config, field.name)
        ]
        if differing:
            raise UserError(
                "the program was compiled for another core; in this one "
                f"{', '.join(differing)}; compile it for this one"
            )

    def load(self, program: Program) -> None:
        """Put a program with its memory image in place.

        Raises
        ------
        UserError
            If it was compiled for another configuration than the core's.
        """
        self.check(program)
        self._program = program
        self._transport.write_memory(0, program.memory())

    def run(
        self, inputs: Mapping[str, np.ndarray], *, timeout: int | None = None
    ) -> dict[str, np.ndarray]:
        """Write integer ``inputs``, run the loaded program and return its outputs.

        Parameters
        ----------
        timeout : clock cycles after which to give up (the watchdog ends programs that hang)

        Raises
        ------
        CoreError
            If the core stops with an error. It can be used again.
        CoreTimeoutError
            If it has not come to an end after ``timeout`` cycles. It has been stopped.
        """
        program = self.program
        for name, layout in program.inputs.items():
            self.write_tensor(layout, inputs[name])
        self.start()
        self.finish(timeout)
        return {name: self.read_tensor(layout) for name, layout in program.outputs.items()}

    @property
    def program(self) -> Program:
        """The loaded program."""
        if self._program is None:
            raise RuntimeError("a program must be loaded first")
        return self._program

    def start(self) -> None:
        """Start the loaded program."""
        program = self.program
        self._idle()
        for node, (address, words) in enumerate(program.nodes):
            self.write("PROGRAM_LO", node, address=address & 0xFFFFFFFF)
            self.write("PROGRAM_HI", node, address=address >> 32)
            self.write("PROGRAM_SIZE", node, size=8 * len(words))
            self.write("WATCHDOG", node, cycles=WATCHDOG)
            self.write("IRQ_STATUS", node, done=1, error=1)
            self.write("IRQ_ENABLE", node, done=1, error=1)
        for node in self._nodes:
            self.write("CONTROL", node, start=1)

    def finish(self, timeout: int | None = None) -> None:
        """Wait for the end of the program; see ``run``."""
        running = set(self._nodes)
        while running:
            if not self._transport.wait(timeout):
                self.reset()
                raise CoreTimeoutError(f"the program did not come to its end in {timeout} cycles")
            for node in sorted(running):
                if len(self._nodes) > 1 and self.status(node)["busy"]:
                    continue
                running.remove(node)
                self.write("IRQ_STATUS", node, done=1, error=1)
                self._idle(node)
                if self.status(node)["error"]:
                    self._fail(node)

    def _fail(self, node: int) -> None:
        """Raise the error of a node; the others are stopped."""
        code = self._device.errors(self.read("ERROR", node))
        pc = self.read("ERROR_PC", node)
        message = self._describe(code, pc, node)
        if len(self._nodes) > 1:
            message += self._waiting_link()
            self.reset()
        raise CoreError(message, code, pc)

    def reset(self) -> None:
        """Stop whatever runs; what is outstanding on the buses is finished first."""
        for node in self._nodes:
            self.write("CONTROL", node, reset=1)
        for node in self._nodes:
            self._idle(node)
            self.write("IRQ_STATUS", node, done=1, error=1)

    def _idle(self, node: int = 0) -> None:
        """Wait until the core can be started."""
        for _ in range(100_000):
            if not self.status(node)["busy"]:
                return
        raise CoreTimeoutError("the core stays busy; is its memory answering?")

    def _describe(self, code: Enum, pc: int, node: int) -> str:
        where = f"byte {pc:#x} of the program"
        if len(self._nodes) > 1:
            where += f" of node {node}"
        words, word = self.program.nodes[node][1], pc // 8
        if word < len(words):
            tag = int(words[word]) >> 48
            if tag in self.program.layers:
                where += f", layer {self.program.layers[tag].name!r}"
        return f"the core stopped with {code.name} at {where}"

    def _waiting_link(self) -> str:
        """The link on which a word was waiting when the first node failed, in words."""
        number = self.read("LINK_WAITING")
        if number == 0:
            return ""
        mesh = self.config.mesh
        x, y, port = mesh.links[number - 1]
        there = mesh.neighbour(x, y, port)
        assert there is not None
        return f"; a word waits on the link from node {mesh.number(x, y)} to {mesh.number(*there)}"

    # Tensors

    def read_tensor(self, layout: TensorLayout) -> np.ndarray:
        """A tensor's integers (int64) from the core's memory."""
        content = self._transport.read_memory(layout.address, _extent(layout))
        return replace(layout, address=0).read(content)

    def write_tensor(self, layout: TensorLayout, values: np.ndarray) -> None:
        """Put a tensor into the core's memory; bytes between its elements stay."""
        content = self._transport.read_memory(layout.address, _extent(layout))
        replace(layout, address=0).write(content, values)
        self._transport.write_memory(layout.address, content)


def _extent(layout: TensorLayout) -> int:
    """Bytes from a tensor's first to its last element."""
    sizes = (*layout.shape, 1, 1)[:4]
    steps = sum((n - 1) * step for n, step in zip(sizes, layout.strides, strict=True))
    return steps + layout.element_bytes
