"""Nests of the interpreter, as formulas and matrix products, against one step after the other."""

from collections import Counter
from dataclasses import replace
from math import prod

import numpy as np
import pytest

from hw.arith.numbers import NO_MIRROR, bounds
from hw.diannao.assembler import (
    Instruction,
    NbinLoad,
    NboutStore,
    NestLevel,
    NfuNest,
    Runs,
    SbLoad,
    encode,
)
from hw.diannao.config import Config
from hw.diannao.isa import LEVELS, ErrorCode, NfuIn, NfuOut
from hw.nfu.layouts import Op
from sim.interpreter import ExecutionError, Interpreter, nfu
from tests.sim.stepper import Stepper

CONFIGS = [
    Config(name="2x4", tn=2, ti=4, nbin_port=64, nbin_rows=60, sb_rows=70, nbout_rows=40),
    Config(name="3x5", tn=3, ti=5, width=8, drop=8, multiplier="array", nbin_port=32, segments=2),
    Config(name="4x1", tn=4, ti=1, drop=5, multiplier="array", nbin_rows=300, nbin_port=32),
]
ELEMENTS, ROWS = 220, 40
NBIN, SB, BIAS, TABLE, OUT, PROGRAM = 0, 1 << 12, 1 << 14, 1 << 15, 1 << 16, 1 << 18


