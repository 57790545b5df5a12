"""Instruction fetch: from memory through the instruction buffer to 64-bit words."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..bus.axi import ReadPort
from ..bus.read_dma import ReadDma
from ..bus.streams import Queue
from .config import Config
from .isa import WORD_BITS

__all__ = ["Fetch", "FetchedWord"]

_WORD_BYTES = WORD_BITS // 8


class FetchedWord(data.Struct):
    """A word of the program; ``last`` marks the last one of it."""

    word: unsigned(WORD_BITS)
    last: unsigned(1)


class _Words(wiring.Component):
    """Cut beats of the port into words, or join them: one word or one beat per cycle.

    Joined words leave from a register, as memories are slow to give their data.

    ``first`` is the place of the program's first word in its beat; it is taken while ``start``.
    A beat that has been begun is kept until its last word has gone.
    """

    i: stream.Interface
    o: stream.Interface
    start: Signal
    first: Signal

    def __init__(self, *, port: int):
        self._port = port
        self._words = max(1, port // WORD_BITS)
        super().__init__(
            {
                "i": In(stream.Signature(unsigned(port))),
                "o": Out(stream.Signature(unsigned(WORD_BITS))),
                "start": In(1),
                "first": In(range(max(2, self._words))),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        if self._port < WORD_BITS:
            low = Signal(self._port, reset_less=True)
            half = Signal()
            word = Signal(WORD_BITS, reset_less=True)
            m.d.comb += [
                self.o.payload.eq(word),
                self.i.ready.eq(~half | ~self.o.valid | self.o.ready),
            ]
            with m.If(self.o.ready):
                m.d.sync += self.o.valid.eq(0)
            with m.If(self.i.valid & self.i.ready):
                m.d.sync += [half.eq(~half), low.eq(self.i.payload)]
                with m.If(half):
                    m.d.sync += [word.eq(Cat(low, self.i.payload)), self.o.valid.eq(1)]
            with m.If(self.start):
                m.d.sync += [half.eq(0), self.o.valid.eq(0)]
        elif self._port == WORD_BITS:
            connect(m, flipped(self.i), flipped(self.o))
        else:
            place = Signal(range(self._words))
            m.d.comb += [
                self.o.payload.eq(self.i.payload.word_select(place, WORD_BITS)),
                self.o.valid.eq(self.i.valid),
                self.i.ready.eq(self.o.ready & (place == self._words - 1)),
            ]
            with m.If(self.o.valid & self.o.ready):
                m.d.sync += place.eq(place + 1)
            with m.If(self.start):
                m.d.sync += place.eq(self.first)
        return m


class Fetch(wiring.Component):
    """Reads a program ahead, as far as the instruction buffer has room, and delivers its words.

    ::

        ReadDma -> instruction buffer -> words -> o

    Throughput is one word per cycle, or what the port delivers if that is less. A program begins at
    any multiple of 8 bytes; from a port wider than that, whole beats are read.

    Parameters
    ----------
    config : core configuration (``cp_port``, ``instruction_buffer``, ``burst``, ``outstanding``)

    Members
    -------
    start : In(1), begin with the program at ``program``, while ``halt`` and ``idle``
    program : In(address_width), byte address, a multiple of 8
    size : In(32), bytes, a positive multiple of 8 below 2**31
    halt : In(1), forget the program, read no further, discard what is in flight; released in the
        cycle after ``start``
    axi : Out(ReadPort)
    o : Out(stream(FetchedWord)), nothing after the ``last`` word
    idle : Out(1), nothing is in flight, and nothing will be while ``halt``
    error : Out(1), a beat came with SLVERR or DECERR; at least one cycle before its words reach
        ``o``
    bytes : Out(range(W + 1)), bytes read in this cycle, where W are those of a beat
    """

    start: Signal
    program: Signal
    size: Signal
    halt: Signal
    axi: Any
    o: stream.Interface
    idle: Signal
    error: Signal
    bytes: Signal

    def __init__(self, *, config: Config):
        self._config = config
        super().__init__(
            {
                "start": In(1),
                "program": In(config.address_width),
                "size": In(32),
                "halt": In(1),
                "axi": Out(ReadPort(config.address_width, config.cp_port)),
                "o": Out(stream.Signature(FetchedWord)),
                "idle": Out(1),
                "error": Out(1),
                "bytes": Out(range(config.cp_port // 8 + 1)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self._config
        beat_bytes = config.cp_port // 8
        beats = config.instruction_buffer // beat_bytes

        m.submodules.dma = dma = ReadDma(
            address_width=config.address_width,
            data_width=config.cp_port,
            outstanding=config.outstanding,
            burst=config.cp_burst,
            burst_cycles=config.burst_cycles,
            aligned=True,
            loops=0,
            run_width=min(32, config.address_width),
        )
        connect(m, flipped(self.axi), dma.axi)
        # The queue's output register comes on top of its memory, which is the instruction buffer.
        buffer = Queue(shape=unsigned(config.cp_port), depth=beats + 1)
        m.submodules.buffer = ResetInserter(self.halt)(buffer)
        m.submodules.words = words = _Words(port=config.cp_port)

        # One run for the whole program, from the beginning of its first beat.
        lead = Signal(range(beat_bytes))  # bytes of the first beat that belong to something else
        requested = Signal()
        address = Signal(config.address_width, reset_less=True)
        run = Signal(dma.run_width, reset_less=True)
        m.d.comb += [
            lead.eq(self.program[3:] << 3),
            dma.i.payload.address.eq(address),
            dma.i.payload.run.eq(run),
            dma.i.valid.eq(requested),
            dma.halt.eq(self.halt),
        ]
        with m.If(self.start):
            m.d.sync += [requested.eq(1), address.eq(self.program), run.eq(self.size + lead)]
        with m.Elif(dma.i.ready | self.halt):
            m.d.sync += requested.eq(0)

        # A burst may go when the buffer has room for all of its beats.
        room = Signal(range(beats + 1))
        needed = Signal(range(beats // 2 + 1))
        room_after = Signal(signed(len(room) + 1))
        m.d.comb += [
            needed.eq((dma.permit.payload.bytes + (beat_bytes - 1)) // beat_bytes),
            room_after.eq(room - needed),
            dma.permit.ready.eq(room_after >= 0),
        ]
        taken = dma.permit.valid & dma.permit.ready
        left = buffer.o.valid & buffer.o.ready
        with m.If(self.halt):
            m.d.sync += room.eq(beats)
        with m.Else():
            m.d.sync += room.eq(Mux(taken, room_after, room) + left)
        m.d.comb += [
            buffer.i.payload.eq(dma.o.payload.data),
            buffer.i.valid.eq(dma.o.valid),
            dma.o.ready.eq(buffer.i.ready),
        ]

        connect(m, buffer.o, words.i)
        more = Signal(dma.run_width - 3)
        m.d.comb += [
            words.start.eq(self.start),
            words.first.eq(lead // _WORD_BYTES),
            self.o.payload.word.eq(words.o.payload),
            self.o.payload.last.eq(more == 1),
            self.o.valid.eq(words.o.valid & more.any()),
            words.o.ready.eq(self.o.ready & more.any()),
        ]
        with m.If(self.start):
            m.d.sync += more.eq(self.size // _WORD_BYTES)
        with m.Elif(self.o.valid & self.o.ready):
            m.d.sync += more.eq(more - 1)

        m.d.comb += [
            self.idle.eq(dma.idle & ~requested),
            self.error.eq(dma.error),
            self.bytes.eq(dma.fetched),
        ]
        return m
