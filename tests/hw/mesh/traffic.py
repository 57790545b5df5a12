"""Nodes around a mesh that send packets and check those that arrive."""

import random
from collections import defaultdict, deque
from fractions import Fraction
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from hw.mesh.channel import WordLayout
from hw.mesh.config import MeshConfig
from hw.mesh.port import Port
from tests.hw.mesh.fields import pack_record, unpack_record
from tests.streams import start

__all__ = ["Traffic", "mesh_config"]


def mesh_config(parameters: dict) -> MeshConfig:
    """The configuration from what JSON can hold: ``link_interval`` as a pair."""
    values: dict[str, Any] = {**parameters, "link_interval": Fraction(*parameters["link_interval"])}
    return MeshConfig(**values)


class Traffic:
    """All nodes of a mesh.

    The words of a packet hold random bits. Packets of a pair of nodes are kept in the order in
    which they were sent; what arrives must be the first of them, word for word.

    Parameters
    ----------
    gap, stall, hold : probabilities that a node does not offer, does not take a word, and that a
        link is held, each cycle
    """

    def __init__(self, dut, config: MeshConfig, *, gap=0.0, stall=0.0, hold=0.0):
        self.dut = dut
        self.config = config
        self.word = WordLayout(config)
        self.rng = random.Random(cocotb.RANDOM_SEED)
        self.gap, self.stall, self.hold = gap, stall, hold
        self.stuck = 0  # links that are always held, as bits
        self.closed = set()  # nodes that take nothing
        self.cycle = 0
        nodes = config.nodes
        self.queues = [deque() for _ in range(nodes)]  # words to send
        self.offered: list[int | None] = [None] * nodes
        self.expected = defaultdict(deque)  # packets by source and destination
        self.current: list[Any] = [
            None
        ] * nodes  # source and rest of the packet that arrives at each node
        self.arrivals = [[] for _ in range(nodes)]  # cycle and source of each word
        self.accepted = [[] for _ in range(nodes)]  # cycle of each word
        self.crossed = [0] * len(config.links)  # flits
        self.errors = [0] * nodes

    def place(self, number):
        y, x = divmod(number, self.config.columns)
        return {"x": x, "y": y}

    def hops(self, source, destination):
        a, b = self.place(source), self.place(destination)
        return abs(a["x"] - b["x"]) + abs(a["y"] - b["y"])

    def route(self, source, destination):
        """Numbers of the links on the way: first x, then y."""
        at, goal = self.place(source), self.place(destination)
        links = self.config.links
        for axis, more, less in (("x", Port.EAST, Port.WEST), ("y", Port.SOUTH, Port.NORTH)):
            while at[axis] != goal[axis]:
                step = 1 if goal[axis] > at[axis] else -1
                yield links.index((at["x"], at["y"], more if step == 1 else less))
                at[axis] += step

    def send(self, source, destination, length):
        """Queue a packet of random words."""
        words = [self.rng.getrandbits(self.config.data_width) for _ in range(length)]
        self.expected[source, destination].append(words)
        for n, word in enumerate(words):
            # Only the first word says where the packet goes.
            goal = destination if n == 0 else self.rng.randrange(self.config.nodes)
            fields = {"data": word, "last": n == length - 1, "node": self.place(goal)}
            self.queues[source].append(pack_record(self.word, fields))

    def send_random(self, packets, lengths=(1, 1, 2, 3, 6, 17)):
        for _ in range(packets):
            nodes = range(self.config.nodes)
            self.send(self.rng.choice(nodes), self.rng.choice(nodes), self.rng.choice(lengths))

    async def start(self):
        nodes = range(self.config.nodes)
        zero = {f"i__{n}__payload": 0 for n in nodes} | {f"i__{n}__valid": 0 for n in nodes}
        await start(self.dut, hold=0, **zero, **{f"o__{n}__ready": 0 for n in nodes})

        names = "payload", "valid", "ready"

        def handles(side):
            return [
                [getattr(self.dut, f"{side}__{n}__{name}") for name in names]
                for n in nodes
            ]  # fmt: skip

        self.i, self.o = handles("i"), handles("o")
        await RisingEdge(self.dut.clk)

    async def step(self, cycles=1):
        """All nodes act for some cycles."""
        rng, dut = self.rng, self.dut
        shown = None
        for _ in range(cycles):
            for n, (payload, valid, _) in enumerate(self.i):
                if self.offered[n] is None and self.queues[n] and rng.random() >= self.gap:
                    payload.value = self.offered[n] = self.queues[n].popleft()
                valid.value = self.offered[n] is not None
            for n, (*_, ready) in enumerate(self.o):
                ready.value = n not in self.closed and rng.random() >= self.stall
            held = self.stuck
            if self.hold:
                held |= sum((rng.random() < self.hold) << n for n in range(len(self.crossed)))
            if held != shown:
                dut.hold.value = shown = held
            await RisingEdge(dut.clk)
            for n, (*_, ready) in enumerate(self.i):
                if self.offered[n] is not None and ready.value == 1:
                    self.accepted[n].append(self.cycle)
                    self.offered[n] = None
            for n, (payload, valid, ready) in enumerate(self.o):
                if valid.value == 1 and ready.value == 1:
                    self._receive(n, unpack_record(self.word, int(payload.value)))
            for field, counts in (("sent", self.crossed), ("error", self.errors)):
                bits = int(getattr(dut, field).value)
                while bits:
                    counts[(bits & -bits).bit_length() - 1] += 1
                    bits &= bits - 1
            self.cycle += 1

    def _receive(self, node, word):
        source = self.config.number(**word["node"])
        self.arrivals[node].append((self.cycle, source))
        if self.current[node] is None:
            assert self.expected[source, node], f"{node} got a packet that {source} did not send"
            self.current[node] = source, deque(self.expected[source, node].popleft())
        sender, words = self.current[node]
        assert sender == source, "packets mixed"
        assert words.popleft() == word["data"], f"words from {source} to {node} out of order"
        assert word["last"] == (not words)
        if not words:
            self.current[node] = None

    @property
    def pending(self):
        return any(self.expected.values()) or any(packet is not None for packet in self.current)

    async def finish(self, patience=3000):
        """Until everything has arrived; something has to arrive every ``patience`` cycles."""
        seen, since = 0, self.cycle
        while self.pending:
            await self.step(20)
            arrived = sum(map(len, self.arrivals))
            if arrived > seen:
                seen, since = arrived, self.cycle
            assert self.cycle - since < patience, "the mesh is stuck"
        arrived = sum(map(len, self.arrivals))
        await self.step(4 * self.config.round_trip)
        assert sum(map(len, self.arrivals)) == arrived
        assert arrived == sum(map(len, self.accepted))
        assert not any(self.offered)
