"""Many packets over a mesh, while the pauses of nodes and links change."""

import cocotb

from tests.hw.mesh.traffic import Traffic, mesh_config
from tests.streams import dut_config

PARAMETERS = dut_config()
ROUNDS = PARAMETERS.pop("rounds")
CONFIG = mesh_config(PARAMETERS)


@cocotb.test()
async def delivers_everything(dut):
    """Each round has pauses of its own, often none or nearly always, and somebody's favourite."""
    traffic = Traffic(dut, CONFIG)
    await traffic.start()
    rng = traffic.rng
    for number in range(ROUNDS):
        traffic.gap, traffic.stall, traffic.hold = (
            rng.choice([0, 0, 0.2, 0.5, 0.9]) for _ in range(3)
        )
        traffic.send_random(10 * CONFIG.nodes)
        favourite = rng.randrange(CONFIG.nodes)
        for _ in range(10):
            source, length = rng.randrange(CONFIG.nodes), rng.randrange(1, 40)
            traffic.send(source, favourite, length)
        if rng.random() < 0.5:
            await traffic.finish(patience=20000)
        else:
            await traffic.step(rng.randrange(500))  # the next round comes on top
        if number % 50 == 0:
            dut._log.info("round %d, %d words", number, sum(map(len, traffic.arrivals)))
    traffic.stall = traffic.hold = 0
    await traffic.finish(patience=20000)
    assert not any(traffic.errors)
    dut._log.info("%d words in %d cycles", sum(map(len, traffic.arrivals)), traffic.cycle)
