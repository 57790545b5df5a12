"""Operand fetch: from a step's addresses to the neurons and synapses that NFU-1 takes."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..arith.pipeline import delay
from ..memory.ring import wrapped
from ..nfu.layouts import Control, Operands, lanes
from .config import Config
from .sequencer import Step

__all__ = ["OperandFetch"]


class OperandFetch(wiring.Component):
    """Reads NBin and SB for each step.

    ::

        step -> [address] -> NBin banks -> NBin rotation -> neurons
                         \\-> [delay]    -> SB            -> row

    Stages that move together when the last one is empty or accepted, ``config.operand_stages`` of
    them: NBin's banks, its rotation, with three a register in front of the addition that makes the
    address, with four and five those that Nbin has for it. SB's row is read as late as it can be,
    so that neurons and synapses leave NBin and SB together and a row of synapses never needs a
    register of its own.

    Latency ``config.operand_stages`` cycles, throughput one step per cycle. Ring space is freed in
    the cycle in which the memory takes the address: what the loader writes afterwards cannot reach
    that read.

    Members
    -------
    i : In, stream of Step
    o : Out, stream of Operands
    position, read_nbin, neurons : to and from Nbin
    row, read_sb, synapses : to and from Sb
    nbin_free, sb_free : Out, elements and rows given up in this cycle
    """

    i: stream.Interface
    o: stream.Interface
    position: Signal
    read_nbin: Signal
    neurons: data.View
    row: Signal
    read_sb: Signal
    synapses: Signal
    nbin_free: Signal
    sb_free: Signal

    def __init__(self, *, config: Config):
        self._config = config
        control = Control(config.nbout_rows, config.bias_rows)
        neurons = lanes(config.width, config.ti)
        super().__init__(
            {
                "i": In(stream.Signature(Step(config))),
                "o": Out(stream.Signature(Operands(control, neurons, config.sb_row_bits))),
                "position": Out(range(config.nbin_elements)),
                "read_nbin": Out(1),
                "neurons": In(neurons),
                "row": Out(range(config.sb_rows)),
                "read_sb": Out(1),
                "synapses": In(unsigned(config.sb_row_bits)),
                "nbin_free": Out(range(config.nbin_elements + 1)),
                "sb_free": Out(range(config.sb_rows + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        control = Control(config.nbout_rows, config.bias_rows)
        advance = Signal()
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]

        # Address: the offset from the tail becomes a place in the ring.
        step: Any = Signal(Step(config), reset_less=True)
        step_valid = Signal()
        nbin_sum = Signal(range(2 * config.nbin_elements))
        sb_sum = Signal(range(2 * config.sb_rows))
        sb_row = Signal(range(config.sb_rows))
        m.d.comb += [
            nbin_sum.eq(step.nbin_tail + step.nbin),
            self.position.eq(wrapped(nbin_sum, config.nbin_elements)),
            sb_sum.eq(step.sb_tail + step.sb),
            sb_row.eq(wrapped(sb_sum, config.sb_rows)),
            self.read_nbin.eq(advance),
        ]

        # NBin's rows and banks.
        more = config.nbin_read_stages - 2

        def delayed(value, stages: int, name: str, **options):
            return delay(m, value, stages, enable=advance, name=name, **options)

        valid = delayed(step_valid, min(more, 1), "row_valid", reset_less=False)
        nbin_free = delayed(step.nbin_free, min(more, 1), "nbin_free")
        m.d.comb += self.nbin_free.eq(Mux(valid & advance, nbin_free, 0))
        valid = delayed(valid, more - min(more, 1), "word_valid", reset_less=False)

        # SB's address.
        bank_control = Signal(control, reset_less=True)
        bank_valid = Signal()
        sb_free = Signal.like(self.sb_free)
        m.d.comb += [
            self.read_sb.eq(advance),
            self.sb_free.eq(Mux(bank_valid & advance, sb_free, 0)),
        ]

        # NBin's rotation; SB's row.
        out_control = Signal(control, reset_less=True)
        m.d.comb += [
            self.o.p.control.eq(out_control),
            self.o.p.neurons.eq(self.neurons),
            self.o.p.row.eq(self.synapses),
        ]

        if config.operand_stages == 2:
            m.d.comb += [step.eq(self.i.p), step_valid.eq(self.i.valid)]
        else:
            with m.If(advance):
                m.d.sync += [step.eq(self.i.p), step_valid.eq(self.i.valid)]
        with m.If(advance):
            m.d.sync += [
                bank_control.eq(delayed(step.control, more, "row_control")),
                bank_valid.eq(valid),
                self.row.eq(delayed(sb_row, more, "sb_row")),
                sb_free.eq(delayed(step.sb_free, more, "sb_free")),
                out_control.eq(bank_control),
                self.o.valid.eq(bank_valid),
            ]
        return m
