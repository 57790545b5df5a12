"""Each loader with its scratchpad behind it, as the benches see them."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out, connect, flipped

from hw.diannao.load import NbinLoader, SbLoader
from hw.memory.nbin import Nbin
from hw.memory.sb import Sb

__all__ = ["LoadedNbin", "LoadedSb"]


class _Loaded(wiring.Component):
    """All ports of the loader and of the scratchpad, but those between them."""

    def __init__(self, loader, scratchpad):
        self._loader, self._scratchpad = loader, scratchpad
        self._ports = {
            name: (part, member)
            for part in (scratchpad, loader)
            for name, member in part.signature.members.items()
            if name != "write"
        }
        super().__init__({name: member for name, (_, member) in self._ports.items()})

    def elaborate(self, platform):
        m = Module()
        m.submodules.loader = self._loader
        m.submodules.scratchpad = self._scratchpad
        connect(m, self._loader.write, self._scratchpad.write)
        for name, (part, member) in self._ports.items():
            outer, inner = getattr(self, name), getattr(part, name)
            if member.is_signature:
                connect(m, flipped(outer), inner)
            elif member.flow == Out:
                m.d.comb += outer.eq(inner)
            else:
                m.d.comb += inner.eq(outer)
        return m


class LoadedNbin(_Loaded):
    def __init__(self, config):
        nbin = Nbin(
            elements=config.nbin_elements,
            banks=config.nbin_banks,
            width=config.width,
            ti=config.ti,
            write_lanes=config.nbin_port // config.width,
        )
        super().__init__(NbinLoader(config=config), nbin)


class LoadedSb(_Loaded):
    def __init__(self, config):
        sb = Sb(rows=config.sb_rows, row_bits=config.sb_row_bits, port=config.sb_port)
        super().__init__(SbLoader(config=config), sb)
