"""The same layers on our core and on the peers that PyPI brings, side by side in docs/results.md.

Run with scripts/compare. A peer that cannot be installed or run gets a line that says so.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from compiler.lowering import lower
from diannao.bench.graphs import graph_of, random_numbers
from diannao.bench.layers import LAYERS, Benchmark
from hw.diannao.config import Config
from hw.diannao.core import Core
from hw.errors import UserError
from sim import golden
from sim.cosim import to_verilog
from sim.verilator.build import core_verilog
from sim.verilator.target import VerilatorTarget

from .peers.environment import Environment, PeerError, scratch
from .peers.nngen_rtl import simulate
from .results import write_section

__all__ = ["Row", "main", "markdown"]

COMPARED = ("ALEXNET-CONV3", "FC1024")

CORE = Config(name="peers-16x16", sb_port=256)
"""The paper's array with ports of 32 bytes, which is what the memory gives in a cycle."""


@dataclass(frozen=True)
class Row:
    """What a tool says about a layer.

    Parameters
    ----------
    tool, version : name and version
    kind : what the cycles come from
    multipliers, cycles, seconds : the layer's, with the time in which the tool found them
    lines, generation : of the Verilog, and the time it took; None for a model

    Times are seconds of one processor, which other programs on the machine do not change much.
    """

    tool: str
    version: str
    kind: str
    multipliers: int
    cycles: int
    seconds: float
    lines: int | None = None
    generation: float | None = None


Measure = Callable[[Benchmark], Row]


def say(what: str) -> None:
    print(f"compare: {what}", file=sys.stderr, flush=True)


# Us


def diannao() -> Measure:
    """Our core: generated here and now, simulated, compared with golden."""
    start = sum(os.times()[:4])  # of this process and those that it waited for
    verilog = to_verilog(Core(config=CORE), "core")
    generation = sum(os.times()[:4]) - start
    core_verilog(CORE)  # the cached copy for the target, so that its time is that of the simulation

    def measure(layer: Benchmark) -> Row:
        graph = graph_of(layer, CORE, random_numbers(0))
        program = lower(graph, CORE, layer.memory)
        inputs = {"x": random_numbers(1)(CORE.width, graph.tensors["x"].shape)}
        expected = golden.run(graph, inputs).tensors
        target = VerilatorTarget(CORE, layer.memory)
        try:
            start = time.process_time()
            run = target.run(program, inputs)
            seconds = time.process_time() - start
        finally:
            target.close()
        if any((run.tensors[name] != expected[name]).any() for name in graph.outputs):
            raise PeerError("the RTL differs from golden")
        assert run.cycles is not None
        return Row(
            "diannao", "", "RTL, checked", CORE.tn * CORE.ti, run.cycles, seconds,
            verilog.count("\n"), generation,
        )  # fmt: skip

    return measure


# The peers


def description(layer: Benchmark) -> dict[str, int]:
    """The layer for the peers' drivers."""
    return {
        "inputs": layer.inputs, "outputs": layer.outputs, "size": layer.size[0],
        "kernel": layer.kernel[0], "padding": layer.padding,
    }  # fmt: skip


def nngen() -> Measure:
    environment = Environment("nngen", "onnx")

    def measure(layer: Benchmark) -> Row:
        with scratch("nngen") as name:
            folder = Path(name)
            about = environment.run("run_nngen.py", description(layer), folder)
            say(f"NNgen: {about['lines']} lines of Verilog, now in Verilator (minutes)")
            cycles, seconds = simulate(folder, about, layer.memory)
        return Row(
            "NNgen", about["version"], "RTL, checked", about["multipliers"], cycles, seconds,
            about["lines"], about["generation"],
        )  # fmt: skip

    return measure


def model(tool: str, driver: str, *packages: str) -> Measure:
    """A peer that models an array of 16 by 16."""
    environment = Environment(*packages)

    def measure(layer: Benchmark) -> Row:
        with scratch(driver) as folder:
            about = environment.run(driver, description(layer), Path(folder))
        return Row(tool, about["version"], "model", 256, about["cycles"], about["seconds"])

    return measure


