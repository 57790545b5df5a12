"""The simulation model of eDRAM by itself: it stops the simulation of who breaks its rules."""

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from tests.streams import dut_config

CONFIG = dut_config()
COMMANDS = ("read", "write", "restore", "refresh")


async def give(dut, *commands: str, row=0, data=0):
    for name in COMMANDS:
        getattr(dut, name).value = int(name in commands)
    dut.row.value = row
    dut.data_in.value = data
    await RisingEdge(dut.clk)


async def begin(dut):
    Clock(dut.clk, 10, unit="ns").start()
    for _ in range(3 * CONFIG["refresh_interval"]):
        await give(dut)
    await give(dut, "write", row=1, data=0x5A)


@cocotb.test(timeout_time=10, timeout_unit="us")
async def good(dut):
    """An empty memory needs nothing; later rows are restored at once, and refreshed in time."""
    await begin(dut)
    for _ in range(3):
        await give(dut, "refresh")
        await give(dut, "read", row=1)
        for _ in range(CONFIG["restore"]):
            await give(dut, "restore")
        await give(dut)
        assert int(dut.data_out.value) == 0x5A
        for _ in range(CONFIG["refresh_interval"] - CONFIG["restore"] - 3):
            await give(dut)


@cocotb.test(timeout_time=10, timeout_unit="us")
async def not_restored(dut):
    await begin(dut)
    await give(dut, "read", row=1)
    await give(dut, "restore")
    for _ in range(4):
        await give(dut)


@cocotb.test(timeout_time=10, timeout_unit="us")
async def two_commands(dut):
    await begin(dut)
    await give(dut, "read", "refresh", row=1)
    for _ in range(CONFIG["restore"]):
        await give(dut, "restore")
    await give(dut)


@cocotb.test(timeout_time=10, timeout_unit="us")
async def no_such_row(dut):
    await begin(dut)
    await give(dut, "write", row=CONFIG["rows"])
    await give(dut)


@cocotb.test(timeout_time=10, timeout_unit="us")
async def late_refresh(dut):
    await begin(dut)
    await give(dut, "refresh")
    for _ in range(CONFIG["refresh_interval"]):
        await give(dut)
    await give(dut, "refresh")
    await give(dut)
