"""The driver: runs programs on a core, wherever the core is.

What differs between a simulated core and one on a board is only the transport.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Protocol

import numpy as np

from hw.diannao.config import Config, ConfigError
from hw.diannao.csr import COUNTERS, IDENTIFICATION, VERSION, read_config, register_map
from hw.diannao.isa import ErrorCode
from hw.errors import UserError

from .program import Program, TensorLayout

__all__ = ["CoreError", "CoreTimeoutError", "Driver", "Transport"]

WATCHDOG = 1 << 20
"""Cycles without any progress after which a program is given up; no memory is as slow as that."""


class CoreError(Exception):
    """The core stopped with an error.

    Attributes
    ----------
    code : ErrorCode
    pc : byte offset of the instruction from the start of the program
    """

    def __init__(self, message: str, code: ErrorCode, pc: int):
        super().__init__(message, code, pc)  # all of them, so that it can be pickled
        self.code = code
        self.pc = pc

    def __str__(self) -> str:
        return self.args[0]


class CoreTimeoutError(Exception):
    """The core did not come to an end in time."""


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
        self._registers = register_map(Config())
        identification = self.read("ID")
        if identification != IDENTIFICATION:
            raise UserError(
                f"there is no DianNao core: its identification must read {IDENTIFICATION:#010x}, "
                f"not {identification:#010x}"
            )
        major, minor = divmod(self.read("VERSION"), 1 << 16)
        if major != VERSION[0] or minor < VERSION[1]:
            raise UserError(
                f"the core has version {major}.{minor}, the driver is for {VERSION[0]}."
                f"{VERSION[1]} and later; generate the core anew"
            )
        try:
            self.config = read_config(transport.read_register)
        except ConfigError as error:
            raise UserError(f"the core describes itself as impossible: {error}") from error
        self._program: Program | None = None

    # Registers

    def read(self, register: str) -> int:
        """A register's value, by name."""
        return self._transport.read_register(self._registers[register].offset)

    def write(self, register: str, **values: int) -> None:
        """Set a register's fields (all others of it to 0), by name."""
        declared = self._registers[register]
        self._transport.write_register(declared.offset, declared.pack(**values))

    def status(self) -> dict[str, int]:
        """The fields of STATUS."""
        return self._registers["STATUS"].unpack(self.read("STATUS"))

    def counters(self) -> dict[str, int]:
        """The 64-bit counters of the last run."""
        return {name: self.read(f"{name}_LO") | self.read(f"{name}_HI") << 32 for name in COUNTERS}

    # Programs

    def load(self, program: Program) -> None:
        """Put a program with its memory image in place.

        Raises
        ------
        UserError
            If it was compiled for another configuration than the core's.
        """
        differing = [
            f"{field.name} is {getattr(self.config, field.name)!r}, "
            f"not {getattr(program.config, field.name)!r}"
            for field in fields(Config)
            if field.name != "name"
            and getattr(self.config, field.name) != getattr(program.config, field.name)
        ]
        if differing:
            raise UserError(
                "the program was compiled for another core; in this one "
                f"{', '.join(differing)}; compile it for this one"
            )
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
        self.write("PROGRAM_LO", address=program.address & 0xFFFFFFFF)
        self.write("PROGRAM_HI", address=program.address >> 32)
        self.write("PROGRAM_SIZE", size=8 * len(program.words))
        self.write("WATCHDOG", cycles=WATCHDOG)
        self.write("IRQ_STATUS", done=1, error=1)
        self.write("IRQ_ENABLE", done=1, error=1)
        self.write("CONTROL", start=1)

    def finish(self, timeout: int | None = None) -> None:
        """Wait for the end of the program; see ``run``."""
        if not self._transport.wait(timeout):
            self.reset()
            raise CoreTimeoutError(f"the program did not come to its end in {timeout} cycles")
        self.write("IRQ_STATUS", done=1, error=1)
        self._idle()
        if self.status()["error"]:
            code, pc = ErrorCode(self.read("ERROR")), self.read("ERROR_PC")
            raise CoreError(self._describe(code, pc), code, pc)

    def reset(self) -> None:
        """Stop whatever runs; what is outstanding on the buses is finished first."""
        self.write("CONTROL", reset=1)
        self._idle()
        self.write("IRQ_STATUS", done=1, error=1)

    def _idle(self) -> None:
        """Wait until the core can be started."""
        for _ in range(100_000):
            if not self.status()["busy"]:
                return
        raise CoreTimeoutError("the core stays busy; is its memory answering?")

    def _describe(self, code: ErrorCode, pc: int) -> str:
        where = f"byte {pc:#x} of the program"
        word = pc // 8
        if word < len(self.program.words):
            tag = int(self.program.words[word]) >> 48
            if tag in self.program.layers:
                where += f", layer {self.program.layers[tag].name!r}"
        return f"the core stopped with {code.name} at {where}"

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
