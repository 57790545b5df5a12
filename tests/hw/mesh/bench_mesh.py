"""A mesh under traffic of all kinds: every packet once, whole, in order, and on time."""

import cocotb

from hw.mesh.port import Port
from tests.hw.mesh.traffic import Traffic, mesh_config
from tests.streams import dut_config

CONFIG = mesh_config(dut_config())
NODES = range(CONFIG.nodes)
STRESS = {
    "none": {},
    "gaps": {"gap": 0.5},
    "sinks": {"stall": 0.7},
    "links": {"hold": 0.6},
    "all": {"gap": 0.2, "stall": 0.5, "hold": 0.4},
}


async def begin(dut, **stress):
    traffic = Traffic(dut, CONFIG, **stress)
    await traffic.start()
    return traffic


@cocotb.test(timeout_time=5, timeout_unit="ms")
@cocotb.parametrize(stress=list(STRESS))
async def delivers_random_traffic(dut, stress):
    """From anywhere to anywhere, shorter and longer than the buffers; links carry just these."""
    traffic = await begin(dut, **STRESS[stress])
    crossed = [0] * len(CONFIG.links)
    traffic.send_random(25 * CONFIG.nodes)
    for (source, destination), packets in traffic.expected.items():
        for link in traffic.route(source, destination):
            crossed[link] += sum(map(len, packets))
    await traffic.finish()
    assert traffic.crossed == crossed
    assert not any(traffic.errors)


@cocotb.test(timeout_time=5, timeout_unit="ms")
@cocotb.parametrize(stress=["none", "all"])
async def delivers_all_to_one(dut, stress):
    """Every node in turn gets packets of all, itself included; its output does not pause."""
    traffic = await begin(dut, **STRESS[stress])
    for goal in NODES:
        for source in NODES:
            for length in (1, 9, 4):
                traffic.send(source, goal, length)
        await traffic.finish()
        assert len(traffic.arrivals[goal]) == 14 * CONFIG.nodes


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def delivers_one_to_all(dut):
    """The other way round."""
    traffic = await begin(dut, stall=0.3)
    for source in NODES:
        for length in (1, 9, 4):
            for goal in NODES:
                traffic.send(source, goal, length)
    await traffic.finish()


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def delivers_to_oneself(dut):
    """Packets of a node to itself turn round in its router and use no link."""
    traffic = await begin(dut)
    for node in NODES:
        for length in (1, 1, 12):
            traffic.send(node, node, length)
    await traffic.finish()
    assert not any(traffic.crossed)


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def is_as_fast_as_its_parts(dut):
    """Alone, a word takes 1 + 4 per router + the links' latency + 2 cycles."""
    traffic = await begin(dut)
    for source in NODES:
        for goal in NODES:
            traffic.send(source, goal, 1)
            await traffic.finish()
            hops = traffic.hops(source, goal)
            expected = 1 + 4 * (hops + 1) + hops * CONFIG.link_latency + 2
            assert traffic.arrivals[goal][-1][0] - traffic.accepted[source][-1] == expected


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def uses_the_bandwidth(dut):
    """A long packet over a link: a flit per interval, or all places once per round trip."""
    traffic = await begin(dut)
    words, depth, interval = 120, CONFIG.link_depth, CONFIG.link_interval
    traffic.send(0, 1, words)
    await traffic.finish()
    cycles = traffic.arrivals[1][-1][0] - traffic.arrivals[1][0][0]
    rate = max(interval, CONFIG.round_trip / depth)
    assert (words - 2) * rate - CONFIG.round_trip <= cycles <= words * rate + 1
    if depth >= CONFIG.full_rate_depth:
        assert cycles <= words * interval


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def waits_for_a_stuck_link(dut):
    """One link is held: it says so; packets that need it wait, others come, and all in the end."""
    traffic = await begin(dut)
    stuck = CONFIG.links.index((0, 0, Port.EAST))
    traffic.stuck = 1 << stuck
    traffic.send(0, 1, 12)
    traffic.send(1, 0, 12)
    await traffic.step(400)
    assert dut.waiting.value == 1 << stuck
    assert len(traffic.arrivals[0]) == 12
    assert not traffic.arrivals[1]
    traffic.stuck = 0
    await traffic.finish()
    assert dut.waiting.value == 0


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def waits_for_a_node(dut):
    """A node that takes nothing stops those that send to it, and nothing is lost."""
    traffic = await begin(dut)
    traffic.closed.add(1)
    for source in NODES:
        traffic.send(source, 1, 40)
    await traffic.step(600)
    assert not traffic.arrivals[1]
    traffic.closed.clear()
    await traffic.finish()


@cocotb.test(timeout_time=5, timeout_unit="ms", skip=CONFIG.columns & CONFIG.columns - 1 == 0)
async def reports_a_wrong_destination(dut):
    """A packet to a node outside the mesh is swallowed, whatever its length; the next one goes.

    With a power of two there is no such column.
    """
    traffic = await begin(dut)
    outside = traffic.word
    for length in (1, 7):
        for n in range(length):
            last = (n == length - 1) << outside["last"].offset
            x = CONFIG.columns << outside["node"].offset
            traffic.queues[2].append(last | x)
        traffic.send(2, 0, 3)
    while any(traffic.queues) or traffic.pending:
        await traffic.step()
        assert traffic.cycle < 2000
    await traffic.step(200)
    assert traffic.errors == [0, 0, 2] + [0] * (CONFIG.nodes - 3)
    assert sum(map(len, traffic.arrivals)) == 6
