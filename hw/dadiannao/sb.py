"""SB, a tile's synapses: banks of eDRAM in which the rows lie in turns (paper, section V.B.2)."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..nfu.layouts import UpdatedRow
from .config import NodeConfig
from .edram import Edram

__all__ = ["Sb", "SbPieceLayout"]


class SbPieceLayout(data.StructLayout):
    """One of the Tn pieces of an SB row: ``data`` of Ti synapses, for ``row``."""

    def __init__(self, config: NodeConfig):
        super().__init__({"data": unsigned(config.row_bits), "row": unsigned(16)})


class Sb(wiring.Component):
    """SB, ``sb_banks`` banks of eDRAM; row r is in bank r modulo their number.

    ::

        write -> row of Tn pieces -+-> bank 0 .. bank n-1 -> choice -> synapses
        row, read -----------------+

    A bank's output keeps the row that it read last. So a row that is still there is not read again,
    and the outputs are all the buffer that rows need between the banks and the NFU: whoever has a
    row to come, or to take, holds on to its bank with ``kept``.

    Timing: a row is at its bank's output ``sb_latency`` cycles after it was read. Rows one after
    the other are read one per cycle, except when a bank refreshes, or writes; writes go first.

    Parameters
    ----------
    config : of the node

    Members
    -------
    write : In(stream(SbPieceLayout)), Tn pieces after each other are a row, the first one lowest;
        the row of the last piece counts
    update : In(stream(UpdatedRow)), whole rows, if the tile trains; they come between those of
        ``write`` and before them
    row, read : In, a row to be read
    ready : Out(1), the read is done in this cycle; until then it must be repeated
    kept : In(sb_banks), banks whose output must stay
    bank : In(range(sb_banks)), the output that ``synapses`` shows
    synapses : Out(sb_row_bits)
    busy : Out(1), a row waits to be written
    """

    write: stream.Interface
    update: stream.Interface
    row: Signal
    read: Signal
    ready: Signal
    kept: Signal
    bank: Signal
    synapses: Signal
    busy: Signal

    def __init__(self, *, config: NodeConfig):
        self._config = config
        updated = UpdatedRow(config.control, config.core.sb_row_bits)
        update = {"update": In(stream.Signature(updated))} if config.training else {}
        super().__init__(
            {
                "write": In(stream.Signature(SbPieceLayout(config))),
                **update,
                "row": In(range(config.sb_rows)),
                "read": In(1),
                "ready": Out(1),
                "kept": In(config.sb_banks),
                "bank": In(range(config.sb_banks)),
                "synapses": Out(unsigned(config.core.sb_row_bits)),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        low = (config.sb_banks - 1).bit_length()
        word, target, written = self._assemble(m)

        ready = Signal(config.sb_banks)
        stored = Signal(config.sb_banks)
        outputs: Any = []
        for n in range(config.sb_banks):
            bank = Edram(
                rows=config.sb_rows // config.sb_banks,
                width=config.core.sb_row_bits,
                latency=config.sb_latency,
                restore=config.sb_restore,
                refresh_interval=config.refresh_interval,
                memory=config.memory,
            )
            m.submodules[f"bank_{n}"] = bank
            outputs.append(bank.data)
            # What the output shows, or will.
            held = Signal(name=f"held_{n}")
            number = Signal(range(config.sb_rows // config.sb_banks), name=f"number_{n}")
            wanted, there = Signal(name=f"wanted_{n}"), Signal(name=f"there_{n}")
            writes, request = Signal(name=f"writes_{n}"), bank.request
            m.d.comb += [
                wanted.eq(self.read & (self.row[:low] == n)),
                there.eq(held & (number == self.row[low:])),
                writes.eq(self.busy & (target[:low] == n)),
                request.payload.write.eq(writes),
                request.payload.row.eq(Mux(writes, target[low:], self.row[low:])),
                request.payload.data.eq(word),
                request.valid.eq(writes | (wanted & ~there & ~self.kept[n])),
                stored[n].eq(writes & request.ready),
                ready[n].eq(wanted & (there | (request.valid & request.ready & ~writes))),
            ]
            with m.If(stored[n]):
                with m.If(number == target[low:]):
                    m.d.sync += held.eq(0)
            with m.Elif(ready[n]):
                m.d.sync += [held.eq(1), number.eq(self.row[low:])]
        m.d.comb += [self.ready.eq(ready.any()), written.eq(stored.any())]
        with m.Switch(self.bank):
            for n, output in enumerate(outputs):
                with m.Case(n):
                    m.d.comb += self.synapses.eq(output)
        return m

    def _assemble(self, m: Module) -> tuple[Signal, Signal, Signal]:
        """Puts pieces together; the row that waits, its number, and that it was written."""
        config = self._config
        piece = self.write.payload
        word = Signal(config.core.sb_row_bits, reset_less=True)
        target = Signal(range(config.sb_rows), reset_less=True)
        place = Signal(range(config.tn))
        written = Signal()
        free = Signal()
        m.d.comb += [free.eq(~self.busy | written), self.write.ready.eq(free)]
        with m.If(written):
            m.d.sync += self.busy.eq(0)
        if config.training:
            between = place == 0
            m.d.comb += [
                self.update.ready.eq(free & between),
                self.write.ready.eq(free & ~(self.update.valid & between)),
            ]
            with m.If(self.update.valid & self.update.ready):
                m.d.sync += [
                    word.eq(self.update.payload.data),
                    target.eq(self.update.payload.row),
                    self.busy.eq(1),
                ]
        with m.If(self.write.valid & self.write.ready):
            m.d.sync += [
                word.word_select(place, config.row_bits).eq(piece.data),
                target.eq(piece.row),
                place.eq(place + 1),
                self.busy.eq(place == config.tn - 1),
            ]
        return word, target, written