TOOLS: dict[str, Callable[[], Measure]] = {
    "diannao": diannao,
    "NNgen": nngen,
    # numpy 2 makes it fail at the end of a run.
    "SCALE-Sim": lambda: model("SCALE-Sim", "run_scalesim.py", "scalesim", "numpy<2"),
    # six is missing from its dependencies.
    "ZigZag": lambda: model("ZigZag", "run_zigzag.py", "zigzag-dse", "six"),
}


def measure_all() -> Iterator[tuple[str, str, Row | str]]:
    """Layer, tool, and what came of it: a row, or why there is none."""
    for tool, start in TOOLS.items():
        say(f"{tool}: setting up")
        try:
            measure = start()
        except (PeerError, UserError) as error:
            say(f"error: {tool} cannot be set up: {error}")
            yield from ((name, tool, f"cannot be set up: {error}") for name in COMPARED)
            continue
        for name in COMPARED:
            say(f"{tool}: {name}")
            try:
                row = measure(LAYERS[name])
            except (PeerError, UserError) as error:
                say(f"error: {tool} cannot run {name}: {error}")
                yield name, tool, f"cannot run it: {error}"
            else:
                say(f"{tool}: {name}: {row.cycles} cycles")
                yield name, tool, row


# The table

INTRODUCTION = """\
## Beside other tools

Made by `scripts/compare`: layers of 16-bit numbers on 256 multipliers and a memory of 32 bytes per
cycle. RTL runs in Verilator on one and the same memory, {latency} cycles away, and its results are
compared with numpy. Use is true MACs over cycles and multipliers; speed is cycles over the time of
simulation, or in which a model found the number. Times are those of one processor.

* **diannao** is the 16x16 core with ports of 32 bytes; its Verilog is the same for every layer.
* **NNgen** generates an accelerator for the layer. A 3x3 kernel needs a multiple of 9 multipliers;
  288 are next to 256.
* **SCALE-Sim** models a systolic array, output stationary, without waiting for memory.
* **ZigZag** models DianNao's array and buffers and searches the best mapping."""

HEADER = """\
| tool | cycles from | multipliers | cycles | use | Verilog | generated in | speed |
|---|---|---|---|---|---|---|---|"""


def markdown(results: list[tuple[str, str, Row | str]]) -> str:
    """The section of the page."""
    latency = LAYERS[COMPARED[0]].memory.latency
    parts = [INTRODUCTION.format(latency=latency)]
    for name in dict.fromkeys(name for name, _, _ in results):
        layer = LAYERS[name]
        macs = layer.inputs * layer.outputs * int(np.prod((*layer.output_size, *layer.kernel)))
        lines = [f"### {name}: {layer.shape}", "", HEADER]
        for tool, row in ((tool, row) for other, tool, row in results if other == name):
            lines.append(_failure(tool, row) if isinstance(row, str) else _line(row, macs))
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _line(row: Row, macs: int) -> str:
    verilog = "-" if row.lines is None else f"{row.lines:,} lines"
    generation = "-" if row.generation is None else f"{row.generation:.1f} s"
    cells = (
        f"{row.tool} {row.version}".strip(), row.kind, str(row.multipliers), f"{row.cycles:,}",
        f"{100 * macs / row.cycles / row.multipliers:.1f} %", verilog, generation,
        f"{row.cycles / row.seconds / 1000:,.0f} kcycle/s",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _failure(tool: str, reason: str) -> str:
    text = reason.replace("|", "\\|")
    return f"| {tool} | {text} | | | | | | |"


def main() -> int:
    results = list(measure_all())
    write_section("scripts/compare", markdown(results))
    say("docs/results.md is written")
    return 1 if any(isinstance(row, str) for _, _, row in results) else 0


if __name__ == "__main__":
    sys.exit(main())
