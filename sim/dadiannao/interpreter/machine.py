"""All nodes of a machine."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hw.dadiannao.assembler import Instruction, ProgramError, decode
from hw.dadiannao.config import NodeConfig
from hw.dadiannao.instructions import DADIANNAO
from hw.dadiannao.isa import ErrorCode
from hw.program.fields import WORD_BITS
from sim.interpreter.memory import Memory

from .errors import NodeError
from .node import LayerStatistics, Node

__all__ = ["Machine", "Statistics"]

_WORD_BYTES = WORD_BITS // 8


@dataclass
class Statistics:
    """Work of a run.

    Parameters
    ----------
    nodes : of every node, by tag
    program_bytes : of all instructions up to END
    """

    nodes: list[dict[int, LayerStatistics]]
    program_bytes: int

    @property
    def bytes(self) -> dict[str, int]:
        """Bytes of the host's memory by stream."""
        sums = {"nbin": 0, "sb": 0, "nbout": 0}
        for layers in self.nodes:
            for layer in layers.values():
                for stream, count in layer.bytes.items():
                    sums[stream] += count
        return {**sums, "cp": self.program_bytes}


class Machine:
    """A machine of ``config`` with the host's ``memory`` (uint8, changed in place).

    ``before`` is the same machine after its last program, whose memories it has.
    """

    def __init__(self, config: NodeConfig, memory: np.ndarray, before: "Machine | None" = None):
        self._config = config
        self._memory = memory
        self._before = before
        self._nodes: list[Node] = []

    def run(self, programs: Sequence[tuple[int, int]]) -> Statistics:
        """Run every node's program, (address, bytes), from the state after reset to its END.

        Raises
        ------
        NodeError
            If a program faults, hangs, or has no defined result.
        """
        if len(programs) != self._config.nodes:
            raise ValueError(f"{self._config.nodes} programs must be given, not {len(programs)}")
        runs: list[_Run] = []

        def deliver(
            source: int, node: int, bank: int, at: np.ndarray, rows: np.ndarray, pc: int
        ) -> None:
            runs[node].node.central.receive(source, bank, at, rows, pc)

        ends = [address + size for address, size in programs]
        memory = Memory(self._memory, range(min(address for address, _ in programs), max(ends)))
        self._nodes = [
            Node(self._config, number, memory, deliver) for number in range(len(programs))
        ]
        if self._before is not None:
            for node, before in zip(self._nodes, self._before._nodes, strict=True):
                node.keep(before)
            self._before = None
        for number, (address, size) in enumerate(programs):
            words = self._memory[address : address + size].view("<u8").copy()
            runs.append(_Run(self._nodes[number], number, words))
        while not all(run.ended for run in runs):
            if not any(run.advance() for run in runs):
                stuck = next(run for run in runs if not run.ended)
                source, missing = next(iter(stuck.missing.items()))
                raise NodeError(
                    stuck.number, stuck.pc,
                    f"waits for {missing} rows more than node {source} sends",
                    ErrorCode.WATCHDOG,
                )  # fmt: skip
        return Statistics([run.node.layers for run in runs], sum(run.pc for run in runs))


class _Run:
    """A node on its way through its program."""

    def __init__(self, node: Node, number: int, words: np.ndarray):
        self.node = node
        self.number = number
        self.pc = 0
        self.ended = False
        self._refused: ProgramError | None = None
        try:
            self._instructions = decode(words)
        except ProgramError as error:
            # What comes before it runs, and may fault for another reason.
            self._refused = error
            self._instructions = decode(words[: error.pc // _WORD_BYTES])
        self._next = 0

    @property
    def missing(self) -> dict[int, int]:
        """Rows that the next instruction still waits for, by the node that sends them."""
        return self.node.missing(self._instructions[self._next], self.pc)

    def advance(self) -> bool:
        """Execute instructions until one has to wait, or the program ends; whether any was."""
        before = self._next
        while not self.ended:
            if self._next == len(self._instructions):
                if self._refused is not None:
                    error = self._refused
                    raise NodeError(self.number, error.pc, str(error), error.code)
                raise NodeError(
                    self.number, self.pc, "the program must have an END", ErrorCode.END_OF_PROGRAM
                )
            if self.missing:
                break
            instruction = self._instructions[self._next]
            self.node.execute(instruction, self.pc)
            self._next += 1
            if instruction.end:
                self.node.end(self.pc)
                self.ended = True
            self.pc += _size(instruction)
        return self._next > before


def _size(instruction: Instruction) -> int:
    """Bytes of an instruction."""
    present = [kind for kind in DADIANNAO.kinds if getattr(instruction, kind) is not None]
    return _WORD_BYTES * (1 + sum(DADIANNAO.words[kind] for kind in present))
