"""The central memories of a node, with a guard against units that race."""

import numpy as np

from hw.dadiannao.config import NodeConfig
from hw.dadiannao.isa import ErrorCode

from .errors import NodeError

__all__ = ["Central"]

_BANKS = 2
_NOBODY = 0
_UNITS = {"load": 1, "store": 2, "read": 3, "write": 4, "send": 5}


class Central:
    """Rows of both central memories.

    Between two fences, no unit may write a row that another one reads or writes. A row that another
    node has sent may be read only by a slot that has waited for it.

    Parameters
    ----------
    config : the node
    node : its number, for messages
    """

    def __init__(self, config: NodeConfig, node: int):
        shape = (_BANKS, config.central_rows)
        self._node = node
        self.rows = np.zeros((*shape, config.ti), dtype=f"<i{config.element_bytes}")
        self._known = np.zeros(shape, dtype=bool)
        self._writer = np.full(shape, _NOBODY, dtype=np.int8)
        self._readers = np.zeros(shape, dtype=np.int8)  # a bit per unit
        # Which arrival the row is, from 1, and of which node; 0 if it has not been sent.
        self._arrival = np.zeros(shape, dtype=np.int64)
        self._source = np.zeros(shape, dtype=np.int64)
        self._touched: list[tuple[int, np.ndarray]] = []
        self.arrivals = np.zeros(config.nodes, dtype=np.int64)  # by the node that sends
        self.waited = np.zeros(config.nodes, dtype=np.int64)  # for which any slot has waited

    def keep(self, before: "Central") -> None:
        """Take over all rows."""
        self.rows[:] = before.rows
        self._known[:] = before._known

    def fence(self) -> None:
        """All units have ended what they had to do."""
        for bank, at in self._touched:
            self._writer[bank, at] = _NOBODY
            self._readers[bank, at] = 0
        self._touched.clear()

    def _check_range(self, at: np.ndarray, pc: int) -> None:
        count = self.rows.shape[1]
        if at.min() < 0 or at.max() >= count:
            bad = at.min() if at.min() < 0 else at.max()
            raise NodeError(
                self._node, pc, f"row {bad} is outside the {count} rows of the central memory",
                ErrorCode.CENTRAL_RANGE,
            )  # fmt: skip

    def read(self, unit: str, bank: int, at: np.ndarray, waited: np.ndarray, pc: int) -> np.ndarray:
        """(rows, Ti) content of the rows ``at``.

        ``waited`` are the arrivals from each node that the unit has waited for.
        """
        self._check_range(at, pc)
        if not self._known[bank, at].all():
            row = at[~self._known[bank, at]][0]
            raise NodeError(self._node, pc, f"row {row} of bank {bank} was never written")
        writer = self._writer[bank, at]
        if ((writer != _NOBODY) & (writer != _UNITS[unit])).any():
            raise NodeError(self._node, pc, f"{unit} needs a fence after what it reads is written")
        known = waited[self._source[bank, at]]
        early = self._arrival[bank, at] > known
        if early.any():
            row = at[early][0]
            raise NodeError(
                self._node, pc,
                f"row {row} of bank {bank} comes as arrival {self._arrival[bank, row]} from node "
                f"{self._source[bank, row]}, but {unit} waits for {known[early][0]} only",
            )  # fmt: skip
        self._readers[bank, at] |= 1 << _UNITS[unit]
        self._touched.append((bank, at))
        return self.rows[bank, at]

    def write(self, unit: str, bank: int, at: np.ndarray, rows: np.ndarray, pc: int) -> None:
        """Put ``rows`` at ``at``, one after the other."""
        self._check_range(at, pc)
        writer = self._writer[bank, at]
        if ((writer != _NOBODY) & (writer != _UNITS[unit])).any() or self._readers[bank, at].any():
            raise NodeError(self._node, pc, f"{unit} needs a fence before it overwrites rows")
        if (self._arrival[bank, at] > self.waited[self._source[bank, at]]).any():
            raise NodeError(self._node, pc, f"{unit} overwrites what another node has sent already")
        self._put(bank, at, rows)
        self._arrival[bank, at] = 0
        self._writer[bank, at] = _UNITS[unit]
        self._touched.append((bank, at))

    def receive(self, source: int, bank: int, at: np.ndarray, rows: np.ndarray, pc: int) -> None:
        """Rows that node ``source`` sends (its instruction at ``pc``)."""
        self._check_range(at, pc)
        if (self._writer[bank, at] != _NOBODY).any() or self._readers[bank, at].any():
            raise NodeError(self._node, pc, "rows are sent where the node works without a fence")
        self._put(bank, at, rows)
        self._arrival[bank, at] = self.arrivals[source] + 1 + np.arange(len(at))
        self._source[bank, at] = source
        self.arrivals[source] += len(at)

    def _put(self, bank: int, at: np.ndarray, rows: np.ndarray) -> None:
        if len(np.unique(at)) == len(at):
            self.rows[bank, at] = rows
        else:
            for row, content in zip(at.tolist(), rows, strict=True):
                self.rows[bank, row] = content
        self._known[bank, at] = True
