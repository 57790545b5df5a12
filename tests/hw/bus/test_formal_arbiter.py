"""Proofs of the read arbiter: nothing is lost or mixed up, and nobody waits for long."""

from typing import Any

import pytest
from amaranth.hdl import Cat, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, connect, flipped

from hw.bus.arbiter import ReadArbiter
from hw.bus.axi import ReadPort
from tests.formal import assert_, assume, check, formal_module

WIDTH = 2
"""Bits of an address and a beat; the arbiter does not look at them."""
ID_WIDTH = 2


class ArbiterSpec(wiring.Component):
    """Managers and a memory that do what AXI allows, around an arbiter."""

    managers: Any
    memory: Any

    def __init__(self, managers: int):
        self._count = managers
        super().__init__(
            {
                "managers": In(ReadPort(WIDTH, WIDTH)).array(managers),
                "memory": In(ReadPort(WIDTH, WIDTH, ID_WIDTH).flip()),
            }
        )

    def elaborate(self, platform):
        m = formal_module()
        count = self._count
        m.submodules.arbiter = arbiter = ReadArbiter(
            address_width=WIDTH, data_width=WIDTH, managers=count, id_width=ID_WIDTH
        )
        managers, axi = arbiter.managers, arbiter.axi
        for inner, outer in zip(managers, self.managers, strict=True):
            connect(m, flipped(outer), inner)
        connect(m, axi, flipped(self.memory))

        def address(port):
            return Cat(port.araddr, port.arlen, port.arsize, Value.cast(port.arburst))

        def beat(port):
            return Cat(port.rdata, Value.cast(port.rresp), port.rlast)

        def stays(valid, ready, payload, name, rule):
            """What is offered stays until it is taken, says ``rule`` (assume or assert_)."""
            past, waiting = Signal(len(payload), name=f"{name}_past"), Signal(name=f"{name}_wait")
            m.d.sync += [past.eq(payload), waiting.eq(valid & ~ready)]
            m.d.comb += rule(~waiting | (valid & (payload == past)))
            return waiting

        m.d.comb += assume(~axi.rvalid | (axi.rid < count))
        waited = []
        for n, port in enumerate(managers):
            wait = stays(port.arvalid, port.arready, address(port), f"ar_{n}", assume)
            waited.append(wait)
            stays(port.rvalid, port.rready, beat(port), f"r_{n}", assert_)
        stays(axi.arvalid, axi.arready, Cat(axi.arid, address(axi)), "ar", assert_)
        stays(axi.rvalid, axi.rready, Cat(axi.rid, beat(axi)), "r", assume)

        # What is accepted on one side is offered on the other in the next cycle: a register each.
        accepted = Cat(port.arvalid & port.arready for port in managers)
        holds_address, holds_beat = Signal(), Signal()
        held_address = Signal(ID_WIDTH + len(address(axi)))
        held_beat = Signal(ID_WIDTH + len(beat(axi)))
        m.d.comb += [
            assert_((accepted & (accepted - 1)[:count]) == 0),
            assert_(axi.arvalid == holds_address),
            assert_(~axi.arvalid | (Cat(axi.arid, address(axi)) == held_address)),
        ]
        with m.If(axi.arready):
            m.d.sync += holds_address.eq(0)
        for n, port in enumerate(managers):
            with m.If(accepted[n]):
                m.d.comb += assert_(~holds_address | axi.arready)
                m.d.sync += [
                    holds_address.eq(1),
                    held_address.eq(Cat(Signal(ID_WIDTH, init=n, name=f"id_{n}"), address(port))),
                ]
        given = Cat(
            holds_beat & (held_beat[:ID_WIDTH] == n) & port.rready
            for n, port in enumerate(managers)
        ).any()
        for n, port in enumerate(managers):
            mine = holds_beat & (held_beat[:ID_WIDTH] == n)
            m.d.comb += [
                assert_(port.rvalid == mine),
                assert_(~mine | (beat(port) == held_beat[ID_WIDTH:])),
            ]
        m.d.comb += [
            assert_(axi.rready == (~holds_beat | given)),
            assert_(~holds_beat | (held_beat[:ID_WIDTH] < count)),
        ]
        with m.If(axi.rready):
            m.d.sync += [holds_beat.eq(axi.rvalid), held_beat.eq(Cat(axi.rid, beat(axi)))]

        # Whenever the port is free somebody who asks is served, and who waits sees each other
        # manager served at most once.
        asking = Cat(port.arvalid for port in managers)
        m.d.comb += assert_(accepted.any() == (asking.any() & (~holds_address | axi.arready)))
        for n, port in enumerate(managers):
            seen = Signal(count, name=f"seen_{n}")
            m.d.comb += assert_((seen & accepted) == 0)
            m.d.sync += seen.eq(Mux(port.arvalid & ~port.arready, seen | accepted, 0))
            # What the induction needs: the turn is past those who were served meanwhile.
            m.d.comb += [
                assert_(~seen.any() | (waited[n] & seen.bit_select(arbiter._served, 1))),
                assert_(~seen[n]),
            ]
            distance = Signal(range(count), name=f"distance_{n}")
            for last in range(count):
                with m.If(arbiter._served == last):
                    m.d.comb += distance.eq((last - n - 1) % count)
            for other in range(count):
                place = (other - n - 1) % count
                m.d.comb += assert_(~seen[other] | (place <= distance))
        m.d.comb += assert_(arbiter._served < count)
        return m


@pytest.mark.parametrize("managers", [1, 3, 4])
def test_arbiter(tmp_path, managers):
    """By induction over two cycles, for all time."""
    check(ArbiterSpec(managers), tmp_path, depth=2)
