"""The driver: with a fake core for what a good core never does, and with the Verilated one."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from compiler.lowering import lower
from hw.diannao.config import CONFIGS
from hw.diannao.csr import register_map
from hw.diannao.isa import ErrorCode
from hw.errors import UserError
from sim import golden
from sim.driver import CoreError, CoreTimeoutError, Driver
from sim.memory import MemorySettings
from sim.program import TensorLayout
from sim.verilator.target import VerilatorTarget
from tests.compiler.networks import Network
from tests.sim.fake_device import FakeDevice, reset_values

TINY = CONFIGS["tiny"]


class FakeCore(FakeDevice):
    """Registers with their reset values, of a core of ``config``, and some memory."""

    def __init__(self, config=TINY, **changes: int):
        super().__init__(reset_values(register_map(config)), np.arange(256, dtype=np.uint8))
        self.offsets = {register.name: register.offset for register in register_map(config)}
        for name, value in changes.items():
            self.registers[self.offsets[name]] = value


@pytest.mark.parametrize("config", CONFIGS.values(), ids=lambda config: config.name)
def test_configuration_is_read_from_the_core(config):
    assert Driver(FakeCore(config)).config == replace(config, name="core")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ID": 0xFFFFFFFF}, "there is no DianNao core: its identification must read 0x4449414e"),
        ({"VERSION": 2 << 16}, r"the core has version 2\.0, the driver is for 1\.0 and later"),
        ({"CONFIG_NFU": 0}, "the core describes itself as impossible: tn must be 1 to 256, not 0"),
    ],
)
def test_unknown_cores_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        Driver(FakeCore(**changes))


def small_program(config=TINY, seed=1):
    net = Network(config, seed)
    net.conv(net.input(1, 3, 5, 5), 4, (3, 3))
    graph = net.graph()
    return graph, lower(graph, config)


def test_program_for_another_core_is_refused_by_what_differs():
    driver = Driver(FakeCore(TINY.replace(sb_rows=16, queue=3)))
    _, program = small_program()
    message = "in this one sb_rows is 16, not 32, queue is 3, not 2; compile it for this one"
    with pytest.raises(UserError, match=message):
        driver.load(program)


def test_name_does_not_matter():
    _, program = small_program()
    fake = FakeCore(TINY.replace(name="other"))
    fake.memory = np.zeros(program.memory_size, dtype=np.uint8)
    Driver(fake).load(program)
    assert (fake.memory == program.memory()).all()


def test_core_that_stays_busy_is_reported():
    with pytest.raises(CoreTimeoutError, match="is its memory answering"):
        Driver(FakeCore(STATUS=1)).reset()


def test_tensors_leave_the_bytes_between_their_elements():
    fake = FakeCore()
    before = fake.memory.copy()
    # Two channels of a map whose pixels are 6 bytes apart, rows 20.
    layout = TensorLayout("x", (1, 2, 2, 3), 0, 11, (100, 2, 20, 6), 2)
    values = np.arange(-6, 6).reshape(1, 2, 2, 3)
    driver = Driver(fake)
    driver.write_tensor(layout, values)
    assert (driver.read_tensor(layout) == values).all()
    own = {
        11 + 2 * c + 20 * y + 6 * x + byte
        for c in range(2) for y in range(2) for x in range(3) for byte in range(2)
    }  # fmt: skip
    others = [address for address in range(256) if address not in own]
    assert (fake.memory[others] == before[others]).all()


def test_errors_survive_the_way_between_processes():
    error = pickle.loads(pickle.dumps(CoreError("it stopped", ErrorCode.BUS_SB, 64)))
    assert (str(error), error.code, error.pc) == ("it stopped", ErrorCode.BUS_SB, 64)


@pytest.fixture(scope="module")
def target():
    target = VerilatorTarget(TINY, MemorySettings(latency=10))
    yield target
    target.close()


def test_program_runs_and_counts(target):
    graph, program = small_program()
    x = np.random.default_rng(2).integers(-1000, 1000, (1, 3, 5, 5))
    driver = target.driver
    driver.load(program)
    (y,) = driver.run({"t0": x}).values()
    assert (y == golden.run(graph, {"t0": x}).tensors["t1"]).all()
    counters = driver.counters()
    assert counters["BYTES_NBOUT"] == y.size * TINY.element_bytes
    stalled = sum(counters[name] for name in counters if name.startswith("STALL"))
    assert counters["NFU_ACTIVE"] + stalled < counters["CYCLES"]
    # The instruction bytes are known; the end of the program is also its last word.
    assert counters["BYTES_CP"] == 8 * len(program.words)
    assert driver.status() == {"busy": 0, "done": 1, "error": 0, "draining": 0}


def test_failing_program_is_explained_and_the_next_one_runs(target):
    graph, program = small_program()
    bad = replace(program, words=program.words.copy())
    bad.words[0] ^= np.uint64(1)
    driver = target.driver
    driver.load(bad)
    x = np.random.default_rng(2).integers(-1000, 1000, (1, 3, 5, 5))
    name = next(iter(program.layers.values())).name
    message = (
        f"the core stopped with ILLEGAL_INSTRUCTION at byte 0x0 of the program, layer {name!r}"
    )
    with pytest.raises(CoreError, match=message) as caught:
        driver.run({"t0": x})
    assert (caught.value.code, caught.value.pc) == (ErrorCode.ILLEGAL_INSTRUCTION, 0)
    driver.load(program)
    (y,) = driver.run({"t0": x}).values()
    assert (y == golden.run(graph, {"t0": x}).tensors["t1"]).all()


def test_timeout_stops_the_program_and_the_next_run_is_right(target):
    graph, program = small_program()
    x = np.random.default_rng(3).integers(-1000, 1000, (1, 3, 5, 5))
    driver = target.driver
    driver.load(program)
    with pytest.raises(CoreTimeoutError, match="did not come to its end in 50 cycles"):
        driver.run({"t0": x}, timeout=50)
    assert driver.status()["busy"] == 0
    (y,) = driver.run({"t0": x}).values()
    assert (y == golden.run(graph, {"t0": x}).tensors["t1"]).all()


def test_nothing_runs_without_a_program():
    with pytest.raises(RuntimeError, match="a program must be loaded first"):
        Driver(FakeCore()).start()
