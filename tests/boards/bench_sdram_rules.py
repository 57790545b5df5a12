"""The model of an SDRAM chip notices each broken rule, and none that is kept.

Distances are for a clock of 100 MHz: rcd, rp 3 cycles, ras 5, rc 7, rrd, wr 2, rfc 7, mrd 2.
"""

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from tests.streams import dut_config, start

CONFIG = dut_config()
NOTHING, ACTIVATE, READ, WRITE, PRECHARGE, REFRESH, MODE = 0, 4, 2, 3, 5, 6, 7
ALL = 1 << 10
WORDS_2, WORDS_4 = 1, 2


class Chip:
    """Drives the pins, command by command."""

    def __init__(self, dut):
        self.dut = dut

    async def power_up(self, early=0):
        names = "command ba a dqm dq_o dq_oe".split()
        await start(self.dut, **{f"pins__{name}": 0 for name in names})
        await ClockCycles(self.dut.clk, CONFIG["power_up"] - early)

    async def command(self, command, distance=1, ba=0, a=0):
        """The next command follows ``distance`` cycles later."""
        dut = self.dut
        dut.pins__command.value, dut.pins__ba.value, dut.pins__a.value = command, ba, a
        await RisingEdge(dut.clk)
        dut.pins__command.value = NOTHING
        for _ in range(distance - 1):
            await RisingEdge(dut.clk)

    async def write(self, distance, ba=0, a=0, dqm=0, words=(1, 2), drive=1):
        """Of a burst of two."""
        dut = self.dut
        dut.pins__dq_oe.value = drive
        dut.pins__dqm.value, dut.pins__dq_o.value = dqm, words[0]
        await self.command(WRITE, 1, ba, a)
        dut.pins__dq_o.value = words[1]
        await RisingEdge(dut.clk)
        dut.pins__dq_oe.value = dut.pins__dqm.value = 0
        for _ in range(distance - 2):
            await RisingEdge(dut.clk)

    async def initialise(self, refreshes=8, mode=CONFIG["cas"] << 4 | WORDS_2, mrd=2):
        await self.power_up()
        await self.command(PRECHARGE, 3, a=ALL)
        for _ in range(refreshes):
            await self.command(REFRESH, 7)
        await self.command(MODE, mrd, a=mode)

    async def broken(self):
        """The rule that was broken."""
        await ClockCycles(self.dut.clk, 8)
        return int(self.dut.broken.value)


@cocotb.test(skip=CONFIG["cas"] != 2)
async def test_rules_kept(dut):
    """Each distance as short as it may be."""
    chip = Chip(dut)
    await chip.initialise()
    await chip.command(ACTIVATE, 2, ba=0, a=1)
    await chip.command(ACTIVATE, 2, ba=1, a=2)
    await chip.write(2, ba=0, a=4, words=(0x1111, 0x2222))
    await chip.write(2, ba=1, a=6, words=(0x3333, 0x4444))
    await chip.write(2, ba=1, a=6, words=(0x5555, 0x6666), dqm=2)
    await chip.command(READ, 2, ba=0, a=5)
    await chip.command(READ, 1, ba=1, a=6)
    await RisingEdge(dut.clk)
    words = []
    for _ in range(4):
        await RisingEdge(dut.clk)
        words.append(int(dut.pins__dq_i.value))
    assert words == [0x2222, 0x1111, 0x3355, 0x4466]
    await chip.write(3, ba=1, a=8)
    await chip.command(PRECHARGE, 3, a=ALL)
    await chip.command(REFRESH, 7)
    await chip.command(ACTIVATE, 5)
    await chip.command(PRECHARGE, 3)
    await chip.command(ACTIVATE, 3)
    assert await chip.broken() == 0


RULES = {}


def rule(number):
    """The function breaks that rule after initialisation, if ``wrong``; else it is kept."""

    def register(function):
        RULES[function.__name__] = number, function
        return function

    return register


@rule(1)
async def early(chip, wrong):
    await chip.power_up(early=wrong)
    await chip.command(PRECHARGE, a=ALL)


@rule(1)
async def few_refreshes(chip, wrong):
    await chip.initialise(refreshes=8 - wrong)


@rule(1)
async def no_precharge(chip, wrong):
    await chip.power_up()
    if not wrong:
        await chip.command(PRECHARGE, 3, a=ALL)
    await chip.command(REFRESH)


@rule(1)
async def no_mode(chip, wrong):
    if wrong:
        await chip.power_up()
    else:
        await chip.initialise()
    await chip.command(ACTIVATE)


@rule(2)
async def rcd(chip, wrong):
    await chip.initialise()
    await chip.command(ACTIVATE, 3 - wrong)
    await chip.command(READ)


