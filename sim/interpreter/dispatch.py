"""Whether the control processor can hand out a program without getting stuck."""

from dataclasses import dataclass

from hw.diannao.config import Config
from hw.diannao.isa import ErrorCode

from .errors import ExecutionError
from .nest import Nest

__all__ = ["Dispatch"]


@dataclass(frozen=True)
class _Load:
    """A load that has been handed out; ``head``: entries loaded up to its end."""

    head: int
    pc: int


@dataclass(frozen=True)
class _Nest:
    """A nest that has been handed out.

    ``tails`` and ``rows`` are what the nests before it have freed and finished, ``rows_made`` are
    the output rows it makes itself.
    """

    nest: Nest
    tails: dict[str, int]
    rows: int
    rows_made: int
    pc: int


class Dispatch:
    """The queues between control processor and units.

    A nest never waits for ever for its operands: they are loaded by instructions that have been
    handed out before it, and the rings have room for them. What can get stuck is the control
    processor, at a full queue whose unit waits for something that only later instructions give:
    loads wait for the NFU to free their room, and the NFU waits for stores to take its output rows.
    A unit works on one slot while ``config.queue`` more wait; the registers between them hold a few
    more, on which no program may count.
    """

    def __init__(self, config: Config):
        self._slots = config.queue + 1
        self._capacities = {"nbin": config.nbin_elements, "sb": config.sb_rows}
        self._loads: dict[str, list[_Load]] = {ring: [] for ring in self._capacities}
        self._nests: list[_Nest] = []
        self._finished = 0  # nests that can end with the stores handed out so far
        self._rows = 0
        self._room = config.nbout_rows

    def load(self, ring: str, head: int, pc: int) -> None:
        """Hand out a load for ``ring`` ("nbin" or "sb") that ends at entry ``head``."""
        loads = self._loads[ring]
        loads.append(_Load(head, pc))
        if len(loads) > self._slots:
            self._require_load(ring, loads[-1 - self._slots], pc)

    def store(self, rows: int) -> None:
        """Hand out a store of ``rows`` output rows."""
        self._room += rows

    def nest(self, nest: Nest, tails: dict[str, int], rows: int, pc: int) -> None:
        """Hand out a nest that makes ``rows`` output rows; ``tails`` are those before it."""
        self._nests.append(_Nest(nest, tails, self._rows, rows, pc))
        self._rows += rows
        self._require_nests(len(self._nests) - self._slots, pc)

    def end(self, pc: int) -> None:
        """Nothing more comes: all units must become idle."""
        self._require_nests(len(self._nests), pc)
        for ring, loads in self._loads.items():
            if loads:
                self._require_load(ring, loads[-1], pc)

    def _advance(self) -> None:
        """Let the NFU end the nests for whose outputs there is room."""
        while self._finished < len(self._nests):
            nest = self._nests[self._finished]
            if nest.rows + nest.rows_made > self._room:
                break
            self._finished += 1

    def _require_nests(self, count: int, pc: int) -> None:
        """The oldest ``count`` nests must be able to end."""
        if count <= self._finished:
            return
        self._advance()
        if count > self._finished:
            raise ExecutionError(
                self._nests[self._finished].pc,
                "the program hangs: NBout is full before the nest ends, and the stores up to byte "
                f"{pc}, beyond which nothing can be handed out, do not take its rows",
                ErrorCode.WATCHDOG,
            )

    def _tail(self, ring: str) -> int:
        """Entries of ``ring`` that the nests handed out so far can free."""
        self._advance()
        if self._finished == len(self._nests):
            if not self._nests:
                return 0
            last = self._nests[-1]
            return last.tails[ring] + last.nest.freed(f"{ring}_free", last.nest.steps)
        stuck = self._nests[self._finished]
        step = stuck.nest.last_step(self._room - stuck.rows)  # makes the row without room
        return stuck.tails[ring] + stuck.nest.freed(f"{ring}_free", step)

    def _require_load(self, ring: str, load: _Load, pc: int) -> None:
        """``load`` must be able to end."""
        missing = load.head - self._capacities[ring]
        if missing <= 0 or missing <= self._tail(ring):
            return
        raise ExecutionError(
            load.pc,
            f"the program hangs: the load waits until {missing} entries of {ring} have been freed, "
            f"but the nests up to byte {pc}, beyond which nothing can be handed out, free "
            f"{self._tail(ring)}",
            ErrorCode.WATCHDOG,
        )
