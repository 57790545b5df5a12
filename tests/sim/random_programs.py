"""Random programs by hand: loads far ahead of the nests, stores long after them."""

from enum import Enum

import numpy as np

from hw.arith.numbers import Table, bounds
from hw.diannao.assembler import (
    Instruction,
    Loop,
    NbinLoad,
    NboutStore,
    NfuNest,
    Runs,
    SbLoad,
    encode,
    nest,
)
from hw.diannao.config import Config
from hw.diannao.isa import ErrorCode
from hw.nfu.layouts import Op
from sim.driver import CoreError, bytes_moved
from sim.interpreter import ExecutionError, Interpreter, Statistics
from sim.program import Program
from sim.verilator.target import VerilatorTarget
from tests.sim.handmade import Handmade

__all__ = ["Outcome", "compare", "execute", "random_program"]

SIZE = 1 << 17
"""Bytes of memory."""


class Outcome(Enum):
    """What became of a program."""

    RUNS = "runs"
    HANGS = "hangs"
    HANGS_IN_INTERPRETER = "hangs in the interpreter only"


def cut(rng: np.random.Generator, total: int, largest: int) -> list[int]:
    """``total`` in pieces of 1 to ``largest``."""
    pieces = []
    while total:
        pieces.append(min(total, int(rng.integers(1, largest + 1))))
        total -= pieces[-1]
    return pieces


