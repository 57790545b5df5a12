"""Runs inside the simulator: a job (program and inputs) on the core, through the driver."""

import os
import pickle
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from amaranth.lib import data
from cocotb.clock import Clock
from cocotb.task import bridge, resume
from cocotb.triggers import RisingEdge

from hw.diannao.events import Events, Stall

from ..driver import Driver, bytes_moved
from ..execution import Activity, Execution
from ..ports import memory_ports
from .memory import ExternalMemory

_PAGE = 4096
_EVENTS = data.Layout.cast(Events)


class _Transport:
    """Registers and memory of the core, for the driver, which runs in a thread of its own."""

    def __init__(self, dut: Any, memory: ExternalMemory):
        self._dut = dut
        self._memory = memory

    def read_memory(self, address: int, size: int) -> np.ndarray:
        return self._memory.content[address : address + size].copy()

    def write_memory(self, address: int, content: np.ndarray) -> None:
        end = address + content.size
        if end > self._memory.content.size:
            grown = np.zeros(-(-end // _PAGE) * _PAGE, dtype=np.uint8)
            grown[: self._memory.content.size] = self._memory.content
            self._memory.content = grown
        self._memory.content[address:end] = content

    def _signal(self, name: str) -> Any:
        return getattr(self._dut, f"csr__{name}")

    async def _until(self, name: str) -> None:
        await RisingEdge(self._dut.clk)
        while self._signal(name).value != 1:
            await RisingEdge(self._dut.clk)

    @resume
    async def read_register(self, offset: int) -> int:
        self._signal("araddr").value = offset
        self._signal("arvalid").value = 1
        self._signal("rready").value = 1
        await self._until("arready")
        self._signal("arvalid").value = 0
        await self._until("rvalid")
        self._signal("rready").value = 0
        assert int(self._signal("rresp").value) == 0, f"read of register {offset:#x} failed"
        return int(self._signal("rdata").value)

    @resume
    async def write_register(self, offset: int, value: int) -> None:
        self._signal("awaddr").value = offset
        self._signal("wdata").value = value
        self._signal("wstrb").value = 0xF
        for name in ("awvalid", "wvalid", "bready"):
            self._signal(name).value = 1
        # The core takes address and data together.
        await self._until("awready")
        assert self._signal("wready").value == 1
        self._signal("awvalid").value = 0
        self._signal("wvalid").value = 0
        await self._until("bvalid")
        self._signal("bready").value = 0
        assert int(self._signal("bresp").value) == 0, f"write of register {offset:#x} failed"

    @resume
    async def wait(self, timeout: int | None) -> bool:
        cycle = 0
        while self._dut.irq.value != 1:
            if timeout is not None and cycle >= timeout:
                return False
            await RisingEdge(self._dut.clk)
            cycle += 1
        return True


async def _observe(dut: Any, memory: ExternalMemory, layers: dict[int, Activity]) -> None:
    """Run the memory, and book every cycle on its layer."""
    while True:
        await RisingEdge(dut.clk)
        memory.step()
        events = _EVENTS.from_bits(int(dut.events.value))
        stall = Stall(events.stall)
        layer = layers.setdefault(int(events.tag), Activity())
        for stream, size in memory.moved.items():
            layer.bytes[stream] += size
        if stall is not Stall.IDLE:
            layer.cycles += 1
            layer.active += int(events.active)
            if stall is not Stall.NONE:
                name = stall.name.lower()
                layer.stalls[name] = layer.stalls.get(name, 0) + 1


@cocotb.test()
async def job(dut: Any) -> None:
    """Execute the job in the folder DIANNAO_JOB."""
    folder = Path(os.environ["DIANNAO_JOB"])
    program, inputs, settings = pickle.loads((folder / "job").read_bytes())
    for name in ("awaddr", "awprot", "awvalid", "wdata", "wstrb", "wvalid", "bready",
                 "araddr", "arprot", "arvalid", "rready"):  # fmt: skip
        getattr(dut, f"csr__{name}").value = 0
    memory = ExternalMemory(dut, memory_ports(program.config), settings)
    dut.rst.value = 1
    Clock(dut.clk, 10, unit="ns").start()
    for _ in range(4):
        await RisingEdge(dut.clk)
    dut.rst.value = 0
    layers: dict[int, Activity] = {}
    observer = cocotb.start_soon(_observe(dut, memory, layers))

    @bridge
    def drive() -> Execution:
        driver = Driver(_Transport(dut, memory))
        driver.load(program)
        layers.clear()
        driver.run(inputs)
        counters = driver.counters()
        return Execution(
            tensors={name: driver.read_tensor(layout) for name, layout in program.tensors.items()},
            source="rtl", cycles=counters["CYCLES"],
            layers={tag: layers.get(tag, Activity()) for tag in program.layers},
            bytes=bytes_moved(counters),
        )  # fmt: skip

    try:
        result: Any = await drive()
    except Exception as error:  # handed to the process that asked, whatever it is
        result = error
    observer.cancel()
    (folder / "result").write_bytes(pickle.dumps(result))
