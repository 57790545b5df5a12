"""An SDRAM chip behind an AXI port and the host link."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.bus.axi import ReadWritePort, Response
from hw.link.words import WordPort

from .sdram_chip import SdramChip
from .sdram_controller import SdramController, SdramPins
from .sdram_model import SdramModel

__all__ = ["SdramMemory"]

_ID_WIDTH = 2


class SdramMemory(wiring.Component):
    """The memory of a board in an SDRAM with 16 data bits: two bytes per cycle.

    Bursts and words are executed in the order in which their addresses are taken: a word first,
    then bursts of reads and of writes alternately. Successive rows are in successive banks, so that
    a stream finds its next row open. A burst of four beats or more is taken, and its row opened,
    while the beats of the one before pass. Of writes, one burst at a time waits for its data or its
    response; nothing gets past one that waits for data. Addresses wrap at the end of the memory,
    which answers from ``power_up`` after a reset on.

    Parameters
    ----------
    chip : which chip
    clock : cycles per second
    address_width : bits of a byte's address at ``bus``
    data_width : of ``bus``, 32, 64 or 128

    Members
    -------
    bus : In(ReadWritePort)
    words : In(WordPort)
    pins : Out(SdramPins)

    Raises
    ------
    UserError
        If the clock is too fast for the chip.
    """

    bus: Any
    words: Any
    pins: Any

    latency = 20  # with a row to be opened
    on_chip = False

    def __init__(self, *, chip: SdramChip, clock: int, address_width: int, data_width: int):
        self.chip = chip
        self.clock = clock
        self.size = chip.size
        self.bandwidth = chip.WIDTH // 8
        self._data_width = data_width
        self._timing = chip.timing(clock)
        word_bits = (self.size // 4 - 1).bit_length()
        super().__init__(
            {
                "bus": In(ReadWritePort(address_width, data_width, _ID_WIDTH)),
                "words": In(WordPort(word_bits)),
                "pins": Out(SdramPins(chip)),
            }
        )

    def make_model(self) -> SdramModel:
        """The chip for a simulation."""
        return SdramModel(chip=self.chip, clock=self.clock)

    def elaborate(self, platform):
        m = Module()
        bus, words = self.bus, self.words
        # The tag of a request is its identifier, or that of the host.
        host_tag = 1 << _ID_WIDTH
        m.submodules.controller = controller = SdramController(
            chip=self.chip, timing=self._timing, beat=self._data_width, tag=_ID_WIDTH + 1
        )
        connect(m, controller.pins, flipped(self.pins))
        request: Any = controller.i.payload

        skip = (self._data_width // 8).bit_length() - 1  # address bits within a beat
        lanes = self._data_width // 32
        lane_bits = (lanes - 1).bit_length()
        address = Signal((self.size >> skip).bit_length() - 1)
        lane = words.address[:lane_bits]
        left = Signal(8)
        write, tag = Signal(), Signal(_ID_WIDTH + 1)

        asked = Signal()  # the host's word is on its way
        wants, wants_write = Signal(), Signal()  # it is to be sent; a cycle late, as it is far away
        storing = Signal()  # a burst of writes has not been answered
        wrote = Signal()  # the last burst was a write
        host_write = Signal()  # the host's word is to be written

        # Which burst or word is next; then its parts, one for each row.
        column_bits = len(request.column)
        column = address[:column_bits]
        room = Signal(column_bits)  # beats to the end of the row, less 1
        fits = Signal()
        m.d.comb += [
            room.eq(~column),
            fits.eq(left <= room),
            request.write.eq(write),
            request.column.eq(column),
            request.bank.eq(address[column_bits:]),
            request.row.eq(address[column_bits + self.chip.BANK_BITS :]),
            request.length.eq(Mux(fits, left, room)),
            request.last.eq(fits),
            request.tag.eq(tag),
        ]
        m.d.sync += [wants.eq(words.valid & ~asked), wants_write.eq(words.write)]
        with m.FSM():
            with m.State("CHOOSE"):
                with m.If(wants & ~(wants_write & storing)):
                    m.d.sync += [
                        address.eq(words.address[lane_bits:]),
                        left.eq(0),
                        write.eq(wants_write),
                        tag.eq(host_tag),
                        asked.eq(1),
                        host_write.eq(wants_write),
                    ]
                    m.next = "REQUEST"
                with m.Elif(bus.awvalid & ~storing & ~host_write & ~(bus.arvalid & wrote)):
                    m.d.comb += bus.awready.eq(1)
                    m.d.sync += [
                        address.eq(bus.awaddr[skip:]),
                        left.eq(bus.awlen),
                        write.eq(1),
                        bus.bid.eq(bus.awid),
                        storing.eq(1),
                        wrote.eq(1),
                    ]
                    m.next = "REQUEST"
                with m.Elif(bus.arvalid):
                    m.d.comb += bus.arready.eq(1)
                    m.d.sync += [
                        address.eq(bus.araddr[skip:]),
                        left.eq(bus.arlen),
                        write.eq(0),
                        tag.eq(bus.arid),
                        wrote.eq(0),
                    ]
                    m.next = "REQUEST"
            with m.State("REQUEST"):
                m.d.comb += controller.i.valid.eq(1)
                with m.If(controller.i.ready):
                    m.d.sync += [
                        address[column_bits:].eq(address[column_bits:] + 1),
                        address[:column_bits].eq(0),
                        left.eq(left - room - 1),
                    ]
                    with m.If(fits):
                        m.next = "CHOOSE"

        # What is written, and the answer to it.
        m.d.comb += [
            controller.w.payload.data.eq(Mux(host_write, words.w_data.replicate(lanes), bus.wdata)),
            controller.w.payload.strobes.eq(bus.wstrb),
            controller.w.valid.eq(host_write | bus.wvalid),
            bus.wready.eq(controller.w.ready & ~host_write),
            bus.bresp.eq(Response.OKAY),
        ]
        with m.If(host_write):
            m.d.comb += controller.w.payload.strobes.eq(
                Cat((lane == n).replicate(4) for n in range(lanes))
            )
        with m.If(bus.bready & bus.bvalid):
            m.d.sync += [bus.bvalid.eq(0), storing.eq(0)]
        with m.If(bus.wvalid & bus.wready & bus.wlast):
            m.d.sync += bus.bvalid.eq(1)

        # What is read.
        beat: Any = controller.r.payload
        for_host = beat.tag[-1]
        m.d.comb += [
            bus.rdata.eq(beat.data),
            bus.rid.eq(beat.tag),
            bus.rlast.eq(beat.last),
            bus.rresp.eq(Response.OKAY),
            bus.rvalid.eq(controller.r.valid & ~for_host),
            controller.r.ready.eq(bus.rready | for_host),
            words.r_data.eq(beat.data.word_select(lane, 32)),
            words.ready.eq(Mux(host_write, controller.w.ready, controller.r.valid & for_host)),
            words.error.eq(0),
        ]
        with m.If(words.ready):
            m.d.sync += [asked.eq(0), host_write.eq(0)]
        return m
