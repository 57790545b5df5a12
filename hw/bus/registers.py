"""Declaration of a register map: what hardware, drivers and documentation derive from."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

__all__ = ["Access", "Field", "Register", "RegisterMap"]


class Access(Enum):
    """What software may do with a field, and where its value comes from."""

    CONSTANT = "constant"
    READ = "read only"
    WRITE = "read and write"
    PULSE = "write 1 to trigger, reads 0"
    EVENT = "write 1 to clear"


@dataclass(frozen=True)
class Field:
    """Bits of a register.

    Parameters
    ----------
    name : lower case
    doc : one line for the documentation
    low, width : lowest bit, number of bits
    access : who reads and writes it
    reset : value after reset, or of a constant
    """

    name: str
    doc: str
    low: int = 0
    width: int = 32
    access: Access = Access.READ
    reset: int = 0

    def __post_init__(self):
        if not (0 <= self.low and 1 <= self.width and self.low + self.width <= 32):
            raise ValueError(
                f"field {self.name!r} must lie in bits 0 to 31, not {self.low} to "
                f"{self.low + self.width - 1}"
            )
        if not 0 <= self.reset < 1 << self.width:
            raise ValueError(
                f"reset of field {self.name!r} must fit {self.width} bits, not {self.reset!r}"
            )
        if self.reset and self.access not in (Access.CONSTANT, Access.WRITE):
            raise ValueError(f"field {self.name!r} must reset to 0, not {self.reset!r}")

    @property
    def mask(self) -> int:
        """The field's bits in the register."""
        return ((1 << self.width) - 1) << self.low


@dataclass(frozen=True)
class Register:
    """A 32-bit register; bits outside its fields read 0 and ignore writes.

    Parameters
    ----------
    name : upper case
    offset : byte offset, a multiple of 4
    doc : one line for the documentation
    fields : at least one, from the lowest bits upwards
    """

    name: str
    offset: int
    doc: str
    fields: tuple[Field, ...]

    def __post_init__(self):
        if self.offset % 4 or self.offset < 0:
            raise ValueError(
                f"offset of {self.name!r} must be a multiple of 4, not {self.offset:#x}"
            )
        end = 0
        for field in self.fields:
            if field.low < end:
                raise ValueError(f"field {field.name!r} of {self.name!r} overlaps the one before")
            end = field.low + field.width

    def field(self, name: str) -> Field:
        """The field of that name; KeyError if there is none."""
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(f"register {self.name} has no field {name!r}")

    def unpack(self, value: int) -> dict[str, int]:
        """The fields' values in a word that was read."""
        return {f.name: (value & f.mask) >> f.low for f in self.fields}

    def pack(self, **values: int) -> int:
        """The word to be written; fields not named are 0. ValueError if a value does not fit."""
        word = 0
        for name, value in values.items():
            field = self.field(name)
            if not 0 <= value < 1 << field.width:
                raise ValueError(
                    f"{self.name}.{name} must be 0 to {(1 << field.width) - 1}, not {value!r}"
                )
            word |= value << field.low
        return word


class RegisterMap:
    """Registers by name, in the order of their offsets."""

    def __init__(self, registers: list[Register]):
        self._registers = {}
        taken = {}
        for register in sorted(registers, key=lambda register: register.offset):
            if register.name in self._registers:
                raise ValueError(f"register {register.name!r} is declared twice")
            if register.offset in taken:
                raise ValueError(
                    f"{register.name!r} and {taken[register.offset]!r} have the same offset "
                    f"{register.offset:#x}"
                )
            taken[register.offset] = register.name
            self._registers[register.name] = register

    def __getitem__(self, name: str) -> Register:
        return self._registers[name]

    def __iter__(self) -> Iterator[Register]:
        return iter(self._registers.values())

    def __len__(self) -> int:
        return len(self._registers)

    def markdown(self) -> str:
        """The map as a table for the documentation; constants are not spelled out."""
        lines = [
            "| Offset | Register | Bits | Field | Access | Reset | Meaning |",
            "|---|---|---|---|---|---|---|",
        ]
        for register in self:
            lines.append(
                f"| `{register.offset:#05x}` | **{register.name}** | | | | | {register.doc} |"
            )
            for f in register.fields:
                bits = f"{f.low + f.width - 1}:{f.low}" if f.width > 1 else f"{f.low}"
                reset = "" if f.access is Access.CONSTANT else f"{f.reset}"
                lines.append(f"| | | {bits} | {f.name} | {f.access.value} | {reset} | {f.doc} |")
        return "\n".join(lines) + "\n"
