"""NFU sequencer: runs the loop nest of one NFU slot, one step per cycle."""

from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..memory.ram import Ram
from ..memory.ring import wrapped
from ..nfu.layouts import Control, Held, Op
from .config import Config
from .isa import LEVELS, ErrorCode, NfuIn, NfuOut, NfuSlot
from .nests import HEAD, ROWS, Count, Nests, is_two

__all__ = ["QueuedNest", "Sequencer", "Step"]


class QueuedNest(data.Struct):
    """An NFU slot with the place and the layer it came from."""

    slot: NfuSlot
    pc: unsigned(32)
    tag: unsigned(16)


class Step(data.StructLayout):
    """One step on its way to the operands.

    ``nbin`` and ``sb`` are offsets from the tails ``nbin_tail`` and ``sb_tail`` of the two rings;
    ``nbin_free`` and ``sb_free`` become free once the step has read its operands.
    """

    def __init__(self, config: Config, control: Control | None = None):
        super().__init__(
            {
                "control": control or Control(config.nbout_rows, config.bias_rows),
                "nbin": range(config.nbin_elements),
                "nbin_tail": range(config.nbin_elements),
                "nbin_free": range(config.nbin_elements + 1),
                "sb": range(config.sb_rows),
                "sb_tail": range(config.sb_rows),
                "sb_free": range(config.sb_rows + 1),
            }
        )


