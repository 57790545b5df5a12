"""The read DMA: fetches what descriptors name and delivers it as words."""

from typing import Any

from amaranth.hdl import Const, Module, Mux, ResetInserter, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .axi import Burst, ReadPort
from .bursts import AddressLayout, Bursts
from .descriptor import Descriptor
from .realigner import BeatLayout, Realigner, WordLayout
from .streams import Queue, Register

__all__ = ["Permit", "ReadDma"]


class Permit(data.Struct):
    """A burst that asks for room.

    bytes : how many bytes it will deliver
    first : first burst of its run
    last : last burst of the descriptor
    """

    bytes: unsigned(16)
    first: unsigned(1)
    last: unsigned(1)


class _PlaceLayout(data.StructLayout):
    """What is remembered of a burst in flight."""

    def __init__(self, data_width: int):
        offset = range(data_width // 8)
        super().__init__(
            {"start": offset, "end": offset, "last_of_run": unsigned(1), "last": unsigned(1)}
        )


class ReadDma(wiring.Component):
    """Reads the runs of descriptors over AXI, each as words that begin at its first byte.

    ::

        i -> Bursts -> permit? -> AR
                          |
                          +-> in flight -+
                                         v
                          R ---------> beats -> Realigner -> o

    Every burst is first offered on ``permit``, where the consumer claims the room that its words
    will take; only then it goes to AR. So the consumer can take the words whenever they come and R
    is not held up.

    Throughput: a burst in ``burst_cycles`` on AR, a beat per cycle on R, without a gap between
    bursts, runs and descriptors. A run makes ``ceil(run / W)`` words, W being the bytes of a beat,
    from at most one beat more. Latency: AR is valid ``2 + burst_cycles`` cycles after
    the descriptor was accepted, a word leaves one cycle after its beat came (aligned), or when its
    second beat comes.

    Parameters
    ----------
    address_width : bits of an address; addresses wrap there
    data_width : bits of a beat, a power of two; beyond 1024 ARSIZE reads 7
    outstanding : most bursts in flight
    burst : most beats of a burst (the next lower power of two is used)
    burst_cycles : cycles for each burst at least, 1 or 2; with 2, registers cut the path from its
        permission and from AR to the next descriptor
    aligned : every run begins at a multiple of W, lower address bits are ignored; saves the
        realigner
    loops : strided loops of the descriptor that are executed, 0 to 3; the counts of the others are
        taken for 1
    run_width : bits of a run's length, those above are ignored

    Members
    -------
    i : In(stream(Descriptor))
    permit : Out(stream(Permit)), in the order of the bursts
    axi : Out(ReadPort)
    o : Out(stream(WordLayout))
    halt : In(1), kept high until ``idle``: forget the descriptor, send no further burst, discard
        what is still in flight
    idle : Out(1), no descriptor in progress and nothing in flight
    error : Out(1), a beat came with SLVERR or DECERR (and was delivered like any other)
    finished : Out(1), the last beat of a descriptor came, so the next beat belongs to the next one
    fetched : Out(range(W + 1)), bytes delivered in this cycle
    """

    i: stream.Interface
    permit: stream.Interface
    axi: Any
    o: stream.Interface
    halt: Signal
    idle: Signal
    error: Signal
    finished: Signal
    fetched: Signal

    def __init__(
        self,
        *,
        address_width: int,
        data_width: int,
        outstanding: int,
        burst: int,
        burst_cycles: int = 1,
        aligned: bool = False,
        loops: int = 3,
        run_width: int = 32,
    ):
        if outstanding < 1:
            raise ValueError(f"outstanding must be at least 1, not {outstanding!r}")
        if not 1 <= burst <= 256:
            raise ValueError(f"burst must be 1 to 256 beats, not {burst!r}")
        if burst_cycles not in (1, 2):
            raise ValueError(f"burst_cycles must be 1 or 2, not {burst_cycles!r}")
        self._address_width = address_width
        self._data_width = data_width
        self._outstanding = outstanding
        self._burst = burst
        self._burst_cycles = burst_cycles
        self._aligned = aligned
        self._loops = loops
        self.run_width = run_width
        super().__init__(
            {
                "i": In(stream.Signature(Descriptor)),
                "permit": Out(stream.Signature(Permit)),
                "axi": Out(ReadPort(address_width, data_width)),
                "o": Out(stream.Signature(WordLayout(data_width))),
                "halt": In(1),
                "idle": Out(1),
                "error": Out(1),
                "finished": Out(1),
                "fetched": Out(range(data_width // 8 + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        beat_bytes = self._data_width // 8
        axi = self.axi

        bursts = Bursts(
            address_width=self._address_width,
            data_width=self._data_width,
            limit=self._burst * beat_bytes,
            aligned=self._aligned,
            loops=self._loops,
            apart=self._burst_cycles == 2,
            run_width=self.run_width,
        )
        m.submodules.bursts = ResetInserter(self.halt)(bursts)
        m.submodules.flight = flight = Queue(
            shape=_PlaceLayout(self._data_width), depth=max(2, self._outstanding)
        )
        m.submodules.address = address = Register(shape=AddressLayout(self._address_width))
        burst = bursts.o.payload
        m.d.comb += [
            bursts.i.payload.eq(self.i.payload),
            bursts.i.valid.eq(self.i.valid & ~self.halt),
            self.i.ready.eq(bursts.i.ready & ~self.halt),
        ]

        # Permission is asked once, and remembered while AR is busy or too much is in flight.
        permitted = Signal()
        taken = Signal()
        room = Signal()
        m.d.comb += [
            self.permit.valid.eq(bursts.o.valid & ~permitted & ~self.halt),
            self.permit.payload.bytes.eq(burst.bytes),
            self.permit.payload.first.eq(burst.first),
            self.permit.payload.last.eq(burst.last),
            room.eq(flight.i.ready & (flight.level < self._outstanding)),
            bursts.o.ready.eq(taken),
        ]
        offered = bursts.o.valid & ~self.halt
        allowed = offered & (permitted | self.permit.ready)
        if self._burst_cycles == 1:
            m.d.comb += taken.eq(allowed & room & address.i.ready)
        else:
            m.d.comb += taken.eq(offered & permitted & room & ~address.o.valid)
        m.d.sync += permitted.eq(allowed & ~taken)

        # Address channel.
        m.d.comb += [
            address.i.valid.eq(taken),
            address.i.payload.address.eq(burst.address),
            address.i.payload.length.eq(burst.length),
            axi.arid.eq(0),
            axi.araddr.eq(address.o.payload.address),
            axi.arlen.eq(address.o.payload.length),
            axi.arsize.eq(min(7, beat_bytes.bit_length() - 1)),
            axi.arburst.eq(Burst.INCR),
            axi.arvalid.eq(address.o.valid),
            address.o.ready.eq(axi.arready),
        ]
        m.d.comb += [
            flight.i.valid.eq(taken),
            flight.i.payload.start.eq(burst.start),
            flight.i.payload.end.eq(burst.end),
            flight.i.payload.last_of_run.eq(burst.last_of_run),
            flight.i.payload.last.eq(burst.last),
        ]

        # Data channel: each beat joins what is known of its burst.
        beats = stream.Signature(BeatLayout(self._data_width)).create(path=("beats",))
        place = flight.o.payload
        m.d.comb += [
            beats.valid.eq(axi.rvalid & flight.o.valid & ~self.halt),
            beats.payload.data.eq(axi.rdata),
            beats.payload.start.eq(place.start),
            beats.payload.end.eq(place.end),
            beats.payload.last_of_run.eq(place.last_of_run & axi.rlast),
            beats.payload.last.eq(place.last & axi.rlast),
            axi.rready.eq(flight.o.valid & (beats.ready | self.halt)),
            flight.o.ready.eq(axi.rvalid & axi.rready & axi.rlast),
            self.finished.eq(flight.o.ready & place.last),
            self.error.eq(axi.rvalid & axi.rready & axi.rresp.as_value()[1]),
        ]

        if self._aligned:
            word = self.o.payload
            m.d.comb += [
                word.data.eq(beats.payload.data),
                word.bytes.eq(Mux(beats.payload.last_of_run, beats.payload.end + 1, beat_bytes)),
                word.last_of_run.eq(beats.payload.last_of_run),
                word.last.eq(beats.payload.last),
                self.o.valid.eq(beats.valid),
                beats.ready.eq(self.o.ready),
            ]
            held = Const(0)
        else:
            realigner = Realigner(data_width=self._data_width)
            m.submodules.realigner = ResetInserter(self.halt)(realigner)
            connect(m, beats, realigner.i)
            connect(m, realigner.o, flipped(self.o))
            held = ~realigner.idle

        m.d.comb += [
            self.fetched.eq(Mux(self.o.valid & self.o.ready, self.o.payload.bytes, 0)),
            self.idle.eq(bursts.idle & (flight.level == 0) & ~held),
        ]
        return m
