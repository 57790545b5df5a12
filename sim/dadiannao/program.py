"""Programs of a machine of several nodes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from hw.dadiannao.config import NodeConfig
from sim.program import Program

from .accesses import accesses

__all__ = ["MachineProgram"]


@dataclass
class MachineProgram(Program):
    """A compiled segment, with a program for every node.

    Of a ``Program``'s fields, ``words`` and ``address`` are those of node 0, and ``tensors`` are
    inputs and outputs only, because all others live and die in the central memories.

    Parameters
    ----------
    config : machine it was compiled for
    others : (address, words) of the programs of nodes 1 and on
    begin : instructions of every node before its first layer: synapses and inputs are there, and
        the nodes have met
    sb_rows, central_rows : in use, of every tile and of the fuller central memory, by node
    """

    config: NodeConfig  # pyright: ignore[reportIncompatibleVariableOverride]
    others: list[tuple[int, np.ndarray]] = field(default_factory=list)
    begin: list[int] = field(default_factory=list)
    sb_rows: list[int] = field(default_factory=list)
    central_rows: list[int] = field(default_factory=list)

    @property
    def nodes(self) -> list[tuple[int, np.ndarray]]:
        """(address, words) of the program of every node."""
        return [(self.address, self.words), *self.others]

    @cached_property
    def accesses(self) -> Mapping[int, Mapping[str, int]]:
        return accesses(self.config, [words for _, words in self.nodes])

    def memory(self) -> np.ndarray:
        """A fresh memory (uint8) with image and all programs in place."""
        memory = super().memory()
        for address, words in self.others:
            content = np.frombuffer(words.astype("<u8").tobytes(), np.uint8)
            memory[address : address + len(content)] = content
        return memory
