"""The supervisor's answer to ends, faults, watchdog and resets."""

import cocotb
from cocotb.triggers import RisingEdge

from hw.diannao.isa import ErrorCode
from hw.diannao.supervisor import Fault
from tests.streams import start

INPUTS = ("start", "reset", "finished", "pc", "progress", "watchdog", "quiet")
SOURCES = 3


async def begin(dut):
    """Reset, then go."""
    faults = {f"faults__{n}": 0 for n in range(SOURCES)}
    await start(dut, **dict.fromkeys(INPUTS, 0), **faults)
    await RisingEdge(dut.clk)
    assert dut.busy.value == 0
    assert (await pulse(dut, "start")).go == 1
    await RisingEdge(dut.clk)
    assert dut.busy.value == 1


class Outputs:
    """Values of the outputs in one cycle."""

    go: int
    halt: int
    clear: int
    busy: int
    draining: int
    done: int

    def __init__(self, dut):
        for name in ("go", "halt", "clear", "busy", "draining", "done"):
            setattr(self, name, int(getattr(dut, name).value))
        self.fault = int(dut.fault.value)


async def pulse(dut, name, value=1):
    """Hold an input for one cycle; returns the outputs in that cycle."""
    getattr(dut, name).value = value
    await RisingEdge(dut.clk)
    outputs = Outputs(dut)
    getattr(dut, name).value = 0
    return outputs


async def expect_drain(dut, cycles):
    """Halted until quiet, then cleared for one cycle, then idle."""
    for _ in range(cycles):
        outputs = await pulse(dut, "start")  # ignored
        assert (outputs.halt, outputs.draining, outputs.busy, outputs.clear) == (1, 1, 1, 0)
        assert outputs.go == 0
    outputs = await pulse(dut, "quiet")
    assert (outputs.halt, outputs.draining) == (1, 1)
    await expect_clear(dut, done=0)


async def expect_clear(dut, done):
    """One cycle of clear, with or without the word that the program has ended, then idle."""
    await RisingEdge(dut.clk)
    outputs = Outputs(dut)
    assert (outputs.clear, outputs.busy, outputs.draining, outputs.done) == (1, 1, 0, done)
    await RisingEdge(dut.clk)
    outputs = Outputs(dut)
    assert (outputs.clear, outputs.busy, outputs.halt) == (0, 0, 0)


def fault(code, pc):
    return Fault.const({"error": 1, "code": code, "pc": pc}).as_bits()


@cocotb.test(timeout_time=100, timeout_unit="us")
async def end(dut):
    """A finished program clears the units without a halt, and another may follow."""
    await begin(dut)
    outputs = await pulse(dut, "finished")
    assert (outputs.halt, outputs.fault, outputs.done) == (0, 0, 0)
    await expect_clear(dut, done=1)
    assert (await pulse(dut, "start")).go == 1


@cocotb.test(timeout_time=100, timeout_unit="us")
async def faults(dut):
    """Each source's fault is passed on; of several the first counts."""
    for source in range(SOURCES):
        await begin(dut)
        for later in range(source, SOURCES):
            getattr(dut, f"faults__{later}").value = fault(ErrorCode.BUS_SB, 8 * later)
        outputs = await pulse(dut, f"faults__{source}", fault(ErrorCode.BUS_SB, 8 * source))
        assert outputs.fault == fault(ErrorCode.BUS_SB, 8 * source)
        await RisingEdge(dut.clk)
        assert Outputs(dut).fault == 0, "fault is a pulse"
        await expect_drain(dut, 5)


@cocotb.test(timeout_time=100, timeout_unit="us")
async def soft_reset(dut):
    """A soft reset drains too, and reports no fault."""
    await begin(dut)
    outputs = await pulse(dut, "reset")
    assert outputs.fault == 0
    await expect_drain(dut, 3)


@cocotb.test(timeout_time=100, timeout_unit="us")
async def watchdog(dut):
    """The watchdog counts cycles without progress only, and is off at zero."""
    await begin(dut)
    for _ in range(50):
        await RisingEdge(dut.clk)
        assert Outputs(dut).fault == 0
    dut.watchdog.value = 10
    dut.pc.value = 72
    for _ in range(3):
        for _ in range(9):
            await RisingEdge(dut.clk)
            assert Outputs(dut).fault == 0
        await pulse(dut, "progress")
    waited = 0
    while not Outputs(dut).fault:
        await RisingEdge(dut.clk)
        waited += 1
        assert waited <= 12
    assert waited >= 10
    assert Outputs(dut).fault == fault(ErrorCode.WATCHDOG, 72)
    await RisingEdge(dut.clk)
    await expect_drain(dut, 2)