@rule(3)
async def rp(chip, wrong):
    await chip.initialise()
    await chip.command(ACTIVATE, 9)
    await chip.command(PRECHARGE, 3 - wrong)
    await chip.command(ACTIVATE)


@rule(3)
async def rp_refresh(chip, wrong):
    await chip.initialise()
    await chip.command(PRECHARGE, 3 - wrong, a=ALL)
    await chip.command(REFRESH)


@rule(4)
async def ras(chip, wrong):
    await chip.initialise()
    await chip.command(ACTIVATE, 5 - wrong, ba=3)
    await chip.command(PRECHARGE, ba=3)


@rule(5)
async def rc(chip, wrong):
    """With a chip whose rc, 10 cycles, is longer than ras and rp."""
    await chip.initialise()
    await chip.command(ACTIVATE, 5)
    await chip.command(PRECHARGE, 5 - wrong)
    await chip.command(ACTIVATE)


@rule(6)
async def rrd(chip, wrong):
    await chip.initialise()
    await chip.command(ACTIVATE, 2 - wrong, ba=2)
    await chip.command(ACTIVATE, ba=1)


@rule(7)
async def wr(chip, wrong):
    await chip.initialise()
    await chip.command(ACTIVATE, 5)
    await chip.write(3 - wrong)
    await chip.command(PRECHARGE)


@rule(8)
async def rfc(chip, wrong):
    await chip.initialise()
    await chip.command(REFRESH, 7 - wrong)
    await chip.command(ACTIVATE)


@rule(9)
async def mrd(chip, wrong):
    await chip.initialise(mrd=2 - wrong)
    await chip.command(ACTIVATE)


@rule(10)
async def late(chip, wrong):
    """A second refresh is missing."""
    await chip.initialise()
    await ClockCycles(chip.dut.clk, CONFIG["refresh"])
    await chip.command(REFRESH, 7)
    await ClockCycles(chip.dut.clk, 2 * CONFIG["refresh"] - 20)
    if not wrong:
        await chip.command(REFRESH, 7)
    await ClockCycles(chip.dut.clk, 20)


@rule(10)
async def saved_up(chip, wrong):
    """Refreshes that come early do not make up for some that are missing later."""
    await chip.initialise()
    for _ in range(10):
        await chip.command(REFRESH, 7)
    for _ in range(2):
        await ClockCycles(chip.dut.clk, 2 * CONFIG["refresh"] - 20)
        if not wrong:
            await chip.command(REFRESH, 7)
            await chip.command(REFRESH, 7)


@rule(11)
async def closed(chip, wrong):
    await chip.initialise()
    await chip.command(ACTIVATE, 3, ba=0)
    await chip.command(READ, ba=wrong)


@rule(12)
async def already_open(chip, wrong):
    await chip.initialise()
    await chip.command(ACTIVATE, 9)
    if not wrong:
        await chip.command(PRECHARGE, 3)
    await chip.command(ACTIVATE)


@rule(12)
async def refresh_open(chip, wrong):
    await chip.initialise()
    await chip.command(ACTIVATE, 9)
    if not wrong:
        await chip.command(PRECHARGE, 3)
    await chip.command(REFRESH)


@rule(13)
async def two_drivers(chip, wrong):
    """A write right after the words of a read: there has to be a cycle between."""
    await chip.initialise()
    await chip.command(ACTIVATE, 5)
    await chip.command(READ, 5 - wrong)
    await chip.write(2)


@rule(14)
async def undriven(chip, wrong):
    await chip.initialise()
    await chip.command(ACTIVATE, 5)
    await chip.write(2, drive=not wrong)


@rule(15)
async def cut(chip, wrong):
    await chip.initialise()
    await chip.command(ACTIVATE, 5)
    await chip.command(READ, 2 - wrong)
    await chip.command(PRECHARGE)


@rule(16)
async def auto_precharge(chip, wrong):
    await chip.initialise()
    await chip.command(ACTIVATE, 5)
    await chip.command(READ, a=ALL * wrong)


@rule(16)
async def interleaved(chip, wrong):
    await chip.initialise(mode=2 << 4 | wrong << 3 | WORDS_4)


@rule(17)
async def fast(chip, wrong):
    """With a chip that needs CAS latency 3."""
    await chip.initialise(mode=(3 - wrong) << 4 | WORDS_2)


@cocotb.test()
@cocotb.parametrize(
    name=[name for name, (number, _) in RULES.items() if number in CONFIG["rules"]],
    wrong=[False, True],
)
async def test_rule(dut, name, wrong):
    """A rule that is just broken is noticed, and one that is just kept is not."""
    number, function = RULES[name]
    chip = Chip(dut)
    await function(chip, wrong)
    assert await chip.broken() == (number if wrong else 0)