def random_nest(config: Config, rng: np.random.Generator) -> tuple[NfuNest, int, int, int]:
    """A nest, with the elements and rows it frees and the output rows it makes."""
    steps, points = int(rng.integers(1, 9)), int(rng.integers(1, 13))
    op = [Op.MAC, Op.MAX, Op.SUM][rng.integers(3)]
    stride = min(int(rng.integers(1, 9)), config.nbin_elements // 2 // steps)
    sb = int(op == Op.MAC)
    free = steps * stride
    # Few nests need much more than a full ring: the loads in front of such a one hang.
    points = min(points, 1 + config.nbin_elements // free)
    fits = free * points <= config.nbin_elements - config.ti
    early = not fits or bool(rng.integers(2))  # free after each point, or at the end
    slot = nest(
        op,
        [
            Loop(count=steps, nbin=stride, sb=sb, reduce=True),
            Loop(count=points, nbin=free, nbin_free=free * early),
        ],
        bias=int(rng.integers(config.bias_rows)),
        shift=int(rng.integers(0, 20)),
        scale=int(rng.integers(0, 4)),
        sb_free=steps * sb,
        nbin_free=0 if early else free * points,
    )
    return slot, free * points, steps * sb, points


class RandomProgram:
    """A program of random nests; ``haste`` is how far loads and stores may be from their nest."""

    def __init__(self, config: Config, rng: np.random.Generator, haste: int):
        self.config, self.rng, self.haste = config, rng, haste
        self.machine = machine = Handmade(config, SIZE)
        low, high = bounds(config.width)
        points = (low // 32, 0, high // 8)
        machine.table(Table(points, (3, -2, 5, 1), (7, 0, -40, 90), 0))
        start = 1 << (config.width + 4)
        machine.biases(rng.integers(-start, start, config.bias_rows * config.tn), 0)
        self.source = machine.place(rng.integers(low, high + 1, SIZE // 4 // config.element_bytes))
        self.result = machine.reserve(1 << 14)
        self.slots: list[tuple[int, Instruction]] = []

        nests = [random_nest(config, rng) for _ in range(rng.integers(2, 12))]
        for number, (slot, _, _, _) in enumerate(nests):
            self.slots.append((10 * number, Instruction(nfu=slot, tag=number)))
        ends = np.cumsum([[0, 0, 0], *([a, b, c] for _, a, b, c in nests)], axis=0)
        self._loads(ends[:, 0] + config.ti, min(90, config.nbin_elements * 3 // 8), self._nbin)
        self._loads(ends[:, 1], 12, self._sb)
        self._stores(ends[:, 2])
        # Loads come before and stores after what happens at the same time.
        self.slots.sort(key=lambda entry: entry[0])
        machine.program += [instruction for _, instruction in self.slots]

    def _loads(self, ends: np.ndarray, largest: int, make) -> None:
        """Loads of all entries; ``ends`` are entries needed before the first and by each nest."""
        done, pieces = 0, []
        for count in cut(self.rng, int(ends[-1]), largest):
            needed = max(0, int(np.searchsorted(ends, done, side="right")) - 1)
            pieces.append((10 * needed - 1 - 10 * int(self.rng.integers(self.haste)), count))
            done += count
        latest = 1 << 20
        timed = []
        for time, count in reversed(pieces):
            latest = min(latest, time)
            timed.append((latest, count))
        self.slots += [(time, make(count)) for time, count in reversed(timed)]

    def _nbin(self, count: int) -> Instruction:
        size = self.config.element_bytes
        at = self.source + size * int(self.rng.integers(SIZE // 8 // size))
        return Instruction(nbin=NbinLoad(Runs(at, size * count)))

    def _sb(self, count: int) -> Instruction:
        pitch, beat = self.config.weight_row_bytes, self.config.sb_port // 8
        at = self.source + beat * int(self.rng.integers(SIZE // 8 // beat))
        return Instruction(sb=SbLoad(Runs(at, pitch, (count, 1, 1), (pitch, 0, 0))))

    def _stores(self, ends: np.ndarray) -> None:
        done, earliest = 0, 0
        row = self.config.tn * self.config.element_bytes
        for count in cut(self.rng, int(ends[-1]), 2 * self.config.nbout_rows):
            at = self.result + done * row
            done += count
            made = int(np.searchsorted(ends, done)) - 1
            earliest = max(earliest, 10 * made + 1 + 10 * int(self.rng.integers(self.haste)))
            self.slots.append((earliest, Instruction(nbout=NboutStore(Runs(at, count * row)))))


def interpret(program: Program) -> tuple[np.ndarray, Statistics | ExecutionError]:
    memory = program.memory()
    try:
        return memory, Interpreter(program.config, memory).run(
            program.address, 8 * len(program.words)
        )
    except ExecutionError as error:
        return memory, error


def execute(target: VerilatorTarget, program: Program) -> tuple[np.ndarray, CoreError | None]:
    driver = target.driver
    driver.load(program)
    driver.start()
    driver.write("WATCHDOG", cycles=1000)
    error = None
    try:
        driver.finish(timeout=1_000_000)
    except CoreError as caught:
        error = caught
    return target.model.memory[: program.memory_size].copy(), error


def linked(machine: Handmade) -> Program:
    """The machine's program and data as what a driver loads."""
    words = encode([*machine.program, Instruction(end=True)])
    address = machine.reserve(words.nbytes)
    image = [(0, machine.memory[:address].tobytes())]
    return Program(machine.config, words, address, image, SIZE, {}, {}, {})


def random_program(config: Config, seed: int) -> Program:
    """A random program for a core of ``config``."""
    rng = np.random.default_rng(seed)
    return linked(RandomProgram(config, rng, haste=1 + seed % 5).machine)


def compare(target: VerilatorTarget, seed: int) -> Outcome:
    """A random program on the interpreter and on the core: same memory, counters and hangs.

    The interpreter must never accept a program that hangs in hardware. The reverse may happen:
    between its queues and its buffers the core holds a little more than the interpreter promises.
    """
    config = target.driver.config
    program = random_program(config, seed)
    memory, verdict = interpret(program)
    real, error = execute(target, program)
    if isinstance(verdict, ExecutionError):
        assert verdict.code == ErrorCode.WATCHDOG, f"seed {seed}: {verdict}"
        assert error is None or error.code == ErrorCode.WATCHDOG, f"seed {seed}: {error}"
        return Outcome.HANGS if error else Outcome.HANGS_IN_INTERPRETER
    assert error is None, f"seed {seed}: {error}"
    np.testing.assert_array_equal(real, memory, err_msg=f"seed {seed}")
    if config.counters:
        counters = target.driver.counters()
        assert counters["NFU_ACTIVE"] == verdict.active, f"seed {seed}"
        assert bytes_moved(counters) == verdict.bytes, f"seed {seed}"
    return Outcome.RUNS
