"""The engine: makes the bursts of all units, one after the other, out of a memory."""

from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value, ValueLike, unsigned
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from ...arith.carry import add_with_carry
from ...bus.axi import Burst, ReadWritePort
from ...bus.bursts import burst_bytes
from ...bus.row_beats import PlaceLayout, rows_per_burst
from ...memory.ram import Ram
from ..config import Config
from ..isa import ErrorCode
from .landing import FlightLayout
from .rows import HALF_BITS, Client, Part, Row, row_bits, row_number, rows

__all__ = ["Engine", "Phase", "burst_size"]


def burst_size(config: Config) -> int:
    """Most bytes of a burst: as configured, half of the instruction buffer, or of NBout."""
    width = config.nbin_port // 8
    row = config.tn * config.element_bytes
    in_nbout = rows_per_burst(config.nbout_rows, row, width) * row
    return burst_bytes(config.nbin_port, min(config.cp_burst * width, in_nbout))


class _First(enum.IntEnum, shape=2):
    """The first operand of the engine's adder."""

    A = 0
    R = 1
    ZERO = 2
    ONES = 3


class _Second(enum.IntEnum, shape=2):
    """The second operand: what the memory shows, or the bytes of the burst."""

    READ = 0
    P = 1
    MINUS_P = 2
    ZERO = 3


class Phase(enum.IntEnum, shape=2):
    """How far a unit is with its slot."""

    RUNS = 0
    """Its bursts are asked for."""
    LAST = 1
    """All have been asked for."""
    READ_SKIP = 2
    SKIP = 3


