"""One AXI port for several cores, each with a whole port of its own."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..mesh.round_robin import RoundRobin
from .axi import ReadWritePort
from .streams import Queue, Register

__all__ = ["PortArbiter"]

_ADDRESS = ("id", "addr", "len", "size", "burst")
_CHANNELS = {
    "ar": _ADDRESS,
    "aw": _ADDRESS,
    "w": ("data", "strb", "last"),
    "r": ("id", "data", "resp", "last"),
    "b": ("id", "resp"),
}
_WRITES_IN_FLIGHT = 8
"""Addresses of writes whose data have not all gone."""


class PortArbiter(wiring.Component):
    """Shares one port among cores, whose numbers become the upper bits of the identifiers.

    ::

        cores AR, AW -> round robin -> register -> AR, AW
        cores W      -> in the order of their addresses -> register -> W
        cores R, B   <- by identifier <- register <- R, B

    Addresses are granted round robin; every channel carries a transfer per cycle and adds one cycle
    of latency. Identifiers of a core come back as they were, and so does its order. Data of writes
    follow their addresses, as AXI wants it: a core that has sent an address and waits with its data
    holds up those of the others.

    Parameters
    ----------
    address_width, data_width : bits of an address, of a beat
    id_width : bits of a core's identifiers
    cores : how many, at least 2

    Members
    -------
    cores : In(ReadWritePort).array(cores)
    axi : Out(ReadWritePort), ``id_width`` and the bits of a core's number of identifier
    """

    cores: Any
    axi: Any

    def __init__(self, *, address_width: int, data_width: int, id_width: int, cores: int):
        if cores < 2:
            raise ValueError(f"cores must be at least 2, not {cores!r}")
        self._count = cores
        self._id_width = id_width
        wide = id_width + (cores - 1).bit_length()
        super().__init__(
            {
                "cores": In(ReadWritePort(address_width, data_width, id_width)).array(cores),
                "axi": Out(ReadWritePort(address_width, data_width, wide)),
            }
        )

    def _register(self, m: Module, channel: str) -> Register:
        """A register as wide as the channel of the shared port."""
        fields = {
            name: unsigned(len(Value.cast(getattr(self.axi, f"{channel}{name}"))))
            for name in _CHANNELS[channel]
        }
        register = Register(shape=data.StructLayout(fields))
        m.submodules[channel] = register
        return register

    def elaborate(self, platform):
        m = Module()
        axi, low = self.axi, self._id_width

        def to_port(channel: str, register: Register):
            for name in _CHANNELS[channel]:
                m.d.comb += getattr(axi, f"{channel}{name}").eq(register.o.payload[name])
            m.d.comb += [
                getattr(axi, f"{channel}valid").eq(register.o.valid),
                register.o.ready.eq(getattr(axi, f"{channel}ready")),
            ]

        # The cores whose data come next.
        m.submodules.order = order = Queue(
            shape=unsigned((self._count - 1).bit_length()), depth=_WRITES_IN_FLIGHT
        )

        # Addresses.
        for channel in ("ar", "aw"):
            register = self._register(m, channel)
            m.submodules[f"{channel}_turns"] = turns = RoundRobin(self._count)
            room = Signal(name=f"{channel}_room")
            m.d.comb += [
                room.eq(register.i.ready & (order.i.ready if channel == "aw" else 1)),
                turns.requests.eq(Cat(getattr(core, f"{channel}valid") for core in self.cores)),
                turns.served.eq(room),
                register.i.valid.eq(turns.requests.any() & room),
            ]
            for number, core in enumerate(self.cores):
                m.d.comb += getattr(core, f"{channel}ready").eq(turns.grant[number] & room)
                with m.If(turns.grant[number]):
                    for name in _CHANNELS[channel][1:]:
                        m.d.comb += register.i.payload[name].eq(getattr(core, f"{channel}{name}"))
                    m.d.comb += [
                        register.i.payload.id[:low].eq(getattr(core, f"{channel}id")),
                        register.i.payload.id[low:].eq(number),
                    ]
                    if channel == "aw":
                        m.d.comb += order.i.payload.eq(number)
            if channel == "aw":
                m.d.comb += order.i.valid.eq(turns.requests.any() & register.i.ready)
            to_port(channel, register)

        # Data of writes.
        register = self._register(m, "w")
        for number, core in enumerate(self.cores):
            with m.If(order.o.valid & (order.o.payload == number)):
                m.d.comb += [
                    register.i.valid.eq(core.wvalid),
                    core.wready.eq(register.i.ready),
                    order.o.ready.eq(core.wvalid & register.i.ready & core.wlast),
                ]
                for name in _CHANNELS["w"]:
                    m.d.comb += register.i.payload[name].eq(getattr(core, f"w{name}"))
        to_port("w", register)

        # Answers.
        for channel in ("r", "b"):
            register = self._register(m, channel)
            for name in _CHANNELS[channel]:
                m.d.comb += register.i.payload[name].eq(getattr(axi, f"{channel}{name}"))
            m.d.comb += [
                register.i.valid.eq(getattr(axi, f"{channel}valid")),
                getattr(axi, f"{channel}ready").eq(register.i.ready),
            ]
            answer = register.o.payload
            for number, core in enumerate(self.cores):
                mine = answer.id[low:] == number
                m.d.comb += [
                    getattr(core, f"{channel}valid").eq(register.o.valid & mine),
                    getattr(core, f"{channel}id").eq(answer.id[:low]),
                ]
                for name in _CHANNELS[channel][1:]:
                    m.d.comb += getattr(core, f"{channel}{name}").eq(answer[name])
                with m.If(mine):
                    m.d.comb += register.o.ready.eq(getattr(core, f"{channel}ready"))
        return m
