"""The core, unit after unit."""

from collections import deque
from dataclasses import dataclass, field
from math import prod

import numpy as np
from amaranth.lib import data

from hw.diannao.assembler import Instruction, NbinLoad, ProgramError, Runs, decode
from hw.diannao.config import Config
from hw.diannao.fields import SLOTS, slot_words
from hw.diannao.isa import WORD_BITS, CpSlot, ErrorCode

from .dispatch import Dispatch
from .errors import ExecutionError
from .memory import Memory
from .nest import Nest
from .nfu import Nfu
from .ranges import check_nest
from .ring import Ring

__all__ = ["Interpreter", "LayerStatistics", "Statistics"]

_PORTS = ("nbin", "sb", "nbout")
_WORD_BYTES = WORD_BITS // 8


@dataclass
class LayerStatistics:
    """Work of the instructions of one tag.

    Parameters
    ----------
    active : NFU steps of MAC, MAX and SUM (the core's counter NFU_ACTIVE)
    parameters : NFU steps of BIAS and TABLE
    bytes : useful bytes moved by port ("nbin", "sb", "nbout")
    """

    active: int = 0
    parameters: int = 0
    bytes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_PORTS, 0))


@dataclass
class Statistics:
    """Work of a whole program: that of its layers by tag, and of all together.

    ``bytes`` has "cp" too, the bytes of the instructions up to END.
    """

    layers: dict[int, LayerStatistics]
    program_bytes: int

    @property
    def active(self) -> int:
        """NFU steps of MAC, MAX and SUM (the core's counter NFU_ACTIVE)."""
        return sum(layer.active for layer in self.layers.values())

    @property
    def parameters(self) -> int:
        """NFU steps of BIAS and TABLE."""
        return sum(layer.parameters for layer in self.layers.values())

    @property
    def bytes(self) -> dict[str, int]:
        """Useful bytes moved by port ("nbin", "sb", "nbout", "cp")."""
        sums = {port: sum(x.bytes[port] for x in self.layers.values()) for port in _PORTS}
        return {**sums, "cp": self.program_bytes}


class Interpreter:
    """Runs programs of a core with ``config`` on ``memory``.

    Parameters
    ----------
    config : the core
    memory : uint8, the whole memory from address 0 on; changed in place
    seed : of the random numbers that stand where the hardware has anything: the elements that loads
        skip, and the rest of SB rows that are loaded in part
    """

    def __init__(self, config: Config, memory: np.ndarray, seed: int = 0):
        if memory.dtype != np.uint8 or memory.ndim != 1 or not memory.flags.c_contiguous:
            raise ValueError(f"memory must be a contiguous array of uint8, not {memory.dtype}")
        self._config = config
        self._memory = memory
        self._seed = seed

    def run(self, address: int, size: int) -> Statistics:
        """Run the program of ``size`` bytes at ``address``, from the state after reset to its END.

        Raises
        ------
        ExecutionError
            If the program faults, hangs, or has no defined result. The memory then holds what the
            instructions before the faulty one have stored.
        """
        if address % _WORD_BYTES:
            raise ExecutionError(
                0,
                f"address must be a multiple of {_WORD_BYTES}, not {address:#x}",
                ErrorCode.ILLEGAL_INSTRUCTION,
            )
        if size <= 0 or size % _WORD_BYTES:
            raise ExecutionError(
                0,
                f"size must be a positive multiple of {_WORD_BYTES}, not {size}",
                ErrorCode.END_OF_PROGRAM,
            )
        if not 0 <= address <= self._memory.size - size:
            raise ExecutionError(
                0,
                f"the program must lie within the memory of "
                f"{self._memory.size:#x} bytes, not at {address:#x} to {address + size - 1:#x}",
                ErrorCode.BUS_CP,
            )
        content = self._memory[address : address + size]
        memory = Memory(self._memory, range(address, address + size))
        return _Run(self._config, memory, self._seed).program(content.view("<u8").copy())


def _starts(words: np.ndarray) -> list[int]:
    """Word offsets of the instructions up to the first END, and where the next one would start."""
    bits = data.Layout.cast(CpSlot)
    present = [(bits[kind].offset, slot_words(SLOTS[kind])) for kind in SLOTS if kind != "cp"]
    end = bits["end"].offset
    starts = [0]
    while starts[-1] < len(words):
        word = int(words[starts[-1]])
        length = 1 + sum(count for offset, count in present if word >> offset & 1)
        starts.append(starts[-1] + length)
        if word >> end & 1:
            break
    return starts