class Engine(wiring.Component):
    """Works on the slots of SB, NBin and NBout, and fetches the program.

    ::

        decoder -> [ slots, a memory ] <-> adder -> burst -> AR, and what is in flight
                                                         -> AW, and the place of the rows

    A slot is a few rows of the memory (``Row``). A unit's slots are done in order, one at a time:
    the next one is begun when all data of the one before are there. The units take turns burst by
    burst. A burst lies in a run, or in runs of SB that follow each other without a gap, and ends at
    a multiple of ``burst_size`` at the latest; so it never crosses 4 KiB. It is asked for when
    there is room for all of it, or cut to the room that there is in NBin.

    Timing: a burst takes 8 cycles, and more if AR or AW waits; 1 more for NBin, to compare it with
    the room, 3 for each further row of SB, and 1 or more for the rows of NBout that it needs. From
    the end of a run to the next one it is 7 cycles, 11 if the middle loop advances, 15 for the
    outer one. To begin a slot takes 10 cycles (SB: 11), to end it 7, and a skip 3 (4 if elements
    have 16 bits) and then 9 for each piece for which there is room. The performance model
    (sim/model/engine.h) has the same states, and is held to this by tests/sim/test_model.py.

    Parameters
    ----------
    config : core configuration with ``engine``

    Members
    -------
    part : In(Part), what is to be kept if ``write``; taken in a cycle with ``free``
    commit : In(3), the slot of SB, NBin or NBout is complete with this part; ``fence`` : In(1), and
        that of NBin waits for the stores committed before it
    room : Out(3), SB, NBin and NBout have room for a slot
    start : In(1), fetch ``size`` bytes at ``program``
    buffer_room : In(1), a burst of the program has room
    nbin_free, sb_free : In, elements and rows that were given up in this cycle
    level : In, rows in NBout; popped : In(1), one is taken out
    axi : Out(ReadWritePort), of which AR, AW and B belong to the engine
    flight : Out(stream(FlightLayout)); ended, landed, error : In(4), as Landing has them
    place : Out(stream(PlaceLayout)), bursts of NBout, one at a time
    skip : Out, bytes that NBin skips
    pieces : Out, pieces of the rows that SB gets, less one
    fetching : Out(1), more of the program will come
    fencing : Out(1), a load of NBin waits for stores
    begun, done : Out(3), pulses: SB, NBin, NBout begin a slot, or are through with one
    empty : Out(1), no unit has a slot
    halt : In(1), send no further burst; idle : Out(1), nothing is outstanding but what is in flight
    fault : Out(1), pulse: ``code`` and ``pc``
    """

    part: Any
    write: Signal
    free: Signal
    commit: Signal
    fence: Signal
    room: Signal
    start: Signal
    program: Signal
    size: Signal
    buffer_room: Signal
    nbin_free: Signal
    sb_free: Signal
    level: Signal
    popped: Signal
    axi: Any
    flight: stream.Interface
    ended: Signal
    landed: Signal
    error: Signal
    place: stream.Interface
    skip: Signal
    pieces: Signal
    fetching: Signal
    fencing: Signal
    begun: Signal
    done: Signal
    empty: Signal
    halt: Signal
    idle: Signal
    fault: Signal
    code: Any
    pc: Signal

    def __init__(self, *, config: Config):
        self._config = config
        self._size = burst_size(config)
        self._pieces = -(-config.sb_row_bits // config.sb_port)
        self._banks = config.queue + 1
        # By unit: the slot in work, the one that comes next; and units whose slot is not begun.
        self._own = [Signal(range(self._banks), name=f"own_{n}") for n in range(3)]
        self._theirs = [Signal(range(self._banks), name=f"theirs_{n}") for n in range(3)]
        self._fresh = Signal(3, init=-1, name="fresh")
        # For the proof, whose induction needs them: address and bytes of the burst in the making,
        # and whether it lies between multiples of the size.
        self.a = Signal(config.address_width, reset_less=True)
        self.p = Signal(range(self._size + 1), reset_less=True)
        self.bounded = Signal()
        self.astray = Signal()  # in a state that is not for the unit; never
        self.phase = Signal(Phase, name="phase")  # of NBin
        port = config.nbin_port
        super().__init__(
            {
                "part": In(Part()),
                "write": In(1),
                "free": Out(1),
                "commit": In(3),
                "fence": In(1),
                "room": Out(3),
                "start": In(1),
                "program": In(config.address_width),
                "size": In(config.address_width),
                "buffer_room": In(1),
                "nbin_free": In(range(config.nbin_elements + 1)),
                "sb_free": In(range(config.sb_rows + 1)),
                "level": In(range(config.nbout_rows + 1)),
                "popped": In(1),
                "axi": Out(ReadWritePort(config.address_width, port, 2)),
                "flight": Out(stream.Signature(FlightLayout(port))),
                "ended": In(4),
                "landed": In(4),
                "error": In(4),
                "place": Out(stream.Signature(PlaceLayout(port))),
                "skip": Out(range(self._size + 1)),
                "pieces": Out(range(self._pieces)),
                "fetching": Out(1),
                "fencing": Out(1),
                "begun": Out(3),
                "done": Out(3),
                "empty": Out(1),
                "halt": In(1),
                "idle": Out(1),
                "fault": Out(1),
                "code": Out(ErrorCode),
                "pc": Out(32),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self._config
        width = config.address_width
        beat = config.nbin_port // 8
        bits = beat.bit_length() - 1
        axi = self.axi

        # The memory, an adder, and three registers: an address, what is left, bytes of a burst.
        a, p = self.a, self.p
        r = Signal(width, reset_less=True)
        x, y, total = Signal(_First), Signal(_Second), Signal(width)
        client = Signal(Client)
        read_row, write_row = Signal(Row), Signal(Row)
        read, write = Signal(), Signal()
        shown = self._memory(m, client, read_row, read, write_row, write, total)
        first, second = Signal(width), Signal(width)
        with m.Switch(x):
            with m.Case(_First.A):
                m.d.comb += first.eq(a)
            with m.Case(_First.R):
                m.d.comb += first.eq(r)
            with m.Case(_First.ONES):
                m.d.comb += first.eq(-1)
        with m.Switch(y):
            with m.Case(_Second.READ):
                m.d.comb += second.eq(shown)
            with m.Case(_Second.P):
                m.d.comb += second.eq(p)
            with m.Case(_Second.MINUS_P):
                m.d.comb += second.eq(Cat(~p, C(-1, width - len(p))))
        m.d.comb += total.eq(add_with_carry(first, second, y == _Second.MINUS_P))

        def adds(one: _First, other: _Second):
            m.d.comb += [x.eq(one), y.eq(other)]

        def reads(row):
            m.d.comb += [read_row.eq(row), read.eq(1)]

        def writes(row, one: _First, other: _Second, unless: ValueLike = 0):
            # What is written must not wait for whether it is.
            m.d.comb += [write_row.eq(row), write.eq(~Value.cast(unless).any())]
            adds(one, other)

        is_cp, is_sb, is_nbin, is_nbout = (
            Signal(name=f"is_{kind.name.lower()}") for kind in Client
        )
        m.d.comb += Cat(is_cp, is_sb, is_nbin, is_nbout).eq(1 << client)

        # How far the units are. ``fresh`` slots have not been begun.
        held, fenced = self._slots(m)
        fresh = self._fresh
        is_fresh = (fresh & Cat(is_sb, is_nbin, is_nbout)).any()
        sb_last, nbout_last = Signal(), Signal()
        phase = self.phase
        skipping = is_nbin & (phase == Phase.SKIP)
        failed, failing = Signal(), Signal(Client)
        writing = Signal()
        nbin_done = Signal()
        m.d.comb += [
            self.done[0].eq(sb_last & self.ended[Client.SB] & ~failed),
            self.done[1].eq(nbin_done),
            self.done[2].eq(nbout_last & ~writing & ~failed),
        ]
        with m.If(self.ended[Client.SB]):
            m.d.sync += sb_last.eq(0)
        with m.If(self.ended[Client.NBIN]):
            m.d.sync += phase.eq(Phase.READ_SKIP)
        with m.If(self.done[2]):
            m.d.sync += nbout_last.eq(0)
        errors = Cat(self.error[1:3], axi.bvalid & axi.bready & axi.bresp.as_value()[1])
        with m.If(errors.any() & ~failed):
            m.d.sync += failed.eq(1)
            for kind in (Client.NBOUT, Client.NBIN, Client.SB):
                with m.If(errors[kind - 1]):
                    m.d.sync += failing.eq(kind)

        # Room in the buffers. ``spare`` bytes of rows of NBout have been claimed for the run.
        # NBin's is in bytes.
        element = config.element_bytes
        capacity = config.nbin_elements * element
        room = Signal(range(capacity + 1), init=capacity)
        rows_left = Signal(range(config.sb_rows + 1), init=config.sb_rows)
        row_claimed = Signal()
        row_bytes = config.tn * config.element_bytes
        spare = Signal(range(self._size + row_bytes + 1))
        claimed = Signal(range(config.nbout_rows + 1))
        short = Signal()  # there were too few rows
        claim_row, claim_out, takes = Signal(), Signal(), Signal()
        m.d.comb += self.skip.eq(Mux(takes & skipping, p, 0))
        m.d.sync += [
            # What is freed is known last.
            room.eq(room - Mux(takes & is_nbin, p, 0) + self.nbin_free * element),
            rows_left.eq(rows_left - claim_row + self.sb_free),
            claimed.eq(claimed + claim_out - self.popped),
        ]

        # Whose turn it is: the next one after the last.
        fetches, fetched = Signal(), Signal()  # there is more to ask for; a burst is in flight
        requests = Signal(4)
        granted = Signal(Client)
        more_rows = self.level != claimed
        m.d.comb += [
            requests[0].eq(fetches & ~fetched & self.buffer_room & self.flight.ready),
            requests[1].eq(
                held[0] & ~sb_last & self.flight.ready
                & (fresh[0] | row_claimed | rows_left.any())
            ),
            requests[2].eq(
                held[1] & ~fenced
                & Mux(
                    phase == Phase.RUNS,
                    self.flight.ready & (fresh[1] | room.any()),
                    (phase == Phase.READ_SKIP) | ((phase == Phase.SKIP) & room.any()),
                )
            ),
            requests[3].eq(
                held[2] & ~nbout_last & ~writing & (fresh[2] | ~short | more_rows)
            ),
        ]  # fmt: skip
        with m.Switch(client):
            for last in range(4):
                with m.Case(last):
                    for distance in reversed(range(1, 5)):
                        with m.If(requests[(last + distance) % 4]):
                            m.d.comb += granted.eq((last + distance) % 4)

        # The burst on the bus, and where it lands.
        sends = Signal()
        run_ends = r == p  # with the burst
        nbout_first = Signal()
        last_byte = Signal(range(self._size + beat))
        m.d.comb += [
            last_byte.eq(a[:bits] + p - 1),
            *(getattr(axi, f"a{way}addr").eq(Cat(C(0, bits), a[bits:])) for way in "rw"),
            *(getattr(axi, f"a{way}len").eq(last_byte[bits:]) for way in "rw"),
            *(getattr(axi, f"a{way}size").eq(bits) for way in "rw"),
            *(getattr(axi, f"a{way}burst").eq(Burst.INCR) for way in "rw"),
            axi.arid.eq(0),
            axi.awid.eq(0),
            axi.arvalid.eq(sends & ~is_nbout),
            axi.awvalid.eq(sends & is_nbout),
            axi.bready.eq(writing),
            self.flight.payload.client.eq(client),
            self.flight.payload.mark.eq(~sends),
            self.flight.payload.start.eq(a[:bits]),
            self.flight.payload.end.eq(last_byte[:bits]),
            self.place.payload.length.eq(last_byte[bits:]),
            self.place.payload.single.eq(~last_byte[bits:].any()),
            self.place.payload.start.eq(a[:bits]),
            self.place.payload.end.eq(last_byte[:bits]),
            self.place.payload.first.eq(nbout_first),
            self.place.payload.last_of_run.eq(run_ends),
        ]

        # The one comparison: of the burst with what is left, with the room in NBin, or with the
        # bytes of NBout's rows that are claimed.
        bound, beyond = Signal(len(p)), Signal()
        fits = Signal()
        m.d.comb += fits.eq(beyond | (p <= bound))

        def compares(value):
            m.d.comb += [bound.eq(value), beyond.eq(value[len(p) :].any())]

        # SB's runs follow each other without a gap; the present one begins with a beat. Then its
        # rows may share beats.
        contiguous, aligned = Signal(reset_less=True), Signal(reset_less=True)
        too_long = Signal()
        n = Signal(2, reset_less=True)  # the loop that advances
        left, start, stride = Signal(Row), Signal(Row), Signal(Row)
        m.d.comb += [
            left.eq(Mux(n == 0, Row.LEFT_0, Mux(n == 1, Row.LEFT_1, Row.LEFT_2))),
            start.eq(Mux(n == 0, Row.START_0, Mux(n == 1, Row.START_1, Row.START_2))),
            stride.eq(Mux(n == 0, Row.STRIDE_0, Mux(n == 1, Row.STRIDE_1, Row.STRIDE_2))),
        ]
        last_one = shown[:HALF_BITS] == 1
        follows = is_sb & contiguous & (n == 0)  # the next run begins where this one has ended

        with m.FSM() as fsm:
            with m.State("IDLE"):
                with m.If(self.start):
                    m.d.sync += [
                        a.eq(self.program), r.eq(self.size), p.eq(0), fetches.eq(1)
                    ]  # fmt: skip
                    m.next = "ADVANCE"
                with m.Elif(self.halt):
                    pass
                with m.Elif(failed):
                    m.d.sync += client.eq(failing)
                    m.next = "FAULT"
                with m.Elif(requests.any()):
                    m.d.sync += client.eq(granted)
                    m.next = "LOOK"

            with m.State("LOOK"):
                reads(Mux(is_fresh, Row.START_2, Row.NEXT))
                m.next = "ADDRESS"
                with m.If(is_fresh):
                    m.next = "BEGIN"
                with m.If(is_nbin & (phase == Phase.READ_SKIP)):
                    reads(Row.SKIP)
                    m.next = "SKIP" if element == 1 else "DOUBLE"

            # A slot begins like an iteration of its outermost loop.
            with m.State("BEGIN"):
                adds(_First.ZERO, _Second.READ)
                m.d.sync += [a.eq(total), n.eq(2)]
                m.next = "RESTART"

            # A burst of the run.
            with m.State("ADDRESS"):
                adds(_First.ZERO, _Second.READ)
                m.d.sync += a.eq(total)
                reads(Row.REST)
                m.next = "SPAN"
            with m.State("SPAN"):
                adds(_First.ZERO, _Second.READ)
                offset = a[: self._size.bit_length() - 1]
                m.d.sync += [r.eq(total), p.eq(self._size - Mux(skipping, 0, offset))]
                m.d.comb += claim_row.eq(is_sb & ~row_claimed)
                with m.If(is_sb):
                    m.d.sync += row_claimed.eq(1)
                m.next = "TRIM"
            with m.State("TRIM"):
                compares(r)
                m.next = "SEND"
                with m.If(~fits):
                    m.d.sync += p.eq(r)
                with m.If(is_nbin):
                    m.next = "ROOM"
                with m.If(is_nbout):
                    m.next = "CLAIM"
                with m.If(is_sb & ~fits & contiguous & aligned & rows_left.any()):
                    m.d.sync += p.eq(p)
                    reads(Row.LEFT_0)
                    m.next = "GATHER"
            with m.State("GATHER"):
                writes(Row.LEFT_0, _First.ONES, _Second.READ, unless=last_one)
                with m.If(last_one):
                    m.d.sync += p.eq(r)
                    m.next = "SEND"
                with m.Else():
                    m.d.comb += claim_row.eq(1)
                    reads(Row.RUN)
                    m.next = "LENGTHEN"
            with m.State("LENGTHEN"):
                adds(_First.R, _Second.READ)
                m.d.sync += r.eq(total)
                m.next = "TRIM"
            with m.State("ROOM"):
                compares(room)
                with m.If(~fits):
                    m.d.sync += p.eq(room)
                m.next = "SEND"
                with m.If(phase == Phase.SKIP):
                    m.next = "PASS"
            with m.State("CLAIM"):
                compares(spare)
                m.d.sync += short.eq(0)
                with m.If(fits):
                    m.next = "SEND"
                with m.Elif(more_rows):
                    m.d.comb += claim_out.eq(1)
                    m.d.sync += spare.eq(spare + row_bytes)
                with m.Else():
                    m.d.sync += short.eq(1)
                    m.next = "IDLE"
            with m.State("PASS"):
                m.d.comb += takes.eq(1)
                m.next = "ADVANCE"
            with m.State("SEND"):
                adds(_First.R, _Second.MINUS_P)
                m.d.comb += sends.eq(1)
                with m.If(is_nbout):
                    with m.If(axi.awready):
                        m.d.comb += self.place.valid.eq(1)
                        m.d.sync += [
                            writing.eq(1), nbout_first.eq(0),
                            spare.eq(Mux(run_ends, 0, spare - p)),
                        ]  # fmt: skip
                        m.next = "ADVANCE"
                with m.Elif(axi.arready):
                    m.d.comb += [self.flight.valid.eq(1), takes.eq(1)]
                    with m.If(is_cp):
                        m.d.sync += fetched.eq(1)
                    m.next = "ADVANCE"
            with m.State("ADVANCE"):
                writes(Row.NEXT, _First.A, _Second.P)
                m.next = "SHORTEN"
            with m.State("SHORTEN"):
                writes(Row.REST, _First.R, _Second.MINUS_P)
                m.next = "IDLE"
                with m.If(run_ends):
                    m.d.sync += n.eq(0)
                    m.next = "LOOP"
                    with m.If(is_cp):
                        m.d.sync += fetches.eq(0)
                        m.next = "IDLE"
                    with m.If(is_sb):
                        m.d.sync += row_claimed.eq(0)
                    with m.If(skipping):
                        m.d.comb += nbin_done.eq(1)
                        m.next = "IDLE"
            if element == 2:
                with m.State("DOUBLE"):
                    adds(_First.ZERO, _Second.READ)
                    m.d.sync += a.eq(total)
                    m.next = "SKIP"
            with m.State("SKIP"):
                writes(Row.REST, _First.ZERO if element == 1 else _First.A, _Second.READ)
                m.next = "IDLE"
                with m.If(shown.any()):
                    m.d.sync += phase.eq(Phase.SKIP)
                with m.Else():
                    m.d.comb += nbin_done.eq(1)

            # The innermost loop with an iteration left advances, those inside it start over.
            with m.State("LOOP"):
                reads(left)
                m.next = "COUNT"
            with m.State("COUNT"):
                writes(left, _First.ONES, _Second.READ, unless=last_one)
                with m.If(~last_one):
                    reads(Mux(follows, Row.NEXT, start))
                    m.next = "STRIDE"
                with m.Elif(n == 2):
                    m.next = "LAST"
                with m.Else():
                    m.d.sync += n.eq(n + 1)
                    m.next = "LOOP"
            with m.State("STRIDE"):
                adds(_First.ZERO, _Second.READ)
                m.d.sync += a.eq(total)
                reads(stride)
                m.next = "MOVE"
                with m.If(follows):
                    m.next = "RESTART"
            with m.State("MOVE"):
                adds(_First.A, _Second.READ)
                m.d.sync += a.eq(total)
                m.next = "RESTART"
            with m.State("RESTART"):
                writes(start, _First.A, _Second.ZERO)
                reads(Row.COUNT_0)
                m.next = "COUNT_0"
                with m.If(n == 0):
                    m.next = "NEXT"
            with m.State("COUNT_0"):
                writes(Row.LEFT_0, _First.ZERO, _Second.READ)
                reads(Row.COUNT_1)
                m.next = "START_0"
            with m.State("START_0"):
                writes(Row.START_0, _First.A, _Second.ZERO)
                m.next = "COUNT_1"
                with m.If(n == 1):
                    m.next = "NEXT"
            with m.State("COUNT_1"):
                writes(Row.LEFT_1, _First.ZERO, _Second.READ)
                m.next = "START_1"
            with m.State("START_1"):
                writes(Row.START_1, _First.A, _Second.ZERO)
                m.next = "NEXT"
            with m.State("NEXT"):
                writes(Row.NEXT, _First.A, _Second.ZERO)
                reads(Row.RUN)
                m.next = "RUN"
            with m.State("RUN"):
                writes(Row.REST, _First.ZERO, _Second.READ)
                m.d.sync += r.eq(total)
                with m.If(is_nbout):
                    m.d.sync += nbout_first.eq(1)
                with m.If(is_sb):
                    m.d.sync += aligned.eq(~a[:bits].any())
                m.next = "IDLE"
                with m.If(is_fresh):
                    m.d.comb += self.begun.eq(Cat(is_sb, is_nbin, is_nbout))
                    with m.If(is_sb):
                        reads(Row.STRIDE_0)
                        m.next = "ROW"

            # The rows that SB gets.
            with m.State("ROW"):
                pieces = r[bits:]
                m.d.sync += [
                    contiguous.eq(shown[:width] == r),
                    self.pieces.eq(pieces - 1),
                ]
                m.next = "IDLE"
                with m.If(r[:bits].any() | (pieces > self._pieces)):
                    m.d.sync += too_long.eq(1)
                    m.next = "FAULT"

            with m.State("LAST"):
                with m.If(is_nbout):
                    m.d.sync += nbout_last.eq(1)
                    m.next = "IDLE"
                with m.Else():
                    m.d.comb += self.flight.valid.eq(1)
                    with m.If(self.flight.ready):
                        with m.If(is_sb):
                            m.d.sync += sb_last.eq(1)
                        with m.Else():
                            m.d.sync += phase.eq(Phase.LAST)
                        m.next = "IDLE"

            with m.State("FAULT"):
                reads(Row.PC)
                m.next = "REPORT"
            with m.State("REPORT"):
                m.d.comb += self.fault.eq(1)
                m.next = "STOPPED"
            with m.State("STOPPED"):
                pass
            gathers = fsm.ongoing("GATHER") | fsm.ongoing("LENGTHEN")
            making = Cat(fsm.ongoing(name) for name in ("TRIM", "CLAIM", "ROOM", "SEND"))
            m.d.comb += [
                self.bounded.eq((gathers | making.any()) & ~skipping),
                self.astray.eq((gathers & ~is_sb) | (fsm.ongoing("CLAIM") & ~is_nbout)),
            ]
            settled = (fsm.ongoing("IDLE") & (~failed | self.halt)) | fsm.ongoing("STOPPED")
            m.d.comb += self.idle.eq(settled & ~writing)

        with m.If(axi.bvalid & axi.bready):
            m.d.sync += writing.eq(0)
        with m.If(self.landed[0]):
            m.d.sync += fetched.eq(0)
        with m.If(nbin_done):
            m.d.sync += phase.eq(Phase.RUNS)
        codes = {
            Client.SB: Mux(too_long, ErrorCode.SB_RANGE, ErrorCode.BUS_SB),
            Client.NBIN: ErrorCode.BUS_NBIN,
            Client.NBOUT: ErrorCode.BUS_NBOUT,
        }
        for kind, code in codes.items():
            with m.If(client == kind):
                m.d.comb += self.code.eq(code)
        m.d.comb += [
            self.pc.eq(shown),
            self.empty.eq(~Cat(held).any()),
            self.fetching.eq(fetches | fetched),
            self.fencing.eq(held[1] & fenced),
        ]
        return m

    def _memory(self, m, client, read_row, read, write_row, write, total) -> Signal:
        """The rows of all slots; returns what was read last. The decoder writes between."""
        config = self._config
        part: Any = self.part
        own, theirs = Signal(range(self._banks)), Signal(range(self._banks))
        for n, bank in enumerate(self._own):
            with m.If(client == n + 1):
                m.d.comb += own.eq(bank)
        for n, bank in enumerate(self._theirs):
            with m.If(part.client == n + 1):
                m.d.comb += theirs.eq(bank)
        shown = Signal(row_bits(config))
        value = Signal(2 * HALF_BITS)
        m.d.comb += [
            self.free.eq(~write),
            value.eq(Mux(write, total, part.data)),
        ]
        width = row_bits(config)
        m.submodules.slots = ram = Ram(
            shape=data.ArrayLayout(unsigned(1), width), depth=rows(config), granularity=1
        )
        chosen = Cat(part.halves[0].replicate(HALF_BITS), part.halves[1].replicate(HALF_BITS))
        m.d.comb += [
            ram.write_row.eq(
                Mux(
                    write,
                    row_number(config, client, own, write_row),
                    row_number(config, part.client, theirs, part.row),
                )
            ),
            ram.write.eq(Mux(write, -1, Mux(self.write, chosen, 0))),
            ram.write_data.eq(value),
            ram.read_row.eq(row_number(config, client, own, read_row)),
            ram.read.eq(read),
            shown.eq(ram.read_data.as_value()),
        ]
        return shown

    def _slots(self, m: Module) -> tuple[list[Value], Value]:
        """What the units have: whether a slot, and whether NBin's waits for stores."""
        last = self._banks - 1
        used = [Signal(range(self._banks + 1), name=f"used_{n}") for n in range(3)]
        for n in range(3):
            own, theirs = self._own[n], self._theirs[n]
            m.d.comb += self.room[n].eq(used[n] != self._banks)
            m.d.sync += used[n].eq(used[n] + self.commit[n] - self.done[n])
            with m.If(self.begun[n]):
                m.d.sync += self._fresh[n].eq(0)
            with m.If(self.done[n]):
                m.d.sync += [own.eq(Mux(own == last, 0, own + 1)), self._fresh[n].eq(1)]
            with m.If(self.commit[n]):
                m.d.sync += theirs.eq(Mux(theirs == last, 0, theirs + 1))
        stores = Signal.like(used[2])
        m.d.comb += stores.eq(used[2] - self.done[2])
        waits = Signal(self._banks)
        for bank in range(self._banks):
            behind = Signal.like(stores, name=f"behind_{bank}")  # stores before the slot
            m.d.comb += waits[bank].eq(behind.any())
            with m.If(self.commit[1] & (self._theirs[1] == bank)):
                m.d.sync += behind.eq(Mux(self.fence, stores, 0))
            with m.Elif(self.done[2] & behind.any()):
                m.d.sync += behind.eq(behind - 1)
        return [count.any() for count in used], waits.bit_select(self._own[1], 1)
