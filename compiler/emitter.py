"""Collects what becomes a program: memory image, instructions, and what they depend on."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from hw.arith.numbers import Table
from hw.diannao.assembler import (
    Instruction,
    Loop,
    NbinLoad,
    NboutStore,
    NfuNest,
    Runs,
    SbLoad,
    nest,
)
from hw.diannao.config import Config
from hw.nfu.layouts import Op

from .maps import Region
from .parameters import pack_biases, pack_table

__all__ = ["Emitter", "Load", "Store"]


@dataclass(frozen=True)
class Load:
    """NBin load: access pattern, elements skipped behind it, and what it reads."""

    runs: Runs
    regions: tuple[Region, ...]
    skip: int = 0


@dataclass(frozen=True)
class Store:
    """NBout store: access pattern and what it writes."""

    runs: Runs
    region: Region


@dataclass
class Emitter:
    """Instructions and memory of one program, in the making.

    Parameters
    ----------
    config : the core
    cursor : first free byte of memory
    draft : only the instructions are wanted, not what ``place_made`` would make
    """

    config: Config
    cursor: int
    draft: bool = False
    tag: int = 0
    image: list[tuple[int, bytes]] = field(default_factory=list)
    instructions: list[Instruction] = field(default_factory=list)
    _unfenced: list[Region] = field(default_factory=list)
    _table: Table | None = None

    def place(self, content: np.ndarray) -> int:
        """Put constant data into memory, aligned to the SB port; returns its address."""
        return self.place_made(content.nbytes, lambda: content)

    def place_made(self, size: int, make: Callable[[], np.ndarray]) -> int:
        """``place`` for ``size`` bytes that take time to be made."""
        beat = self.config.sb_port // 8
        address = -(-self.cursor // beat) * beat
        self.cursor = address + size
        if not self.draft:
            data = make().tobytes()
            assert len(data) == size
            self.image.append((address, data))
        return address

    def emit(
        self,
        *,
        sb: Runs | None = None,
        load: Load | None = None,
        store: Store | None = None,
        nfu: NfuNest | None = None,
    ) -> None:
        """Append one instruction.

        A load of what an earlier store wrote gets a fence, unless one in between already waited
        for that store. (The other way round needs none: memory is never written twice.)
        """
        nbin = None
        if load is not None:
            fence = any(
                read.overlaps(written) for read in load.regions for written in self._unfenced
            )
            if fence:
                self._unfenced.clear()
            nbin = NbinLoad(load.runs, fence=fence, skip=load.skip)
        nbout = None
        if store is not None:
            nbout = NboutStore(store.runs)
            if store.region not in self._unfenced:
                self._unfenced.append(store.region)
        self.instructions.append(
            Instruction(
                sb=None if sb is None else SbLoad(sb), nbin=nbin, nbout=nbout, nfu=nfu, tag=self.tag
            )
        )

    def load_table(self, table: Table) -> None:
        """Make ``table`` the activation of all following outputs."""
        if table == self._table:
            return
        self._table = table
        rows = pack_table(table, self.config)
        self._parameters(self.place(rows), len(rows), nest(
            Op.TABLE, [Loop(count=len(rows), sb=1, sb_free=1)]
        ))  # fmt: skip

    def place_biases(self, words: np.ndarray) -> int:
        """Put rows of biases (rows, Tn) into memory; returns their address."""
        return self.place(pack_biases(words, self.config))

    def load_biases(self, address: int, rows: int) -> None:
        """Fill the bias rows from 0 upwards with ``rows`` rows at ``address``."""
        self._parameters(address, rows, nest(Op.BIAS, [Loop(count=rows, sb=1, bias=1, sb_free=1)]))

    def _parameters(self, address: int, rows: int, nfu: NfuNest) -> None:
        size = self.config.bias_row_bytes
        self.emit(sb=Runs(address, size, (rows, 1, 1), (size, 0, 0)), nfu=nfu)

    def end(self) -> None:
        """Append the instruction that ends the program."""
        self.instructions.append(Instruction(end=True, tag=self.tag))
