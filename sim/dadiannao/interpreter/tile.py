"""A tile: SB that keeps its rows, NBin, NFU, and the finished rows that wait to be gathered."""

from collections import deque

import numpy as np

from hw.dadiannao.assembler import TileNest
from hw.dadiannao.config import NodeConfig
from hw.dadiannao.isa import ErrorCode
from hw.nfu.layouts import Held
from sim.interpreter.errors import ExecutionError
from sim.interpreter.nest import Nest
from sim.interpreter.ranges import check_nest
from sim.interpreter.ring import Ring

from .errors import NodeError
from .nfu import TileNfu

__all__ = ["Tile"]


class Tile:
    """One tile of node number ``node``."""

    def __init__(self, config: NodeConfig, node: int):
        self._core = config.core
        self._node = node
        self._nbin = Ring(np.zeros(0, dtype=f"<i{config.element_bytes}"))
        row_bytes = config.core.sb_row_bits // 8
        self._synapses = np.zeros((config.sb_rows, row_bytes), dtype=np.uint8)
        self._loaded = np.zeros(config.sb_rows, dtype=bool)
        self._nfu = TileNfu(config.core)
        self._updated = np.zeros(config.sb_rows, dtype=bool)
        self._queue: deque[tuple[Nest, int]] = deque()
        self._outputs: deque[np.ndarray] = deque()
        self.finished = 0

    def load(self, first: int, rows: np.ndarray) -> None:
        """SB rows (bytes) from row ``first`` on."""
        self._synapses[first : first + len(rows)] = rows
        self._loaded[first : first + len(rows)] = True

    def keep(self, before: "Tile") -> None:
        """Take over the rows of SB."""
        self.load(0, before._synapses)
        self._loaded[:] = before._loaded

    def fence(self) -> None:
        """Everything before has ended."""
        self._updated[:] = False

    def append(self, rows: np.ndarray) -> None:
        """Rows of neurons for NBin; nests that have waited for them run."""
        self._nbin.append(rows.reshape(-1))
        self._advance()

    @property
    def unread(self) -> int:
        """Neurons in NBin, or on their way."""
        return self._nbin.head - self._nbin.tail

    def run(self, slot: TileNest, pc: int) -> Nest:
        """Run a nest, once all its neurons are there; its outputs wait for ``take``."""
        nest = Nest(slot)
        self._queue.append((nest, pc))
        self._advance()
        return nest

    def settle(self) -> None:
        """All nests must end now: raises what the first one that cannot lacks."""
        while self._queue:
            self._execute(*self._queue.popleft())

    def _advance(self) -> None:
        while self._queue:
            nest, _ = self._queue[0]
            if nest.reads_nbin and nest.span("nbin")[1] + self._core.ti > self.unread:
                return
            self._execute(*self._queue.popleft())

    def _execute(self, nest: Nest, pc: int) -> None:
        slot = nest.slot
        assert isinstance(slot, TileNest)
        try:
            check_nest(nest, self._core, self._nbin, None, pc)
            self._check_loaded(nest, pc)
            reach = nest.span("nbin")[1] + self._core.ti if nest.reads_nbin else 0
            rows = self._synapses if nest.reads_sb else self._synapses[:0]
            neurons = self._nbin.window(reach)
            if slot.held == Held.ALL:
                outputs = np.zeros((0, self._core.tn), dtype=np.int64)
                numbers, changed = self._nfu.update(nest, neurons, rows, pc)
                self._synapses[numbers] = changed
                self._updated[numbers] = True
            else:
                outputs = self._nfu.run(nest, neurons, rows, pc)
        except ExecutionError as error:
            text = str(error).partition(": ")[2]
            raise NodeError(self._node, pc, text, ErrorCode(error.code.value)) from None
        if len(outputs):
            self._outputs.append(outputs)
            self.finished += len(outputs)
        self._nbin.free(nest.freed("nbin_free", nest.steps))

    def _check_loaded(self, nest: Nest, pc: int) -> None:
        slot = nest.slot
        if not nest.reads_sb or (isinstance(slot, TileNest) and slot.held == Held.EACH):
            return
        low, high = nest.span("sb")
        ready = self._loaded & ~self._updated
        if ready[low : high + 1].all():
            return
        for steps in nest.scan():
            rows = nest.at("sb", steps)
            missing = rows[~ready[rows]]
            if len(missing):
                row = missing[0]
                why = "needs a fence after its update" if self._loaded[row] else "was never loaded"
                raise ExecutionError(pc, f"SB row {row} {why}")

    def take(self, count: int) -> np.ndarray:
        """The (count, Tn) oldest of the ``finished`` rows."""
        pieces = []
        self.finished -= count
        while count:
            piece = self._outputs.popleft()
            if len(piece) > count:
                self._outputs.appendleft(piece[count:])
                piece = piece[:count]
            pieces.append(piece)
            count -= len(piece)
        return np.concatenate(pieces)
