"""The accelerator's memory, with a guard against loads that race with stores."""

import numpy as np

from hw.diannao.assembler import Runs
from hw.diannao.isa import ErrorCode

from .errors import ExecutionError

__all__ = ["Memory"]


class Memory:
    """Bytes, read and written in runs.

    Loads run ahead of stores, so a load of bytes that an earlier store of the same program writes
    gets them for certain only behind a fence, which SB loads do not have at all.

    Parameters
    ----------
    content : uint8, changed in place
    program : addresses of the program, which must stay as it is while it runs
    """

    def __init__(self, content: np.ndarray, program: range):
        self._content = content
        self._program = program
        self._stored = np.zeros(content.size, dtype=bool)
        self._unfenced = np.zeros(content.size, dtype=bool)
        self._unfenced_spans: list[slice] = []

    def _span(self, runs: Runs, code: ErrorCode, pc: int) -> slice:
        """The bytes from the lowest to the highest that ``runs`` touch."""
        ends = [(count - 1) * stride for count, stride in zip(runs.count, runs.stride, strict=True)]
        low = runs.address + sum(min(0, end) for end in ends)
        high = runs.address + sum(max(0, end) for end in ends) + runs.run
        if low < 0 or high > self._content.size:
            raise ExecutionError(
                pc,
                f"bytes {low:#x} to {high - 1:#x} are outside the memory of "
                f"{self._content.size:#x} bytes",
                code,
            )
        return slice(low, high)

    @staticmethod
    def _view(content: np.ndarray, runs: Runs) -> np.ndarray:
        """(i2, i1, i0, byte) view of ``runs``, which must have been checked."""
        return np.lib.stride_tricks.as_strided(
            content[runs.address :], (*runs.count[::-1], runs.run), (*runs.stride[::-1], 1)
        )

    def fence(self) -> None:
        """Everything stored so far has reached memory."""
        for span in self._unfenced_spans:
            self._unfenced[span] = False
        self._unfenced_spans.clear()

    def load(self, runs: Runs, code: ErrorCode, pc: int, fenced: bool) -> np.ndarray:
        """(runs, bytes) copy of what ``runs`` address, in their order.

        ``fenced`` says that fences order this load behind the stores before them; ``code`` is the
        bus error of the port.
        """
        span = self._span(runs, code, pc)
        racing = self._unfenced if fenced else self._stored
        if racing[span].any() and self._view(racing, runs).any():
            what = "without a fence between" if fenced else "which no fence can order"
            raise ExecutionError(pc, f"loads what this program stores, {what}")
        return self._view(self._content, runs).reshape(-1, runs.run).copy()

    def store(self, runs: Runs, content: np.ndarray, pc: int) -> None:
        """Write (runs, bytes) ``content`` to what ``runs`` address, in their order."""
        span = self._span(runs, ErrorCode.BUS_NBOUT, pc)
        i2, i1, i0 = np.indices(runs.count[::-1]).reshape(3, -1)
        starts = runs.address + i0 * runs.stride[0] + i1 * runs.stride[1] + i2 * runs.stride[2]
        if ((starts < self._program.stop) & (starts + runs.run > self._program.start)).any():
            raise ExecutionError(pc, "stores into the running program")
        # One run after the other, because runs may overlap and the last one counts.
        for start, piece in zip(starts.tolist(), content, strict=True):
            at = slice(start, start + runs.run)
            self._content[at] = piece
            self._stored[at] = True
            self._unfenced[at] = True
        self._unfenced_spans.append(span)
