"""The performance model against RTL: cycles, stalls and traffic of many layers on many cores."""

from dataclasses import dataclass

import numpy as np
import pytest

from boards.catalog import BOARDS
from compiler.bound import bound_cycles
from compiler.lowering import lower
from hw.arith.numbers import bounds
from hw.diannao.config import CONFIGS, Config
from sim.execution import Execution
from sim.graph import Graph
from sim.memory import MemorySettings
from sim.model import Estimate, estimate
from sim.program import Program
from sim.verilator.target import VerilatorTarget
from tests.compiler.networks import Network
from tests.sim.random_programs import execute, random_program
from tests.sim.test_rtl import CORES

SMALL = {config.name: config for config, _ in CORES}
WIDE = Config(
    name="wide-4x4", tn=4, ti=4, nbin_port=128, sb_port=256, nbout_port=64, cp_port=128,
    nbin_rows=128, nbin_fifo=64, operand_stages=4, nfu3_lanes=2,
)  # fmt: skip
SMALL_BOARD = BOARDS["icebreaker"].config.replace(name="icebreaker-counters", counters=True)
ENGINE_64 = Config(
    name="engine-10x2-8bit", tn=10, ti=2, width=8, nbin_rows=100, sb_rows=30, nbout_rows=20,
    bias_rows=8, nfu1_stages=2, nfu2_stages=3, nfu3_lanes=2, paced=True, nbin_port=64, sb_port=64,
    nbout_port=64, cp_port=64, shared_port=True, address_width=20, outstanding=3, burst=16,
    instruction_buffer=512, queue=3, engine=True,
)  # fmt: skip
RUNS = [
    # core, latency, bandwidth
    (CONFIGS["tiny"], 1, 255),
    (CONFIGS["tiny"], 100, 255),
    (CONFIGS["tiny"], 7, 16),
    (SMALL["shared-4x4-8bit"], 1, 255),
    (SMALL["shared-4x4-8bit"], 60, 16),
    (SMALL["least-2x4-8bit"].replace(name="without-queues", counters=True), 2, 4),
    (SMALL["single"], 10, 17),
    (SMALL_BOARD, 2, 4),
    (SMALL["engine-3x5-8bit"], 30, 3),
    (SMALL["engine-4x3"], 1, 12),
]
MORE_RUNS = [
    (SMALL["odd-3x5"], 40, 20),
    (SMALL["tall-5x2-8bit"], 20, 16),
    (WIDE, 200, 255),
    (WIDE, 25, 33),
    (ENGINE_64, 40, 16),
]


def small_layers(config: Config) -> dict[str, Graph]:
    """Layers of a few thousand cycles, in the size of the core."""
    some = max(config.tn, config.ti)
    layers = {}

    def add(name: str, shape: tuple[int, ...], kind: str, *arguments) -> None:
        net = Network(config, len(layers))
        getattr(net, kind)(net.input(*shape), *arguments)
        layers[name] = net.graph()

    add("conv 3x3, padded", (1, 2 * some, 8, 8), "conv", 2 * some, (3, 3), (1, 1), (1, 1, 1, 1))
    add("conv 1x1", (1, 2 * some, 8, 8), "conv", 4 * some, (1, 1))
    add("conv 5x5, stride 2", (1, some, 11, 11), "conv", 2 * some, (5, 5), (2, 2))
    add("conv 7x7, 3 channels", (1, 3, 19, 19), "conv", some, (7, 7), (3, 3))
    add("conv 3x2, odd", (2, 5, 7, 9), "conv", 7, (3, 2), (1, 2), (1, 0, 0, 1))
    add("max 3x3", (1, 2 * some, 12, 12), "pool", "max", (3, 3), (2, 2))
    add("average 2x2, odd", (1, 7, 9, 9), "pool", "average", (2, 2), (1, 2))
    add("classifier", (1, 20 * some), "gemm", 8 * some)
    add("classifier, batch 5", (5, 7 * some + 3), "gemm", 5 * some + 1)
    net = Network(config, len(layers))
    y = net.conv(net.input(1, some, 9, 9), some, (3, 3), (1, 1), (1, 1, 1, 1))
    net.gemm(net.pool(y, "max", (2, 2), (2, 2)), 10)
    layers["three layers"] = net.graph()
    return layers


PAPER = CONFIGS["diannao-16x16"]


