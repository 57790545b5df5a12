"""From a descriptor to AXI bursts, one per cycle: shared by the read and the write DMA."""

from amaranth.hdl import C, Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .descriptor import Descriptor

__all__ = ["PAGE", "AddressLayout", "BurstLayout", "Bursts", "burst_bytes"]

PAGE = 4096
"""Bytes of the address ranges that no AXI burst may leave."""


def burst_bytes(data_width: int, limit: int) -> int:
    """Size of the pieces in which memory is accessed, in bytes.

    The largest power of two that is at most ``limit`` bytes, a page, and 256 beats, and at least
    one beat. Bursts end at multiples of it, which keeps the rules of AXI without a comparison.
    """
    beat = data_width // 8
    most = min(limit, PAGE, 256 * beat)
    return max(beat, 1 << (most.bit_length() - 1))


class AddressLayout(data.StructLayout):
    """What differs between the bursts of an address channel: ``address`` and ``length`` (ARLEN)."""

    def __init__(self, address_width: int):
        super().__init__({"address": unsigned(address_width), "length": unsigned(8)})


class BurstLayout(data.StructLayout):
    """One burst and its place in the descriptor.

    address : byte address of the first beat, a multiple of the beat
    length : beats less one, as in ARLEN
    start : offset of the run's first byte in its beat, the same for all bursts of the run
    end : offset of the burst's last byte in its beat
    bytes : bytes of the run that the burst holds
    first, last_of_run, last : first or last burst of its run, last burst of the descriptor
    """

    def __init__(self, address_width: int, data_width: int):
        offset = range(data_width // 8)
        super().__init__(
            {
                "address": unsigned(address_width),
                "length": unsigned(8),
                "start": offset,
                "end": offset,
                "bytes": unsigned(16),
                "first": unsigned(1),
                "last_of_run": unsigned(1),
                "last": unsigned(1),
            }
        )


class _RunLayout(data.StructLayout):
    def __init__(self, address_width: int, run_width: int):
        super().__init__(
            {"address": unsigned(address_width), "run": unsigned(run_width), "last": unsigned(1)}
        )


class _Runs(wiring.Component):
    """The strided loops of a descriptor: a run per cycle, latency 1, no gap in between.

    If descriptors keep ``apart``, there is a cycle without a run between them, and ``i.ready`` does
    not depend on ``o.ready``.

    The registers are attributes for the proof, whose induction needs what they hold.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, *, address_width: int, loops: int, apart: bool, run_width: int):
        self._apart = apart
        super().__init__(
            {
                "i": In(stream.Signature(Descriptor)),
                "o": Out(stream.Signature(_RunLayout(address_width, run_width))),
            }
        )
        self._address_width = address_width
        self._loops = range(loops)
        # Where the present iteration of each loop began; that of loop 0 is the present run.
        self._starts = [
            Signal(address_width, name=f"start_{n}", reset_less=True) for n in range(max(1, loops))
        ]
        # Iterations that follow the present one, and whether there are none; and what both are in
        # the first one. So where the next run begins is known without counting.
        self._left, self._first_left = (
            [Signal(16, name=f"{name}_{n}", reset_less=True) for n in self._loops]
            for name in ("left", "first_left")
        )
        self._ending, self._single = (
            [Signal(name=f"{name}_{n}", reset_less=True) for n in self._loops]
            for name in ("ending", "single")
        )
        descriptor = self.i.payload
        self._stride = Signal.like(descriptor.stride, name="stride", reset_less=True)

    def elaborate(self, platform):
        m = Module()
        descriptor = self.i.payload
        width, loops = self._address_width, self._loops
        starts, stride, left, ending = self._starts, self._stride, self._left, self._ending
        run = Signal.like(self.o.payload.run, reset_less=True)
        m.d.comb += [
            self.o.payload.address.eq(starts[0]),
            self.o.payload.run.eq(run),
            self.o.payload.last.eq(Cat(ending, C(1, 1)).all()),
            self.i.ready.eq(~self.o.valid),
        ]

        leaving = self.o.ready & self.o.payload.last
        if self._apart:
            with m.If(leaving):
                m.d.sync += self.o.valid.eq(0)
        else:
            with m.If(leaving):
                m.d.comb += self.i.ready.eq(1)

        # The innermost loop that goes on moves by its stride, those inside it start over there. All
        # loops of a new descriptor start at its address. Whether there is one is known late.
        base = Signal(width)
        step = Signal(signed(32))
        moved = Signal(width)
        moves = Signal(len(starts))
        for n in reversed(loops):
            with m.If(~ending[n]):
                m.d.comb += [base.eq(starts[n]), step.eq(stride[n]), moves.eq((2 << n) - 1)]
        m.d.comb += moved.eq(Mux(self.i.ready, descriptor.address, base + step))

        with m.If(self.i.ready):
            m.d.sync += [
                self.o.valid.eq(self.i.valid),
                stride.eq(descriptor.stride),
                run.eq(descriptor.run),
            ]
        with m.If(self.i.ready | self.o.ready):
            for n, start in enumerate(starts):
                with m.If(self.i.ready | moves[n]):
                    m.d.sync += start.eq(moved)
            for n in loops:
                first_left, single = self._first_left[n], self._single[n]
                with m.If(self.i.ready):
                    for register in (left[n], first_left):
                        m.d.sync += register.eq(descriptor.count[n] - 1)
                    for register in (ending[n], single):
                        m.d.sync += register.eq(descriptor.count[n] == 1)
                with m.Elif(Cat(ending[: n + 1]).all()):
                    m.d.sync += [left[n].eq(first_left), ending[n].eq(single)]
                with m.Elif(Cat(ending[:n], C(1, 1)).all()):
                    m.d.sync += [left[n].eq(left[n] - 1), ending[n].eq(left[n] == 1)]
        return m


class _Pieces(wiring.Component):
    """Cuts runs at multiples of ``size`` bytes: a burst per cycle, latency 1, no gap in between.

    The registers that show only in the last burst are attributes for the proof, as above.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(
        self, *, address_width: int, data_width: int, size: int, aligned: bool, run_width: int
    ):
        self._address_width = address_width
        self._beat_bits = (data_width // 8 - 1).bit_length()
        self._size = size
        self._aligned = aligned
        super().__init__(
            {
                "i": In(stream.Signature(_RunLayout(address_width, run_width))),
                "o": Out(stream.Signature(BurstLayout(address_width, data_width))),
            }
        )
        size_bits = size.bit_length() - 1
        # Last byte of the run in its last piece.
        self._finish = Signal(size_bits, name="finish", reset_less=True)
        # Pieces that follow the next one; below zero in the last piece, so that its sign tells.
        # The run's end counts from there: it may be below zero.
        self._span_width = max(run_width, size_bits + 1) + 1
        self._more = Signal(signed(self._span_width - size_bits), name="more", reset_less=True)
        self._last = Signal(name="last", reset_less=True)

    def elaborate(self, platform):
        m = Module()
        size = self._size
        size_bits = size.bit_length() - 1
        run = self.i.payload
        burst = self.o.payload

        piece = Signal(self._address_width - size_bits, reset_less=True)
        start = Signal.like(burst.start, reset_less=True)
        begin = Signal(size_bits, reset_less=True)  # of the run in the present piece
        length = Signal(range(size + 1), reset_less=True)  # of the run in the present piece
        finish, more, last = self._finish, self._more, self._last
        fresh = Signal(reset_less=True)

        offset = Signal(size_bits)
        m.d.comb += offset.eq(run.address)
        if self._aligned:
            m.d.comb += offset[: self._beat_bits].eq(0)
        # Last byte of the run, counted from the second piece; below zero if there is only one.
        span = Signal(signed(self._span_width))
        m.d.comb += span.eq(run.run + (offset - (size + 1)))

        high = Signal(size_bits)
        beat = slice(self._beat_bits, size_bits)
        m.d.comb += [
            burst.last_of_run.eq(more < 0),
            high.eq(Mux(burst.last_of_run, finish, size - 1)),
            burst.address.eq(Cat(begin, piece)),
            burst.address[: self._beat_bits].eq(0),
            burst.length.eq(high[beat] - begin[beat]),
            burst.start.eq(start),
            burst.end.eq(high[: self._beat_bits]),
            burst.bytes.eq(length),
            burst.first.eq(fresh),
            burst.last.eq(last & burst.last_of_run),
            self.i.ready.eq(~self.o.valid | (self.o.ready & burst.last_of_run)),
        ]
        with m.If(self.o.ready):
            m.d.sync += [
                piece.eq(piece + 1),
                more.eq(more - 1),
                begin.eq(0),
                length.eq(Mux(more == 0, finish + 1, size)),
                fresh.eq(0),
            ]
        with m.If(self.i.ready):
            m.d.sync += self.o.valid.eq(self.i.valid)
            m.d.sync += [
                piece.eq(run.address[size_bits:]),
                start.eq(offset),
                begin.eq(offset),
                length.eq(Mux(span < 0, run.run, size - offset)),
                finish.eq(span[:size_bits]),
                more.eq(span[size_bits:].as_signed()),
                fresh.eq(1),
                last.eq(run.last),
            ]
        return m


class Bursts(wiring.Component):
    """Turns descriptors into bursts that cover exactly their runs, in order.

    A burst lies in one run and ends at the end of the run or at a multiple of
    ``burst_bytes(data_width, limit)``. Addresses wrap at ``address_width`` bits. One burst per
    cycle, whatever the runs and loops; the first one 2 cycles after the descriptor was accepted.
    If descriptors keep ``apart``, the first burst of one may come a cycle later behind the single
    burst of a run, and ``i.ready`` comes from a register.

    Parameters
    ----------
    address_width : bits of an address
    data_width : bits of a beat, a power of two, at least 16
    limit : most bytes of a burst
    aligned : every run begins at a multiple of the beat; lower address bits are ignored
    loops : strided loops that are executed, the counts of the others are taken for 1
    apart : descriptors do not follow each other without a gap
    run_width : bits of a run's length, those above are ignored

    Members
    -------
    i : In(stream(Descriptor))
    o : Out(stream(BurstLayout))
    idle : Out(1), no descriptor in progress
    """

    i: stream.Interface
    o: stream.Interface
    idle: Signal

    def __init__(
        self,
        *,
        address_width: int,
        data_width: int,
        limit: int,
        aligned: bool = False,
        loops: int = 3,
        apart: bool = False,
        run_width: int = 32,
    ):
        if data_width < 16 or data_width & (data_width - 1):
            raise ValueError(f"data_width must be a power of two from 16 on, not {data_width!r}")
        size = burst_bytes(data_width, limit)
        if 1 << address_width < size:
            raise ValueError(f"address_width must hold {size} bytes, not {address_width!r} bits")
        if not 0 <= loops <= 3:
            raise ValueError(f"loops must be 0 to 3, not {loops!r}")
        self._address_width = address_width
        self._data_width = data_width
        self._size = size
        self._aligned = aligned
        self._loops = loops
        self._apart = apart
        self._run_width = run_width
        super().__init__(
            {
                "i": In(stream.Signature(Descriptor)),
                "o": Out(stream.Signature(BurstLayout(address_width, data_width))),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.runs = runs = _Runs(
            address_width=self._address_width,
            loops=self._loops,
            apart=self._apart,
            run_width=self._run_width,
        )
        m.submodules.pieces = pieces = _Pieces(
            address_width=self._address_width,
            data_width=self._data_width,
            size=self._size,
            aligned=self._aligned,
            run_width=self._run_width,
        )
        connect(m, flipped(self.i), runs.i)
        connect(m, runs.o, pieces.i)
        connect(m, pieces.o, flipped(self.o))
        m.d.comb += self.idle.eq(~runs.o.valid & ~pieces.o.valid)
        return m