class Case:
    """A core with ``ELEMENTS`` elements and ``ROWS`` rows loaded, as program and as stepper."""

    def __init__(self, config: Config, rng: np.random.Generator):
        self.config = config
        self.memory = np.zeros(1 << 19, dtype=np.uint8)
        self.words = config.table_rows * config.tn
        low, high = bounds(config.width)
        eb = config.element_bytes
        elements = rng.choice([low, high, 0, *rng.integers(low, high + 1, 20)], ELEMENTS)
        self.memory[NBIN : NBIN + ELEMENTS * eb] = elements.astype(f"<i{eb}").view(np.uint8)
        for start, count in ((SB, ROWS * config.weight_row_bytes),
                             (BIAS, config.bias_rows * config.bias_row_bytes)):  # fmt: skip
            self.memory[start : start + count] = rng.integers(0, 256, count)
        table = rng.integers(low, high + 1, self.words) << config.width
        table[1::2] = rng.integers(low << 4, high << 4, table[1::2].shape)
        breakpoints = np.sort(rng.integers(low, high + 1, self.words // 2))
        table[0::2] |= breakpoints & ((1 << config.width) - 1)
        if rng.integers(2):  # almost any other word makes a mirrored table
            table[-config.table_words] |= NO_MIRROR & ((1 << config.width) - 1)
        rows = table.astype(f"<i{2 * eb}").reshape(config.table_rows, config.tn)
        for n, row in enumerate(rows):
            at = TABLE + n * config.bias_row_bytes
            self.memory[at : at + row.nbytes] = row.view(np.uint8)

        self.program = [
            *self._parameters(Op.TABLE, TABLE, config.table_rows),
            *self._parameters(Op.BIAS, BIAS, config.bias_rows),
            Instruction(nbin=NbinLoad(Runs(NBIN, ELEMENTS * eb)),
                        sb=SbLoad(self._rows(SB, config.weight_row_bytes, ROWS))),
        ]  # fmt: skip
        self.stepper = Stepper(
            config,
            elements.tolist(),
            [self._bytes(SB, n, config.weight_row_bytes) for n in range(ROWS)],
            biases={
                n: np.frombuffer(self._bytes(BIAS, n, config.bias_row_bytes), f"<i{2 * eb}")[
                    : config.tn
                ].tolist()
                for n in range(config.bias_rows)
            },
            table=table.tolist()[-config.table_words :],
        )

    def _bytes(self, start: int, row: int, pitch: int) -> bytes:
        return self.memory[start + row * pitch : start + (row + 1) * pitch].tobytes()

    @staticmethod
    def _rows(address: int, pitch: int, count: int) -> Runs:
        return Runs(address, pitch, (count, 1, 1), (pitch, 0, 0))

    def _parameters(self, op: Op, address: int, count: int) -> list[Instruction]:
        """Load parameter rows one by one, each freed by the nest that uses it."""
        pitch = self.config.bias_row_bytes
        return [
            Instruction(sb=SbLoad(Runs(address + n * pitch, pitch)),
                        nfu=NfuNest(op, bias=n if op == Op.BIAS else 0, sb_free=1))
            for n in range(count)
        ]  # fmt: skip

    def probes(self) -> list[NfuNest]:
        """Nests whose outputs show what bias rows and activation table hold."""
        still = (NestLevel(),) * (LEVELS - 1)
        rows = NestLevel(self.config.bias_rows, bias_step=1)
        elements = NestLevel(20, nbin_step=1)
        return [
            NfuNest(Op.MAC, shift=5, scale=3, levels=(rows, *still)),
            NfuNest(Op.SUM, shift=0, scale=self.config.width, levels=(elements, *still)),
        ]

    def interpret(self, *nests: NfuNest) -> np.ndarray | ExecutionError:
        """Output rows of ``nests``, one instruction each, or what is wrong."""
        eb = self.config.element_bytes
        row = self.config.tn * eb
        program = list(self.program)
        at = OUT
        for slot in nests:
            store = None
            if slot.target == NfuOut.NFU3 and slot.op not in (Op.BIAS, Op.TABLE):
                reduced = [x.count for n, x in enumerate(slot.levels) if slot.reduce >> n & 1]
                rows = slot.steps // prod(reduced)
                store = NboutStore(Runs(at, row, (rows, 1, 1), (row, 0, 0)))
                at += row * rows
            program.append(Instruction(nfu=slot, nbout=store))
        words = encode([*program, Instruction(end=True)])
        memory = self.memory.copy()
        memory[PROGRAM : PROGRAM + words.nbytes] = words.view(np.uint8)
        try:
            Interpreter(self.config, memory).run(PROGRAM, words.nbytes)
        except ExecutionError as error:
            return error
        return memory[OUT:at].view(f"<i{eb}").reshape(-1, self.config.tn)

    def step(self, *nests: NfuNest) -> tuple[ErrorCode, list[list[int]]]:
        code = next((c for c in map(self.stepper.run, nests) if c != ErrorCode.NONE), None)
        return code or ErrorCode.NONE, self.stepper.outputs


def random_nest(rng: np.random.Generator, config: Config, op: Op, wild: bool) -> NfuNest:
    """A nest that stays inside the buffers and on its own rows of NBout, or with ``wild`` may not.

    Strides and frees go into the slot as they are, not through the assembler's ``nest``.
    """
    counts = [1] * LEVELS
    for _ in range(rng.integers(1, 7)):
        n = int(rng.integers(LEVELS))
        if prod(counts) * 3 <= 40:
            counts[n] += int(rng.integers(1, 3))
    reduce = int(rng.integers(1 << LEVELS))
    low = -1 if wild else 0

    def positions(span: int) -> tuple[int, list[int]]:
        """Start and strides, whose sums lie in 0..span-1."""
        strides = [int(s) for s in rng.integers(-4, 7, LEVELS) * rng.integers(0, 2, LEVELS)]
        while True:
            ends = [(c - 1) * s for c, s in zip(counts, strides, strict=True)]
            least, most = sum(min(0, e) for e in ends), sum(max(0, e) for e in ends)
            if most - least < span:
                start = int(rng.integers(low - least, span - most - low))
                return max(0, start), strides
            strides = [s // 2 if s > 0 else -(-s // 2) for s in strides]

    where = {
        "nbin": positions(min(ELEMENTS, config.nbin_elements) - config.ti + 1),
        "sb": positions(ROWS),
        "bias": positions(config.bias_rows),
    }
    radix, strides = 1, []
    for n, count in enumerate(counts):
        still = reduce >> n & 1 or (wild and rng.random() < 0.1)
        strides.append(0 if still else radix)
        radix *= 1 if still else count
    last = config.nbout_rows - radix
    where["nbout"] = int(rng.integers(last, last + 3) if wild else rng.integers(last + 1)), strides
    frees = rng.integers(0, 3, (2, LEVELS)) if wild else np.zeros((2, LEVELS), dtype=int)
    if wild and rng.random() < 0.1:
        frees[rng.integers(2), rng.integers(LEVELS)] = 1000
    levels = []
    for n, count in enumerate(counts):
        steps = {}
        for key, (_, strides) in where.items():
            moved = sum((c - 1) * s for c, s in zip(counts[:n], strides[:n], strict=True))
            steps[f"{key}_step"] = strides[n] - moved
        levels.append(
            NestLevel(count, **steps, nbin_free=int(frees[0, n]), sb_free=int(frees[1, n]))
        )
    return NfuNest(
        op=op,
        source=NfuIn.BIAS,
        target=NfuOut.NFU3,
        reduce=reduce,
        shift=int(rng.integers(0, 2 * config.width)),
        scale=int(rng.integers(0, 2 * config.width)),
        nbin_free=int(rng.integers(0, 9)),
        sb_free=int(rng.integers(0, 9)),
        levels=tuple(levels),
        **{key: start for key, (start, _) in where.items()},
    )


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
@pytest.mark.parametrize("op", [Op.MAC, Op.MAX, Op.SUM])
@pytest.mark.parametrize("largest", [1 << 22, 50])
def test_one_nest_equals_its_steps(config, op, largest, monkeypatch):
    """Random loops, strides of both signs, reductions anywhere; whole or cut in small pieces."""
    monkeypatch.setattr(nfu, "_LARGEST", largest)
    for seed in range(25):
        rng = np.random.default_rng(seed)
        case = Case(config, rng)
        slot = random_nest(rng, config, op, wild=False)
        code, expected = case.step(slot)
        assert code == ErrorCode.NONE
        result = case.interpret(slot)
        if isinstance(result, ExecutionError):
            raise result
        np.testing.assert_array_equal(result, expected, err_msg=f"seed {seed}: {slot}")


def parked(slot: NfuNest, parts: int) -> list[NfuNest]:
    """The same nest ``parts`` times, with the sums waiting in NBout in between."""
    nests = []
    for n in range(parts):
        nests.append(
            replace(
                slot,
                source=NfuIn.NBOUT if n else NfuIn.BIAS,
                target=NfuOut.NFU3 if n == parts - 1 else NfuOut.NBOUT,
                nbin=slot.nbin,
                nbin_free=0,
                sb_free=0,
            )
        )
    return nests


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
@pytest.mark.parametrize("op", [Op.MAC, Op.MAX, Op.SUM])
def test_parked_sums_equal_their_steps(config, op):
    """Accumulations that go on from one nest to the next through NBout."""
    for seed in range(15):
        rng = np.random.default_rng(100 + seed)
        case = Case(config, rng)
        nests = parked(random_nest(rng, config, op, wild=False), 3)
        code, expected = case.step(*nests)
        assert code == ErrorCode.NONE
        result = case.interpret(*nests)
        if isinstance(result, ExecutionError):
            raise result
        np.testing.assert_array_equal(result, expected, err_msg=f"seed {seed}: {nests}")


def test_wild_nests_fault_where_their_steps_do():
    """Positions and frees that may leave the buffers: same code, or same outputs.

    Nests without a defined result (code NONE) cannot be compared; most must be comparable, and
    every fault that a nest can raise must have come up.
    """
    seen = Counter()
    for seed in range(400):
        rng = np.random.default_rng(1000 + seed)
        config = CONFIGS[seed % len(CONFIGS)]
        case = Case(config, rng)
        op = list(Op)[rng.integers(5)]
        slot = random_nest(rng, config, op, wild=True)
        nests = [slot] if op in (Op.MAC, Op.MAX, Op.SUM) else [slot, *case.probes()]
        result = case.interpret(*nests)
        if isinstance(result, ExecutionError):
            seen[result.code] += 1
            if result.code == ErrorCode.NONE:
                continue
            code, _ = case.step(*nests)
            assert result.code == code, f"seed {seed}: {result} {slot}"
        else:
            seen["no fault"] += 1
            code, expected = case.step(*nests)
            assert code == ErrorCode.NONE, f"seed {seed}: {slot}"
            np.testing.assert_array_equal(result, np.reshape(expected, result.shape))
    assert seen["no fault"] > 50
    assert seen[ErrorCode.NONE] < 100
    for code in ("NBIN_RANGE", "SB_RANGE", "NBOUT_RANGE", "BIAS_RANGE", "WATCHDOG"):
        assert seen[ErrorCode[code]] > 3, seen
