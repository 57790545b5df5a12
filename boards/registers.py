"""The registers of a board, beside those of its core."""

from hw.bus.registers import Access, Field, Register, RegisterMap

__all__ = ["ADDRESS_WIDTH", "IDENTIFICATION", "board_registers"]

ADDRESS_WIDTH = 5
"""Bits of a byte's address in the block."""

IDENTIFICATION = 0x424F4152
"""ASCII "BOAR", the first character highest."""


def board_registers(
    *, memory: int = 0, bandwidth: int = 0, latency: int = 0, on_chip: bool = False, clock: int = 0
) -> RegisterMap:
    """The registers of a board with ``memory`` bytes and a clock of ``clock`` Hz.

    The memory moves ``bandwidth`` bytes per cycle, after ``latency`` cycles; ``on_chip`` is an
    OnChipMemory. Whoever wants to know where the registers are, gives no numbers.
    """
    constant, write = Access.CONSTANT, Access.WRITE
    return RegisterMap(
        [
            Register("BOARD_ID", 0x00, 'identification, ASCII "BOAR"',
                     (Field("id", "0x424F4152", access=constant, reset=IDENTIFICATION),)),
            Register("MEMORY", 0x04, "size of the memory",
                     (Field("bytes", "bytes", access=constant, reset=memory),)),
            Register("CLOCK", 0x08, "speed of the core's clock",
                     (Field("hertz", "cycles per second", access=constant, reset=clock),)),
            Register("SESSION", 0x0C, "tells whether the board was reset: keeps what is written",
                     (Field("number", "any number", width=16, access=write),)),
            Register("LINK", 0x10, "the host link",
                     (Field("checked", "1: plain writes have no effect", 0, 1, write),)),
            Register("SPEED", 0x14, "of the memory",
                     (Field("bandwidth", "bytes per cycle", 0, 16, constant, bandwidth),
                      Field("latency", "cycles to the first beat", 16, 8, constant, latency),
                      Field("on_chip", "one burst at a time", 24, 1, constant, on_chip))),
        ]
    )  # fmt: skip
