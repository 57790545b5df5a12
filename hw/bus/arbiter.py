"""One AXI port for several users (the paper's AXI mux)."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .axi import Burst, ReadPort, ReadWritePort, Response, WritePort
from .streams import Register

__all__ = ["ReadArbiter", "SharedPort"]


class _AddressLayout(data.StructLayout):
    def __init__(self, address_width: int, id_width: int):
        super().__init__(
            {
                "id": unsigned(id_width),
                "addr": unsigned(address_width),
                "len": unsigned(8),
                "size": unsigned(3),
                "burst": Burst,
            }
        )


class _DataLayout(data.StructLayout):
    def __init__(self, data_width: int, id_width: int):
        super().__init__(
            {
                "id": unsigned(id_width),
                "data": unsigned(data_width),
                "resp": Response,
                "last": unsigned(1),
            }
        )


class ReadArbiter(wiring.Component):
    """Shares one read port among managers, which the transaction identifier tells apart.

    ::

        managers AR -> round robin -> register -> AR
        managers R  <- by RID <------ register <- R

    Addresses are granted round robin: a manager waits at most for one address of each other one.
    Both channels carry a transfer per cycle and add one cycle of latency; no AXI output depends on
    an AXI input combinationally. Each manager gets its data in the order of its addresses, as the
    identifier is the manager's number; the identifiers that managers use are ignored.

    A manager that does not take its data stops the data of all others.

    Parameters
    ----------
    address_width, data_width : bits of an address, of a beat
    managers : how many
    id_width : bits of an identifier, at least enough for the managers

    Members
    -------
    managers : In(ReadPort).array(managers)
    axi : Out(ReadPort)
    """

    managers: Any
    axi: Any

    def __init__(self, *, address_width: int, data_width: int, managers: int, id_width: int):
        if managers < 1:
            raise ValueError(f"managers must be at least 1, not {managers!r}")
        if 1 << id_width < managers:
            raise ValueError(f"id_width must tell {managers} managers apart, not {id_width!r}")
        self._count = managers
        self._address = _AddressLayout(address_width, id_width)
        self._data = _DataLayout(data_width, id_width)
        self._served = Signal(range(managers), name="served")  # read by the proof, too
        super().__init__(
            {
                "managers": In(ReadPort(address_width, data_width)).array(managers),
                "axi": Out(ReadPort(address_width, data_width, id_width)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.address = address = Register(shape=self._address)
        m.submodules.data = beat = Register(shape=self._data)
        axi = self.axi

        # The next manager after the one served last.
        requests = Signal(self._count)
        served = self._served
        granted = Signal(range(self._count))
        m.d.comb += requests.eq(Cat(manager.arvalid for manager in self.managers))
        with m.Switch(served):
            for last in range(self._count):
                with m.Case(last):
                    for distance in reversed(range(self._count)):
                        candidate = (last + 1 + distance) % self._count
                        with m.If(requests[candidate]):
                            m.d.comb += granted.eq(candidate)
        m.d.comb += address.i.valid.eq(requests.any())
        with m.If(address.i.valid & address.i.ready):
            m.d.sync += served.eq(granted)
        with m.Switch(granted):
            for number, manager in enumerate(self.managers):
                with m.Case(number):
                    m.d.comb += [
                        address.i.payload.id.eq(number),
                        address.i.payload.addr.eq(manager.araddr),
                        address.i.payload.len.eq(manager.arlen),
                        address.i.payload.size.eq(manager.arsize),
                        address.i.payload.burst.eq(manager.arburst),
                        manager.arready.eq(address.i.ready),
                    ]
        m.d.comb += [
            axi.arid.eq(address.o.payload.id),
            axi.araddr.eq(address.o.payload.addr),
            axi.arlen.eq(address.o.payload.len),
            axi.arsize.eq(address.o.payload.size),
            axi.arburst.eq(address.o.payload.burst),
            axi.arvalid.eq(address.o.valid),
            address.o.ready.eq(axi.arready),
        ]

        m.d.comb += [
            beat.i.payload.id.eq(axi.rid),
            beat.i.payload.data.eq(axi.rdata),
            beat.i.payload.resp.eq(axi.rresp),
            beat.i.payload.last.eq(axi.rlast),
            beat.i.valid.eq(axi.rvalid),
            axi.rready.eq(beat.i.ready),
        ]
        for number, manager in enumerate(self.managers):
            mine = beat.o.payload.id == number
            m.d.comb += [
                manager.rid.eq(0),
                manager.rdata.eq(beat.o.payload.data),
                manager.rresp.eq(beat.o.payload.resp),
                manager.rlast.eq(beat.o.payload.last),
                manager.rvalid.eq(beat.o.valid & mine),
            ]
            with m.If(mine):
                m.d.comb += beat.o.ready.eq(manager.rready)
        return m


class SharedPort(wiring.Component):
    """Everything a core has to do with memory over one AXI port.

    The three readers share AR and R through a ``ReadArbiter`` (identifiers 0 for ``nbin``, 1 for
    ``sb``, 2 for ``cp``); the writer has AW, W and B for itself, with identifier 0.

    Parameters
    ----------
    address_width, data_width : bits of an address, of a beat

    Members
    -------
    nbin, sb, cp : In(ReadPort)
    nbout : In(WritePort)
    bus : Out(ReadWritePort), 2 bits of identifier
    """

    nbin: Any
    sb: Any
    cp: Any
    nbout: Any
    bus: Any

    ID_WIDTH = 2

    def __init__(self, *, address_width: int, data_width: int):
        self._address_width = address_width
        self._data_width = data_width
        read, write = (port(address_width, data_width) for port in (ReadPort, WritePort))
        super().__init__(
            {
                "nbin": In(read),
                "sb": In(read),
                "cp": In(read),
                "nbout": In(write),
                "bus": Out(ReadWritePort(address_width, data_width, self.ID_WIDTH)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.readers = readers = ReadArbiter(
            address_width=self._address_width,
            data_width=self._data_width,
            managers=3,
            id_width=self.ID_WIDTH,
        )
        for number, port in enumerate((self.nbin, self.sb, self.cp)):
            connect(m, flipped(port), readers.managers[number])
        for port in (readers.axi, flipped(self.nbout)):
            for name, member in port.signature.members.items():
                inner, outer = getattr(port, name), getattr(self.bus, name)
                m.d.comb += outer.eq(inner) if member.flow is Out else inner.eq(outer)
        return m