class _Run:
    """The state of the core while it runs one program."""

    def __init__(self, config: Config, memory: Memory, seed: int):
        self._config = config
        self._memory = memory
        self._random = np.random.default_rng(seed)
        self._nbin = Ring(np.zeros(0, dtype=f"<i{config.element_bytes}"))
        self._sb = Ring(np.zeros((0, config.sb_row_bits // 8), dtype=np.uint8))
        self._nfu = Nfu(config)
        self._dispatch = Dispatch(config)
        self._layers: dict[int, LayerStatistics] = {}
        self._outputs: deque[np.ndarray] = deque()
        self._output_rows = 0

    def program(self, words: np.ndarray) -> Statistics:
        """Execute ``words`` up to END."""
        starts = _starts(words)
        refused = None
        try:
            instructions = decode(words[: starts[-1]])
        except ProgramError as error:
            # What comes before it runs, and may fault for another reason.
            refused = error
            instructions = decode(words[: error.pc // _WORD_BYTES])
        for start, instruction in zip(starts, instructions, strict=False):
            self._execute(instruction, start * _WORD_BYTES)
        if refused is not None:
            raise ExecutionError(refused.pc, str(refused), refused.code)
        pc = starts[-1] * _WORD_BYTES
        if not instructions or not instructions[-1].end:
            raise ExecutionError(pc, "the program must have an END", ErrorCode.END_OF_PROGRAM)
        pc = starts[-2] * _WORD_BYTES
        self._dispatch.end(pc)
        if self._output_rows:
            raise ExecutionError(pc, f"{self._output_rows} finished output rows were never stored")
        return Statistics(self._layers, starts[-1] * _WORD_BYTES)

    def _execute(self, instruction: Instruction, pc: int) -> None:
        layer = self._layers.setdefault(instruction.tag, LayerStatistics())
        if instruction.sb is not None:
            self._load_rows(instruction.sb.descriptor, pc)
            layer.bytes["sb"] += _bytes(instruction.sb.descriptor)
        if instruction.nbin is not None:
            self._load_elements(instruction.nbin, pc)
            layer.bytes["nbin"] += _bytes(instruction.nbin.descriptor)
        if instruction.nbout is not None:
            self._dispatch.store(self._rows_of(instruction.nbout.descriptor))
        if instruction.nfu is not None:
            nest = Nest(instruction.nfu)
            self._run_nest(nest, pc)
            if nest.reads_nbin:
                layer.active += nest.steps
            else:
                layer.parameters += nest.steps
        # The store was handed out before the nest, but the rows it takes may be those of the nest.
        if instruction.nbout is not None:
            self._store(instruction.nbout.descriptor, pc)
            layer.bytes["nbout"] += _bytes(instruction.nbout.descriptor)

    # SB and NBin

    def _load_rows(self, runs: Runs, pc: int) -> None:
        beat = self._config.sb_port // 8
        row = self._config.sb_row_bits // 8
        longest = -(-row // beat) * beat
        if runs.run % beat or runs.run > longest:
            raise ExecutionError(
                pc,
                f"run must be a multiple of {beat} bytes and at most {longest}, not {runs.run}",
                ErrorCode.SB_RANGE,
            )
        loaded = self._memory.load(runs, ErrorCode.BUS_SB, pc, fenced=False)[:, :row]
        rest = self._random.integers(0, 256, (len(loaded), row - loaded.shape[1]), dtype=np.uint8)
        self._sb.append(np.concatenate([loaded, rest], axis=1) if rest.size else loaded)
        self._dispatch.load("sb", self._sb.head, pc)

    def _load_elements(self, load: NbinLoad, pc: int) -> None:
        size = self._config.element_bytes
        if load.descriptor.run % size:
            raise ExecutionError(
                pc,
                f"run must be a multiple of {size} bytes, not {load.descriptor.run}",
            )
        if load.fence:
            self._memory.fence()
        loaded = self._memory.load(load.descriptor, ErrorCode.BUS_NBIN, pc, fenced=True)
        skipped = self._random.integers(0, 256, load.skip * size, dtype=np.uint8)
        elements = np.concatenate([loaded.ravel(), skipped])
        self._nbin.append(elements.view(f"<i{size}"))
        self._dispatch.load("nbin", self._nbin.head, pc)

    # NFU

    def _run_nest(self, nest: Nest, pc: int) -> None:
        check_nest(nest, self._config, self._nbin, self._sb, pc)
        neurons = self._nbin.window(
            nest.span("nbin")[1] + self._config.ti if nest.reads_nbin else 0
        )
        rows = self._sb.window(nest.span("sb")[1] + 1 if nest.reads_sb else 0)
        outputs = self._nfu.run(nest, neurons, rows, pc)
        if len(outputs):
            self._outputs.append(outputs)
            self._output_rows += len(outputs)
        tails = {"nbin": self._nbin.tail, "sb": self._sb.tail}
        self._dispatch.nest(nest, tails, len(outputs), pc)
        self._nbin.free(nest.freed("nbin_free", nest.steps))
        self._sb.free(nest.freed("sb_free", nest.steps))

    # NBout

    def _rows_of(self, runs: Runs) -> int:
        """Output rows that a store takes."""
        return prod(runs.count) * -(-runs.run // (self._config.tn * self._config.element_bytes))

    def _store(self, runs: Runs, pc: int) -> None:
        count = self._rows_of(runs)
        if count > self._output_rows:
            raise ExecutionError(
                pc,
                f"the store takes {count} output rows, but the nests up to "
                f"this instruction have left only {self._output_rows}",
                ErrorCode.WATCHDOG,
            )
        pieces = []
        while count:
            piece = self._outputs.popleft()
            if len(piece) > count:
                self._outputs.appendleft(piece[count:])
                piece = piece[:count]
            pieces.append(piece)
            count -= len(piece)
            self._output_rows -= len(piece)
        content = np.concatenate(pieces).astype(f"<i{self._config.element_bytes}")
        content = content.view(np.uint8).reshape(prod(runs.count), -1)[:, : runs.run]
        self._memory.store(runs, content, pc)


def _bytes(runs: Runs) -> int:
    return runs.run * prod(runs.count)
