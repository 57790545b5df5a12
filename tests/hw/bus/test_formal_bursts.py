"""Proofs of the burst generator: every run is covered exactly, no burst breaks AXI's rules.

All are by induction, hence for all time and any stalls. The generator is two stages, each with a
proof of its own.
"""

import pytest
from amaranth.hdl import Cat, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from hw.bus.bursts import PAGE, Bursts, _Pieces, _RunLayout, _Runs, burst_bytes
from hw.bus.descriptor import Descriptor
from tests.formal import assert_, assume, check, formal_module


class RunsSpec(wiring.Component):
    """The runs of a descriptor are those of its loops, in order.

    The counts are at most 3, so that ``i * stride`` needs no multiplier here; all addresses (they
    wrap) and strides. If descriptors keep ``apart``, none is taken before the last run has gone.
    """

    descriptor: In(Descriptor)
    valid: In(1)
    ready: In(1)

    LOOPS = 3
    ADDRESS_WIDTH = 8

    def __init__(self, *, apart: bool):
        self._apart = apart
        super().__init__()

    @staticmethod
    def _in_range(count):
        return (count >= 1) & (count <= 3)

    def elaborate(self, platform):
        m = formal_module()
        m.submodules.runs = runs = _Runs(
            address_width=self.ADDRESS_WIDTH,
            loops=self.LOOPS,
            apart=self._apart,
            run_width=32,
        )
        run = runs.o.payload
        m.d.comb += [
            runs.i.payload.eq(self.descriptor),
            runs.i.valid.eq(self.valid),
            runs.o.ready.eq(self.ready),
        ]
        doing: data.View = Signal(Descriptor)  # pyright: ignore[reportAssignmentType]
        for n in range(self.LOOPS):
            m.d.comb += assume(self._in_range(self.descriptor.count[n]))

        busy = Signal()
        index = [Signal(2, name=f"iteration_{n}") for n in range(self.LOOPS)]
        final = [Signal(name=f"final_{n}") for n in range(self.LOOPS)]
        for n in range(self.LOOPS):
            m.d.comb += final[n].eq(index[n] + 1 == doing.count[n])
        entered = runs.i.valid & runs.i.ready
        m.d.comb += assert_(runs.o.valid == busy)
        if self._apart:
            m.d.comb += assert_(runs.i.ready == ~busy)
        with m.If(runs.o.valid & runs.o.ready):
            # Count like an odometer.
            m.d.sync += busy.eq(~Cat(final).all())
            for n in range(self.LOOPS):
                with m.If(Cat(final[:n]).all() if n else 1):
                    m.d.sync += index[n].eq(Mux(final[n], 0, index[n] + 1))
        with m.If(entered):
            m.d.sync += [doing.eq(self.descriptor), busy.eq(1), *(i.eq(0) for i in index)]

        offsets = []
        for n in range(self.LOOPS):
            stride = doing.stride[n]
            twice = Mux(index[n] == 2, stride << 1, 0)
            offsets.append(Mux(index[n] == 1, stride, twice))
        with m.If(busy):
            m.d.comb += [
                assert_(run.run == doing.run),
                assert_(run.last == Cat(final).all()),
                assert_(run.address == sum(offsets, doing.address)[: self.ADDRESS_WIDTH]),
                # What the induction needs.
                assert_(runs._stride == doing.stride),
            ]
            for n in range(self.LOOPS):
                start = sum(offsets[n:], doing.address)[: self.ADDRESS_WIDTH]
                m.d.comb += [
                    assert_(runs._starts[n] == start),
                    assert_(runs._left[n] == doing.count[n] - 1 - index[n]),
                    assert_(runs._first_left[n] == doing.count[n] - 1),
                    assert_(runs._ending[n] == final[n]),
                    assert_(runs._single[n] == (doing.count[n] == 1)),
                    assert_(index[n] < doing.count[n]),
                    assert_(self._in_range(doing.count[n])),
                ]
        return m


