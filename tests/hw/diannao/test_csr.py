# amaranth: UnusedElaboratable=no
"""The core's registers in both simulators, 64-bit counters, and the generated page."""

from dataclasses import asdict
from pathlib import Path

import pytest
from amaranth.sim import Simulator

from hw.diannao.config import CONFIGS, Config
from hw.diannao.csr import COUNTERS, Csr, markdown, read_config, register_map

WIDE = Config(name="wide", tn=256, ti=3, width=8, address_width=64, shared_port=True,
              nbin_port=512, sb_port=512, nbout_port=512, cp_port=512, outstanding=256, burst=256,
              operand_stages=4, nfu1_stages=16, nfu3_stages=16, queue=64, instruction_buffer=65536,
              nbin_rows=4096, nbin_fifo=1024)  # fmt: skip


SMALL = CONFIGS["tiny"].replace(name="small", address_width=17, counters=False)


@pytest.mark.parametrize("config", [CONFIGS["tiny"], WIDE, SMALL], ids=lambda config: config.name)
def test_csr(bench, config):
    bench(Csr(config=config), "csr", "tests.hw.diannao.bench_csr", asdict(config))


@pytest.mark.parametrize("config", [*CONFIGS.values(), WIDE, SMALL], ids=lambda config: config.name)
def test_constants_give_the_configuration_back(config):
    words = {
        register.offset: sum(field.reset << field.low for field in register.fields)
        for register in register_map(config)
    }
    assert read_config(words.__getitem__, config.name) == config


async def _read(ctx, csr, offset):
    """A register through the bus."""
    ctx.set(csr.bus.araddr, offset)
    ctx.set(csr.bus.arvalid, 1)
    ctx.set(csr.bus.rready, 1)
    await ctx.tick().until(csr.bus.arready)
    ctx.set(csr.bus.arvalid, 0)
    *_, value = await ctx.tick().sample(csr.bus.rdata).until(csr.bus.rvalid)
    return value


def test_halves_of_a_counter_belong_together():
    """A counter that carries into its upper half between the two reads."""
    csr = Csr(config=CONFIGS["tiny"])
    registers = register_map(CONFIGS["tiny"])
    simulator = Simulator(csr)
    simulator.add_clock(1e-8)

    async def read(ctx, name):
        return await _read(ctx, csr, registers[name].offset)

    async def testbench(ctx):
        counters = csr._counters
        assert counters is not None
        await ctx.tick().repeat(len(COUNTERS) + 5)  # none of those below has its turn now
        start = (7 << 32) - 40
        for n, low in enumerate(counters._low):
            ctx.set(low, start & (1 << len(low)) - 1)
            ctx.set(counters._upper.data[n], start >> len(low))
        ctx.set(csr.busy, 1)
        assert await read(ctx, "CYCLES_LO") >= (1 << 32) - 40
        await ctx.tick().repeat(60)
        assert await read(ctx, "CYCLES_HI") == 6
        assert await read(ctx, "CYCLES_LO") < 100
        assert await read(ctx, "CYCLES_HI") == 7
        assert await read(ctx, "BYTES_CP_LO") == (1 << 32) - 40
        assert await read(ctx, "BYTES_CP_HI") == 6

    simulator.add_testbench(testbench)
    simulator.run()


def test_a_single_counter_carries_into_its_upper_half():
    csr = Csr(config=SMALL)
    registers = register_map(SMALL)
    simulator = Simulator(csr)
    simulator.add_clock(1e-8)

    async def testbench(ctx):
        ctx.set(csr._cycles, (3 << 32) - 40)
        ctx.set(csr.busy, 1)
        assert await _read(ctx, csr, registers["CYCLES_LO"].offset) >= (1 << 32) - 40
        await ctx.tick().repeat(60)
        assert await _read(ctx, csr, registers["CYCLES_HI"].offset) == 2
        assert await _read(ctx, csr, registers["CYCLES_LO"].offset) < 100
        assert await _read(ctx, csr, registers["CYCLES_HI"].offset) == 3

    simulator.add_testbench(testbench)
    simulator.run()


def test_page_is_current():
    page = Path(__file__).parents[3] / "docs" / "registers.md"
    assert page.read_text() == markdown(), "docs/registers.md must be generated again"
