"""How many bytes per cycle pass between an AXI port and an SDRAM."""

import cocotb

from tests.boards.sdram_traffic import BEAT, CONFIG, WINDOW, Traffic


def rate(traffic, begin):
    cycles = [cycle for cycle in traffic.moved if cycle > begin]
    return len(cycles) * BEAT / (cycles[-1] - cycles[0] + 1)


@cocotb.test()
async def test_bandwidth(dut):
    """Bytes per cycle of two at most, with refreshes as a real chip needs them."""
    traffic = Traffic(dut)
    await traffic.start()
    begin = traffic.cycle
    await traffic.fill()
    rates = {"writes": rate(traffic, begin)}

    def bursts(beats, step=None):
        step = step or beats * BEAT
        return [(address, beats) for address in range(0, WINDOW // 2, step)]

    async def measure(name, reads, writes=()):
        begin = traffic.cycle
        await traffic.run(reads, writes)
        rates[name] = rate(traffic, begin)

    await measure("reads of 128 bytes", bursts(128 // BEAT))
    await measure("reads of 32 bytes", bursts(32 // BEAT))
    # Weights, and neurons of 64 bytes in other rows, in turn.
    weights, neurons = bursts(128 // BEAT), bursts(64 // BEAT, 128)
    half = WINDOW // 2
    mixed = [burst for (a, n), (b, k) in zip(weights, neurons, strict=True)
             for burst in ((a, n), (half + b, k))]  # fmt: skip
    await measure("two streams", mixed)
    await measure(
        "a stream of each kind",
        weights, [traffic.write(half + a, n) for a, n in neurons],
    )  # fmt: skip
    for name, value in rates.items():
        cocotb.log.info("%s: %.3f bytes/cycle", name, value)
    for name, least in CONFIG["least"].items():
        assert rates[name] >= least, f"{name}: {rates[name]:.3f} bytes per cycle"
