"""A router between neighbours that keep the rules of the channel, in the middle of a 3x3 mesh."""

import random
from collections import defaultdict, deque

import cocotb
from cocotb.triggers import RisingEdge

from hw.mesh.channel import CreditLayout, FlitLayout, PlaceLayout
from hw.mesh.config import MeshConfig
from hw.mesh.port import OFFSETS, PORTS, Port
from tests.hw.mesh.fields import pack_record, unpack_record
from tests.streams import dut_config, start

CONFIG = MeshConfig(**dut_config())
FLIT, CREDIT = FlitLayout(CONFIG), CreditLayout(CONFIG)
VCS = CONFIG.vcs
DEPTH = [CONFIG.depth(port) for port in Port]

# Where packets go that leave by a port; from an x-y route all five are possible.
GOALS = {Port.LOCAL: (1, 1)} | {port: (1 + x, 1 + y) for port, (x, y) in OFFSETS.items()}


class Bench:
    """Neighbours of all five ports. Every flit is numbered; ``arrivals`` has them by output."""

    def __init__(self, dut):
        self.dut = dut
        self.rng = random.Random(cocotb.RANDOM_SEED)
        self.cycle = 0
        self.serial = 0
        self.queues = [[deque() for _ in range(VCS)] for _ in Port]  # flits to be sent
        self.credits = [[DEPTH[port]] * VCS for port in Port]
        self.held = [[0] * VCS for _ in Port]  # places taken behind the outputs
        self.owed = [deque() for _ in Port]  # credits to be sent, with the cycle
        self.expected = defaultdict(deque)  # serials of packets by input, vc and output
        self.current = {}  # packet on each output and vc
        self.sent = {}  # cycle in which a flit was given to the router
        self.arrivals = [[] for _ in Port]  # (cycle, serial, vc)
        self.gap = self.stall = self.delay = 0.0  # probabilities of pauses
        self.blocked = set()  # (output, vc) that gives no credit back
        self.closed = set()  # outputs whose link is held

    async def start(self):
        zero = {}
        for port in range(PORTS):
            zero |= {f"i__{port}__flit__payload": 0, f"i__{port}__flit__valid": 0}
            zero |= {f"o__{port}__flit__ready": 0, f"o__{port}__credit": 0}
        place = pack_record(PlaceLayout(CONFIG), {"x": 1, "y": 1})
        await start(self.dut, place=place, **zero)

        def handle(side, port, name):
            return getattr(self.dut, f"{side}__{port}__{name}")

        self.i = [
            [handle("i", p, n) for n in ("flit__payload", "flit__valid", "flit__ready", "credit")]
            for p in range(PORTS)
        ]
        self.o = [
            [handle("o", p, n) for n in ("flit__payload", "flit__valid", "flit__ready", "credit")]
            for p in range(PORTS)
        ]
        await RisingEdge(self.dut.clk)

    def send(self, port, vc, output, length):
        """Queue a packet; returns the numbers of its flits."""
        x, y = GOALS[output]
        serials = list(range(self.serial, self.serial + length))
        self.serial += length
        for n, serial in enumerate(serials):
            ends = {"head": n == 0, "tail": n == length - 1}
            # Only a head says where it goes.
            goal = {"x": x, "y": y} if n == 0 else {"x": self.rng.randrange(3)}
            word = {"data": serial, "vc": vc, "destination": goal, **ends}
            self.queues[port][vc].append((serial, word))
        self.expected[port, vc, output].append(serials)
        return serials

    async def step(self, cycles=1):
        """The neighbours act for some cycles."""
        rng = self.rng
        for _ in range(cycles):
            offered = []
            for port in range(PORTS):
                payload, valid, *_ = self.i[port]
                able = [
                    vc for vc in range(VCS) if self.queues[port][vc] and self.credits[port][vc] > 0
                ]
                vc = rng.choice(able) if able and rng.random() >= self.gap else None
                if vc is not None:
                    payload.value = pack_record(FLIT, self.queues[port][vc][0][1])
                valid.value = vc is not None
                offered.append(vc)
                *_, ready, credit = self.o[port]
                ready.value = port not in self.closed and rng.random() >= self.stall
                returned = self._credit(port)
                word = {} if returned is None else {"valid": 1, "vc": returned}
                credit.value = pack_record(CREDIT, word)
            await RisingEdge(self.dut.clk)
            for port in range(PORTS):
                *_, ready, credit = self.i[port]
                vc = offered[port]
                assert ready.value == 1
                if vc is not None:
                    self.credits[port][vc] -= 1
                    serial, _ = self.queues[port][vc].popleft()
                    self.sent[serial] = self.cycle
                back = unpack_record(CREDIT, int(credit.value))
                if back["valid"]:
                    self.credits[port][back["vc"]] += 1
                    assert self.credits[port][back["vc"]] <= DEPTH[port], "credit from nowhere"
                payload, valid, ready, _ = self.o[port]
                if valid.value == 1 and ready.value == 1:
                    self._receive(port, unpack_record(FLIT, int(payload.value)))
            self.cycle += 1

    def _credit(self, port):
        """A credit for the router, if one is due."""
        for n, (vc, due) in enumerate(self.owed[port]):
            if due <= self.cycle and (port, vc) not in self.blocked:
                del self.owed[port][n]
                self.held[port][vc] -= 1
                return vc
        return None

    def _receive(self, port, flit):
        vc, serial = flit["vc"], flit["data"]
        self.held[port][vc] += 1
        assert self.held[port][vc] <= DEPTH[port], "a flit without a credit"
        wait = self.rng.randrange(20) if self.rng.random() < self.delay else 0
        self.owed[port].append((vc, self.cycle + wait))
        self.arrivals[port].append((self.cycle, serial, vc))
        if flit["head"]:
            assert (port, vc) not in self.current, "packets mixed"
            # The oldest packet of some input.
            (source,) = (
                i for i in range(PORTS) if self.expected[i, vc, port]
                and self.expected[i, vc, port][0][0] == serial
            )  # fmt: skip
            self.current[port, vc] = deque(self.expected[source, vc, port].popleft())
        packet = self.current[port, vc]
        assert packet.popleft() == serial
        assert flit["tail"] == (not packet)
        if not packet:
            del self.current[port, vc]

    @property
    def pending(self):
        return any(self.expected.values()) or bool(self.current)

    async def finish(self, limit=20000):
        """Until everything has arrived and all credits are back."""
        while self.pending:
            await self.step()
            assert self.cycle < limit, "stuck"
        await self.step(40)
        assert self.credits == [[DEPTH[port]] * VCS for port in Port]
        assert not any(sum(held) for held in self.held)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def takes_four_cycles(dut):
    """RC, VA, SA, ST: alone, a flit is out 4 cycles after it came in, on any way."""
    bench = Bench(dut)
    await bench.start()
    for source in Port:
        for output in Port:
            serials = bench.send(source, bench.rng.randrange(VCS), output, 4)
            await bench.finish()
            cycles = {serial: cycle for cycle, serial, _ in bench.arrivals[output]}
            assert [cycles[n] - bench.sent[n] for n in serials] == [4] * 4


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def carries_a_flit_per_port_and_cycle(dut):
    """Five long packets that do not meet: no port ever pauses, though each uses one buffer."""
    bench = Bench(dut)
    await bench.start()
    for shift in range(PORTS):
        vc, before = bench.rng.randrange(VCS), [len(a) for a in bench.arrivals]
        for source in Port:
            bench.send(source, vc, Port((source + shift) % PORTS), 40)
        await bench.finish()
        for port in Port:
            cycles = [cycle for cycle, *_ in bench.arrivals[port][before[port] :]]
            assert len(cycles) == 40
            assert cycles[-1] - cycles[0] == 39


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def shares_an_output(dut):
    """Inputs want one output, each on another virtual channel: it never pauses and is fair."""
    bench = Bench(dut)
    await bench.start()
    sources = list(Port)[:VCS]
    for output in Port:
        before = len(bench.arrivals[output])
        owner = {}
        for source in sources:
            for serial in bench.send(source, source, output, 30):
                owner[serial] = source
        await bench.finish()
        arrivals = bench.arrivals[output][before:]
        assert arrivals[-1][0] - arrivals[0][0] == len(arrivals) - 1
        assert len(arrivals) == 30 * len(sources)
        counts = defaultdict(int)
        for _, serial, _ in arrivals[:-10]:
            counts[owner[serial]] += 1
            assert max(counts.values()) - min(counts[source] for source in sources) <= 3


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def takes_turns_for_a_virtual_channel(dut):
    """All inputs want the same virtual channel of one output: packet by packet, round robin."""
    bench = Bench(dut)
    await bench.start()
    owner = {}
    for source in Port:
        for _ in range(4):
            for serial in bench.send(source, 0, Port.EAST, 3):
                owner[serial] = source
    await bench.finish()
    order = [owner[serial] for _, serial, _ in bench.arrivals[Port.EAST]]
    turns = order[::3]
    assert order == [source for source in turns for _ in range(3)]
    assert turns == turns[:PORTS] * 4
    assert sorted(turns[:PORTS]) == list(Port)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def blocks_nobody_else(dut):
    """A virtual channel without credits and an output that is held stop no other packet."""
    bench = Bench(dut)
    await bench.start()
    bench.blocked.add((Port.EAST, 0))
    bench.closed.add(Port.NORTH)
    stopped = bench.send(Port.WEST, 0, Port.EAST, 30)
    held = bench.send(Port.SOUTH, 1, Port.NORTH, 30)
    await bench.step(30)
    assert len(bench.arrivals[Port.EAST]) == DEPTH[Port.EAST]  # all places are taken
    assert not bench.arrivals[Port.NORTH]
    others = bench.send(Port.WEST, 1, Port.EAST, 30), bench.send(Port.SOUTH, 0, Port.LOCAL, 30)
    await bench.step(45)
    assert [n for _, n, _ in bench.arrivals[Port.EAST][DEPTH[Port.EAST] :]] == others[0]
    assert [n for _, n, _ in bench.arrivals[Port.LOCAL]] == others[1]
    bench.blocked.clear()
    bench.closed.clear()
    await bench.finish()
    assert [n for _, n, _ in bench.arrivals[Port.NORTH]] == held
    assert {n for _, n, vc in bench.arrivals[Port.EAST] if vc == 0} == set(stopped)


@cocotb.test(timeout_time=5, timeout_unit="ms")
@cocotb.parametrize(stress=["none", "gaps", "stalls", "credits", "all"])
async def delivers_random_traffic(dut, stress):
    """Packets of 1 to 12 flits on all virtual channels, from anywhere to anywhere."""
    bench = Bench(dut)
    await bench.start()
    for _ in range(60):
        port, output = bench.rng.choice(list(Port)), bench.rng.choice(list(Port))
        length = bench.rng.choice([1, 1, 2, 3, 5, 6, 12])
        bench.send(port, bench.rng.randrange(VCS), output, length)
    bench.gap = 0.5 * (stress in ("gaps", "all"))
    bench.stall = 0.6 * (stress in ("stalls", "all"))
    bench.delay = 0.7 * (stress in ("credits", "all"))
    await bench.finish()
