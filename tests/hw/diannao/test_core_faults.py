"""Faults of a whole core: code and program counter readable, interrupt, and then all is well again.

After every fault the next correct program must give exactly golden's results.
"""

from dataclasses import replace

import numpy as np
import pytest

from hw.bus.axi import Response
from hw.diannao.assembler import Instruction, Loop, NbinLoad, Runs, SbLoad, encode, nest
from hw.diannao.config import CONFIGS
from hw.diannao.isa import ErrorCode, NfuIn
from hw.nfu.layouts import Op
from sim.driver import CoreError
from sim.memory import Fault, MemorySettings
from sim.verilator.target import VerilatorTarget
from tests.compiler.networks import Network
from tests.sim.rtl import check_rtl, compiled

CONFIG = CONFIGS["tiny"]
SHARED = CONFIG.replace(name="tiny-shared", sb_port=32, cp_port=32, shared_port=True)
ENGINE = SHARED.replace(name="tiny-engine", width=8, engine=True)


def graph(config):
    net = Network(config, 1)
    y = net.conv(net.input(1, 3, 9, 8), 5, (3, 3), (1, 1), (1, 1, 1, 1))
    net.gemm(net.pool(y, "max"), 4)
    return net.graph()


@pytest.fixture(scope="module", params=[CONFIG, ENGINE], ids=["dmas", "engine"])
def target(request):
    """The core of a configuration, which has run a program well."""
    config = request.param
    target = VerilatorTarget(config, MemorySettings(latency=30, bandwidth=16))
    check_rtl(graph(config), target, 1)
    yield target
    target.close()


def fails(target, words, code, *, faults=(), watchdog=None):
    """Run ``words`` with the program's memory image, expect ``code``; returns the pc."""
    program, inputs, _ = compiled(graph(target.driver.config), target, 2)
    bad = replace(program, words=np.asarray(words, dtype=np.uint64))
    driver = target.driver
    driver.load(bad)
    for name, layout in bad.inputs.items():
        driver.write_tensor(layout, inputs[name])
    target.model.set_faults(*faults)
    driver.start()
    if watchdog is not None:
        driver.write("WATCHDOG", cycles=watchdog)
    with pytest.raises(CoreError) as caught:
        driver.finish(timeout=200_000)
    target.model.set_faults()
    assert caught.value.code == code
    assert driver.read("ERROR") == code.value
    assert driver.read("ERROR_PC") == caught.value.pc
    status = driver.status()
    assert (status["busy"], status["done"], status["error"]) == (0, 0, 1)
    check_rtl(graph(target.driver.config), target, 3)
    return caught.value.pc


def test_interrupt(target):
    """The interrupt is high after a fault, until it is acknowledged."""
    program, _, _ = compiled(graph(target.driver.config), target, 2)
    driver = target.driver
    driver.load(replace(program, words=np.zeros(4, dtype=np.uint64)))
    driver.start()
    assert target.model.run(10_000)
    assert driver.read("IRQ_STATUS") == 2
    driver.write("IRQ_STATUS", error=1)
    assert not target.model.irq
    check_rtl(graph(target.driver.config), target, 3)


def test_illegal_instruction(target):
    """A foreign word in the middle of a program; what came before it was executed."""
    first = encode([Instruction(tag=1), Instruction(tag=2)])
    pc = fails(target, [*first, 0x1234567890, *first], ErrorCode.ILLEGAL_INSTRUCTION)
    assert pc == 16


def test_program_without_end(target):
    program, _, _ = compiled(graph(target.driver.config), target, 2)
    pc = fails(target, program.words[:-1], ErrorCode.END_OF_PROGRAM)
    assert pc == 8 * (len(program.words) - 1)


LOAD = Instruction(
    nbin=NbinLoad(Runs(0, 512)), sb=SbLoad(Runs(0, 8, (8, 1, 1), (8, 0, 0)))
)  # fmt: skip
ADDRESSES = [
    ({"nbin": CONFIG.nbin_elements}, ErrorCode.NBIN_RANGE),
    ({"loops": [Loop(count=3, nbin=-4)]}, ErrorCode.NBIN_RANGE),
    ({"nbin_free": CONFIG.nbin_elements + 1}, ErrorCode.NBIN_RANGE),
    ({"sb": CONFIG.sb_rows}, ErrorCode.SB_RANGE),
    ({"nbout": CONFIG.nbout_rows}, ErrorCode.NBOUT_RANGE),
    ({"bias": CONFIG.bias_rows}, ErrorCode.BIAS_RANGE),
]


