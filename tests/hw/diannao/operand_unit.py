"""OperandFetch with its two scratchpads, as the core connects them."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.diannao.operands import OperandFetch
from hw.diannao.sequencer import Step
from hw.memory.nbin import Nbin, NbinWritePort
from hw.memory.sb import Sb, SbWritePort


class OperandUnit(wiring.Component):
    i: Any
    o: Any
    nbin_write: Any
    sb_write: Any
    nbin_free: Signal
    sb_free: Signal

    def __init__(self, *, config):
        self._config = config
        self._fetch = OperandFetch(config=config)
        self._write_lanes = config.nbin_port // config.width
        super().__init__(
            {
                "i": In(stream.Signature(Step(config))),
                "o": Out(self._fetch.o.signature),
                "nbin_write": In(
                    NbinWritePort(
                        elements=config.nbin_elements,
                        width=config.width,
                        write_lanes=self._write_lanes,
                    )
                ),
                "sb_write": In(
                    SbWritePort(
                        rows=config.sb_rows, row_bits=config.sb_row_bits, port=config.sb_port
                    )
                ),
                "nbin_free": Out(range(config.nbin_elements + 1)),
                "sb_free": Out(range(config.sb_rows + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.fetch = fetch = self._fetch
        m.submodules.nbin = nbin = Nbin(
            elements=config.nbin_elements,
            banks=config.nbin_banks,
            width=config.width,
            ti=config.ti,
            write_lanes=self._write_lanes,
            read_stages=config.nbin_read_stages,
        )
        m.submodules.sb = sb = Sb(
            rows=config.sb_rows, row_bits=config.sb_row_bits, port=config.sb_port
        )
        connect(m, flipped(self.i), fetch.i)
        connect(m, fetch.o, flipped(self.o))
        connect(m, flipped(self.nbin_write), nbin.write)
        connect(m, flipped(self.sb_write), sb.write)
        m.d.comb += [
            nbin.position.eq(fetch.position),
            nbin.read.eq(fetch.read_nbin),
            fetch.neurons.eq(nbin.neurons),
            sb.row.eq(fetch.row),
            sb.read.eq(fetch.read_sb),
            fetch.synapses.eq(sb.synapses),
            self.nbin_free.eq(fetch.nbin_free),
            self.sb_free.eq(fetch.sb_free),
        ]
        return m
