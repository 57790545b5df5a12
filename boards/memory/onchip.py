"""Memory on the FPGA itself, behind an AXI port and the host link."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hw.bus.axi import ReadWritePort, Response
from hw.link.words import WordPort

from .storage import Storage

__all__ = ["OnChipMemory"]

_ID_WIDTH = 2


class OnChipMemory(wiring.Component):
    """A storage that answers the bursts of a core and the words of a host link.

    One burst or word at a time, in turn: a word first, then reads and writes alternately. A burst
    of reads gives its first beat 2 cycles after its address was taken and then one per cycle;
    reads follow each other without a gap while nobody else waits. A burst of writes takes a cycle
    per beat and 2 for address and response. Addresses wrap at the end of the memory.

    Parameters
    ----------
    storage : where the data are; its ``width`` is that of the port
    address_width : bits of a byte's address at ``bus``

    Members
    -------
    bus : In(ReadWritePort)
    words : In(WordPort)
    """

    bus: Any
    words: Any

    latency = 2  # from an address to its first beat
    on_chip = True

    def __init__(self, *, storage: Storage, address_width: int):
        self._storage = storage
        self.size = storage.depth * storage.width // 8
        self.bandwidth = storage.width // 8
        word_bits = (self.size // 4 - 1).bit_length()
        super().__init__(
            {
                "bus": In(ReadWritePort(address_width, storage.width, _ID_WIDTH)),
                "words": In(WordPort(word_bits)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.storage = storage = self._storage  # type: ignore
        port: Any = storage.port
        bus, words = self.bus, self.words
        skip = (storage.width // 8).bit_length() - 1  # address bits within a beat
        lanes = storage.width // 32

        address = Signal.like(port.address)
        left = Signal(8)
        read_id = Signal(_ID_WIDTH)
        write_id = Signal(_ID_WIDTH)
        wrote = Signal()  # the last burst was a write
        issue = Signal()
        m.d.comb += [
            port.address.eq(address),
            issue.eq(~bus.rvalid | bus.rready),
            bus.rdata.eq(port.r_data),
            bus.rresp.eq(Response.OKAY),
            bus.bresp.eq(Response.OKAY),
            bus.bid.eq(write_id),
            words.error.eq(0),
        ]
        with m.If(bus.rready):
            m.d.sync += bus.rvalid.eq(0)

        def take_read():
            m.d.comb += bus.arready.eq(1)
            m.d.sync += [
                address.eq(bus.araddr[skip:]),
                left.eq(bus.arlen),
                read_id.eq(bus.arid),
                wrote.eq(0),
            ]

        word = words.address[(lanes - 1).bit_length() :]
        lane = words.address[: (lanes - 1).bit_length()]
        with m.FSM():
            with m.State("IDLE"):
                with m.If(words.valid & ~words.ready):
                    m.d.sync += address.eq(word)
                    m.next = "WORD"
                with m.Elif(bus.awvalid & ~(bus.arvalid & wrote)):
                    m.d.comb += bus.awready.eq(1)
                    m.d.sync += [
                        address.eq(bus.awaddr[skip:]), write_id.eq(bus.awid), wrote.eq(1)
                    ]  # fmt: skip
                    m.next = "WRITE"
                with m.Elif(bus.arvalid):
                    take_read()
                    m.next = "READ"
            with m.State("READ"):
                m.d.comb += port.read.eq(issue)
                with m.If(issue):
                    m.d.sync += [
                        bus.rvalid.eq(1),
                        bus.rlast.eq(left == 0),
                        bus.rid.eq(read_id),
                        address.eq(address + 1),
                        left.eq(left - 1),
                    ]
                    with m.If(left == 0):
                        m.next = "LAST"
                        with m.If(bus.arvalid & ~bus.awvalid & ~words.valid):
                            take_read()
                            m.next = "READ"
            with m.State("LAST"), m.If(issue):
                m.next = "IDLE"
            with m.State("WRITE"):
                m.d.comb += [
                    bus.wready.eq(1),
                    port.w_data.eq(bus.wdata),
                    port.write.eq(Mux(bus.wvalid, bus.wstrb, 0)),
                ]
                with m.If(bus.wvalid):
                    m.d.sync += address.eq(address + 1)
                    with m.If(bus.wlast):
                        m.d.sync += bus.bvalid.eq(1)
                        m.next = "RESPONSE"
            with m.State("RESPONSE"), m.If(bus.bready):
                m.d.sync += bus.bvalid.eq(0)
                m.next = "IDLE"
            with m.State("WORD"):
                for n in range(lanes):
                    m.d.comb += port.w_data[32 * n : 32 * n + 32].eq(words.w_data)
                with m.If(words.write):
                    m.d.comb += port.write.word_select(lane, 4).eq(0xF)
                with m.Else():
                    m.d.comb += port.read.eq(1)
                m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += [
                    words.ready.eq(1),
                    words.r_data.eq(port.r_data.word_select(lane, 32)),
                ]
                m.next = "IDLE"
        return m
