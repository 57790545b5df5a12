"""The DianNao core (paper, figure 11): CP, SB, NBin, NBout and the NFU between three DMAs."""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal, Value
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
from .engine.mover import Mover
from .engine.rows import Client
from .events import Events, Stall
from .load import NbinLoader, SbLoader
from .operands import OperandFetch
from .pace import Pace
from .sequencer import Sequencer
from .store import StoreUnit
from .supervisor import Supervisor

__all__ = ["Core"]


@dataclass(frozen=True)
class _Moved:
    """What supervision and counters see of the way to memory.

    Parameters
    ----------
    pc : instruction in work
    fencing : a load of NBin waits for stores
    bytes : bytes moved in this cycle, by unit ("cp", "sb", "nbin", "nbout")
    slots : by unit, whether it begins a slot and is through with one
    """

    pc: Value
    fencing: Value
    bytes: dict[str, Value]
    slots: dict[str, tuple[Value, Value]]


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

        sequencer = Sequencer(config=config)
        operands = OperandFetch(config=config)
        nbin = Nbin(
            elements=config.nbin_elements,
            banks=config.nbin_banks,
            width=config.width,
            ti=config.ti,
            write_lanes=config.nbin_port // config.width,
            in_lanes=config.engine,
            read_stages=config.nbin_read_stages,
        )
        sb = Sb(
            rows=config.sb_rows,
            row_bits=config.sb_row_bits,
            port=config.sb_port,
            in_lanes=config.engine,
        )
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
            "sequencer": sequencer,
            "operands": operands,
            "nbin": nbin,
            "sb": sb,
            "nbout": nbout,
            "nfu": nfu,
        }
        for name, component in units.items():
            m.submodules[name] = unit(component)

        m.submodules.supervisor = supervisor = Supervisor(sources=2 if config.engine else 5)
        movers = self._with_engine if config.engine else self._with_dmas
        moved = movers(m, unit, csr, supervisor, sequencer, operands, nbin, sb, nbout)

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

        # Supervision and observation.
        issue = Signal()
        m.d.comb += [
            supervisor.start.eq(csr.start),
            supervisor.reset.eq(csr.reset),
            supervisor.watchdog.eq(csr.watchdog),
            supervisor.pc.eq(Mux(sequencer.busy, sequencer.pc, moved.pc)),
            issue.eq(sequencer.o.valid & sequencer.o.ready),
            clear.eq(supervisor.clear),
            csr.busy.eq(supervisor.busy),
            csr.draining.eq(supervisor.draining),
            csr.finished.eq(supervisor.done),
            csr.error.eq(supervisor.fault.error),
            csr.code.eq(supervisor.fault.code),
            csr.pc.eq(supervisor.fault.pc),
        ]
        # What is only counted may come a cycle later.
        m.d.sync += [
            supervisor.progress.eq(issue | Cat(moved.bytes.values()).any()),
            csr.events.eq(self.events),
            *(getattr(csr, f"{name}_bytes").eq(count) for name, count in moved.bytes.items()),
        ]
        stall = self.events.stall
        m.d.comb += [
            self.events.tag.eq(sequencer.tag),
            self.events.active.eq(issue & ~sequencer.parameters),
        ]
        for name, (begun, done) in moved.slots.items():
            m.d.comb += [self.events[name].begin.eq(begun), self.events[name].done.eq(done)]
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
            m.d.comb += stall.eq(Mux(moved.fencing, Stall.STORE, Stall.NBIN))
        with m.Else():
            m.d.comb += stall.eq(Stall.NBOUT)
        return m

    def _with_dmas(
        self, m: Module, unit, csr: Csr, supervisor: Supervisor, sequencer: Sequencer,
        operands: OperandFetch, nbin: Nbin, sb: Sb, nbout: Nbout,
    ) -> _Moved:  # fmt: skip
        """Control processor, loaders and store unit, each with its own DMA."""
        config = self.config
        m.submodules.control = control = unit(Control(config=config))
        m.submodules.nbin_loader = nbin_loader = unit(NbinLoader(config=config))
        m.submodules.sb_loader = sb_loader = unit(SbLoader(config=config))
        m.submodules.store = store = unit(StoreUnit(config=config))

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
        connect(m, nbout.o, store.row)
        m.d.comb += [
            sequencer.nbin_arrived.eq(nbin_loader.arrived),
            sequencer.sb_arrived.eq(sb_loader.arrived),
            nbin_loader.free.eq(operands.nbin_free),
            sb_loader.free.eq(operands.sb_free),
            nbin_loader.stores_done.eq(store.stores_done),
            store.level.eq(nbout.level),
        ]

        # Supervision.
        on_bus = (control, nbin_loader, sb_loader, store)
        self._supervise(m, supervisor, (control, nbin_loader, sb_loader, sequencer, store))
        m.d.comb += [
            supervisor.finished.eq(control.finished),
            supervisor.quiet.eq(Cat(c.idle for c in on_bus).all()),
            control.start.eq(supervisor.go),
            control.program.eq(csr.program),
            control.size.eq(csr.size),
            control.drained.eq(nbin_loader.idle & sb_loader.idle & sequencer.idle & store.idle),
        ]
        workers = {"sb": sb_loader, "nbin": nbin_loader, "nbout": store}
        return _Moved(
            pc=control.pc,
            fencing=nbin_loader.fencing,
            bytes={**{name: w.bytes for name, w in workers.items()}, "cp": control.bytes},
            slots={name: (w.i.valid & w.i.ready, w.done) for name, w in workers.items()},
        )

    def _with_engine(
        self, m: Module, unit, csr: Csr, supervisor: Supervisor, sequencer: Sequencer,
        operands: OperandFetch, nbin: Nbin, sb: Sb, nbout: Nbout,
    ) -> _Moved:  # fmt: skip
        """One engine in their place."""
        m.submodules.mover = mover = unit(Mover(config=self.config))
        connect(m, mover.bus, flipped(self.bus))
        connect(m, mover.nfu, sequencer.i)
        connect(m, mover.nbin, nbin.write)
        connect(m, mover.sb, sb.write)
        connect(m, nbout.o, mover.row)
        self._supervise(m, supervisor, (mover, sequencer))
        m.d.comb += [
            sequencer.commit.eq(mover.commit),
            sequencer.nest_pc.eq(mover.nest_pc),
            sequencer.nest_tag.eq(mover.nest_tag),
            sequencer.nbin_arrived.eq(mover.nbin_arrived),
            sequencer.sb_arrived.eq(mover.sb_arrived),
            mover.nbin_free.eq(operands.nbin_free),
            mover.sb_free.eq(operands.sb_free),
            mover.level.eq(nbout.level),
            mover.start.eq(supervisor.go),
            mover.program.eq(csr.program),
            mover.size.eq(csr.size),
            mover.drained.eq(sequencer.idle),
            supervisor.finished.eq(mover.finished),
            supervisor.quiet.eq(mover.idle),
        ]
        names = ("sb", "nbin", "nbout")
        reads = {
            kind.name.lower(): Mux(mover.client == kind, mover.bytes, 0)
            for kind in (Client.CP, Client.SB, Client.NBIN)
        }
        return _Moved(
            pc=mover.busy_pc,
            fencing=mover.fencing,
            bytes={**reads, "nbout": mover.stored},
            slots={name: (mover.begun[n], mover.done[n]) for n, name in enumerate(names)},
        )

    @staticmethod
    def _supervise(m: Module, supervisor: Supervisor, reporting: tuple):
        for component, fault in zip(reporting, supervisor.faults, strict=True):
            m.d.comb += [
                fault.error.eq(component.error),
                fault.code.eq(component.code),
                fault.pc.eq(component.pc),
                component.halt.eq(supervisor.halt),
            ]