class Sequencer(wiring.Component):
    """Issue the steps of NFU nests, each as soon as its operands are in the buffers.

    Owns the tails of the rings NBin and SB. A step waits until all elements and rows that it reads
    and frees have arrived. The next nest starts in the cycle after the last step of the previous
    one. An address outside a buffer raises ``error`` for as long as it is held, and nothing is
    issued; the core then halts and resets this component. The first step of a nest can be issued 3
    cycles after it was committed.

    Parameters
    ----------
    config : core configuration
    resident : SB is no ring but holds all its rows from the start; they are never given up, and
        ``sb`` of a step is the row itself
    slot : the nests' layout: NfuSlot, or one that differs in nothing but what is reserved there
    control : layout of the steps' control; what NfuSlot does not have is in ``slot``

    Members
    -------
    i : In(stream(decoded_bits)), the words of NFU slots, or pieces of them; it is ready for all of
        a slot or for none
    commit : In, the slot whose words have all come is legal, and stands at ``nest_pc`` in the layer
        ``nest_tag``
    o : Out, stream of Step; combinational from the state, throughput one step per cycle
    nbin_arrived, sb_arrived : In, elements and rows for steps that are issued from the next cycle
        on
    halt : In, issue nothing
    error, code, pc : Out, fault of the nest at ``pc`` (``pc`` is valid while ``busy``)
    busy : Out, a nest is in work; idle : Out, and none is waiting
    begun : Out, pulse: the next nest is begun, and ``busy`` from the next cycle on
    done : Out, pulse: the last step of a nest leaves
    tag : Out, layer of the nest in work, or of the last one
    wait_nbin, wait_sb : Out, operands for the step have not arrived
    parameters : Out, the step loads parameters (BIAS, TABLE)
    """

    i: stream.Interface
    commit: Signal
    nest_pc: Signal
    nest_tag: Signal
    o: stream.Interface
    nbin_arrived: Signal
    sb_arrived: Signal
    halt: Signal
    error: Signal
    code: Signal
    pc: Signal
    busy: Signal
    idle: Signal
    begun: Signal
    done: Signal
    tag: Signal
    wait_nbin: Signal
    wait_sb: Signal
    parameters: Signal

    def __init__(
        self,
        *,
        config: Config,
        resident: bool = False,
        slot: type[data.Struct] = NfuSlot,
        control: Control | None = None,
    ):
        self._config = config
        self._resident = resident
        self._slot = slot
        self._control = control or Control(config.nbout_rows, config.bias_rows)
        super().__init__(
            {
                "i": In(stream.Signature(unsigned(config.decoded_bits))),
                "commit": In(1),
                "nest_pc": In(32),
                "nest_tag": In(16),
                "o": Out(stream.Signature(Step(config, self._control))),
                "nbin_arrived": In(range(config.nbin_elements + 1)),
                "sb_arrived": In(1),
                "halt": In(1),
                "error": Out(1),
                "code": Out(ErrorCode),
                "pc": Out(32),
                "busy": Out(1),
                "idle": Out(1),
                "begun": Out(1),
                "done": Out(1),
                "tag": Out(16),
                "wait_nbin": Out(1),
                "wait_sb": Out(1),
                "parameters": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        capacity, rows = config.nbin_elements, config.sb_rows
        m.submodules.nests = nests = Nests(config=config, slot=self._slot)
        connect(m, flipped(self.i), nests.i)
        m.d.comb += [nests.commit.eq(self.commit), nests.pc.eq(self.nest_pc)]
        m.d.comb += nests.tag.eq(self.nest_tag)
        head = nests.head.payload
        tag = Signal(16, reset_less=True)  # of the last nest
        m.d.comb += [self.pc.eq(head.pc), self.tag.eq(Mux(self.busy, head.tag, tag))]

        # The step that waits to be issued. ``advancing`` is the level that advances after it, also
        # as one bit in ``here``, or HEAD after the nest's last step; its row of the nest is at
        # hand: strides, iterations and what is freed. The levels ``passed`` start over then.
        # After the last step and without a nest, ``starting``, it is the next nest's start, if
        # ``fetched``.
        advancing = Signal(range(ROWS), reset_less=True)
        here, passed, at_zero, at_end = (
            Signal(LEVELS, name=name, reset_less=True)
            for name in ("here", "passed", "at_zero", "at_end")
        )
        fresh = Signal(reset_less=True)  # it is that level's first iteration
        starting = Signal(init=1)
        fetched = Signal()
        issue, begin, move = Signal(), Signal(), Signal()
        # Whether what the step frees has come is known late, all else early: it is ``able``.
        able, late = Signal(), Signal()
        idle_begin = Signal()
        m.d.comb += [
            idle_begin.eq(fetched & ~self.busy),
            issue.eq(able & ~late),
            self.done.eq(able & starting & ~late),
            begin.eq(idle_begin | (able & starting & fetched & ~late)),
            move.eq(idle_begin | (able & (~starting | fetched) & ~late)),
            nests.head.ready.eq(self.done),
        ]
        m.d.sync += self.busy.eq(begin | (self.busy & ~self.done))
        with m.If(self.done):
            m.d.sync += tag.eq(head.tag)

        # The following step: which loops are at their ends, and so which level advances after it.
        last_but_one = self._iterations(m, nests, advancing, fresh, starting, issue)
        # Which are, if the one that advances now is; of a nest's first step, those of one
        # iteration. Whether it is, is known last.
        ended, single, ending = Signal(LEVELS), Signal(LEVELS), Signal(LEVELS, reset_less=True)
        only = Signal(LEVELS, reset_less=True)  # ``single`` of the nest in work
        zeros, ends = Signal(LEVELS), Signal(LEVELS)
        following, further = Signal(range(ROWS)), Signal(range(ROWS))
        again, stays, all_ended = Signal(range(ROWS)), Signal(), Signal()
        further_fresh, again_fresh = Signal(), Signal()
        inside = Signal(LEVELS)  # the levels that will be ``passed``
        m.d.comb += [
            single.eq(Mux(starting, nests.single, only)),
            # Until the start has been fetched, HEAD follows: its row.
            ended.eq(Mux(starting, nests.single | (~fetched).replicate(LEVELS), ending)),
            stays.eq(~starting & ~last_but_one),
            zeros.eq(starting.replicate(LEVELS) | passed | (at_zero & ~here)),
            ends.eq(ended & ~(here & stays.replicate(LEVELS))),
            all_ended.eq(ended.all() & ~stays),
            further.eq(HEAD),
            again.eq(HEAD),
            following.eq(Mux(stays, again, further)),
            inside.eq(~(C(-1, LEVELS) << following)),
        ]
        for n in reversed(range(LEVELS)):
            with m.If(~ended[n]):
                m.d.comb += [further.eq(n), further_fresh.eq(zeros[n])]
            with m.If(~ended[n] | here[n]):
                m.d.comb += [again.eq(n), again_fresh.eq(zeros[n])]
        with m.If(move):
            m.d.sync += [
                advancing.eq(following),
                starting.eq(all_ended),
                here.eq(1 << following),
                passed.eq(inside),
                fresh.eq(Mux(stays, again_fresh, further_fresh)),
                at_zero.eq(zeros),
                at_end.eq(ends),
                only.eq(single),
                ending.eq((inside & single) | (~inside & ((1 << following) | ends))),
            ]

        # Rows for it. ``upcoming`` is the place of the next nest, ``waiting`` are complete.
        current, upcoming, after = (
            Signal(range(nests.banks), name=name) for name in ("current", "upcoming", "after")
        )
        waiting = Signal(range(nests.banks + 1))
        m.d.comb += after.eq(Mux(upcoming == nests.banks - 1, 0, upcoming + 1))
        committed = Signal.like(waiting)
        m.d.comb += committed.eq(waiting + self.commit)
        m.d.sync += waiting.eq(Mux(begin, committed - 1, committed))
        m.d.comb += [self.begun.eq(begin), self.idle.eq(~self.busy & ~waiting.any())]
        with m.If(begin):
            m.d.sync += [current.eq(upcoming), upcoming.eq(after)]
        # The following step's row, or the one with the next start; and the row with what it frees.
        own, other = Signal.like(current), Signal.like(current)
        awaited = starting & ~fetched
        m.d.comb += [
            own.eq(Mux(starting, upcoming, current)),
            other.eq(Mux(starting & fetched, after, upcoming)),
            nests.row.eq(Cat(following, Mux(all_ended, other, own))),
            nests.read.eq(move | awaited),
            nests.free_row.eq(Cat(following, own)),
            nests.free_read.eq(move),
        ]
        m.d.sync += fetched.eq(
            Mux(
                move,
                all_ended & (waiting > starting),
                fetched | (awaited & waiting.any()),
            )
        )

        # Positions count from the ring's tail; what the tail passes is subtracted. Of NBin it is
        # the end of what the step reads.
        moves = nests.moves
        nbin_free, sb_free = nests.nbin_free, C(0, 1) if self._resident else nests.sb_free
        most_freed = 0 if self._resident else rows

        def position(name: str):
            return Signal(signed(len(moves[name]) + 1), name=name, reset_less=True)

        nbin_end, sb, nbout, bias = map(position, ("nbin", "sb", "nbout", "bias"))
        nbin_tail, sb_tail = Signal(range(capacity)), Signal(range(rows))
        nbin_filled = Signal(range(capacity + 1))
        # Each with whether it is outside its buffer.
        outside = {}
        for place, base, least, most in (
            (nbin_end, Mux(starting, config.ti, nbin_end - nbin_free), config.ti, capacity),
            (sb, Mux(starting, 0, sb - sb_free), 0, rows - 1),
            (nbout, Mux(starting, 0, nbout), 0, config.nbout_rows - 1),
            (bias, Mux(starting, 0, bias), 0, config.bias_rows - 1),
        ):
            name = place.name.removesuffix("_end")
            outside[name] = Signal(name=f"{name}_outside", reset_less=True)
            moved = Signal.like(place, name=f"{name}_moved")
            m.d.comb += moved.eq(base + moves[name])
            with m.If(move):
                m.d.sync += [place.eq(moved), outside[name].eq(_is_outside(moved, least, most))]
        with m.If(issue):
            m.d.sync += [
                nbin_tail.eq(wrapped(nbin_tail + nbin_free, capacity)),
                sb_tail.eq(wrapped(sb_tail + sb_free, rows)),
            ]
        nbin_more = Signal.like(nbin_filled)
        m.d.comb += nbin_more.eq(nbin_filled + self.nbin_arrived)
        m.d.sync += nbin_filled.eq(Mux(issue, nbin_more - nbin_free, nbin_more))

        # Whether it may be issued.
        op = head.op
        reads_nbin, reads_sb = Signal(), Signal()
        m.d.comb += [
            reads_nbin.eq((op == Op.MAC) | (op == Op.MAX) | (op == Op.SUM)),
            reads_sb.eq((op == Op.MAC) | (op == Op.BIAS) | (op == Op.TABLE)),
            self.parameters.eq((op == Op.BIAS) | (op == Op.TABLE)),
        ]
        if self._control.updated_rows:
            with m.If(head.held == Held.EACH):
                m.d.comb += reads_sb.eq(0)
        uses_bias = (op == Op.BIAS) | ((op == Op.MAC) & (head.source == NfuIn.BIAS))
        nbin_bad, sb_bad, nbout_bad, bias_bad = (Signal(name=f"{name}_bad") for name in outside)
        m.d.comb += [
            nbin_bad.eq(outside["nbin"] & reads_nbin),
            sb_bad.eq(outside["sb"] & reads_sb),
            nbout_bad.eq(outside["nbout"] & reads_nbin),
            bias_bad.eq(outside["bias"] & uses_bias),
        ]
        # More than a buffer holds never comes, so who frees it waits anyway.
        stopped = ~self.busy | self.halt | nbin_bad | sb_bad | nbout_bad | bias_bad
        if self._resident:
            stopped |= nests.sb_free.any()
        with m.If(self.busy):
            with m.If(nbin_bad | (nbin_free > capacity)):
                m.d.comb += [self.error.eq(1), self.code.eq(ErrorCode.NBIN_RANGE)]
            with m.Elif(sb_bad | (nests.sb_free > most_freed)):
                m.d.comb += [self.error.eq(1), self.code.eq(ErrorCode.SB_RANGE)]
            with m.Elif(nbout_bad):
                m.d.comb += [self.error.eq(1), self.code.eq(ErrorCode.NBOUT_RANGE)]
            with m.Elif(bias_bad):
                m.d.comb += [self.error.eq(1), self.code.eq(ErrorCode.BIAS_RANGE)]
        sb_owed: Value = C(0, 1)  # a step frees rows that have not come
        if not self._resident:
            # Whether a row that is read has come is in a register; it may come in the cycle before.
            sb_filled = Signal(range(rows + 1))
            came = self.sb_arrived  # known late
            # The following step's row, counted from the tail as it is now.
            sb_next = Signal(signed(len(sb) + 1))
            sb_short = Signal(reset_less=True)
            sb_passed = Mux(self.busy, sb_free, 0)  # without a nest, nothing defined is at hand
            m.d.comb += sb_next.eq(Mux(starting, sb_passed, sb) + moves["sb"])
            m.d.sync += [
                sb_filled.eq(Mux(issue, sb_filled - sb_passed + came, sb_filled + came)),
                sb_short.eq(
                    Mux(
                        move,
                        (sb_next >= sb_filled) & ~(came & (sb_next == sb_filled)),
                        (sb >= sb_filled) & ~(came & (sb == sb_filled)),
                    )
                ),
            ]
            sb_owed = sb_filled < sb_free
            stopped |= sb_short & reads_sb
            m.d.comb += self.wait_sb.eq((sb_short & reads_sb) | sb_owed)
        may_not = Signal()
        m.d.comb += [
            may_not.eq(stopped),
            self.wait_nbin.eq(((nbin_filled < nbin_end) & reads_nbin) | (nbin_filled < nbin_free)),
            late.eq(self.wait_nbin | sb_owed),
            able.eq(~may_not & self.o.ready),
            self.o.valid.eq(~may_not & ~late),
        ]

        step = self.o.p
        m.d.comb += [
            step.control.op.eq(op),
            step.control.first.eq((~head.reduce | at_zero).all() & (head.source == NfuIn.BIAS)),
            step.control.last.eq((~head.reduce | at_end).all() & (head.target == NfuOut.NFU3)),
            step.control.row.eq(nbout),
            step.control.bias.eq(bias),
            step.control.shift.eq(head.shift),
            step.control.scale.eq(head.scale),
            step.nbin.eq(nbin_end - config.ti),
            step.nbin_tail.eq(nbin_tail),
            step.nbin_free.eq(nbin_free),
            step.sb.eq(sb),
            step.sb_tail.eq(sb_tail),
            step.sb_free.eq(sb_free),
        ]
        if self._control.aggregate:
            m.d.comb += [
                step.control[name].eq(head[name]) for name in ("joined", "half", "derivative")
            ]
        if self._control.updated_rows:
            m.d.comb += [
                step.control.held.eq(head.held),
                step.control.hold.eq((head.held != Held.SB) & at_zero[0]),
                step.control.sb.eq(sb),
            ]
        return m

    def _iterations(self, m: Module, nests, advancing, fresh, starting, issue):
        """Counts iterations of the level that advances; returns whether its last one follows.

        What is left of a level is counted in a memory, from the level's second iteration on.
        """
        count = Count(self._config)
        left = Ram(shape=count, depth=ROWS)
        m.submodules.left = left
        # The memory does not show what was written in the cycle before.
        recent: Any = Signal(count, reset_less=True)
        repeated = Signal(reset_less=True)
        now: Any = Signal(count)
        less: Any = Signal(count)
        m.d.comb += [
            now.eq(Mux(repeated, recent.as_value(), left.read_data.as_value())),
            less.count.eq(now.count - 1),
        ]
        with m.If(fresh):
            m.d.comb += now.eq(Cat(nests.count, nests.two))
        if "two" in dict(count):
            m.d.comb += less.two.eq(now.count == 3)
        m.d.comb += [
            left.write_row.eq(advancing),
            left.write.eq(issue),
            left.write_data.eq(less),
            left.read_row.eq(nests.free_row[:3]),
            left.read.eq(nests.free_read),
        ]
        with m.If(issue):
            m.d.sync += recent.eq(less)
        with m.If(nests.free_read):
            m.d.sync += repeated.eq(~starting & (nests.free_row[:3] == advancing))
        return is_two(now)


def _is_outside(place: Signal, least: int, most: int) -> Value:
    """Whether ``place`` is not in ``least .. most``; without a comparison next to powers of two."""
    bits = most.bit_length()
    if not most & (most + 1):
        above = place[bits:].any()
    elif not most & (most - 1):
        above = place[bits:].any() | (place[bits - 1] & place[: bits - 1].any())
    else:
        above = place > most
    if least & (least - 1):
        return above | (place < least)
    below = ~place[least.bit_length() - 1 :].any() if least else C(0, 1)
    return above | place[-1] | below
