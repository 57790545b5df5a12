"""Networks that people know, whole, on the core: ``scripts/networks [NAME ...] [--rtl]``.

Each is compiled for the paper's core with random weights (``diannao.zoo``); every tensor of every
layer that the interpreter, or with ``--rtl`` the generated Verilog, computes is compared with the
golden model. Without RTL the cycles are the performance model's. Without names, all networks; then
the table in docs/results.md is written as well.
"""

import argparse
import time
import warnings
from collections import Counter
from dataclasses import dataclass

from rich.console import Console
from rich.progress import Progress

from compiler.bound import bound_cycles, host_macs
from diannao import CONFIGS, zoo
from diannao.compiled import Compiled
from diannao.equality import check_equal
from hw.diannao.config import Config
from sim import golden, host
from sim.execution import Target
from sim.graph import Graph
from sim.isa import IsaTarget
from sim.memory import MemorySettings
from sim.model import estimate
from sim.verilator.target import VerilatorTarget

from .results import PAGE, write_section

CONFIG = CONFIGS["diannao-16x16"]
MEMORY = MemorySettings()


@dataclass
class Row:
    """What is known of one network; times in seconds."""

    name: str
    macs: int
    host_macs: int
    host: Counter[str]
    compiling: float
    golden: float
    cycles: int
    bound: float
    tensors: int
    saturated: int

    HEADS = (
        "network", "MACs", "on the host", "compiled in", "golden", "cycles", "bound", "efficiency",
        "tensors equal",
    )  # fmt: skip

    def cells(self) -> list[str]:
        """The row for people."""
        share = self.host_macs / (self.macs + self.host_macs)
        names = ", ".join(f"{count} {op}" for op, count in self.host.items()) or "-"
        return [
            self.name, f"{self.macs / 1e6:,.0f} M", f"{names} ({share:.1%} of the MACs)",
            f"{self.compiling:.1f} s", f"{self.golden:.1f} s", f"{self.cycles:,}",
            f"{self.bound:,.0f}", f"{self.bound / self.cycles:.3f}", str(self.tensors),
        ]  # fmt: skip


def measure(name: str, config: Config, target: Target) -> Row:
    """Compile and run a network.

    Raises
    ------
    MismatchError
        If the target differs from golden anywhere.
    """
    model = zoo.network(name)
    images = zoo.image(model)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compiled = Compiled.make(model, 1, images, config, MEMORY, strict=False, preset=None)
        programs = compiled.programs
    compiling = time.perf_counter() - start

    tensors = compiled.graph.tensors
    start = time.perf_counter()
    result = golden.run(
        compiled.graph,
        {
            name: host.quantise(value, frac, config.width)[0]
            for name, value in images.items()
            if (frac := tensors[name].frac) is not None
        },
    )
    golden_seconds = time.perf_counter() - start

    checked = cycles = 0
    for segment in compiled.segments:
        if not isinstance(segment, Graph):
            continue
        program = programs[segment.name]
        execution = target.run(program, {name: result.tensors[name] for name in program.inputs})
        checked += check_equal(execution, result.tensors, execution.source)
        cycles += execution.cycles or estimate(program, memory=MEMORY).cycles
    left = [node for node in compiled.floats.host if not node.layout]
    return Row(
        name,
        sum(layer.macs for layer in compiled.layers),
        sum(host_macs(node, compiled.floats) for node in left),
        Counter(node.op for node in left),
        compiling,
        golden_seconds,
        cycles,
        sum(bound_cycles(layer, config, MEMORY.bandwidth) for layer in compiled.layers),
        checked,
        sum(result.saturated.values()),
    )


def markdown(rows: list[Row], source: str) -> str:
    """The section of docs/results.md."""
    head = f"| {' | '.join(Row.HEADS)} |\n|{' :-- |' * len(Row.HEADS)}\n"
    body = "".join(f"| {' | '.join(row.cells())} |\n" for row in rows)
    return (
        "## Networks\n\n"
        "Made by `python -m scripts.networks`: the topologies that come with the package `onnx`, "
        f"one image, random weights, on `{CONFIG.name}` with the paper's memory. Cycles are those "
        f"of {source}; the bound is the sum of the layers' bounds. Every tensor of every layer "
        "that the interpreter of programs computes equals the golden model's. What the core does "
        f"not have runs on the host, between its segments.\n\n{head}{body}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Whole networks on the paper's core.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(zoo.NETWORKS))
    parser.add_argument("--rtl", action="store_true", help="on the Verilated core")
    options = parser.parse_args()
    rows = []
    with Progress(transient=True) as progress:
        task = progress.add_task("", total=len(options.names or zoo.NETWORKS))
        target = VerilatorTarget(CONFIG, MEMORY) if options.rtl else IsaTarget(CONFIG)
        for name in options.names or zoo.NETWORKS:
            progress.update(task, description=name)
            rows.append(measure(name, CONFIG, target))
            progress.console.print("  ".join(rows[-1].cells()), highlight=False)
            progress.advance(task)
        target.close()
    if not options.names and not options.rtl:
        write_section("scripts/networks", markdown(rows, "the performance model"))
        Console().print(f"wrote {PAGE.name}")


if __name__ == "__main__":
    main()
