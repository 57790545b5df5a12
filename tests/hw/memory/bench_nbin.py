"""NBin against a list: random appends, skips and reads in every cycle."""

import random

import cocotb
from cocotb.triggers import RisingEdge

from hw.arith.numbers import bounds
from tests.streams import dut_config, pack, start, unpack

CONFIG = dut_config()
ELEMENTS, WIDTH, TI = CONFIG["elements"], CONFIG["width"], CONFIG["ti"]
LANES = CONFIG["write_lanes"]
STAGES = CONFIG.get("read_stages", 2)


def values(rng, count):
    low, high = bounds(WIDTH)
    return [rng.choice((low, 0, high, rng.randint(low, high))) for _ in range(count)]


def addresses(position, count):
    return [(position + k) % ELEMENTS for k in range(count)]


async def begin(dut):
    await start(
        dut, write__word=0, write__first=0, write__count=0, write__advance=0, position=0, read=0
    )


@cocotb.test(timeout_time=500, timeout_unit="us")
@cocotb.parametrize(reads=[1.0, 0.6])
async def random_traffic(dut, reads):
    """Whatever was appended is read back from any position, ``STAGES`` reads later."""
    rng = random.Random(cocotb.RANDOM_SEED)
    await begin(dut)
    memory = [None] * ELEMENTS  # what a read in this cycle sees; None was never written
    head = 0
    landing = []  # (address, value) offered in the previous cycle: in the memory after this one
    held = fetched = waiting = shown = None  # a position; what was read
    compared = 0
    for _ in range(3000):
        first = rng.randint(0, LANES - 1)
        count = rng.randint(0, LANES - first)
        skip = rng.choice((0, 0, 0, 1, rng.randint(0, ELEMENTS - count)))
        word = values(rng, LANES)
        dut.write__word.value = pack(word, WIDTH)
        dut.write__first.value = first
        dut.write__count.value = count
        dut.write__advance.value = count + skip
        offered = list(zip(addresses(head, count), word[first : first + count], strict=True))

        busy = {address for address, _ in landing}
        position = rng.choice((rng.randrange(ELEMENTS), (head - TI) % ELEMENTS))
        in_banks = position if STAGES == 2 else held
        places = [] if in_banks is None else addresses(in_banks, TI)
        read = rng.random() < reads and not busy & set(places)
        dut.position.value = position
        dut.read.value = int(read)

        await RisingEdge(dut.clk)  # shows what came before this cycle
        if shown is not None:
            got = unpack(dut.neurons.value, WIDTH, TI)
            assert got == shown, f"{got} must be {shown}"
            compared += 1
        if read:
            waiting, shown = fetched, waiting if STAGES == 4 else fetched
            fetched = [memory[address] for address in places]
            if None in fetched or not places:
                fetched = None
            held = position
        for address, value in landing:
            memory[address] = value
        landing = offered
        head = (head + count + skip) % ELEMENTS
    assert compared > 1000


@cocotb.test(timeout_time=500, timeout_unit="us")
async def streaming(dut):
    """Appending and reading go on at full rate at the same time, around the ring three times."""
    rng = random.Random(cocotb.RANDOM_SEED)
    await begin(dut)
    data = values(rng, 3 * ELEMENTS // LANES * LANES)
    rate = min(LANES, TI)  # both sides move this much per cycle
    got = []
    for cycle in range(len(data) // rate + 4):
        word = data[cycle * rate : (cycle + 1) * rate]
        dut.write__word.value = pack(word, WIDTH) if word else 0
        dut.write__count.value = len(word)
        dut.write__advance.value = len(word)
        dut.position.value = max(0, cycle - 2 - -(-TI // rate)) * rate % ELEMENTS
        dut.read.value = 1
        await RisingEdge(dut.clk)
        got.append(dut.neurons.value)
    lag = 2 + -(-TI // rate)
    for cycle in range(lag, len(data) // rate):
        expected = data[(cycle - lag) * rate : (cycle - lag) * rate + TI]
        assert unpack(got[cycle + STAGES], WIDTH, TI) == expected
