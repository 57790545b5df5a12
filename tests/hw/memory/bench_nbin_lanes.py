"""NBin written byte by byte, in the lanes of its banks, against a list."""

import random

import cocotb
from cocotb.triggers import RisingEdge

from tests.streams import dut_config, start, unpack

CONFIG = dut_config()
ELEMENTS, BANKS, WIDTH, TI = (CONFIG[name] for name in ("elements", "banks", "width", "ti"))
SIZE = WIDTH // 8
LANES = CONFIG["write_lanes"] * SIZE
ROW = BANKS * SIZE
CAPACITY = ELEMENTS * SIZE


def offer(dut, head: int, content: bytes):
    """Offer bytes for the ring from place ``head`` on."""
    row, place = divmod(head, ROW)
    enables = word = 0
    for n, byte in enumerate(content):
        enables |= 1 << (place + n) % ROW
        word |= byte << 8 * ((place + n) % LANES)
    dut.write__row.value = row
    dut.write__first.value = place // SIZE
    dut.write__enables.value = enables
    dut.write__data.value = word


@cocotb.test(timeout_time=500, timeout_unit="us")
@cocotb.parametrize(reads=[1.0, 0.6])
async def random_traffic(dut, reads):
    """Bytes from any place on, skips, and reads at any element, as late as two of them take."""
    rng = random.Random(cocotb.RANDOM_SEED)
    await start(
        dut, write__row=0, write__first=0, write__enables=0, write__data=0, position=0, read=0
    )
    memory: list[int | None] = [None] * CAPACITY
    head = 0
    fetched = shown = None
    compared = 0
    for _ in range(3000):
        content = rng.randbytes(rng.choice((0, LANES, rng.randint(0, LANES))))
        offer(dut, head, content)
        written = [(head + n) % CAPACITY for n in range(len(content))]

        position = rng.choice((rng.randrange(ELEMENTS), (head // SIZE - TI) % ELEMENTS))
        places = [(position * SIZE + n) % CAPACITY for n in range(TI * SIZE)]
        read = rng.random() < reads and not set(places) & set(written)
        dut.position.value = position
        dut.read.value = int(read)

        await RisingEdge(dut.clk)  # shows what came before this cycle
        if shown is not None:
            assert unpack(dut.neurons.value, 8, TI * SIZE, signed=False) == shown
            compared += 1
        if read:
            shown = fetched
            fetched = [memory[place] for place in places]
            if None in fetched:
                fetched = None
        for place, byte in zip(written, content, strict=True):
            memory[place] = byte
        head = (head + len(content) + rng.choice((0, 0, 1, SIZE))) % CAPACITY
    assert compared > 1000