@pytest.mark.parametrize(("fields", "code"), ADDRESSES, ids=[str(f) for f, _ in ADDRESSES])
def test_address_outside_a_buffer(target, fields, code):
    loops = fields.get("loops", [Loop(count=2)])
    bad = nest(Op.MAC, loops, **{k: v for k, v in fields.items() if k != "loops"})
    words = encode([LOAD, Instruction(nfu=bad), Instruction(end=True)])
    assert fails(target, words, code) == 8 * len(encode([LOAD]))


def test_sb_run_longer_than_a_row(target):
    config = target.driver.config
    bad = Instruction(sb=SbLoad(Runs(0, config.sb_row_bits // 8 + config.sb_port // 8)))
    words = encode([Instruction(), bad, Instruction(end=True)])
    assert fails(target, words, ErrorCode.SB_RANGE) == 8


@pytest.mark.parametrize("target", [CONFIG], indirect=True, ids=["dmas"])
@pytest.mark.parametrize("response", [Response.SLVERR, Response.DECERR])
@pytest.mark.parametrize("port", ["nbin", "sb", "nbout", "cp"])
def test_bus_error(target, port, response):
    """An error response on each port, to any of its transactions."""
    program, _, _ = compiled(graph(target.driver.config), target, 2)
    code = ErrorCode[f"BUS_{port.upper()}"]
    anywhere = Fault(0, (1 << CONFIG.address_width) - 1, response, port)
    pc = fails(target, program.words, code, faults=[anywhere])
    assert pc % 8 == 0
    assert 0 <= pc < 8 * len(program.words)


@pytest.mark.parametrize("target", [SHARED, ENGINE], indirect=True, ids=["dmas", "engine"])
@pytest.mark.parametrize("response", [Response.SLVERR, Response.DECERR])
@pytest.mark.parametrize("stream", ["nbin", "sb", "nbout", "cp"])
def test_bus_error_on_a_shared_port(target, stream, response):
    """On one port for all, the address tells whose transaction failed."""
    program, _, _ = compiled(graph(target.driver.config), target, 2)
    (source,), (result,) = program.inputs.values(), program.outputs.values()
    first = {
        "nbin": source.address,
        "sb": program.image[0][0],
        "nbout": result.address,
        "cp": program.address,
    }[stream]
    fault = Fault(first, first + 1, response)
    fails(target, program.words, ErrorCode[f"BUS_{stream.upper()}"], faults=[fault])


def test_address_outside_memory(target):
    """A load far beyond the memory answers DECERR by itself."""
    bad = Instruction(nbin=NbinLoad(Runs(0xF000_0000, 64)))
    words = encode([Instruction(), bad, Instruction(end=True)])
    assert fails(target, words, ErrorCode.BUS_NBIN) == 8


def test_watchdog(target):
    """A nest whose operands nobody loads."""
    waiting = Instruction(nfu=nest(Op.MAX, [Loop(count=2)], source=NfuIn.NBOUT))
    words = encode([Instruction(), waiting, Instruction(end=True)])
    assert fails(target, words, ErrorCode.WATCHDOG, watchdog=500) == 8


def test_soft_reset_in_the_middle(target):
    """A soft reset at many moments of a layer; the next run is right each time."""
    program, inputs, expected = compiled(graph(target.driver.config), target, 4)
    driver = target.driver
    for cycles in (1, 7, 60, 150, 151, 300, 700, 1500, 2500):
        driver.load(program)
        for name, layout in program.inputs.items():
            driver.write_tensor(layout, inputs[name])
        driver.start()
        target.model.run(cycles)
        assert driver.status()["busy"], "the program ended before the reset"
        driver.reset()
        status = driver.status()
        assert (status["busy"], status["done"], status["error"]) == (0, 0, 0)
        done = driver.run(inputs)
        for name, value in done.items():
            np.testing.assert_array_equal(value, expected[name])
