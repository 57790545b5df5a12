"""The DianNao core (paper, figure 11): CP, SB, NBin, NBout and the NFU between three DMAs."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..bus.arbiter import SharedPort
from ..bus.axi import AxiLitePort, ReadPort, ReadWritePort, WritePort
from ..memory.nbin import Nbin
from ..memory.nbout import Nbout
from ..memory.sb import Sb
from ..nfu.nfu import Nfu
from .config import Config
from .control import Control
from .csr import Csr
from .events import Events, Stall
from .load import NbinLoader, SbLoader
from .operands import OperandFetch
from .pace import Pace
from .sequencer import Sequencer
from .store import StoreUnit
from .supervisor import Supervisor

__all__ = ["Core"]


class Core(wiring.Component):
    """A DianNao accelerator.

    ::

        cp ---> CP --+--> queue --> NBin loader --> NBin --+
                     |                                     +--> NFU-1 --> NFU-2 --> NFU-3
        nbin ------- | -----------------^                  |                ^ |       |
                     +--> queue --> SB loader ----> SB ----+                | v       |
        sb --------- | -----------------^                                  NBout <----+
                     +--> queue --> sequencer (addresses, ownership)         |
                     +--> queue --> store unit <-----------------------------+
        nbout <------------------------+

    The units run decoupled and meet only in the buffers: the loaders append to the rings NBin and
    SB while there is room, the sequencer issues a step once its operands have arrived and frees
    them when the program says so, the store unit drains finished rows.

    After a program, a fault or a soft reset the units are reset, so that every start finds the core
    as after power-up; see Supervisor.

    Parameters
    ----------
    config : configuration

    Members
    -------
    csr : In, AXI4-Lite, see docs/registers.md
    irq : Out(1), level, done or error and enabled
    events : Out(Events), what the core does in this cycle, for profilers; may stay unconnected
    nbin, sb, cp : Out, AXI4 read ports; nbout : Out, AXI4 write port (separate ports)
    bus : Out, the AXI4 port that they share (``config.shared_port``)
    """

    csr: Any
    irq: Signal
    events: Any
    nbin: Any
    sb: Any
    cp: Any
    nbout: Any
    bus: Any

    def __init__(self, *, config: Config):
        self.config = config
        address = config.address_width
        if config.shared_port:
            ports = {"bus": Out(ReadWritePort(address, config.nbin_port, id_width=2))}
        else:
            ports = {
                "nbin": Out(ReadPort(address, config.nbin_port)),
                "sb": Out(ReadPort(address, config.sb_port)),
                "cp": Out(ReadPort(address, config.cp_port)),
                "nbout": Out(WritePort(address, config.nbout_port)),
            }
        super().__init__(
            {"csr": In(AxiLitePort(12)), "irq": Out(1), "events": Out(Events), **ports}
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config

        m.submodules.csr = csr = Csr(config=config)
        connect(m, flipped(self.csr), csr.bus)
        m.d.comb += self.irq.eq(csr.irq)

        # Everything but the registers starts afresh after a program, a fault or a soft reset.
        clear = Signal()
        unit = ResetInserter(clear)

        control = Control(config=config)
        nbin_loader = NbinLoader(config=config)
        sb_loader = SbLoader(config=config)
        sequencer = Sequencer(config=config)
        operands = OperandFetch(config=config)
        store = StoreUnit(config=config)
        nbin = Nbin(
            elements=config.nbin_elements,
            banks=config.nbin_banks,
            width=config.width,
            ti=config.ti,
            write_lanes=config.nbin_port // config.width,
        )
        sb = Sb(rows=config.sb_rows, row_bits=config.sb_row_bits, port=config.sb_port)
        nbout = Nbout(
            rows=config.nbout_rows,
            tn=config.tn,
            acc_width=config.acc_width,
            width=config.width,
        )
        nfu = Nfu(
            tn=config.tn,
            ti=config.ti,
            width=config.width,
            drop=config.drop,
            multiplier=config.multiplier,
            acc_width=config.acc_width,
            nbout_rows=config.nbout_rows,
            bias_rows=config.bias_rows,
            segments=config.segments,
            nfu1_stages=config.nfu1_stages,
            nfu2_stages=config.nfu2_stages,
            nfu3_stages=config.nfu3_stages,
            nfu3_lanes=config.nfu3_lanes,
            nfu3_multiplier=config.nfu3_multiplier,
            paced=config.paced,
        )
        units = {
            "control": control,
            "nbin_loader": nbin_loader,
            "sb_loader": sb_loader,
            "sequencer": sequencer,
            "operands": operands,
            "store": store,
            "nbin": nbin,
            "sb": sb,
            "nbout": nbout,
            "nfu": nfu,
        }
        for name, component in units.items():
            m.submodules[name] = unit(component)

        # Memory side.
        if config.shared_port:
            m.submodules.axi_mux = mux = unit(
                SharedPort(address_width=config.address_width, data_width=config.nbin_port)
            )
            connect(m, mux.bus, flipped(self.bus))
            connect(m, control.axi, mux.cp)
            connect(m, sb_loader.axi, mux.sb)
            connect(m, nbin_loader.axi, mux.nbin)
            connect(m, store.axi, mux.nbout)
        else:
            connect(m, control.axi, flipped(self.cp))
            connect(m, sb_loader.axi, flipped(self.sb))
            connect(m, nbin_loader.axi, flipped(self.nbin))
            connect(m, store.axi, flipped(self.nbout))

        # Program: from CP's queues to the units.
        connect(m, control.sb, sb_loader.i)
        connect(m, control.nbin, nbin_loader.i)
        connect(m, control.nbout, store.i)
        connect(m, control.nfu, sequencer.i)
        m.d.comb += [
            sequencer.commit.eq(control.commit),
            sequencer.nest_pc.eq(control.nest_pc),
            sequencer.nest_tag.eq(control.nest_tag),
        ]

        # Buffers and ownership of their space.
        connect(m, nbin_loader.write, nbin.write)
        connect(m, sb_loader.write, sb.write)
        m.d.comb += [
            sequencer.nbin_arrived.eq(nbin_loader.arrived),
            sequencer.sb_arrived.eq(sb_loader.arrived),
            nbin_loader.free.eq(operands.nbin_free),
            sb_loader.free.eq(operands.sb_free),
            nbin_loader.stores_done.eq(store.stores_done),
        ]

        # Data: NBin and SB -> NFU -> NBout -> store.
        if config.paced:
            m.submodules.pace = pace = unit(Pace(config=config))
            connect(m, sequencer.o, pace.i)
            connect(m, pace.o, operands.i)
            m.d.sync += pace.left.eq(nbout.o.valid & nbout.o.ready)
        else:
            connect(m, sequencer.o, operands.i)
        m.d.comb += [
            nbin.position.eq(operands.position),
            nbin.read.eq(operands.read_nbin),
            operands.neurons.eq(nbin.neurons),
            sb.row.eq(operands.row),
            sb.read.eq(operands.read_sb),
            operands.synapses.eq(sb.synapses),
        ]
        connect(m, operands.o, nfu.i)
        connect(m, nfu.partial, nbout.partial)
        connect(m, nfu.o, nbout.i)
        connect(m, nbout.o, store.row)
        m.d.comb += store.level.eq(nbout.level)

        # Supervision and observation.
        m.submodules.supervisor = supervisor = Supervisor(sources=5)
        reporting = (control, nbin_loader, sb_loader, sequencer, store)
        on_bus = (control, nbin_loader, sb_loader, store)
        issue = Signal()
        for component, fault in zip(reporting, supervisor.faults, strict=True):
            m.d.comb += [
                fault.error.eq(component.error),
                fault.code.eq(component.code),
                fault.pc.eq(component.pc),
                component.halt.eq(supervisor.halt),
            ]
        m.d.comb += [
            supervisor.start.eq(csr.start),
            supervisor.reset.eq(csr.reset),
            supervisor.watchdog.eq(csr.watchdog),
            supervisor.finished.eq(control.finished),
            supervisor.pc.eq(Mux(sequencer.busy, sequencer.pc, control.pc)),
            issue.eq(sequencer.o.valid & sequencer.o.ready),
            supervisor.quiet.eq(Cat(c.idle for c in on_bus).all()),
            clear.eq(supervisor.clear),
            control.start.eq(supervisor.go),
            control.program.eq(csr.program),
            control.size.eq(csr.size),
            control.drained.eq(nbin_loader.idle & sb_loader.idle & sequencer.idle & store.idle),
            csr.busy.eq(supervisor.busy),
            csr.draining.eq(supervisor.draining),
            csr.finished.eq(supervisor.done),
            csr.error.eq(supervisor.fault.error),
            csr.code.eq(supervisor.fault.code),
            csr.pc.eq(supervisor.fault.pc),
        ]
        # What is only counted may come a cycle later.
        m.d.sync += [
            supervisor.progress.eq(issue | Cat(c.bytes for c in on_bus).any()),
            csr.events.eq(self.events),
            csr.nbin_bytes.eq(nbin_loader.bytes),
            csr.sb_bytes.eq(sb_loader.bytes),
            csr.nbout_bytes.eq(store.bytes),
            csr.cp_bytes.eq(control.bytes),
        ]
        stall = self.events.stall
        m.d.comb += [
            self.events.tag.eq(sequencer.tag),
            self.events.active.eq(issue & ~sequencer.parameters),
        ]
        for name, worker in {"sb": sb_loader, "nbin": nbin_loader, "nbout": store}.items():
            m.d.comb += [
                self.events[name].begin.eq(worker.i.valid & worker.i.ready),
                self.events[name].done.eq(worker.done),
            ]
        m.d.comb += [
            self.events.nfu.begin.eq(sequencer.begun),
            self.events.nfu.done.eq(sequencer.done),
        ]
        with m.If(~supervisor.busy):
            m.d.comb += stall.eq(Stall.IDLE)
        with m.Elif(issue):
            m.d.comb += stall.eq(Stall.NONE)
        with m.Elif(~sequencer.busy):
            m.d.comb += stall.eq(Stall.INSTRUCTION)
        with m.Elif(sequencer.wait_sb):
            m.d.comb += stall.eq(Stall.SB)
        with m.Elif(sequencer.wait_nbin):
            m.d.comb += stall.eq(Mux(nbin_loader.fencing, Stall.STORE, Stall.NBIN))
        with m.Else():
            m.d.comb += stall.eq(Stall.NBOUT)
        return m
