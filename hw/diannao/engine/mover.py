"""What moves data in a core with an engine: control processor, loaders and store unit in one."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ...bus.axi import ReadWritePort
from ...bus.row_beats import PlaceLayout, RowBeats
from ...bus.streams import Queue, Register
from ...nfu.layouts import lanes
from ..config import Config
from ..isa import ErrorCode
from .decode import HalfDecoder
from .engine import Engine, burst_size
from .landing import Landing, lane_ports
from .rows import HALF_BITS, Client

__all__ = ["Mover"]


class _Halves(wiring.Component):
    """Beats, cut into half words."""

    i: stream.Interface
    o: stream.Interface

    def __init__(self, *, port: int):
        self._halves = port // HALF_BITS
        super().__init__(
            {
                "i": In(stream.Signature(unsigned(port))),
                "o": Out(stream.Signature(unsigned(HALF_BITS))),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        place = Signal(range(self._halves))
        m.d.comb += [
            self.o.payload.eq(self.i.payload.word_select(place, HALF_BITS)),
            self.o.valid.eq(self.i.valid),
            self.i.ready.eq(self.o.ready & (place == self._halves - 1)),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += place.eq(place + 1)
        return m


class Mover(wiring.Component):
    """Runs a program: what Control, NbinLoader, SbLoader and StoreUnit do elsewhere.

    ::

        R -> landing -+-> instruction buffer -> decoder -> slots -> engine -> AR, AW
                      +-> NBin, SB               |
        W <- beats <- rows of NBout              +-> NFU slots

    Members
    -------
    start, program, size, halt : In, as in Control
    drained : In(1), the NFU has nothing in work
    bus : Out(ReadWritePort)
    nfu : Out(stream(16)), the half words of NFU slots; ``commit``, ``nest_pc``, ``nest_tag`` : Out,
        as Sequencer takes them
    nbin, sb : Out(NbinLanePort), Out(SbLanePort)
    nbin_free, sb_free : In; nbin_arrived, sb_arrived : Out, as in the loaders
    row : In(stream of lanes(width, tn)), from NBout, which has ``level`` of them
    finished : Out(1), pulse: the program has ended and everything has been done
    error, code, pc : Out, as in Control, for the faults of all units
    busy_pc : Out(32), instruction in work
    fencing : Out(1), a load of NBin waits for stores
    begun, done : Out(3), pulses: SB, NBin, NBout begin a slot, or are through with one
    idle : Out(1), nothing is outstanding on ``bus``, and nothing will be while ``halt``
    bytes : Out, bytes that ``client`` gets in this cycle; stored : Out, bytes stored
    """

    start: Signal
    program: Signal
    size: Signal
    halt: Signal
    drained: Signal
    bus: Any
    nfu: stream.Interface
    commit: Signal
    nest_pc: Signal
    nest_tag: Signal
    nbin: Any
    sb: Any
    nbin_free: Signal
    sb_free: Signal
    nbin_arrived: Signal
    sb_arrived: Signal
    row: stream.Interface
    level: Signal
    finished: Signal
    error: Signal
    code: Any
    pc: Signal
    busy_pc: Signal
    fencing: Signal
    begun: Signal
    done: Signal
    idle: Signal
    bytes: Signal
    client: Signal
    stored: Signal

    def __init__(self, *, config: Config):
        self._config = config
        port = config.nbin_port
        nbin, sb = lane_ports(config)
        super().__init__(
            {
                "start": In(1),
                "program": In(config.address_width),
                "size": In(32),
                "halt": In(1),
                "drained": In(1),
                "bus": Out(ReadWritePort(config.address_width, port, 2)),
                "nfu": Out(stream.Signature(unsigned(HALF_BITS))),
                "commit": Out(1),
                "nest_pc": Out(32),
                "nest_tag": Out(16),
                "nbin": Out(nbin),
                "sb": Out(sb),
                "nbin_free": In(range(config.nbin_elements + 1)),
                "sb_free": In(range(config.sb_rows + 1)),
                "nbin_arrived": Out(range(config.nbin_elements + 1)),
                "sb_arrived": Out(1),
                "row": In(stream.Signature(lanes(config.width, config.tn))),
                "level": In(range(config.nbout_rows + 1)),
                "finished": Out(1),
                "error": Out(1),
                "code": Out(ErrorCode),
                "pc": Out(32),
                "busy_pc": Out(32),
                "fencing": Out(1),
                "begun": Out(3),
                "done": Out(3),
                "idle": Out(1),
                "bytes": Out(range(port // 8 + 1)),
                "client": Out(Client),
                "stored": Out(range(port // 8 + 1)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self._config
        port = config.nbin_port
        m.submodules.engine = engine = Engine(config=config)
        m.submodules.landing = landing = Landing(config=config, most_skipped=burst_size(config))
        m.submodules.decoder = decoder = HalfDecoder(config=config)
        beats = config.instruction_buffer * 8 // port
        m.submodules.buffer = buffer = Queue(shape=unsigned(port), depth=beats + 1)
        m.submodules.halves = halves = _Halves(port=port)
        m.submodules.place = place = Register(shape=PlaceLayout(port))
        m.submodules.beats = row_beats = RowBeats(
            data_width=port, row_bytes=config.tn * config.element_bytes
        )
        bus = self.bus

        # Reads.
        connect(m, engine.flight, landing.flight)
        connect(m, landing.program, buffer.i)
        connect(m, buffer.o, halves.i)
        connect(m, halves.o, decoder.i)
        connect(m, landing.nbin, flipped(self.nbin))
        connect(m, landing.sb, flipped(self.sb))
        m.d.comb += [
            landing.rdata.eq(bus.rdata),
            landing.rresp.eq(bus.rresp),
            landing.rlast.eq(bus.rlast),
            landing.rvalid.eq(bus.rvalid),
            bus.rready.eq(landing.rready),
            landing.skip.eq(engine.skip),
            landing.pieces.eq(engine.pieces),
            engine.ended.eq(landing.ended),
            engine.landed.eq(landing.landed),
            engine.error.eq(landing.error),
            engine.buffer_room.eq(buffer.level <= beats - burst_size(config) * 8 // port),
            engine.nbin_free.eq(self.nbin_free),
            engine.sb_free.eq(self.sb_free),
            self.nbin_arrived.eq(landing.nbin_arrived),
            self.sb_arrived.eq(landing.sb_arrived),
            self.bytes.eq(landing.bytes),
            self.client.eq(landing.client),
        ]

        # Writes. All rows of a burst are there, so that it comes to its end whatever happens.
        connect(m, engine.place, place.i)
        connect(m, place.o, row_beats.place)
        m.d.comb += [
            row_beats.row.payload.eq(Cat(*self.row.p)),
            row_beats.row.valid.eq(self.row.valid),
            self.row.ready.eq(row_beats.row.ready),
            engine.level.eq(self.level),
            engine.popped.eq(row_beats.popped),
            bus.wdata.eq(row_beats.o.payload.data),
            bus.wstrb.eq(row_beats.o.payload.strobe),
            bus.wlast.eq(row_beats.o.payload.last),
            bus.wvalid.eq(row_beats.o.valid),
            row_beats.o.ready.eq(bus.wready),
            self.stored.eq(row_beats.stored),
        ]
        for name, member in bus.signature.members.items():
            if name.startswith(("ar", "aw", "b")):
                inner, outer = getattr(engine.axi, name), getattr(bus, name)
                m.d.comb += outer.eq(inner) if member.flow is Out else inner.eq(outer)

        # The program.
        connect(m, decoder.nfu, flipped(self.nfu))
        m.d.comb += [
            decoder.room.eq(engine.room),
            engine.part.eq(decoder.part),
            engine.write.eq(decoder.write),
            decoder.free.eq(engine.free),
            engine.commit.eq(decoder.commit),
            engine.fence.eq(decoder.fence),
            self.commit.eq(decoder.nest_commit),
            self.nest_pc.eq(decoder.pc),
            self.nest_tag.eq(decoder.tag),
            engine.program.eq(self.program),
            engine.size.eq(self.size),
            self.fencing.eq(engine.fencing),
            self.begun.eq(engine.begun),
            self.done.eq(engine.done),
            self.busy_pc.eq(decoder.pc),
            self.idle.eq(engine.idle & landing.idle),
        ]
        self._control(m, engine, landing, decoder, buffer.level.any())
        return m

    def _control(
        self, m: Module, engine: Engine, landing: Landing, decoder: HalfDecoder, buffered: Value
    ):
        """From start to end, as in Control; ``buffered`` says that the decoder has more to come."""

        def fault(code, pc):
            m.d.comb += [self.error.eq(1), self.code.eq(code), self.pc.eq(pc)]

        m.d.comb += engine.halt.eq(self.halt)
        # Once all of the program has come, that stays so; it may be noticed a cycle later.
        m.d.sync += decoder.spent.eq(0)
        with m.If(~self.halt), m.FSM():
            with m.State("IDLE"), m.If(self.start):
                with m.If(self.program[:3].any()):
                    m.next = "MISALIGNED"
                with m.Elif(self.size[:3].any() | self.size[31] | ~self.size.any()):
                    m.next = "WRONG_SIZE"
                with m.Else():
                    m.d.comb += engine.start.eq(1)
                    m.next = "RUN"
            with m.State("MISALIGNED"):
                fault(ErrorCode.ILLEGAL_INSTRUCTION, 0)
                m.next = "FAULT"
            with m.State("WRONG_SIZE"):
                fault(ErrorCode.END_OF_PROGRAM, 0)
                m.next = "FAULT"
            with m.State("RUN"):
                m.d.comb += decoder.enable.eq(1)
                m.d.sync += decoder.spent.eq(~engine.fetching & ~buffered)
                with m.If(decoder.illegal):
                    fault(ErrorCode.ILLEGAL_INSTRUCTION, decoder.pc)
                    m.next = "FAULT"
                with m.Elif(engine.fault):
                    fault(engine.code, engine.pc)
                    m.next = "FAULT"
                with m.Elif(decoder.ended):
                    m.next = "DRAIN"
                with m.Elif(landing.error[Client.CP]):
                    fault(ErrorCode.BUS_CP, decoder.pc)
                    m.next = "FAULT"
                with m.Elif(decoder.exhausted):
                    fault(ErrorCode.END_OF_PROGRAM, decoder.pc)
                    m.next = "FAULT"
            with m.State("DRAIN"):
                with m.If(engine.fault):
                    fault(engine.code, engine.pc)
                    m.next = "FAULT"
                with m.Elif(engine.empty & self.idle & self.drained):
                    m.d.comb += self.finished.eq(1)
                    m.next = "IDLE"
            with m.State("FAULT"):
                pass
