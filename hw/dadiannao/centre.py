"""The centre of a node: everything but the tiles."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..bus.arbiter import SharedPort
from ..bus.axi import AxiLitePort, ReadWritePort
from ..diannao.events import Events, Stall
from ..diannao.sequencer import QueuedNest
from ..diannao.supervisor import Supervisor
from ..mesh.channel import WordLayout
from ..program.control import Control
from ..program.registers import ControlRegisters
from .central import Central
from .config import NodeConfig
from .csr import ADDRESS_WIDTH, COUNTERS, STATUS, register_map
from .dispatch import Dispatch
from .fat_tree import Broadcast, Gather, TileRowLayout
from .instructions import SLOTS
from .isa import CP_MAGIC, ErrorCode
from .loader import Loader
from .merge import Merge
from .reader import Reader
from .receiver import Receiver
from .sender import Sender
from .storer import Storer
from .writer import Writer

__all__ = ["Centre", "TilePort", "node_ports"]


class TilePort(wiring.Signature):
    """Between the centre and a tile, seen from the centre; see ``Tile``."""

    def __init__(self, config: NodeConfig):
        super().__init__(
            {
                "instruction": Out(stream.Signature(QueuedNest)),
                "broadcast": Out(stream.Signature(TileRowLayout(config))),
                "o": In(stream.Signature(unsigned(config.row_bits))),
                "halt": Out(1),
                "clear": Out(1),
                "busy": In(1),
                "active": In(1),
                "step": In(1),
                "wait_nbin": In(1),
                "wait_sb": In(1),
                "tag": In(16),
                "error": In(1),
                "code": In(ErrorCode),
                "pc": In(32),
            }
        )


def node_ports(config: NodeConfig) -> dict[str, wiring.Member]:
    """The members of a node, see ``Node``."""
    word = stream.Signature(WordLayout(config.mesh))
    return {
        "number": In(range(max(2, config.nodes))),
        "network_clear": In(1),
        "csr": In(AxiLitePort(ADDRESS_WIDTH)),
        "irq": Out(1),
        "status": In(32).array(len(STATUS)),
        "failed": Out(1),
        "busy": Out(1),
        "events": Out(Events),
        "bus": Out(ReadWritePort(config.address_width, config.bus_port, SharedPort.ID_WIDTH)),
        "send": Out(word),
        "receive": In(word),
    }


class Centre(wiring.Component):
    """Node control, central memories, fat tree, and what moves rows between them.

    ::

        control -> queues: load   loader    host -> central memories, or -> fat tree
                           store  storer    central memories -> host
                           read   reader    central memories -> fat tree -> tiles
                           tile   dispatch  instructions of tiles
                           write  writer    tiles -> fat tree -> central memories
                           send   sender    central memories -> other nodes
                                  receiver  other nodes -> central memories

    The units run decoupled. They meet in the buffers of the tiles, and in the central memories and
    the tiles' SB, where fences in the program keep order.

    After a program, a fault or a soft reset the units are reset, so that every start finds the node
    as after power-up, except for what is in its memories; see Supervisor.

    Parameters
    ----------
    config : of the machine that the node belongs to

    Members
    -------
    those of ``Node``, and
    tiles : Out(TilePort).array(tiles)
    """

    tiles: Any
    number: Signal
    network_clear: Signal
    csr: Any
    irq: Signal
    status: Any
    failed: Signal
    busy: Signal
    events: Any
    bus: Any
    send: stream.Interface
    receive: stream.Interface

    def __init__(self, *, config: NodeConfig):
        self.config = config
        super().__init__({**node_ports(config), "tiles": Out(TilePort(config)).array(config.tiles)})

    def elaborate(self, platform):
        m = Module()
        config = self.config

        m.submodules.csr = csr = ControlRegisters(
            registers=register_map(config),
            address_width=ADDRESS_WIDTH,
            program_width=config.address_width,
            counters=list(COUNTERS),
            status=["NODE", *STATUS],
        )
        connect(m, flipped(self.csr), csr.bus)
        m.d.comb += [self.irq.eq(csr.irq), csr.status[0].eq(self.number)]
        for inner, outer in zip(list(csr.status)[1:], self.status, strict=True):
            m.d.comb += inner.eq(outer)

        # Everything but registers and memories starts afresh after a program, a fault or a soft
        # reset.
        clear = Signal()
        unit = ResetInserter(clear)
        control = Control(slots=SLOTS, magic=CP_MAGIC, config=config.core)
        loader, storer = Loader(config=config), Storer(config=config)
        reader, writer = Reader(config=config), Writer(config=config)
        sender, receiver = Sender(config=config), Receiver(config=config)
        dispatch = Dispatch(config=config)
        broadcast, gather = Broadcast(config=config), Gather(config=config)
        down = Merge(shape=broadcast.i.payload.shape(), count=2)
        mux = SharedPort(address_width=config.address_width, data_width=config.bus_port)
        units = {
            "control": control,
            "loader": loader,
            "storer": storer,
            "reader": reader,
            "writer": writer,
            "sender": sender,
            "dispatch": dispatch,
            "down": down,
            "broadcast": broadcast,
            "gather": gather,
            "axi_mux": mux,
        }
        for name, component in units.items():
            m.submodules[name] = unit(component)
        m.submodules.receiver = ResetInserter(clear | self.network_clear)(receiver)
        m.submodules.central = central = Central(config=config, readers=3, writers=3)
        tiles: list[Any] = list(self.tiles)

        # The host's memory.
        connect(m, mux.bus, flipped(self.bus))
        connect(m, control.axi, mux.cp)
        connect(m, loader.axi, mux.nbin)
        connect(m, storer.axi, mux.nbout)

        # Program: from the queues to the units.
        for name, component in (
            ("load", loader),
            ("store", storer),
            ("read", reader),
            ("tile", dispatch),
            ("write", writer),
            ("send", sender),
        ):
            connect(m, getattr(control, name), component.i)

        # Central memories.
        for n, component in enumerate((reader, storer, sender)):
            connect(m, component.read, central.read[n])
            connect(m, central.row[n], component.row)
        for n, component in enumerate((writer, loader, receiver)):
            connect(m, component.write, central.write[n])
        m.d.comb += central.clear.eq(clear)

        # Other nodes.
        connect(m, sender.o, flipped(self.send))
        connect(m, flipped(self.receive), receiver.i)
        m.d.comb += [
            sender.number.eq(self.number),
            *(
                counts.eq(count)
                for user in (sender, reader)
                for counts, count in zip(user.arrived, receiver.arrived, strict=True)
            ),
        ]

        # Supervision.
        reporting = (control, loader, storer, reader, dispatch, writer, sender, *tiles)
        on_bus = (control, loader, storer)
        m.submodules.supervisor = supervisor = Supervisor(sources=len(reporting))
        for component, fault in zip(reporting, supervisor.faults, strict=True):
            m.d.comb += [
                fault.error.eq(component.error),
                fault.code.eq(component.code),
                fault.pc.eq(component.pc),
            ]
        for component in on_bus:
            m.d.comb += component.halt.eq(supervisor.halt)

        # Tiles.
        connect(m, reader.o, down.i[0])
        connect(m, loader.o, down.i[1])
        connect(m, down.o, broadcast.i)
        connect(m, writer.order, gather.order)
        connect(m, gather.o, writer.row)
        for n, tile in enumerate(tiles):
            connect(m, dispatch.o[n], flipped(tile.instruction))
            connect(m, broadcast.o[n], flipped(tile.broadcast))
            connect(m, flipped(tile.o), gather.i[n])
            m.d.comb += [tile.clear.eq(clear), tile.halt.eq(supervisor.halt)]

        # What goes on.
        active = Signal(config.tiles)
        working = Signal(config.tiles)
        moves = {
            "read": reader.o.valid & reader.o.ready,
            "written": writer.write.valid & writer.write.ready,
            "loaded": loader.done | (loader.write.valid & loader.write.ready)
            | (loader.o.valid & loader.o.ready),
            "sent": sender.o.valid & sender.o.ready,
            "received": self.receive.valid & self.receive.ready,
        }  # fmt: skip
        m.d.comb += [
            active.eq(Cat(tile.active for tile in tiles)),
            working.eq(Cat(tile.busy for tile in tiles)),
            supervisor.start.eq(csr.start),
            supervisor.reset.eq(csr.reset),
            supervisor.watchdog.eq(csr.watchdog),
            supervisor.finished.eq(control.finished),
            supervisor.progress.eq(
                Cat(*moves.values(), *(c.bytes for c in on_bus), *(t.step for t in tiles)).any()
            ),
            supervisor.quiet.eq(Cat(c.idle for c in on_bus).all()),
            clear.eq(supervisor.clear),
            control.start.eq(supervisor.go),
            control.program.eq(csr.program),
            control.size.eq(csr.size),
            control.drained.eq(
                Cat(
                    c.idle for c in (loader, storer, reader, dispatch, writer, sender, broadcast)
                ).all()
                & ~down.o.valid
                & ~working.any()
            ),
            csr.busy.eq(supervisor.busy),
            csr.draining.eq(supervisor.draining),
            csr.finished.eq(supervisor.done),
            csr.error.eq(supervisor.fault.error),
            csr.code.eq(supervisor.fault.code),
            csr.pc.eq(supervisor.fault.pc),
            self.busy.eq(supervisor.busy),
        ]
        # If nothing moves, blame who waits for others before those who wait for it.
        m.d.comb += supervisor.pc.eq(control.pc)
        for component, stuck in reversed(
            [
                (sender, ~sender.idle),
                (reader, reader.waiting),
                *((tile, tile.busy) for tile in tiles),
                (reader, ~reader.idle),
                (writer, ~writer.idle),
                (storer, ~storer.idle),
                (loader, ~loader.idle),
            ]
        ):
            with m.If(stuck):
                m.d.comb += supervisor.pc.eq(component.pc)
        with m.If(csr.start | csr.reset):
            m.d.sync += self.failed.eq(0)
        with m.Elif(csr.error):
            m.d.sync += self.failed.eq(1)

        # Observation.
        stall, events = Signal(Stall), self.events
        m.d.comb += [
            events.active.eq(active.any()),
            events.stall.eq(stall),
            csr.tag.eq(events.tag),
            events.sb.begin.eq(loader.i.valid & loader.i.ready),
            events.sb.done.eq(loader.done),
            events.nbin.begin.eq(reader.i.valid & reader.i.ready),
            events.nbin.done.eq(reader.done),
            events.nbout.begin.eq(storer.i.valid & storer.i.ready),
            events.nbout.done.eq(storer.done),
        ]
        tag = Signal(16)
        m.d.comb += events.tag.eq(tag)
        for tile in reversed(tiles):
            with m.If(tile.busy):
                m.d.comb += events.tag.eq(tile.tag)
                m.d.sync += tag.eq(tile.tag)
        with m.If(supervisor.go):
            m.d.sync += tag.eq(0)
        with m.If(~supervisor.busy):
            m.d.comb += stall.eq(Stall.IDLE)
        with m.Elif(Cat(tile.step for tile in tiles).any()):
            m.d.comb += stall.eq(Stall.NONE)
        with m.Elif(~working.any()):
            m.d.comb += stall.eq(Mux(control.fencing, Stall.STORE, Stall.INSTRUCTION))
        with m.Elif(Cat(tile.wait_sb for tile in tiles).any()):
            m.d.comb += stall.eq(Stall.SB)
        with m.Elif(Cat(tile.wait_nbin for tile in tiles).any()):
            m.d.comb += stall.eq(Stall.NBIN)
        with m.Else():
            m.d.comb += stall.eq(Stall.NBOUT)
        amounts = {
            "CYCLES": supervisor.busy,
            "NFU_ACTIVE": events.active,
            **{
                f"STALL_{kind.name}": stall == kind
                for kind in (Stall.NBIN, Stall.SB, Stall.NBOUT, Stall.STORE, Stall.INSTRUCTION)
            },
            "BYTES_NBIN": Mux(loader.synapses, 0, loader.bytes),
            "BYTES_SB": Mux(loader.synapses, loader.bytes, 0),
            "BYTES_NBOUT": storer.bytes,
            "BYTES_CP": control.bytes,
            "ROWS_READ": moves["read"],
            "ROWS_WRITTEN": moves["written"],
            "ROWS_SENT": sender.sent,
            "ROWS_RECEIVED": receiver.write.valid & receiver.write.ready,
        }
        for amount, name in zip(csr.amounts, COUNTERS, strict=True):
            m.d.comb += amount.eq(amounts[name])
        return m
