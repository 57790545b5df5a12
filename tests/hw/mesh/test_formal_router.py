"""Proofs of the router's parts: credits, buffers and grants, for all time and any behaviour.

Both ends of a channel are proven apart. The sender's end: its credits, the flits it has under way,
and all that the environment has not given back make up the depth. The receiver's end: if its
environment spends no more credits than it has, no buffer overflows, and each place that becomes
free is reported once. Together they give the invariant of the channel.
"""

from fractions import Fraction
from typing import Any

import pytest
from amaranth.hdl import Cat, Const, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from hw.mesh.buffers import ChannelBuffers
from hw.mesh.channel import CreditLayout, FlitLayout
from hw.mesh.config import MeshConfig
from hw.mesh.output_unit import OutputUnit
from hw.mesh.port import PORTS, dimension_order
from hw.mesh.round_robin import RoundRobin
from hw.mesh.switch_allocator import SwitchAllocator
from hw.mesh.vc_allocator import VcAllocator
from tests.formal import assert_, assume, check, formal_module


def config(**parameters) -> MeshConfig:
    """Few bits of data: no part looks at them."""
    return MeshConfig(rows=1, columns=1, data_width=8, link_interval=Fraction(1), **parameters)


def count(bits):
    return sum(bits, Const(0, 1))


def one_hot_or_none(value):
    return (value & (value - 1)[: len(value)]) == 0


class SenderSpec(wiring.Component):
    """An output unit and a receiver that owes it credits."""

    grant: Signal
    flit: data.View
    ready: Signal
    credit: data.View

    def __init__(self, config: MeshConfig, depth: int):
        self._config = config
        self._depth = depth
        super().__init__(
            {
                "grant": In(config.vcs),
                "flit": In(FlitLayout(config)),
                "ready": In(1),
                "credit": In(CreditLayout(config)),
            }
        )

    def elaborate(self, platform):
        m = formal_module()
        config, depth = self._config, self._depth
        m.submodules.unit = unit = OutputUnit(config=config, depth=depth)
        flit, credit = unit.channel.flit, unit.channel.credit
        m.d.comb += [
            unit.grant.eq(self.grant),
            unit.flit.eq(self.flit),
            flit.ready.eq(self.ready),
            credit.eq(self.credit),
            # The switch allocator, and the flit that it granted in the cycle before.
            assume(one_hot_or_none(self.grant)),
            assume((self.grant & ~unit.credits) == 0),
        ]
        granted = Signal(config.vcs)
        m.d.sync += granted.eq(self.grant)
        for vc in range(config.vcs):
            m.d.comb += assume(~granted[vc] | (self.flit.vc == vc))
        m.d.comb += [
            assert_(unit._coming == granted.any()),
            assert_(one_hot_or_none(granted)),
            # The queue never overflows: what has been granted always finds room.
            assert_(unit._level + unit._coming <= config.fifo),
        ]

        leaving = flit.valid & flit.ready
        past, waiting = Signal(FlitLayout(config)), Signal()
        m.d.sync += [past.eq(flit.payload), waiting.eq(flit.valid & ~flit.ready)]
        m.d.comb += assert_(~waiting | (flit.valid & (flit.payload.as_value() == past.as_value())))
        for vc in range(config.vcs):
            # Flits that the receiver has, or has freed without saying so yet.
            owed = Signal(range(depth + 1), name=f"owed_{vc}")
            left = leaving & (flit.payload.vc == vc)
            back = credit.valid & (credit.vc == vc)
            m.d.sync += owed.eq(owed + left - back)
            m.d.comb += assume(~back | (owed != 0))
            queued = count(
                (n < unit._level) & (entry.vc == vc) for n, entry in enumerate(unit._queue)
            )
            m.d.comb += [
                assert_(unit._counts[vc] + granted[vc] + queued + owed == depth),
                assert_(unit._counts[vc] <= depth),
                assert_(owed <= depth),
            ]
        return m


@pytest.mark.parametrize(("vcs", "depth", "fifo"), [(1, 2, 3), (2, 3, 4), (8, 5, 4)])
def test_sender_credits(tmp_path, vcs, depth, fifo):
    """Credits + on the crossbar + in the queue + behind it = depth, by induction."""
    check(SenderSpec(config(vcs=vcs, fifo=fifo), depth), tmp_path, depth=2)


class ReceiverSpec(wiring.Component):
    """The buffers of a channel, with a sender that spends only what it has."""

    flit: data.View
    valid: Signal
    read: Signal

    def __init__(self, config: MeshConfig, depth: int):
        self._config = config
        self._depth = depth
        super().__init__({"flit": In(FlitLayout(config)), "valid": In(1), "read": In(config.vcs)})

    def elaborate(self, platform):
        m = formal_module()
        config, depth = self._config, self._depth
        m.submodules.buffers = buffers = ChannelBuffers(
            config=config, depth=depth, mark=unsigned(1)
        )
        flit, credit = buffers.channel.flit, buffers.channel.credit
        m.d.comb += [
            flit.payload.eq(self.flit),
            flit.valid.eq(self.valid),
            buffers.read.eq(self.read),
            assume(one_hot_or_none(self.read)),
            assume((self.read & ~buffers.waiting) == 0),
            assert_(flit.ready),
        ]
        read_before = Signal(config.vcs)
        m.d.sync += read_before.eq(self.read)
        m.d.comb += assert_(one_hot_or_none(read_before))
        for vc in range(config.vcs):
            level = buffers._levels[vc]
            credits = Signal(range(depth + 1), init=depth, name=f"credits_{vc}")
            spent = flit.valid & (flit.payload.vc == vc)
            back = credit.valid & (credit.vc == vc)
            m.d.sync += credits.eq(credits - spent + back)
            m.d.comb += [
                assume(~spent | (credits != 0)),
                # The flit that was read is what is reported, and every place is counted once.
                assert_(back == read_before[vc]),
                assert_(credits + level + read_before[vc] == depth),
                assert_(level <= depth),
                assert_(buffers.waiting[vc] == (level != 0)),
            ]
        return m


