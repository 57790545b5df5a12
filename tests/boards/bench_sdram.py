"""Bursts and words to an SDRAM: every byte as in numpy, in the order in which they were taken."""

import cocotb
from cocotb.triggers import ClockCycles
from cocotbext.axi import AxiBus, AxiMaster

from tests.boards.sdram_traffic import BEAT, CONFIG, ROW, WINDOW, Host, Traffic


@cocotb.test(timeout_time=3, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.5])
async def test_random(dut, stall):
    """Random bursts in both directions with random strobes and pauses, words of the host between
    them, and refreshes."""
    traffic = Traffic(dut, stall)
    await traffic.start()
    await traffic.fill()
    host = Host(dut, traffic.rng)
    task = cocotb.start_soon(host.run())
    for most in (4, 64):
        reads = [traffic.burst(most) for _ in range(40)]
        writes = [traffic.write(*traffic.burst(most), traffic.rng.choice((0.1, 0.9, 1.0)))
                  for _ in range(40)]  # fmt: skip
        await traffic.run(reads, writes)
    host.stop = True
    await task
    assert host.words > 60
    # The host sees what the bursts have left.
    for address in range(0, WINDOW, 60):
        word = int.from_bytes(traffic.memory[address : address + 4].tobytes(), "little")
        assert await host.access(address) == word


@cocotb.test(timeout_time=3, timeout_unit="ms")
async def test_stalled_for_long(dut):
    """Nobody takes what is read, or gives what is to be written, for many times the refresh
    interval, and who comes next wants another row of that bank: the chip is refreshed all the same,
    and nothing is lost."""
    traffic = Traffic(dut)
    await traffic.start()
    await traffic.fill()
    next_row = (4 * ROW, 1)
    for reads, writes in (([(0, 50), next_row], []), ([next_row], [traffic.write(0, 50)])):
        run = cocotb.start_soon(traffic.run(reads, writes))
        await ClockCycles(dut.clk, 20)
        traffic.stall = 1.0
        await ClockCycles(dut.clk, 5 * CONFIG["refresh"])
        assert not run.done()
        traffic.stall = 0.0
        await run
    await traffic.run([(0, 256), (256 * BEAT, 256)], [])


@cocotb.test(timeout_time=3, timeout_unit="ms")
async def test_another_manager(dut):
    """cocotbext-axi's manager: unaligned transfers of any length."""
    traffic = Traffic(dut)
    await traffic.start()
    master = AxiMaster(AxiBus.from_prefix(dut, "bus_"), dut.clk, dut.rst)
    for side in (master.write_if, master.read_if):
        assert side is not None
        side.log.setLevel("ERROR")
    rng = traffic.rng
    memory = bytearray(traffic.content(8 * ROW).tobytes())
    await master.write(0, bytes(memory))
    for _ in range(30):
        address = rng.randrange(8 * ROW)
        length = rng.randint(1, min(600, 8 * ROW - address))
        if rng.random() < 0.5:
            content = traffic.content(length).tobytes()
            memory[address : address + length] = content
            await master.write(address, content)
        else:
            content = (await master.read(address, length)).data  # type: ignore
            assert content == bytes(memory[address : address + length])
        assert dut.broken.value == 0
    assert (await master.read(0, 8 * ROW)).data == bytes(memory)  # type: ignore
