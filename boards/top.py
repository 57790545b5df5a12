"""A board without its board: core, memory and host link, ready for any platform."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.bus.axi import AxiLitePort
from hw.bus.csr import RegisterBlock
from hw.diannao.config import Config
from hw.diannao.core import Core
from hw.diannao.csr import ADDRESS_WIDTH as CORE_ADDRESS_WIDTH
from hw.diannao.events import Stall
from hw.link.bridge import Bridge
from hw.link.protocol import BOARD, REGISTERS
from hw.link.uart import UartReceiver, UartTransmitter
from hw.link.words import WordPort

from .registers import ADDRESS_WIDTH, board_registers

__all__ = ["SILENCE", "BoardTop", "LiteManager"]

SILENCE = 0.01
"""Seconds without a byte that end a broken command: more than what holds a frame up on its way."""


class LiteManager(wiring.Component):
    """From words to AXI4-Lite: a word takes 3 cycles or more.

    Members
    -------
    words : In(WordPort)
    axi : Out(AxiLitePort)
    """

    words: Any
    axi: Any

    def __init__(self, *, address_width: int):
        super().__init__(
            {
                "words": In(WordPort(address_width - 2)),
                "axi": Out(AxiLitePort(address_width)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        words, axi = self.words, self.axi
        m.d.comb += [
            axi.araddr[2:].eq(words.address),
            axi.awaddr[2:].eq(words.address),
            axi.wdata.eq(words.w_data),
            axi.wstrb.eq(0xF),
            words.r_data.eq(axi.rdata),
        ]
        data = Signal()  # the write data have not been taken
        with m.FSM():
            with m.State("IDLE"), m.If(words.valid):
                m.d.sync += [
                    axi.awvalid.eq(words.write), data.eq(words.write), axi.arvalid.eq(~words.write)
                ]  # fmt: skip
                m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += [
                    axi.wvalid.eq(data),
                    axi.rready.eq(1),
                    axi.bready.eq(1),
                    words.ready.eq(axi.rvalid | axi.bvalid),
                    words.error.eq(axi.rresp.as_value()[1]),
                ]
                with m.If(axi.awready):
                    m.d.sync += axi.awvalid.eq(0)
                with m.If(axi.wready):
                    m.d.sync += data.eq(0)
                with m.If(axi.arready):
                    m.d.sync += axi.arvalid.eq(0)
                with m.If(axi.bvalid):
                    m.d.comb += words.error.eq(axi.bresp.as_value()[1])
                with m.If(words.ready):
                    m.next = "IDLE"
        return m


class BoardTop(wiring.Component):
    """Core, memory and host link.

    ::

        rx -> UART -> bridge -+-> registers: core, board
        tx <-                 |
                              +-> memory <-AXI- core

    Parameters
    ----------
    config : the core; with a shared port as wide as the memory
    memory : a component as ``boards.memory`` describes
    clock : cycles per second of the clock domain ``sync``
    baud : bits per second of the serial line
    silence : seconds without a byte that end a broken command

    Members
    -------
    rx : In(1), tx : Out(1), the serial line
    busy : Out(1), the core runs
    pins : Out, of the memory, if it has any
    """

    rx: Signal
    tx: Signal
    busy: Signal

    def __init__(
        self, *, config: Config, memory: Any, clock: int, baud: int, silence: float = SILENCE
    ):
        self._config = config
        self.memory = memory
        self._clock = clock
        self._divisor = round(clock / baud)
        self._silence = round(clock * silence)
        pins = {"pins": Out(memory.pins.signature)} if hasattr(memory, "pins") else {}
        super().__init__({"rx": In(1), "tx": Out(1), "busy": Out(1), **pins})

    def elaborate(self, platform):
        m = Module()
        memory = self.memory
        m.submodules.core = core = Core(config=self._config)
        m.submodules.memory = memory
        connect(m, core.bus, memory.bus)
        if hasattr(memory, "pins"):
            connect(m, memory.pins, flipped(self.pins))  # type: ignore

        m.submodules.receiver = receiver = UartReceiver(divisor=self._divisor)
        m.submodules.transmitter = transmitter = UartTransmitter(divisor=self._divisor)
        width = max(memory.words.signature.address_width, CORE_ADDRESS_WIDTH - 1)
        m.submodules.bridge = bridge = Bridge(address_width=width, timeout=self._silence)
        m.d.comb += [receiver.rx.eq(self.rx), self.tx.eq(transmitter.tx)]
        connect(m, receiver.o, bridge.i)
        connect(m, bridge.o, transmitter.i)

        # Registers of the core, and of the board.
        m.submodules.core_port = core_port = LiteManager(address_width=CORE_ADDRESS_WIDTH)
        m.submodules.board_port = board_port = LiteManager(address_width=ADDRESS_WIDTH)
        m.submodules.registers = registers = RegisterBlock(
            registers=board_registers(
                memory=memory.size,
                bandwidth=memory.bandwidth,
                latency=memory.latency,
                on_chip=memory.on_chip,
                clock=self._clock,
            ),
            address_width=ADDRESS_WIDTH,
        )
        connect(m, core_port.axi, core.csr)
        connect(m, board_port.axi, registers.bus)

        words = bridge.words
        is_board = words.address[((BOARD - REGISTERS) // 4).bit_length() - 1]
        for chosen, part in (
            (~bridge.registers, memory.words),
            (bridge.registers & ~is_board, core_port.words),
            (bridge.registers & is_board, board_port.words),
        ):
            m.d.comb += [
                part.address.eq(words.address),
                part.write.eq(words.write),
                part.w_data.eq(words.w_data),
                part.valid.eq(words.valid & chosen),
            ]
            with m.If(chosen):
                m.d.comb += [
                    words.ready.eq(part.ready),
                    words.r_data.eq(part.r_data),
                    words.error.eq(part.error),
                ]
        m.d.comb += [
            bridge.plain_writes.eq(~registers.link.checked),  # type: ignore
            self.busy.eq(core.events.stall != Stall.IDLE),
        ]
        return m