@pytest.mark.parametrize(("vcs", "depth"), [(1, 2), (4, 5)])
def test_receiver_credits(tmp_path, vcs, depth):
    """Credits + waiting flits + the credit on its way back = depth, by induction."""
    check(ReceiverSpec(config(vcs=vcs), depth), tmp_path, depth=2)


class RoundRobinSpec(wiring.Component):
    """An arbiter: one of those who ask; who waits sees each other one served once at most."""

    requests: Signal
    served: Signal

    def __init__(self, count: int):
        self._count = count
        super().__init__({"requests": In(count), "served": In(1)})

    def elaborate(self, platform):
        m = formal_module()
        m.submodules.arbiter = arbiter = RoundRobin(self._count)
        grant = arbiter.grant
        m.d.comb += [
            arbiter.requests.eq(self.requests),
            arbiter.served.eq(self.served),
            assert_(one_hot_or_none(grant)),
            assert_((grant & ~self.requests) == 0),
            assert_(grant.any() == self.requests.any()),
        ]
        served = Signal(self._count)
        m.d.comb += served.eq(grant & self.served.replicate(self._count))
        for n in range(self._count):
            seen = Signal(self._count, name=f"seen_{n}")
            m.d.comb += assert_(~self.requests[n] | ((seen & served) == 0))
            with m.If(self.requests[n] & ~served[n]):
                m.d.sync += seen.eq(seen | served)
            with m.Else():
                m.d.sync += seen.eq(0)
        return m


@pytest.mark.parametrize("count", [2, 5])
def test_round_robin(tmp_path, count):
    """All behaviours of the first cycles, which are more than there are requesters."""
    check(RoundRobinSpec(count), tmp_path, depth=count + 4, mode="bmc")


class AllocatorSpec(wiring.Component):
    """Both allocators with any requests: grants are one-hot and only for those who asked."""

    opening: Any
    ready: Any
    credits: Any
    outputs: Any
    closing: Any

    def __init__(self, config: MeshConfig):
        self._config = config
        vcs = config.vcs
        per_vc = data.ArrayLayout(vcs, PORTS)
        super().__init__(
            {
                "opening": In(per_vc),
                "ready": In(per_vc),
                "credits": In(per_vc),
                "outputs": In(data.ArrayLayout(data.ArrayLayout(PORTS, vcs), PORTS)),
                "closing": In(per_vc),
            }
        )

    def elaborate(self, platform):
        m = formal_module()
        config = self._config
        m.submodules.va = va = VcAllocator(config=config)
        m.submodules.sa = sa = SwitchAllocator(config=config)
        m.d.comb += [
            va.opening.eq(self.opening),
            va.outputs.eq(self.outputs),
            va.closing.eq(self.closing),
            sa.ready.eq(self.ready),
            sa.outputs.eq(self.outputs),
            sa.credits.eq(self.credits),
        ]
        ports, vcs = range(PORTS), range(config.vcs)
        for i in ports:
            for vc in vcs:
                m.d.comb += assume(one_hot_or_none(self.outputs[i][vc]))
        for i in ports:
            m.d.comb += [
                assert_(one_hot_or_none(sa.reads[i])),
                assert_((sa.reads[i] & ~self.ready[i]) == 0),
                assert_((va.opened[i] & ~self.opening[i]) == 0),
                assert_(one_hot_or_none(Cat(sa.grants[o][i] for o in ports))),
                assert_(sa.reads[i].any() == Cat(sa.grants[o][i] for o in ports).any()),
            ]
        for o in ports:
            m.d.comb += assert_(one_hot_or_none(sa.grants[o]))
            for i in ports:
                # The flit that goes wants this output, which takes its virtual channel.
                for vc in vcs:
                    goes = sa.grants[o][i] & sa.reads[i][vc]
                    m.d.comb += assert_(~goes | (self.outputs[i][vc][o] & self.credits[o][vc]))
            for vc in vcs:
                # A virtual channel has one owner from its opening to its closing.
                opened = Cat(va.opened[i][vc] & self.outputs[i][vc][o] for i in ports)
                owned = Signal(name=f"owned_{o}_{vc}")
                m.d.comb += [
                    assume(owned | ~self.closing[o][vc]),
                    assert_(one_hot_or_none(opened)),
                    assert_(~opened.any() | ~owned),
                    assert_(va._taken[o][vc] == owned),
                ]
                with m.If(opened.any()):
                    m.d.sync += owned.eq(1)
                with m.If(self.closing[o][vc]):
                    m.d.sync += owned.eq(0)
        return m


def test_allocators(tmp_path):
    """By induction, with two virtual channels."""
    check(AllocatorSpec(config(vcs=2)), tmp_path, depth=1)


class RouteSpec(wiring.Component):
    """Two places in the largest mesh."""

    x: In(3)
    y: In(3)
    to_x: In(3)
    to_y: In(3)

    def elaborate(self, platform):
        m = formal_module()
        route = dimension_order(self.x, self.y, self.to_x, self.to_y)
        m.d.comb += [
            assert_(route.any() & one_hot_or_none(route)),
            assert_(~route[3:].any() | (self.x == self.to_x)),
        ]
        return m


def test_route(tmp_path):
    """Exactly one port, and none along the column before the row is done."""
    check(RouteSpec(), tmp_path, depth=1, mode="bmc")
