"""A device for the driver that only has registers and memory."""

import numpy as np


def reset_values(registers):
    """What the registers of a register map hold after reset, by offset."""
    return {
        register.offset: register.pack(**{f.name: f.reset for f in register.fields})
        for register in registers
    }


class FakeDevice:
    """``registers`` by offset, and ``memory``; a program ends at once."""

    def __init__(self, registers: dict[int, int], memory: np.ndarray):
        self.registers = registers
        self.memory = memory

    def read_memory(self, address, size):
        return self.memory[address : address + size].copy()

    def write_memory(self, address, content):
        self.memory[address : address + content.size] = content

    def read_register(self, offset):
        return self.registers[offset]

    def write_register(self, offset, value):
        self.registers[offset] = value

    def wait(self, timeout):
        return True
