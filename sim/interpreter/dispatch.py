"""Whether the control processor can hand out a program without getting stuck."""

from dataclasses import dataclass

from hw.diannao.config import Config
from hw.diannao.isa import ErrorCode

from .errors import ExecutionError
from .nest import Nest

__all__ = ["Dispatch"]


@dataclass(frozen=True)
class _Nest:
    """A dispatched nest; tails, rows: freed and finished by all nests before it."""

    nest: Nest
    nbin_tail: int
    sb_tail: int
    rows: int
    rows_made: int
    pc: int


@dataclass(frozen=True)
class _Load:
    """A dispatched load; head: entries of its ring loaded by all loads up to it."""

    head: int
    pc: int


class Dispatch:
    """The queues between control processor and units.

    A nest never waits for ever for its operands: they are loaded by instructions that were
    dispatched before, and the rings have room for them. What can get stuck is the control
    processor, at a full queue whose unit waits for something that only later instructions give:
    loads wait for the NFU to free their room, and the NFU waits for stores to take its output rows.
    A unit works on one slot while ``config.queue`` wait.
    """

    def __init__(self, config: Config):
        self._config = config
        self._slots = config.queue + 1
        self._loads: dict[str, list[_Load]] = {"NBin": [], "SB": []}
        self._done = {"NBin": 0, "SB": 0}
        self._nests: list[_Nest] = []
        self._nests_done = 0
        self._rows = 0
        self._rows_stored = 0

    def load(self, buffer: str, head: int, pc: int) -> None:
        """A load for ``buffer``, which makes ``head`` entries together with those before it."""
        self._loads[buffer].append(_Load(head, pc))
        self._require_loads(buffer, len(self._loads[buffer]) - self._slots, pc)

    def store(self, rows: int) -> None:
        """A store of ``rows`` output rows."""
        self._rows_stored += rows

    def nest(self, nest: Nest, nbin_tail: int, sb_tail: int, rows: int, pc: int) -> None:
        """A nest that makes ``rows`` output rows; tails are those before it."""
        self._nests.append(_Nest(nest, nbin_tail, sb_tail, self._rows, rows, pc))
        self._rows += rows
        self._require_nests(len(self._nests) - self._slots, pc)

    def end(self, pc: int) -> None:
        """The end of the program: all units must become idle."""
        self._require_nests(len(self._nests), pc)
        for buffer, loads in self._loads.items():
            self._require_loads(buffer, len(loads), pc)

    def _advance(self) -> int:
        """Let the NFU run as far as the output ring allows; returns the rows there is room for."""
        room = self._rows_stored + self._config.nbout_rows
        while self._nests_done < len(self._nests):
            nest = self._nests[self._nests_done]
            if nest.rows + nest.rows_made > room:
                break
            self._nests_done += 1
        return room

    def _require_nests(self, count: int, pc: int) -> None:
        """The oldest ``count`` nests must be able to end."""
        if count > self._nests_done:
            self._advance()
        if count > self._nests_done:
            stuck = self._nests[self._nests_done]
            raise ExecutionError(
                stuck.pc,
                "the program hangs: NBout is full before the nest ends, and its rows are not taken "
                f"by stores that can be dispatched meanwhile (up to byte {pc})",
                ErrorCode.WATCHDOG,
            )

    def _require_loads(self, buffer: str, count: int, pc: int) -> None:
        """The oldest ``count`` loads of ``buffer`` must be able to end."""
        if count <= self._done[buffer]:
            return
        self._done[buffer] = count
        config = self._config
        load = self._loads[buffer][count - 1]
        field, capacity = (
            ("nbin_free", config.nbin_elements) if buffer == "NBin" else ("sb_free", config.sb_rows)
        )
        if load.head <= capacity:
            return
        room = self._advance()
        if self._nests_done < len(self._nests):
            stuck = self._nests[self._nests_done]
            tail = stuck.nbin_tail if buffer == "NBin" else stuck.sb_tail
            first_without_room = stuck.nest.last_step(room - stuck.rows)
            tail += stuck.nest.freed(field, first_without_room)
        elif self._nests:
            last = self._nests[-1]
            tail = last.nbin_tail if buffer == "NBin" else last.sb_tail
            tail += last.nest.freed(field, last.nest.steps)
        else:
            tail = 0
        if load.head > tail + capacity:
            raise ExecutionError(
                load.pc,
                f"the program hangs: the load needs {load.head - tail - capacity} more entries of "
                f"{buffer} to be freed by the instructions that can be dispatched meanwhile "
                f"(up to byte {pc})",
                ErrorCode.WATCHDOG,
            )
