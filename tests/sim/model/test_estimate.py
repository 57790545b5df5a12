"""Estimates on their own: loops cut short against all of them, time, and programs that hang."""

import time

import pytest

from boards.catalog import BOARDS
from compiler.lowering import lower
from hw.diannao.assembler import Instruction, Loop, NbinLoad, NboutStore, Runs, encode, nest
from hw.diannao.config import CONFIGS, Config
from hw.errors import UserError
from hw.nfu.layouts import Op
from sim.icarus.target import IcarusTarget
from sim.memory import MemorySettings
from sim.model import estimate
from sim.program import Program
from sim.verilator.target import VerilatorTarget
from tests.compiler.networks import Network

PAPER = CONFIGS["diannao-16x16"]
SLOW = MemorySettings(latency=50, bandwidth=60)


ENGINE = BOARDS["icebreaker"].config.replace(address_width=24)


def program_of(config: Config = PAPER, *, conv=(), pool=(), gemm=()) -> Program:
    net = Network(config, 1)
    if conv:
        net.conv(net.input(*conv[0]), *conv[1:])
    elif pool:
        net.pool(net.input(*pool[0]), *pool[1:])
    else:
        net.gemm(net.input(*gemm[0]), *gemm[1:])
    return lower(net.graph(), config)


LAYERS = {
    "AlexNet conv3": lambda: program_of(conv=((1, 256, 13, 13), 384, (3, 3), (1, 1), (1, 1, 1, 1))),
    "AlexNet conv1": lambda: program_of(conv=((1, 3, 227, 227), 96, (11, 11), (4, 4))),
    "VGG conv": lambda: program_of(conv=((1, 64, 56, 56), 64, (3, 3), (1, 1), (1, 1, 1, 1))),
    "pooling": lambda: program_of(pool=((1, 64, 110, 110), "max", (3, 3), (2, 2))),
    "classifier": lambda: program_of(gemm=((64, 1024), 1024)),
    "engine, conv": lambda: program_of(
        ENGINE, conv=((1, 16, 32, 32), 32, (3, 3), (1, 1), (1, 1, 1, 1))
    ),
    "engine, pooling": lambda: program_of(ENGINE, pool=((1, 32, 64, 64), "max", (3, 3), (2, 2))),
}


@pytest.mark.parametrize(
    ("name", "memory"),
    [(name, MemorySettings()) for name in LAYERS] + [("VGG conv", SLOW), ("pooling", SLOW)],
)
def test_settled_loops_need_not_be_followed(name, memory):
    """The cut-short estimate of a layer is that of the whole layer, to one in a thousand."""
    program = LAYERS[name]()
    start = time.process_time()
    short = estimate(program, memory=memory, whole=0)
    middle = time.process_time()
    whole = estimate(program, memory=memory, whole=10_000_000)
    print(
        f"{name}: {whole.cycles} cycles in {time.process_time() - middle:.2f} s, {short.cycles} "
        f"from {short.followed:.0%} of the steps in {middle - start:.2f} s"
    )
    assert whole.followed == 1
    assert short.followed < 1
    assert abs(short.cycles - whole.cycles) <= 1e-3 * whole.cycles
    assert (short.active, short.bytes) == (whole.active, whole.bytes)
    for cause, count in whole.stalls.items():
        assert abs(short.stalls[cause] - count) <= 1e-3 * whole.cycles, cause
    assert sum(layer.cycles for layer in short.layers.values()) == short.cycles


LONG = {
    "2 million cycles": lambda: program_of(
        conv=((1, 64, 112, 112), 64, (3, 3), (1, 1), (1, 1, 1, 1))
    ),
    "large maps": lambda: program_of(pool=((1, 64, 256, 512), "max", (2, 2), (2, 2))),
    "much to load": lambda: program_of(gemm=((1, 4096), 4096)),
}


@pytest.mark.parametrize("name", [*LAYERS, *LONG])
def test_few_cycles_are_followed(name):
    """The work of an estimate is counted, the time goes with it: some 80 ns for each cycle."""
    found = estimate((LAYERS | LONG)[name]())
    print(f"{name}: {found.followed:.2%} of {found.cycles} cycles")
    assert found.followed * found.cycles <= 650_000
    assert found.followed == 1 or found.cycles > 500_000


def program(*instructions: Instruction) -> Program:
    words = encode([*instructions, Instruction(end=True)])
    return Program(PAPER, words, 0, [], 1 << 16, {}, {}, {})


def test_memory_counts():
    """Less bandwidth and more latency never make a layer faster."""
    layer = LAYERS["classifier"]()
    cycles = [
        estimate(layer, memory=MemorySettings(latency=latency, bandwidth=bandwidth)).cycles
        for latency, bandwidth in ((10, 255), (100, 255), (100, 32), (200, 16))
    ]
    assert cycles == sorted(cycles)
    moved = sum(estimate(layer).bytes.values())
    assert moved / 16 <= cycles[-1] <= 1.2 * moved / 16


def test_on_chip_memory():
    """It has one port, and only boards and the model have it (tests/boards compares the two)."""
    memory = MemorySettings(latency=2, bandwidth=4, on_chip=True)
    with pytest.raises(ValueError, match="shared_port must be True"):
        estimate(LAYERS["pooling"](), memory=memory)
    for target in (VerilatorTarget, IcarusTarget):
        with pytest.raises(UserError, match="has no on_chip memory"):
            target(ENGINE, memory)


def test_program_that_hangs():
    """A step that waits for data nobody loads, and a row that nobody stores."""
    step = nest(Op.MAX, [Loop(count=3, nbin=16)], nbin_free=48)
    with pytest.raises(ValueError, match="never ends"):
        estimate(program(Instruction(nbin=NbinLoad(Runs(0x8000, 64)), nfu=step)))
    done = estimate(
        program(
            Instruction(
                nbin=NbinLoad(Runs(0x8000, 96)), nfu=step, nbout=NboutStore(Runs(0x9000, 96))
            )
        )
    )
    assert done.active == 3
    assert done.bytes == {"nbin": 96, "sb": 0, "nbout": 96, "cp": 8 * (1 + 5 + 5 + 14 + 1)}
