"""The write DMA: stores finished output rows where descriptors say."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal, signed, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .axi import Burst, WritePort
from .bursts import AddressLayout, Bursts, burst_bytes
from .descriptor import Descriptor
from .row_beats import PlaceLayout, RowBeatLayout, RowBeats, rows_per_burst
from .streams import Queue, Register

__all__ = ["WriteDma"]


class WriteDma(wiring.Component):
    """Writes output rows to the runs of descriptors over AXI.

    ::

        i -> Bursts -> rows there? -> AW
                            |
        row ----------------+-> beats -> W        B -> done

    Each run takes ``ceil(run / row_bytes)`` rows and writes their first ``run`` bytes. A burst goes
    to AW only when all its rows are available, so W never waits for the NFU.

    Throughput: one row (or a beat's worth of a longer row) per cycle, at most one beat per cycle
    and one burst in ``burst_cycles``, without a gap between bursts, runs and descriptors; a
    misaligned run may take one cycle more. Latency: AW is valid ``2 + burst_cycles`` cycles after
    the descriptor was accepted, if the rows are there, the first beat 3 cycles later.

    Parameters
    ----------
    address_width : bits of an address; addresses wrap there
    data_width : bits of a beat, a power of two; beyond 1024 AWSIZE reads 7
    burst : most beats of a burst (the next lower power of two is used; less if half of ``rows``
        does not fill it)
    row_bytes : bytes of a row
    rows : capacity of the FIFO of rows; at least the rows of a beat, or 2 if a row is longer than
        a beat
    outstanding : most bursts that wait for their response
    burst_cycles : cycles for each burst at least, 1 or 2; with 2, registers cut the path from the
        rows that a burst has got, and from AW, to the next descriptor
    run_width : bits of a run's length, those above are ignored

    Members
    -------
    i : In(stream(Descriptor))
    row : In(stream(8 * row_bytes)), the finished rows, first byte lowest
    level : In(range(rows + 1)), rows available; falls with each transfer of ``row``
    axi : Out(WritePort)
    done : Out(1), all responses of a descriptor have arrived (descriptors finish in order)
    halt : In(1), kept high until ``idle``: forget the descriptor, send no further burst, complete
        those already on AW with no byte strobed, take no row, report nothing done
    idle : Out(1), no descriptor in progress, everything sent and answered
    error : Out(1), a response said SLVERR or DECERR (and counted like any other)
    stored : Out(range(W + 1)), bytes sent in this cycle
    """

    i: stream.Interface
    row: stream.Interface
    level: Signal
    axi: Any
    done: Signal
    halt: Signal
    idle: Signal
    error: Signal
    stored: Signal

    def __init__(
        self,
        *,
        address_width: int,
        data_width: int,
        burst: int,
        row_bytes: int,
        rows: int,
        outstanding: int = 16,
        burst_cycles: int = 1,
        run_width: int = 32,
    ):
        if not 1 <= burst <= 256:
            raise ValueError(f"burst must be 1 to 256 beats, not {burst!r}")
        if row_bytes < 1:
            raise ValueError(f"row_bytes must be at least 1, not {row_bytes!r}")
        if outstanding < 2:
            raise ValueError(f"outstanding must be at least 2, not {outstanding!r}")
        if burst_cycles not in (1, 2):
            raise ValueError(f"burst_cycles must be 1 or 2, not {burst_cycles!r}")
        beat_bytes = data_width // 8
        self._address_width = address_width
        self._data_width = data_width
        self._row_bytes = row_bytes
        self._rows = rows
        in_fifo = rows_per_burst(rows, row_bytes, beat_bytes) * row_bytes
        self._limit = min(in_fifo, burst * beat_bytes)
        self._outstanding = outstanding
        self._burst_cycles = burst_cycles
        self._run_width = run_width
        super().__init__(
            {
                "i": In(stream.Signature(Descriptor)),
                "row": In(stream.Signature(unsigned(8 * row_bytes))),
                "level": In(range(rows + 1)),
                "axi": Out(WritePort(address_width, data_width)),
                "done": Out(1),
                "halt": In(1),
                "idle": Out(1),
                "error": Out(1),
                "stored": Out(range(beat_bytes + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        beat_bytes = self._data_width // 8
        row_bytes = self._row_bytes
        axi = self.axi

        bursts = Bursts(
            address_width=self._address_width, data_width=self._data_width, limit=self._limit,
            apart=self._burst_cycles == 2, run_width=self._run_width,
        )  # fmt: skip
        m.submodules.bursts = ResetInserter(self.halt)(bursts)
        m.submodules.places = places = Queue(shape=PlaceLayout(self._data_width), depth=4)
        m.submodules.beats = beats = RowBeats(data_width=self._data_width, row_bytes=row_bytes)
        # What is offered on W must not change when the core halts, so it waits in a register.
        m.submodules.beat = beat = Register(shape=RowBeatLayout(self._data_width))
        m.submodules.address = address = Register(shape=AddressLayout(self._address_width))
        m.submodules.replies = replies = Queue(shape=unsigned(1), depth=self._outstanding)
        burst = bursts.o.payload
        m.d.comb += [
            bursts.i.payload.eq(self.i.payload),
            bursts.i.valid.eq(self.i.valid & ~self.halt),
            self.i.ready.eq(bursts.i.ready & ~self.halt),
        ]

        # Claim rows for the next burst, one per cycle, until it has enough. ``spare`` bytes of the
        # rows claimed for its run are left over by the bursts before it.
        size = burst_bytes(self._data_width, self._limit)
        spare = Signal(range(size + row_bytes + 1))
        short = Signal(signed(len(spare) + 1))
        short_after = Signal(signed(len(spare) + 1))
        claimed = Signal(range(self._rows + 1))
        claim = Signal()
        allowed = Signal()
        permitted = Signal()
        taken = Signal()
        m.d.comb += [
            short.eq(burst.bytes - spare),
            short_after.eq(burst.bytes - (spare + row_bytes)),
            claim.eq(bursts.o.valid & (short > 0) & (self.level != claimed)),
            allowed.eq((short <= 0) | (claim & (short_after <= 0))),
            taken.eq(
                bursts.o.valid & permitted & places.i.ready & replies.i.ready & ~self.halt
                & (address.i.ready if self._burst_cycles == 1 else ~address.o.valid)
            ),
            bursts.o.ready.eq(taken),
        ]  # fmt: skip
        if self._burst_cycles == 1:
            m.d.comb += permitted.eq(allowed)
        else:
            m.d.sync += permitted.eq(bursts.o.valid & allowed & ~taken & ~self.halt)
        with m.If(self.halt):
            m.d.sync += [claimed.eq(0), spare.eq(0)]
        with m.Else():
            change = Cat(claim ^ beats.popped, ~claim & beats.popped).as_signed()
            m.d.sync += claimed.eq(claimed + change)
            with m.If(taken):
                left_over = Mux(claim, -short_after, -short)
                m.d.sync += spare.eq(Mux(burst.last_of_run, 0, left_over))
            with m.Elif(claim):
                m.d.sync += spare.eq(spare + row_bytes)

        # Address channel.
        m.d.comb += [
            address.i.valid.eq(taken),
            address.i.payload.address.eq(burst.address),
            address.i.payload.length.eq(burst.length),
            axi.awid.eq(0),
            axi.awaddr.eq(address.o.payload.address),
            axi.awlen.eq(address.o.payload.length),
            axi.awsize.eq(min(7, beat_bytes.bit_length() - 1)),
            axi.awburst.eq(Burst.INCR),
            axi.awvalid.eq(address.o.valid),
            address.o.ready.eq(axi.awready),
        ]

        # Data channel.
        connect(m, places.o, beats.place)
        connect(m, flipped(self.row), beats.row)
        connect(m, beats.o, beat.i)
        m.d.comb += [
            places.i.valid.eq(taken),
            places.i.payload.length.eq(burst.length),
            places.i.payload.single.eq(burst.length == 0),
            places.i.payload.start.eq(burst.start),
            places.i.payload.end.eq(burst.end),
            places.i.payload.first.eq(burst.first),
            places.i.payload.last_of_run.eq(burst.last_of_run),
            beats.halt.eq(self.halt),
            axi.wdata.eq(beat.o.payload.data),
            axi.wstrb.eq(beat.o.payload.strobe),
            axi.wlast.eq(beat.o.payload.last),
            axi.wvalid.eq(beat.o.valid),
            beat.o.ready.eq(axi.wready),
            self.stored.eq(beats.stored),
        ]

        # Response channel: one bit per burst says whether it ends a descriptor.
        m.d.comb += [
            replies.i.valid.eq(taken),
            replies.i.payload.eq(burst.last),
            axi.bready.eq(replies.o.valid),
            replies.o.ready.eq(axi.bvalid),
            self.done.eq(axi.bvalid & axi.bready & replies.o.payload & ~self.halt),
            self.error.eq(axi.bvalid & axi.bready & axi.bresp.as_value()[1]),
            self.idle.eq(bursts.idle & (replies.level == 0)),
        ]
        return m
