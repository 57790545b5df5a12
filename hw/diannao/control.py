"""The control processor (CP): fetches and decodes the program, and feeds the units' queues."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..bus.axi import ReadPort
from ..bus.streams import Queue
from .config import Config
from .decode import Decoder, QueuedStore
from .fetch import Fetch
from .isa import WORD_BITS, ErrorCode
from .load import NbinLoad, SbLoad

__all__ = ["Control"]


class Control(wiring.Component):
    """Runs a program: every slot goes to the queue of its unit, in order (paper, section 6.3).

    ::

                                                 +-> queue -> sb
        axi -> instruction buffer -> decoder ----+-> queue -> nbin
                                                 +-> queue -> nbout
                                                 +-> words -> nfu

    One word is decoded per cycle unless the next slot's unit has no place for it. Without queues,
    the decoder holds one slot until its unit takes it. With END it stops
    fetching, waits until the units have done everything, and pulses ``finished``. Until then
    ``start`` is ignored.

    A fault stops it: no slot of the faulty instruction that has not been handed out will be. A bus
    error counts at the instruction that is being decoded when it arrives, and not at all after
    END. After a fault, or after ``halt``, only a reset makes it run again; ``idle`` tells when the
    reset cannot leave a read without its data.

    Parameters
    ----------
    config : core configuration

    Members
    -------
    start : In(1), run the program of ``size`` bytes at ``program``
    program : In(address_width), byte address, a multiple of 8
    size : In(32), bytes, a positive multiple of 8 below 2**31 and not beyond the addresses
    halt : In(1), stop everything
    drained : In(1), no unit has anything in work (the queues are looked at here)
    axi : Out(ReadPort)
    sb : Out(stream(SbLoad))
    nbin : Out(stream(NbinLoad)), ``stores`` counts from the last reset
    nbout : Out(stream(QueuedStore))
    nfu : Out(stream(64)), the words of NFU slots; ``commit``, ``nest_pc``, ``nest_tag`` : Out, as
        Sequencer takes them
    finished : Out(1), pulse
    error : Out(1), pulse in the cycle after the fault
    code : Out(ErrorCode), holds after ``error``: ILLEGAL_INSTRUCTION (also for a misaligned
        ``program``), END_OF_PROGRAM (also for a ``size`` that cannot be) or BUS_CP
    pc : Out(32), holds after ``error``: byte offset of the instruction from the program's start
    idle : Out(1), nothing is in flight on ``axi``, and nothing will be while ``halt``
    bytes : Out(range(cp_port / 8 + 1)), bytes fetched in this cycle
    """

    start: Signal
    program: Signal
    size: Signal
    halt: Signal
    drained: Signal
    axi: Any
    sb: stream.Interface
    nbin: stream.Interface
    nbout: stream.Interface
    nfu: stream.Interface
    commit: Signal
    nest_pc: Signal
    nest_tag: Signal
    finished: Signal
    error: Signal
    code: Any
    pc: Signal
    idle: Signal
    bytes: Signal

    def __init__(self, *, config: Config):
        self._config = config
        super().__init__(
            {
                "start": In(1),
                "program": In(config.address_width),
                "size": In(32),
                "halt": In(1),
                "drained": In(1),
                "axi": Out(ReadPort(config.address_width, config.cp_port)),
                "sb": Out(stream.Signature(SbLoad)),
                "nbin": Out(stream.Signature(NbinLoad)),
                "nbout": Out(stream.Signature(QueuedStore)),
                "nfu": Out(stream.Signature(unsigned(WORD_BITS))),
                "commit": Out(1),
                "nest_pc": Out(32),
                "nest_tag": Out(16),
                "finished": Out(1),
                "error": Out(1),
                "code": Out(ErrorCode),
                "pc": Out(32),
                "idle": Out(1),
                "bytes": Out(range(config.cp_port // 8 + 1)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self._config
        m.submodules.fetch = fetch = Fetch(config=config)
        m.submodules.decoder = decoder = Decoder(
            address_width=config.address_width, queued=config.queue > 0
        )
        connect(m, flipped(self.axi), fetch.axi)
        connect(m, fetch.o, decoder.i)
        queues = []
        for name, source, unit in (
            ("sb", decoder.sb, self.sb),
            ("nbin", decoder.nbin, self.nbin),
            ("nbout", decoder.nbout, self.nbout),
        ):
            if not config.queue:
                connect(m, source, flipped(unit))
                continue
            queue = Queue(shape=unsigned(len(Value.cast(source.payload))), depth=config.queue + 1)
            m.submodules[f"{name}_queue"] = queue
            connect(m, source, queue.i)
            connect(m, queue.o, flipped(unit))
            queues.append(queue)
        connect(m, decoder.nfu, flipped(self.nfu))
        m.d.comb += [
            self.commit.eq(decoder.commit),
            self.nest_pc.eq(decoder.pc),
            self.nest_tag.eq(decoder.tag),
        ]
        empty = ~Cat(queue.level.any() for queue in queues).any()

        running = Signal()
        begin = Signal()
        m.d.comb += [
            fetch.start.eq(begin),
            fetch.program.eq(self.program),
            fetch.size.eq(self.size),
            fetch.halt.eq(~running | self.halt),
            decoder.start.eq(begin),
            decoder.enable.eq(running & ~self.halt),
            self.idle.eq(fetch.idle),
            self.bytes.eq(fetch.bytes),
        ]

        def fault(code: ErrorCode, pc):
            m.d.sync += [self.error.eq(1), self.code.eq(code), self.pc.eq(pc)]

        m.d.sync += self.error.eq(0)
        with m.If(~self.halt), m.FSM():
            with m.State("IDLE"), m.If(self.start):
                m.next = "FAULT"
                with m.If(self.program[:3].any()):
                    fault(ErrorCode.ILLEGAL_INSTRUCTION, 0)
                with m.Elif(self.size[:3].any() | self.size[31] | ~self.size.any()):
                    fault(ErrorCode.END_OF_PROGRAM, 0)
                with m.Else():
                    m.d.comb += begin.eq(1)
                    m.next = "RUN"
            with m.State("RUN"):
                m.d.comb += running.eq(1)
                with m.If(decoder.illegal):
                    fault(ErrorCode.ILLEGAL_INSTRUCTION, decoder.pc)
                    m.next = "FAULT"
                with m.Elif(decoder.ended):
                    m.next = "DRAIN"
                with m.Elif(fetch.error):
                    fault(ErrorCode.BUS_CP, decoder.pc)
                    m.next = "FAULT"
                with m.Elif(decoder.exhausted):
                    fault(ErrorCode.END_OF_PROGRAM, decoder.pc)
                    m.next = "FAULT"
            with m.State("DRAIN"), m.If(fetch.idle & empty & self.drained):
                m.d.comb += self.finished.eq(1)
                m.next = "IDLE"
            with m.State("FAULT"):
                pass
        return m
