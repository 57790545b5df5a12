"""Block RAM against a dictionary of bytes: writes with strobes and reads anywhere, one a cycle."""

import random

import cocotb
from cocotb.triggers import RisingEdge

from tests.streams import dut_config, start

CONFIG = dut_config()
DEPTH, WIDTH = CONFIG["depth"], CONFIG["width"]
LANES = WIDTH // 8


@cocotb.test(timeout_time=500, timeout_unit="us")
async def random_traffic(dut):
    """A read shows its row from the next cycle until something else is done; what is written behind
    the last row changes none of the others."""
    rng = random.Random(cocotb.RANDOM_SEED)
    idle = {f"port__{name}": 0 for name in ("address", "read", "write", "w_data")}
    await start(dut, **idle)
    addresses = 1 << (DEPTH - 1).bit_length()
    memory: dict[tuple[int, int], int] = {}
    shown, compared, behind = None, 0, 0
    for _ in range(3000):
        address = rng.choice((0, DEPTH - 1, rng.randrange(addresses)))
        strobes = rng.choice(((1 << LANES) - 1, rng.getrandbits(LANES)))
        read, write = rng.choice(((1, 0), (0, 0), (0, strobes)))
        word = rng.choice((0, (1 << WIDTH) - 1, rng.getrandbits(WIDTH)))
        dut.port__address.value, dut.port__w_data.value = address, word
        dut.port__read.value, dut.port__write.value = read, write

        await RisingEdge(dut.clk)
        if shown is not None:
            assert int(dut.port__r_data.value) == shown
            compared += 1
        if write:
            shown = None
            behind += address >= DEPTH
            for lane in range(LANES):
                if write >> lane & 1:
                    memory[address, lane] = word >> 8 * lane & 0xFF
        if read:
            row = [memory.get((address, lane)) for lane in range(LANES)]
            whole = sum(byte << 8 * lane for lane, byte in enumerate(row) if byte is not None)
            shown = None if None in row or address >= DEPTH else whole
    assert compared > 300
    assert behind > 20 or addresses == DEPTH