class PiecesSpec(wiring.Component):
    """The bursts of a run follow each other without gap or overlap and lie in one page each.

    Runs of any length from any address (they wrap).
    """

    run: data.View
    valid: Signal
    ready: Signal

    def __init__(self, *, address_width: int, data_width: int, limit: int, aligned: bool):
        self._address_width = address_width
        self._data_width = data_width
        self._limit = limit
        self._aligned = aligned
        super().__init__({"run": In(_RunLayout(address_width, 32)), "valid": In(1), "ready": In(1)})

    def elaborate(self, platform):
        m = formal_module()
        width, beat = self._address_width, self._data_width // 8
        size = burst_bytes(self._data_width, self._limit)
        beat_bits, size_bits, page_bits = (n.bit_length() - 1 for n in (beat, size, PAGE))
        m.submodules.pieces = pieces = _Pieces(
            address_width=width,
            data_width=self._data_width,
            size=size,
            aligned=self._aligned,
            run_width=32,
        )
        burst = pieces.o.payload
        m.d.comb += [
            pieces.i.payload.eq(self.run),
            pieces.i.valid.eq(self.valid),
            pieces.o.ready.eq(self.ready),
            assume(self.run.run >= 1),
        ]

        # Bytes ``done`` of the run are in bursts that were taken.
        address, run, last, busy = Signal(width), Signal(32), Signal(), Signal()
        done = Signal(33)
        m.d.comb += assert_(pieces.o.valid == busy)
        with m.If(pieces.o.valid & pieces.o.ready):
            m.d.sync += [done.eq(done + burst.bytes), busy.eq(~burst.last_of_run)]
        with m.If(pieces.i.valid & pieces.i.ready):
            m.d.sync += [address.eq(self.run.address), run.eq(self.run.run)]
            m.d.sync += [last.eq(self.run.last), busy.eq(1), done.eq(0)]
            if self._aligned:
                m.d.sync += address[:beat_bits].eq(0)

        begin, end, first_beat = (Signal(width) for _ in range(3))
        # Where the next byte and the last byte of the run are, from the start of its first piece.
        following, final = Signal(34), Signal(34)
        m.d.comb += [
            begin.eq(address + done),
            end.eq(begin + burst.bytes - 1),
            # Powers of two are cut off as bits: a divider would cost the solver minutes.
            first_beat.eq((begin >> beat_bits) << beat_bits),
            following.eq(address[:size_bits] + done),
            final.eq(address[:size_bits] + run - 1),
        ]
        with m.If(busy):
            m.d.comb += [
                # The beats begin with the one that holds the next byte and end with the last byte.
                assert_(burst.bytes >= 1),
                assert_(burst.address == first_beat),
                assert_((end - first_beat)[beat_bits:width] == burst.length),
                assert_(burst.start == address[:beat_bits]),
                assert_(burst.end == end[:beat_bits]),
                # They lie in one page and are not too many.
                assert_(begin[page_bits:] == end[page_bits:]),
                assert_((burst.length + 1) << beat_bits <= max(beat, self._limit)),
                # The run ends where it should.
                assert_(run >= 1),
                assert_(done + burst.bytes <= run),
                assert_(burst.first == (done == 0)),
                assert_(burst.last_of_run == (done + burst.bytes == run)),
                assert_(burst.last == (burst.last_of_run & last)),
                # What the induction needs.
                assert_((done == 0) | (following[:size_bits] == 0)),
                assert_(pieces._last == last),
                assert_(pieces._finish == final[:size_bits]),
                assert_(pieces._more == (final >> size_bits) - (following >> size_bits) - 1),
            ]
            if self._aligned:
                m.d.comb += assert_(address[:beat_bits] == 0)
        return m


class PaceSpec(wiring.Component):
    """A burst is there in every cycle, if descriptors and their consumer are; it stays until taken.

    ``idle`` means that nothing that entered has still to leave.
    """

    descriptor: In(Descriptor)
    valid: In(1)
    ready: In(1)

    def elaborate(self, platform):
        m = formal_module()
        m.submodules.bursts = bursts = Bursts(address_width=12, data_width=32, limit=16)
        offered = Signal(2)
        m.d.sync += offered.eq((offered << 1) | self.valid)
        m.d.comb += [
            bursts.i.payload.eq(self.descriptor),
            bursts.i.valid.eq(self.valid),
            bursts.o.ready.eq(self.ready),
        ]
        with m.If(offered[1]):
            m.d.comb += assert_(bursts.o.valid)
        with m.If(offered == 0):
            m.d.comb += assert_(bursts.i.ready | ~bursts.idle)

        waiting = Signal()
        past = Signal.like(bursts.o.payload.as_value())
        m.d.sync += [
            past.eq(bursts.o.payload),
            waiting.eq(bursts.o.valid & ~bursts.o.ready),
        ]
        with m.If(waiting):
            m.d.comb += [
                assert_(bursts.o.valid & ~bursts.idle),
                assert_(bursts.o.payload.as_value() == past),
            ]
        return m


@pytest.mark.parametrize("apart", [False, True])
def test_runs_are_those_of_the_loops(tmp_path, apart):
    """Induction over one cycle."""
    check(RunsSpec(apart=apart), tmp_path, depth=2)


@pytest.mark.parametrize(
    ("data_width", "limit", "aligned"),
    [
        (32, 16, False),
        (64, 64, True),
        (1024, 9000, False),  # a page is less than 256 beats
        pytest.param(16, 1024, False, marks=pytest.mark.slow),  # 256 beats are less
        pytest.param(128, 600, False, marks=pytest.mark.slow),  # no power of two
    ],
    ids=["short", "aligned", "page", "beats", "odd"],
)
def test_bursts_cover_runs(tmp_path, data_width, limit, aligned):
    """Induction over one cycle."""
    spec = PiecesSpec(address_width=14, data_width=data_width, limit=limit, aligned=aligned)
    check(spec, tmp_path, depth=2)


def test_no_gap_between_bursts(tmp_path):
    """Induction over four cycles: two cycles after a descriptor is offered there is a burst."""
    check(PaceSpec(), tmp_path, depth=4)
