"""A tile (paper, figure 6): an NFU between NBin, NBout and an SB that keeps its rows."""

from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..diannao.isa import NfuSlot
from ..diannao.nest_words import NestWords
from ..diannao.sequencer import QueuedNest, Sequencer
from ..memory.nbin import Nbin
from ..memory.nbout import Nbout
from ..nfu.layouts import Held, Op
from ..nfu.nfu import Nfu
from .config import NodeConfig
from .fat_tree import Kind, TileRowLayout
from .isa import ErrorCode, TileNest
from .operands import OperandFetch
from .sb import Sb

__all__ = ["Tile"]


class Tile(wiring.Component):
    """A tile of a node.

    ::

        instruction -> sequencer -> operand fetch
                                     |        |
        broadcast -+-> NBin ---------+        |
                   +-> SB (banks) ------------+--> NFU-1 --> NFU-2 --> NFU-3
                                                              ^ |       |
                                                              | v       |
                                                             NBout <----+---> o

    Rows of neurons come over the fat tree and are appended to NBin; a nest's steps go through them
    as in DianNao's core, and the rows that they finish wait in NBout until the node fetches them.
    Synapses come the same way, into SB, where they stay: nests read any row at any time.

    Everything but the contents of memories is reset; rows of SB outlive a reset of one cycle.

    Parameters
    ----------
    config : of the node

    Members
    -------
    instruction : In(stream(QueuedNest)); a nest is taken word by word, in as many cycles as its
        slot has words, while others run
    broadcast : In(stream(TileRowLayout)); NEURONS wait while NBin is full
    o : Out(stream(row_bits)), finished rows
    halt : In(1), issue no step
    busy : Out(1), a nest is in work, waiting or coming, a finished row has not reached NBout, or a
        row of SB is not yet written
    step : Out(1), a step is issued; ``active`` : Out(1), and it computes: MAC, MAX or SUM
    wait_nbin, wait_sb : Out(1), the next step waits for neurons; for its row of SB
    tag : Out(16), layer of the nest in work, or of the last one
    error, code, pc : Out, fault of the nest at ``pc``, which is valid while there is one in work
    """

    instruction: stream.Interface
    broadcast: stream.Interface
    o: stream.Interface
    halt: Signal
    busy: Signal
    step: Signal
    active: Signal
    wait_nbin: Signal
    wait_sb: Signal
    tag: Signal
    error: Signal
    code: Any
    pc: Signal

    def __init__(self, *, config: NodeConfig):
        self.config = config
        super().__init__(
            {
                "instruction": In(stream.Signature(QueuedNest)),
                "broadcast": In(stream.Signature(TileRowLayout(config))),
                "o": Out(stream.Signature(unsigned(config.row_bits))),
                "halt": In(1),
                "busy": Out(1),
                "step": Out(1),
                "active": Out(1),
                "wait_nbin": Out(1),
                "wait_sb": Out(1),
                "tag": Out(16),
                "error": Out(1),
                "code": Out(ErrorCode),
                "pc": Out(32),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, core = self.config, self.config.core
        m.submodules.words = words = NestWords()
        m.submodules.sequencer = sequencer = Sequencer(
            config=core,
            resident=True,
            slot=TileNest if config.aggregate else NfuSlot,
            control=config.control,
        )
        m.submodules.operands = operands = OperandFetch(config=config)
        m.submodules.nbin = nbin = Nbin(
            elements=core.nbin_elements,
            banks=core.nbin_banks,
            width=core.width,
            ti=core.ti,
            write_lanes=core.ti,
        )
        m.submodules.sb = sb = Sb(config=config)
        m.submodules.nbout = nbout = Nbout(
            rows=core.nbout_rows, tn=core.tn, acc_width=core.acc_width, width=core.width
        )
        m.submodules.nfu = nfu = Nfu(
            tn=core.tn,
            ti=core.ti,
            width=core.width,
            drop=core.drop,
            multiplier=core.multiplier,
            acc_width=core.acc_width,
            nbout_rows=core.nbout_rows,
            bias_rows=core.bias_rows,
            segments=core.segments,
            nfu1_stages=core.nfu1_stages,
            nfu2_stages=core.nfu2_stages,
            nfu3_stages=core.nfu3_stages,
            nfu3_lanes=core.nfu3_lanes,
            nfu3_multiplier=core.nfu3_multiplier,
            aggregate=config.aggregate,
            updated_rows=config.control.updated_rows,
        )

        # Rows from the fat tree.
        row = self.broadcast.payload
        room = Signal(range(core.nbin_elements + 1), init=core.nbin_elements)
        appended = Signal()
        m.d.comb += [
            sb.write.payload.data.eq(row.data),
            sb.write.payload.row.eq(row.row),
            nbin.write.word.eq(row.data),
            nbin.write.count.eq(Mux(appended, core.ti, 0)),
            nbin.write.advance.eq(nbin.write.count),
            sequencer.nbin_arrived.eq(nbin.write.count),
        ]
        with m.If(row.kind == Kind.NEURONS):
            m.d.comb += [
                self.broadcast.ready.eq(room >= core.ti),
                appended.eq(self.broadcast.valid & self.broadcast.ready),
            ]
        with m.Else():
            m.d.comb += [
                self.broadcast.ready.eq(sb.write.ready),
                sb.write.valid.eq(self.broadcast.valid),
            ]
        m.d.sync += room.eq(room + operands.nbin_free - nbin.write.count)

        # Nests to steps, steps to operands.
        connect(m, flipped(self.instruction), words.i)
        connect(m, words.o, sequencer.i)
        m.d.comb += [
            sequencer.commit.eq(words.commit),
            sequencer.nest_pc.eq(words.pc),
            sequencer.nest_tag.eq(words.tag),
            sequencer.halt.eq(self.halt),
            nbin.position.eq(operands.position),
            nbin.read.eq(operands.read_nbin),
            operands.neurons.eq(nbin.neurons),
            sb.row.eq(operands.row),
            sb.read.eq(operands.read_sb),
            sb.kept.eq(operands.kept),
            sb.bank.eq(operands.bank),
            operands.sb_ready.eq(sb.ready),
            operands.synapses.eq(sb.synapses),
        ]
        connect(m, sequencer.o, operands.i)

        # NFU and NBout.
        connect(m, operands.o, nfu.i)
        connect(m, nfu.partial, nbout.partial)
        connect(m, nfu.o, nbout.i)
        m.d.comb += [
            self.o.payload.eq(Cat(*nbout.o.payload)),
            self.o.valid.eq(nbout.o.valid),
            nbout.o.ready.eq(self.o.ready),
        ]

        # What goes on.
        finishing = Signal(range(2 * (nfu.latency + 2)))  # rows of outputs in the NFU
        updating = Signal(range(nfu.latency + 2))  # rows of synapses in it
        control = operands.o.payload.control
        computes = (control.op != Op.BIAS) & (control.op != Op.TABLE)
        enters = operands.o.valid & operands.o.ready & control.last & computes
        updates, twice = C(0), C(0)
        if config.aggregate:
            twice = control.derivative & ~control.joined
        if config.training:
            enters &= ~control.hold
            updates = control.held == Held.ALL
            connect(m, nfu.update, sb.update)
            updated = sb.update.valid & sb.update.ready
            m.d.sync += updating.eq(updating + (enters & updates) - updated)
        rows = Mux(enters & ~updates, 1 + twice, 0)
        m.d.sync += finishing.eq(finishing + rows - (nfu.o.valid & nfu.o.ready))
        m.d.comb += [
            self.busy.eq(
                self.instruction.valid
                | ~sequencer.idle
                | operands.busy
                | finishing.any()
                | updating.any()
                | sb.busy
            ),
            self.step.eq(sequencer.o.valid & sequencer.o.ready),
            self.active.eq(self.step & ~sequencer.parameters),
            self.wait_nbin.eq(sequencer.busy & sequencer.wait_nbin),
            self.wait_sb.eq(operands.read_sb & ~operands.sb_ready),
            self.tag.eq(sequencer.tag),
            self.error.eq(sequencer.error),
            self.code.eq(Value.cast(sequencer.code)),
            self.pc.eq(sequencer.pc),
        ]
        return m
