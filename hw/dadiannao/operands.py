"""Operand fetch of a tile: from a step's addresses to neurons and synapses."""

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..arith.pipeline import delay
from ..diannao.sequencer import Step
from ..memory.ring import wrapped
from ..nfu.layouts import Held, Op, Operands, lanes
from .config import NodeConfig

__all__ = ["OperandFetch"]


class OperandFetch(wiring.Component):
    """Reads NBin and SB for each step.

    ::

        step -> [address] -+-> SB --------------------------> row
                           +-> [delay] -> NBin, 2 cycles ---> neurons

    A step asks for its row first and for its neurons so much later that both come out of their
    memories together. The row then stays at its bank's output for as long as the NFU does not
    accept it. If SB cannot read the row yet, the step waits at the address; those ahead go on.

    Latency ``stages + 1`` cycles; one step per cycle as long as each finds its row in SB's outputs,
    or finds its bank free, which it does for rows one after the other if there are more than
    ``stages`` banks. NBin's space is freed in the cycle in which the memory takes the address.

    Parameters
    ----------
    config : of the node

    Members
    -------
    i : In(stream(Step)), ``sb`` counts from the first row
    o : Out(stream(Operands))
    position, read_nbin : Out, neurons : In, to and from Nbin
    row, read_sb, kept, bank : Out, sb_ready, synapses : In, to and from Sb
    nbin_free : Out(range(elements + 1)), elements given up in this cycle
    busy : Out(1), steps are on their way
    """

    i: stream.Interface
    o: stream.Interface
    position: Signal
    read_nbin: Signal
    neurons: data.View
    row: Signal
    read_sb: Signal
    sb_ready: Signal
    kept: Signal
    bank: Signal
    synapses: Signal
    nbin_free: Signal
    busy: Signal

    def __init__(self, *, config: NodeConfig):
        self._config = config
        core = config.core
        control = config.control
        neurons = lanes(core.width, core.ti)
        self.stages = max(config.sb_latency, 2)
        super().__init__(
            {
                "i": In(stream.Signature(Step(core, control))),
                "o": Out(stream.Signature(Operands(control, neurons, core.sb_row_bits))),
                "position": Out(range(core.nbin_elements)),
                "read_nbin": Out(1),
                "neurons": In(neurons),
                "row": Out(range(core.sb_rows)),
                "read_sb": Out(1),
                "sb_ready": In(1),
                "kept": Out(config.sb_banks),
                "bank": Out(range(config.sb_banks)),
                "synapses": In(unsigned(core.sb_row_bits)),
                "nbin_free": Out(range(core.nbin_elements + 1)),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, core = self._config, self._config.core
        advance = Signal()
        m.d.comb += advance.eq(~self.o.valid | self.o.ready)

        def registered(value, stages: int, name: str, **options):
            return delay(m, value, stages, enable=advance, name=name, **options)

        # Address: the offset from the tail becomes a place in NBin's ring.
        step = Signal(Step(core, config.control), reset_less=True)
        waiting, goes, takes_row = Signal(), Signal(), Signal()
        nbin_sum = Signal(range(2 * core.nbin_elements))
        position = Signal(range(core.nbin_elements))
        op = step.control.op
        m.d.comb += [
            nbin_sum.eq(step.nbin_tail + step.nbin),
            position.eq(wrapped(nbin_sum, core.nbin_elements)),
            takes_row.eq((op == Op.MAC) | (op == Op.BIAS) | (op == Op.TABLE)),
            self.row.eq(step.sb),
            self.read_sb.eq(waiting & takes_row),
            goes.eq(waiting & advance & (~takes_row | self.sb_ready)),
            self.i.ready.eq(~waiting | goes),
        ]
        if config.training:
            with m.If((op == Op.MAC) & (step.control.held == Held.EACH)):
                m.d.comb += takes_row.eq(0)
        with m.If(self.i.ready):
            m.d.sync += [waiting.eq(self.i.valid), step.eq(self.i.payload)]

        # Steps on their way, and the banks that keep their rows for them.
        bank = step.sb[: (config.sb_banks - 1).bit_length()]
        valid, row_taken = goes, takes_row
        for stage in range(1, self.stages + 1):
            valid = registered(valid, 1, f"valid_{stage}", reset_less=False)
            row_taken = registered(row_taken, 1, f"row_taken_{stage}")
            bank = registered(bank, 1, f"bank_{stage}")
            for n in range(config.sb_banks):
                with m.If(valid & row_taken & (bank == n)):
                    m.d.comb += self.kept[n].eq(1)
            with m.If(valid):
                m.d.comb += self.busy.eq(1)
        with m.If(waiting):
            m.d.comb += self.busy.eq(1)

        # NBin takes its address two stages before the end.
        to_nbin = self.stages - 2
        freed = Mux(goes, step.nbin_free, 0)
        m.d.comb += [
            self.position.eq(registered(position, to_nbin, "position")),
            self.read_nbin.eq(advance),
            self.nbin_free.eq(
                Mux(advance, registered(freed, to_nbin, "freed", reset_less=False), 0)
            ),
            self.o.valid.eq(valid),
            self.o.payload.control.eq(registered(step.control, self.stages, "control")),
            self.o.payload.neurons.eq(self.neurons),
            self.o.payload.row.eq(self.synapses),
            self.bank.eq(bank),
        ]
        return m
