"""NFU sequencer: runs the loop nest of one NFU slot, one step per cycle."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..nfu.layouts import Control, Op
from .config import Config
from .isa import LEVELS, ErrorCode, NfuIn, NfuOut, NfuSlot

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

    def __init__(self, config: Config):
        super().__init__(
            {
                "control": Control(config.nbout_rows, config.bias_rows),
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
    issued; the core then halts and resets this component.

    Members
    -------
    i : In, stream of QueuedNest
    o : Out, stream of Step; combinational from the state, throughput one step per cycle
    nbin_arrived, sb_arrived : In, elements and rows that became readable in this cycle
    halt : In, issue nothing
    error, code, pc : Out, fault of the nest at ``pc`` (``pc`` is valid while ``busy``)
    busy : Out, a nest is in work
    done : Out, pulse: the last step of a nest leaves
    tag : Out, layer of the nest in work, or of the last one
    wait_nbin, wait_sb : Out, operands for the step have not arrived
    parameters : Out, the step loads parameters (BIAS, TABLE)
    """

    i: stream.Interface
    o: stream.Interface
    nbin_arrived: Signal
    sb_arrived: Signal
    halt: Signal
    error: Signal
    code: Signal
    pc: Signal
    busy: Signal
    done: Signal
    tag: Signal
    wait_nbin: Signal
    wait_sb: Signal
    parameters: Signal

    def __init__(self, *, config: Config):
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(QueuedNest)),
                "o": Out(stream.Signature(Step(config))),
                "nbin_arrived": In(range(config.nbin_elements + 1)),
                "sb_arrived": In(1),
                "halt": In(1),
                "error": Out(1),
                "code": Out(ErrorCode),
                "pc": Out(32),
                "busy": Out(1),
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

        nest: Any = Signal(QueuedNest, reset_less=True)
        slot = nest.slot
        m.d.comb += [self.pc.eq(nest.pc), self.tag.eq(nest.tag)]

        # Loop indices: iterations left, and whether this is the first or the last one. ``single``
        # loops have only one.
        left = [Signal(16, name=f"left_{n}", reset_less=True) for n in range(LEVELS)]
        at_zero = [Signal(1, name=f"at_zero_{n}", reset_less=True) for n in range(LEVELS)]
        at_end = [Signal(1, name=f"at_end_{n}", reset_less=True) for n in range(LEVELS)]
        single = [Signal(1, name=f"single_{n}", reset_less=True) for n in range(LEVELS)]
        first, last, final = Signal(), Signal(), Signal()
        reduction = Cat(
            *(~slot.reduce[n] | at_zero[n] for n in range(LEVELS)),
        )
        completion = Cat(
            *(~slot.reduce[n] | at_end[n] for n in range(LEVELS)),
        )

        # The level that advances after the step chooses the strides and what is freed. All this is
        # known a cycle ahead, so it waits in registers: whether a step can issue takes long enough.
        advancing = Signal(LEVELS + 1, reset_less=True)  # one bit set; the highest after the last
        nbin_free, sb_free = (
            Signal(16, name=f"{name}_free", reset_less=True) for name in ("nbin", "sb")
        )
        m.d.comb += [
            first.eq(reduction.all() & (slot.source == NfuIn.BIAS)),
            last.eq(completion.all() & (slot.target == NfuOut.NFU3)),
            final.eq(advancing[LEVELS]),
        ]
        nbin_step, sb_step, nbout_step, bias_step = (
            Signal(signed(16), name=f"{name}_step") for name in ("nbin", "sb", "nbout", "bias")
        )
        for n in range(LEVELS):
            level = slot.levels[n]
            with m.If(advancing[n]):
                m.d.comb += [
                    nbin_step.eq(level.nbin_step),
                    sb_step.eq(level.sb_step),
                    nbout_step.eq(level.nbout_step),
                    bias_step.eq(level.bias_step),
                ]

        def prepare(slot, ends):
            """The registers of a step of ``slot`` in which the loops are at their ``ends``."""
            frees = [(level.nbin_free, level.sb_free) for level in slot.levels]
            frees.append((slot.nbin_free, slot.sb_free))
            m.d.sync += [advancing.eq(1 << LEVELS), *_free(*frees[-1])]
            for n in reversed(range(LEVELS)):
                with m.If(~ends[n]):
                    m.d.sync += [advancing.eq(1 << n), *_free(*frees[n])]
            m.d.sync += [register.eq(end) for register, end in zip(at_end, ends, strict=True)]

        def _free(nbin, sb):
            return nbin_free.eq(nbin), sb_free.eq(sb)

        # Ring bookkeeping. Positions count from the tail; what the tail passes is subtracted.
        nbin, sb = Signal(signed(18), reset_less=True), Signal(signed(18), reset_less=True)
        nbout, bias = Signal(signed(18), reset_less=True), Signal(signed(18), reset_less=True)
        nbin_tail, sb_tail = Signal(range(capacity)), Signal(range(rows))
        nbin_filled, sb_filled = Signal(range(capacity + 1)), Signal(range(rows + 1))

        op = slot.op
        reads_nbin, reads_sb = Signal(), Signal()
        m.d.comb += [
            reads_nbin.eq((op == Op.MAC) | (op == Op.MAX) | (op == Op.SUM)),
            reads_sb.eq((op == Op.MAC) | (op == Op.BIAS) | (op == Op.TABLE)),
            self.parameters.eq((op == Op.BIAS) | (op == Op.TABLE)),
        ]

        nbin_bad = ((nbin < 0) | (nbin > capacity - config.ti)) & reads_nbin
        sb_bad = ((sb < 0) | (sb > rows - 1)) & reads_sb
        nbout_bad = ((nbout < 0) | (nbout > config.nbout_rows - 1)) & reads_nbin
        uses_bias = (op == Op.BIAS) | ((op == Op.MAC) & (slot.source == NfuIn.BIAS))
        bias_bad = ((bias < 0) | (bias > config.bias_rows - 1)) & uses_bias
        with m.If(self.busy):
            with m.If(nbin_bad | (nbin_free > capacity)):
                m.d.comb += [self.error.eq(1), self.code.eq(ErrorCode.NBIN_RANGE)]
            with m.Elif(sb_bad | (sb_free > rows)):
                m.d.comb += [self.error.eq(1), self.code.eq(ErrorCode.SB_RANGE)]
            with m.Elif(nbout_bad):
                m.d.comb += [self.error.eq(1), self.code.eq(ErrorCode.NBOUT_RANGE)]
            with m.Elif(bias_bad):
                m.d.comb += [self.error.eq(1), self.code.eq(ErrorCode.BIAS_RANGE)]

        m.d.comb += [
            self.wait_nbin.eq(
                ((nbin + config.ti > nbin_filled) & reads_nbin) | (nbin_free > nbin_filled)
            ),
            self.wait_sb.eq(((sb + 1 > sb_filled) & reads_sb) | (sb_free > sb_filled)),
            self.o.valid.eq(self.busy & ~self.wait_nbin & ~self.wait_sb & ~self.error & ~self.halt),
        ]
        step = self.o.p
        m.d.comb += [
            step.control.op.eq(op),
            step.control.first.eq(first),
            step.control.last.eq(last),
            step.control.row.eq(nbout),
            step.control.bias.eq(bias),
            step.control.shift.eq(slot.shift),
            step.control.scale.eq(slot.scale),
            step.nbin.eq(nbin),
            step.nbin_tail.eq(nbin_tail),
            step.nbin_free.eq(nbin_free),
            step.sb.eq(sb),
            step.sb_tail.eq(sb_tail),
            step.sb_free.eq(sb_free),
        ]

        issue = Signal()
        m.d.comb += [issue.eq(self.o.valid & self.o.ready), self.done.eq(issue & final)]
        m.d.sync += [
            nbin_filled.eq(nbin_filled + self.nbin_arrived - Mux(issue, nbin_free, 0)),
            sb_filled.eq(sb_filled + self.sb_arrived - Mux(issue, sb_free, 0)),
        ]
        with m.If(self.done):
            m.d.sync += self.busy.eq(0)
        with m.If(issue):
            m.d.sync += [
                nbin.eq(nbin + nbin_step - nbin_free),
                sb.eq(sb + sb_step - sb_free),
                nbout.eq(nbout + nbout_step),
                bias.eq(bias + bias_step),
                nbin_tail.eq(_wrap(nbin_tail + nbin_free, capacity)),
                sb_tail.eq(_wrap(sb_tail + sb_free, rows)),
            ]
            ends = [Signal(1, name=f"next_end_{n}") for n in range(LEVELS)]
            for n in range(LEVELS):
                m.d.comb += ends[n].eq(at_end[n])
                with m.If(Cat(1, *at_end[:n]).all()):
                    m.d.comb += ends[n].eq(Mux(at_end[n], single[n], left[n] == 1))
                    m.d.sync += [
                        left[n].eq(Mux(at_end[n], slot.levels[n].count - 1, left[n] - 1)),
                        at_zero[n].eq(at_end[n]),
                    ]
            prepare(slot, ends)

        # Take the next nest while the last step of this one leaves.
        m.d.comb += self.i.ready.eq(~self.busy | self.done)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                self.busy.eq(1),
                nest.eq(self.i.p),
                nbin.eq(self.i.p.slot.nbin),
                sb.eq(self.i.p.slot.sb),
                nbout.eq(self.i.p.slot.nbout),
                bias.eq(self.i.p.slot.bias),
            ]
            ends = [level.count == 1 for level in self.i.p.slot.levels]
            for n, level in enumerate(self.i.p.slot.levels):
                m.d.sync += [left[n].eq(level.count - 1), at_zero[n].eq(1), single[n].eq(ends[n])]
            prepare(self.i.p.slot, ends)
        return m


def _wrap(total, capacity: int):
    """``total`` modulo ``capacity``, for 0 <= total < 2 * capacity."""
    return Mux(total >= capacity, total - capacity, total)
