"""The NFU with a memory for its partial sums, as NBout has it."""

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import connect, flipped

from hw.memory.ram import Ram
from hw.nfu.layouts import lanes
from hw.nfu.nfu import Nfu

__all__ = ["NfuUnit"]


class NfuUnit(wiring.Component):
    """``Nfu`` and NBout's memory of partial sums; the parameters are those of ``Nfu``."""

    i: stream.Interface
    o: stream.Interface

    def __init__(self, **parameters):
        self._nfu = Nfu(**parameters)
        self._rows = parameters["nbout_rows"]
        self._sums = lanes(parameters["acc_width"], parameters["tn"])
        super().__init__({name: self._nfu.signature.members[name] for name in ("i", "o")})

    @property
    def latency(self) -> int:
        return self._nfu.latency

    def elaborate(self, platform):
        m = Module()
        m.submodules.nfu = nfu = self._nfu
        m.submodules.nbout = nbout = Ram(shape=self._sums, depth=self._rows)
        connect(m, flipped(self.i), nfu.i)
        connect(m, nfu.o, flipped(self.o))
        m.d.comb += [
            nbout.read_row.eq(nfu.partial.read_row),
            nbout.read.eq(nfu.partial.read),
            nbout.write_row.eq(nfu.partial.write_row),
            nbout.write.eq(nfu.partial.write),
            nbout.write_data.eq(nfu.partial.write_data),
            nfu.partial.read_data.eq(nbout.read_data),
        ]
        return m
