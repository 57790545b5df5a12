"""What every target that executes programs has in common."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from .ports import STREAMS
from .program import Program

__all__ = ["Activity", "Execution", "Progress", "Target"]


@dataclass
class Activity:
    """What the core did for one layer.

    Parameters
    ----------
    cycles : clock cycles (for the interpreter, which has no clock, NFU steps)
    active : NFU steps of MAC, MAX and SUM
    stalls : cycles without a step by cause, the lower-case names of ``hw.diannao.events.Stall``
    bytes : bytes moved by stream (``sim.ports.STREAMS``). In RTL these are whole beats in the
        cycles of this layer; loads run ahead, so part of them belongs to the layer that follows
    """

    cycles: int = 0
    active: int = 0
    stalls: dict[str, int] = field(default_factory=dict)
    bytes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STREAMS, 0))


@dataclass
class Execution:
    """Result of one run of a program.

    Parameters
    ----------
    tensors : every tensor of the program, int64 in ONNX's axis order
    source : where the cycles come from, "rtl", "isa" or "board"
    cycles : from start to end of the program, None without a clock
    layers : by the tag of ``program.layers``
    layer_source : where those come from if it is not ``source``: "model"
    bytes : useful bytes by stream, empty if the core does not count them
    seconds : wall-clock time of the simulator, None for what is no RTL simulator
    link_seconds : time on the line to a board, None for all else
    """

    tensors: dict[str, np.ndarray]
    source: str
    cycles: int | None
    layers: dict[int, Activity]
    bytes: dict[str, int]
    seconds: float | None = None
    link_seconds: float | None = None
    layer_source: str | None = None


class Progress(Protocol):
    """Told what is going on: a phrase, and for countable work how far it has come.

    ``total`` is an estimate, ``done`` may pass it.
    """

    def __call__(self, what: str, done: int = 0, total: int | None = None) -> None: ...


class Target(Protocol):
    """Something that executes programs of one configuration."""

    def run(self, program: Program, inputs: dict[str, np.ndarray]) -> Execution:
        """Execute ``program`` on integer ``inputs`` of the shapes in ``program.inputs``."""
        ...

    def close(self) -> None:
        """Give back what the target holds."""
        ...