def large_layers(config: Config) -> dict[str, Graph]:
    """Layers of ten thousand cycles and more on the paper's core."""
    layers = {}
    for name, shape, outputs, kernel, strides, pads in (
        ("3x3", (1, 64, 14, 14), 64, (3, 3), (1, 1), (1, 1, 1, 1)),
        ("3x3 of 256 channels", (1, 256, 8, 7), 32, (3, 3), (1, 1), (1, 1, 1, 1)),
        ("11x11, 3 channels, stride 4", (1, 3, 59, 59), 96, (11, 11), (4, 4), (0, 0, 0, 0)),
        ("1x1", (1, 64, 28, 28), 48, (1, 1), (1, 1), (0, 0, 0, 0)),
    ):
        net = Network(config, len(layers))
        net.conv(net.input(*shape), outputs, kernel, strides, pads)
        layers[name] = net.graph()
    net = Network(config, len(layers))
    net.pool(net.input(1, 64, 33, 33), "max", (3, 3), (2, 2))
    layers["max 3x3"] = net.graph()
    net = Network(config, len(layers))
    net.gemm(net.input(1, 512), 512)
    layers["classifier"] = net.graph()
    net = Network(config, len(layers))
    net.gemm(net.input(16, 512), 128)
    layers["classifier, batch 16"] = net.graph()
    return layers


@dataclass(frozen=True)
class Result:
    """A layer on RTL and in the model."""

    name: str
    program: Program
    rtl: Execution
    model: Estimate
    bound: float

    @property
    def error(self) -> float:
        """Relative error of the cycles."""
        assert self.rtl.cycles is not None
        return self.model.cycles / self.rtl.cycles - 1


def results(config: Config, memory: MemorySettings, layers: dict[str, Graph]) -> list[Result]:
    """Run and estimate all layers, and print the comparison."""
    rng = np.random.default_rng(1)
    low, high = bounds(config.width)
    found = []
    print(f"\n{config.name}, latency {memory.latency}, {memory.bandwidth} bytes per cycle")
    for name, graph in layers.items():
        program = lower(graph, config)
        shapes = {name: graph.tensors[name].shape for name in graph.inputs}
        inputs = {name: rng.integers(low, high + 1, shape) for name, shape in shapes.items()}
        bound = sum(
            bound_cycles(layer, config, memory.bandwidth) for layer in program.layers.values()
        )
        # The model begins with a memory out of reset: programs leave their mark on the order in
        # which the ports are served.
        target = VerilatorTarget(config, memory)
        result = Result(
            name, program, target.run(program, inputs), estimate(program, memory=memory), bound
        )
        target.close()
        found.append(result)
        print(
            f"  {name:28} bound {bound:8.0f}  RTL {result.rtl.cycles:8}"
            f"  model {result.model.cycles:8}  {result.error:+8.3%}"
        )
    return found


def check(found: list[Result]) -> None:
    """The model says of every layer exactly what the RTL says: cycles, steps, stalls and bytes."""
    for result in found:
        rtl, model = result.rtl, result.model
        assert (model.cycles, model.followed) == (rtl.cycles, 1), result.name
        assert model.bytes == rtl.bytes, result.name
        for tag, layer in rtl.layers.items():
            predicted = model.layers[tag]
            assert predicted.cycles == layer.cycles, result.name
            assert predicted.active == layer.active, result.name
            assert predicted.stalls == layer.stalls, result.name


@pytest.mark.parametrize(
    ("config", "latency", "bandwidth"),
    [*RUNS, *(pytest.param(*run, marks=pytest.mark.slow) for run in MORE_RUNS)],
    ids=[f"{config.name}-{latency}-{bandwidth}" for config, latency, bandwidth in RUNS + MORE_RUNS],
)
def test_small_layers_match_rtl(config, latency, bandwidth):
    """Ten layers on each system."""
    memory = MemorySettings(latency=latency, bandwidth=bandwidth)
    check(results(config, memory, small_layers(config)))


@pytest.mark.parametrize(("latency", "bandwidth"), [(100, 255), (30, 96)])
def test_the_papers_core_matches_rtl(latency, bandwidth):
    """Seven layers with and without bandwidth to spare."""
    memory = MemorySettings(latency=latency, bandwidth=bandwidth)
    check(results(PAPER, memory, large_layers(PAPER)))


@pytest.mark.parametrize(
    "config", [*SMALL.values(), SMALL_BOARD, ENGINE_64], ids=lambda config: config.name
)
def test_random_programs_match_rtl(config):
    """Whatever a program does, the core takes as many cycles as the model says, or hangs in both.

    There is bandwidth for all ports, so that one program leaves nothing behind for the next.
    """
    memory = MemorySettings(latency=20, bandwidth=255)
    target = VerilatorTarget(config, memory)
    hangs = 0
    for seed in range(60):
        program = random_program(config, seed)
        _, error = execute(target, program)
        if error is not None:
            hangs += 1
            with pytest.raises(ValueError, match="never ends"):
                estimate(program, memory=memory)
            continue
        cycles = target.driver.counters()["CYCLES"]
        assert estimate(program, memory=memory).cycles == cycles, f"seed {seed}"
    target.close()
    print(f"{config.name}: {hangs} programs hang")
    assert hangs < 50
