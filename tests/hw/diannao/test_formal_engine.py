"""Proof of the engine's bursts, for all that may stand in its memory and come to its inputs."""

from typing import Any

from amaranth.hdl import Cat, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, connect, flipped

from hw.bus.axi import ReadWritePort
from hw.diannao.config import Config
from hw.diannao.engine.engine import Engine, Phase, burst_size
from hw.diannao.engine.rows import Client
from tests.formal import assert_, assume, check, formal_module

CONFIG = Config(
    name="engine", tn=2, ti=4, width=8, nbin_rows=8, sb_rows=4, nbout_rows=16, nbin_port=32,
    sb_port=32, nbout_port=32, cp_port=32, shared_port=True, address_width=16, outstanding=1,
    burst=4, instruction_buffer=256, queue=0, engine=True,
)  # fmt: skip
SIZE = burst_size(CONFIG)


class EngineSpec(wiring.Component):
    """The engine with a free environment; it is not told to start in the middle of its work."""

    bus: Any
    others: Signal

    def __init__(self):
        self._engine = Engine(config=CONFIG)
        self._inputs = {
            name: member
            for name, member in self._engine.signature.members.items()
            if member.is_port and member.flow == In
        }
        bits = sum(len(Value.cast(getattr(self._engine, name))) for name in self._inputs)
        super().__init__(
            {
                "bus": In(ReadWritePort(CONFIG.address_width, CONFIG.nbin_port, 2).flip()),
                "others": In(bits),
                "flight_ready": In(1),
                "place_ready": In(1),
            }
        )

    def elaborate(self, platform):
        m = formal_module()
        m.submodules.engine = engine = self._engine
        connect(m, engine.axi, flipped(self.bus))
        low = 0
        for name in self._inputs:
            port = Value.cast(getattr(engine, name))
            m.d.comb += port.eq(self.others[low : low + len(port)])
            low += len(port)
        m.d.comb += [
            engine.flight.ready.eq(self.flight_ready),  # type: ignore
            engine.place.ready.eq(self.place_ready),  # type: ignore
            assume(~engine.start | ~engine.fetching),
            # A mark comes back when it has been sent.
            assume(~engine.ended[Client.NBIN] | (engine.phase == Phase.LAST)),
        ]

        # A burst in the making ends at a multiple of its size at the latest; so it is on the bus.
        a, p = engine.a, engine.p
        offset = a[: SIZE.bit_length() - 1]
        m.d.comb += assert_(~engine.bounded | (offset + p <= SIZE))
        skipping = (engine.flight.payload.client == Client.NBIN) & (engine.phase == Phase.SKIP)  # type: ignore
        m.d.comb += [assert_(~engine.astray), assert_(~(engine.axi.arvalid & skipping))]
        for way in "rw":
            valid, ready, address, length = (
                getattr(engine.axi, f"a{way}{name}") for name in ("valid", "ready", "addr", "len")
            )
            last = (address + (length << 2))[: CONFIG.address_width]
            m.d.comb += assert_(~(valid & p.any()) | (address[12:] == last[12:]))
            m.d.comb += assert_(~(valid & p.any()) | (length < SIZE // 4))
            # It stays until it is taken.
            past, waiting = Signal(len(address) + len(length), name=f"past_{way}"), Signal()
            m.d.sync += [past.eq(Cat(address, length)), waiting.eq(valid & ~ready)]
            m.d.comb += assert_(~waiting | (valid & (Cat(address, length) == past)))
        m.d.comb += assert_(~(engine.axi.arvalid & engine.axi.awvalid))
        return m


def test_bursts(tmp_path):
    check(EngineSpec(), tmp_path, depth=3)
