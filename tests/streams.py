"""cocotb drivers and monitors of ``amaranth.lib.stream`` ports.

A value written after a rising edge is seen by the next one, and values read after an edge are those
from before it; so a transfer happened at an edge if valid and ready read 1 after it.
"""

import json
import os

import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

__all__ = ["StreamPort", "dut_config", "pack", "start", "unpack"]


def dut_config() -> dict:
    """The configuration that the pytest side handed over."""
    return json.loads(os.environ["DUT_CONFIG"])


def pack(values, width: int) -> int:
    """Integers, element 0 in the least significant bits, each in ``width`` bits."""
    word = 0
    for value in reversed(np.asarray(values, dtype=object).ravel().tolist()):
        word = (word << width) | (int(value) & ((1 << width) - 1))
    return word


def unpack(word: int, width: int, count: int, signed: bool = True) -> list[int]:
    """The reverse of ``pack``."""
    word = int(word)
    values = [(word >> (width * i)) & ((1 << width) - 1) for i in range(count)]
    if signed:
        values = [v - (1 << width) if v >> (width - 1) else v for v in values]
    return values


async def start(dut, **inputs):
    """Start the clock, drive the given top-level inputs, and reset."""
    for name, value in inputs.items():
        getattr(dut, name).value = value
    Clock(dut.clk, 10, unit="ns").start()
    dut.rst.value = 1
    for _ in range(3):
        await RisingEdge(dut.clk)
    dut.rst.value = 0


class StreamPort:
    """The ``payload``, ``valid`` and ``ready`` handles of a top-level stream member."""

    def __init__(self, dut, name: str):
        self.clk = dut.clk
        self.payload = getattr(dut, f"{name}__payload")
        self.valid = getattr(dut, f"{name}__valid")
        self.ready = getattr(dut, f"{name}__ready")

    async def send(self, words, gaps=None):
        """Offer ``words`` one after the other; ``gaps()`` idle cycles come before each."""
        for word in words:
            for _ in range(gaps() if gaps else 0):
                await RisingEdge(self.clk)
            self.payload.value = word
            self.valid.value = 1
            await RisingEdge(self.clk)
            while self.ready.value != 1:
                await RisingEdge(self.clk)
            self.valid.value = 0

    async def receive(self, count: int, stalls=None) -> list[int]:
        """Accept ``count`` payloads; ``stalls()`` unready cycles come before each.

        Checks the stream rule that a payload stays the same until it is accepted.
        """
        received = []
        while len(received) < count:
            offered = None
            for _ in range(stalls() if stalls else 0):
                await RisingEdge(self.clk)
                if self.valid.value == 1:
                    assert offered in (None, self.payload.value), "payload changed while waiting"
                    offered = self.payload.value
                else:
                    assert offered is None, "valid withdrawn before ready"
            self.ready.value = 1
            await RisingEdge(self.clk)
            while self.valid.value != 1:
                assert offered is None, "valid withdrawn before ready"
                await RisingEdge(self.clk)
            assert offered in (None, self.payload.value), "payload changed while waiting"
            received.append(int(self.payload.value))
            self.ready.value = 0
        return received
