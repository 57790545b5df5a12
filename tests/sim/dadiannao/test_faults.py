"""Programs that fault: the interpreter and the Verilog of a node give the same code and place."""

import numpy as np
import pytest

from hw.dadiannao.assembler import (
    Instruction,
    Load,
    Read,
    Store,
    Tile,
    TileNest,
    Write,
    encode,
    nest,
)
from hw.dadiannao.config import CONFIGS
from hw.dadiannao.instructions import NO_RUNS
from hw.dadiannao.isa import ErrorCode, LoadOp, ReadOp
from hw.diannao.assembler import Loop
from hw.diannao.instructions import NestLevel, Runs
from hw.nfu.layouts import Held, Op
from sim import driver
from sim.dadiannao.interpreter.errors import NodeError
from sim.dadiannao.interpreter.machine import Machine
from sim.dadiannao.program import MachineProgram
from sim.driver import CoreError
from sim.verilator.target import VerilatorTarget
from tests.hw.dadiannao.centre_programs import faults, rows

TINY = CONFIGS["dadiannao-tiny"]
PROGRAM = 1 << 15


@pytest.fixture(scope="module")
def target():
    target = VerilatorTarget(TINY)
    yield target
    target.close()


def everything(bank: int) -> Instruction:
    """Every row of a central memory is set."""
    clear = Load(NO_RUNS, LoadOp.CLEAR, bank, levels=rows((TINY.central_rows, 1)))
    return Instruction(load=clear)


_TABLE = TINY.table_rows * TINY.tn

READY = [
    Instruction(
        load=Load(
            Runs(0, _TABLE * TINY.row_bytes),
            LoadOp.SYNAPSES,
            tiles=1,
            levels=rows((TINY.table_rows, 0)),
        )
    ),
    Instruction(
        fence=True,
        tile=Tile(nest(Op.TABLE, [Loop(count=TINY.table_rows, sb=1)]), 1),
    ),
    everything(0),
    everything(1),
    Instruction(read=Read(ReadOp.MASK, mask=0, tiles=1)),
    Instruction(
        fence=True,
        read=Read(ReadOp.BROADCAST, mask=0, levels=rows((3, 1))),
        tile=Tile(nest(Op.SUM, [Loop(count=3, nbin=TINY.ti, nbin_free=TINY.ti)]), 1),
    ),
]
"""Before each case: a table (of zeros), rows to read, an entry of the mask table, and three
finished rows in tile 0."""


def tile(slot: TileNest) -> Instruction:
    return Instruction(tile=Tile(slot, 1))


def other_faults() -> list[tuple[Instruction, ErrorCode]]:
    """Those that need tiles, and those that only the watchdog ends."""
    core, code, row = TINY.core, ErrorCode, TINY.row_bytes
    late = Read(ReadOp.BROADCAST, mask=0, address=TINY.central_rows - 4, levels=rows((3, 1, 1)))
    return [
        (tile(nest(Op.BIAS, [Loop(count=2, sb=1, sb_free=1)])), code.SB_RANGE),
        (tile(nest(Op.MAC, [], sb_free=1)), code.SB_RANGE),
        (tile(nest(Op.MAC, [], sb=core.sb_rows)), code.SB_RANGE),
        (tile(nest(Op.SUM, [], nbin=core.nbin_elements)), code.NBIN_RANGE),
        (tile(nest(Op.SUM, [], nbout=core.nbout_rows)), code.NBOUT_RANGE),
        (tile(TileNest(Op.BIAS, levels=(NestLevel(2, bias_step=core.bias_rows),) * 6)),
         code.BIAS_RANGE),
        # Modes that only other configurations have.
        (tile(nest(Op.MAC, [], joined=True)), code.ILLEGAL_INSTRUCTION),
        (tile(nest(Op.MAC, [], half=1)), code.ILLEGAL_INSTRUCTION),
        (tile(nest(Op.TABLE, [], derivative=True)), code.ILLEGAL_INSTRUCTION),
        (tile(nest(Op.MAC, [Loop(count=2)], held=Held.EACH)), code.ILLEGAL_INSTRUCTION),
        (tile(nest(Op.SUM, [])), code.WATCHDOG),
        (Instruction(write=Write(tiles=1, levels=rows((4, 1)))), code.WATCHDOG),
        (Instruction(write=Write(tiles=2)), code.WATCHDOG),
        (Instruction(read=Read(ReadOp.BROADCAST, mask=0, arrivals=1)), code.WATCHDOG),
        (Instruction(store=Store(Runs(0, 2 * row))), code.WATCHDOG),
        # The third row is the first outside, and the second the first without tiles.
        (Instruction(read=Read(ReadOp.BROADCAST, mask=0, address=late.address + 1,
                               levels=rows((4, 1, 0), (2, 0, 1)))), code.CENTRAL_RANGE),
        (Instruction(read=Read(ReadOp.BROADCAST, mask=0, address=late.address + 1,
                               levels=rows((4, 1, 1)))), code.TILE_RANGE),
    ]  # fmt: skip


CASES = [*faults(TINY), *other_faults()]


@pytest.mark.parametrize("case", range(len(CASES)), ids=lambda n: f"{n}-{CASES[n][1].name}")
def test_same_fault(target, case, monkeypatch):
    monkeypatch.setattr(driver, "WATCHDOG", 3000)
    instruction, code = CASES[case]
    words = encode([*READY, instruction, Instruction(fence=True, end=True)])
    place = 8 * len(encode(READY))
    program = MachineProgram(
        config=TINY, words=words, address=PROGRAM, image=[], memory_size=2 * PROGRAM, inputs={},
        outputs={}, tensors={},
    )  # fmt: skip
    with pytest.raises(NodeError) as expected:
        Machine(TINY, program.memory()).run([(PROGRAM, 8 * len(words))])
    assert (expected.value.code, expected.value.pc) == (code, place), expected.value
    target.driver.load(program)
    with pytest.raises(CoreError) as found:
        target.driver.run({})
    assert (found.value.code, found.value.pc) == (code, place)
    np.testing.assert_array_equal(target.driver._transport.read_memory(0, 4096), 0)
