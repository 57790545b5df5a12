"""AXI4 and AXI4-Lite port signatures, with the signal names of the standard in lower case.

All signatures are seen from the manager. A core reads through ``ReadPort`` and writes through
``WritePort``; ``ReadWritePort`` is a whole AXI4 port. Bursts are always INCR and full width.
"""

from amaranth.hdl import unsigned
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["AxiLitePort", "Burst", "ReadPort", "ReadWritePort", "Response", "WritePort"]


class Response(enum.Enum, shape=2):
    """RRESP and BRESP."""

    OKAY = 0
    EXOKAY = 1
    SLVERR = 2
    DECERR = 3


class Burst(enum.Enum, shape=2):
    """ARBURST and AWBURST."""

    FIXED = 0
    INCR = 1
    WRAP = 2


def _address_channel(p: str, address_width: int, id_width: int):
    return {
        f"{p}id": Out(id_width),
        f"{p}addr": Out(address_width),
        f"{p}len": Out(8),
        f"{p}size": Out(3),
        f"{p}burst": Out(Burst),
        f"{p}valid": Out(1),
        f"{p}ready": In(1),
    }


def _read_members(address_width: int, data_width: int, id_width: int):
    return _address_channel("ar", address_width, id_width) | {
        "rid": In(id_width),
        "rdata": In(unsigned(data_width)),
        "rresp": In(Response),
        "rlast": In(1),
        "rvalid": In(1),
        "rready": Out(1),
    }


def _write_members(address_width: int, data_width: int, id_width: int):
    return _address_channel("aw", address_width, id_width) | {
        "wdata": Out(unsigned(data_width)),
        "wstrb": Out(data_width // 8),
        "wlast": Out(1),
        "wvalid": Out(1),
        "wready": In(1),
        "bid": In(id_width),
        "bresp": In(Response),
        "bvalid": In(1),
        "bready": Out(1),
    }


class _Port(wiring.Signature):
    def __init__(self, members, address_width: int, data_width: int, id_width: int):
        self.address_width = address_width
        self.data_width = data_width
        self.id_width = id_width
        super().__init__(members)


class ReadPort(_Port):
    """AR and R channels. ``data_width`` may exceed AXI4's 1024 bits (ARSIZE then reads 7)."""

    def __init__(self, address_width: int, data_width: int, id_width: int = 1):
        members = _read_members(address_width, data_width, id_width)
        super().__init__(members, address_width, data_width, id_width)


class WritePort(_Port):
    """AW, W and B channels."""

    def __init__(self, address_width: int, data_width: int, id_width: int = 1):
        members = _write_members(address_width, data_width, id_width)
        super().__init__(members, address_width, data_width, id_width)


class ReadWritePort(_Port):
    """All five channels."""

    def __init__(self, address_width: int, data_width: int, id_width: int = 1):
        members = _read_members(address_width, data_width, id_width) | _write_members(
            address_width, data_width, id_width
        )
        super().__init__(members, address_width, data_width, id_width)


class AxiLitePort(wiring.Signature):
    """AXI4-Lite, 32 data bits."""

    def __init__(self, address_width: int):
        self.address_width = address_width
        super().__init__(
            {
                "awaddr": Out(address_width),
                "awprot": Out(3),
                "awvalid": Out(1),
                "awready": In(1),
                "wdata": Out(32),
                "wstrb": Out(4),
                "wvalid": Out(1),
                "wready": In(1),
                "bresp": In(Response),
                "bvalid": In(1),
                "bready": Out(1),
                "araddr": Out(address_width),
                "arprot": Out(3),
                "arvalid": Out(1),
                "arready": In(1),
                "rdata": In(32),
                "rresp": In(Response),
                "rvalid": In(1),
                "rready": Out(1),
            }
        )
