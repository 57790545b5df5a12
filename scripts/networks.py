"""Networks that people know, whole, on the core: ``python -m scripts.networks [NAME ...]``.

Each is compiled for the paper's core with random weights (``diannao.zoo``) and runs one image:
those of ``ON_RTL`` on the generated Verilog, the others in the interpreter, with cycles from the
performance model. Every tensor of every layer is compared with the golden model. Without names,
all networks; then the table in docs/results.md is written as well.
"""

import argparse
import os
import time
import warnings
from collections import Counter
from dataclasses import dataclass

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # times are those of one processor

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
ON_RTL = ("alexnet", "squeezenet", "googlenet", "resnet50")


@dataclass
class Row:
    """What is known of one network; times are seconds of one processor, which other programs on the
    machine do not change much."""

    name: str
    macs: int
    host_macs: int
    host: Counter[str]
    compiling: float
    golden: float
    simulation: float | None
    cycles: int
    bound: float
    tensors: int
    saturated: int

    HEADS = (
        "network", "MACs", "on the host", "compiled in", "golden", "ran", "cycles", "bound",
        "efficiency", "tensors equal",
    )  # fmt: skip

    def cells(self) -> list[str]:
        """The row for people."""
        share = self.host_macs / (self.macs + self.host_macs)
        names = ", ".join(f"{count} {op}" for op, count in self.host.items()) or "-"
        return [
            self.name, f"{self.macs / 1e6:,.0f} M", f"{names} ({share:.1%} of the MACs)",
            f"{self.compiling:.1f} s", f"{self.golden:.1f} s",
            "interpreter" if self.simulation is None else f"RTL, {self.simulation:.0f} s",
            f"{self.cycles:,}",
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
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compiled = Compiled.make(model, 1, images, config, MEMORY, strict=False, preset=None)
        programs = compiled.programs
    compiling = time.process_time() - start

    tensors = compiled.graph.tensors
    start = time.process_time()
    result = golden.run(
        compiled.graph,
        {
            name: host.quantise(value, frac, config.width)[0]
            for name, value in images.items()
            if (frac := tensors[name].frac) is not None
        },
    )
    golden_seconds = time.process_time() - start

    checked = cycles = 0
    simulation = None
    for segment in compiled.segments:
        if not isinstance(segment, Graph):
            continue
        program = programs[segment.name]
        start = time.process_time()
        execution = target.run(program, {name: result.tensors[name] for name in program.inputs})
        seconds = time.process_time() - start
        checked += check_equal(execution, result.tensors, execution.source)
        cycles += execution.cycles or estimate(program, memory=MEMORY).cycles
        if execution.source == "rtl":
            simulation = (simulation or 0.0) + seconds
    left = [node for node in compiled.floats.host if not node.layout]
    return Row(
        name,
        sum(layer.macs for layer in compiled.layers),
        sum(host_macs(node, compiled.floats) for node in left),
        Counter(node.op for node in left),
        compiling,
        golden_seconds,
        simulation,
        cycles,
        sum(bound_cycles(layer, config, MEMORY.bandwidth) for layer in compiled.layers),
        checked,
        sum(result.saturated.values()),
    )


def markdown(rows: list[Row]) -> str:
    """The section of docs/results.md."""
    head = f"| {' | '.join(Row.HEADS)} |\n|{' :-- |' * len(Row.HEADS)}\n"
    body = "".join(f"| {' | '.join(row.cells())} |\n" for row in rows)
    return (
        "## Networks\n\n"
        "Made by `python -m scripts.networks`: the topologies that come with the package `onnx`, "
        f"one image, random weights, on `{CONFIG.name}` with the paper's memory. Four of them run "
        "whole on the generated Verilog in Verilator (with the seconds that it took), the others "
        "in the interpreter of programs, with the performance model's cycles. Times are those of "
        "one processor, loading and reading the memory included. The bound is the sum "
        "of the layers' bounds. Every tensor of every layer equals the golden model's. What the "
        "core does not have runs on the host, between its segments. ShuffleNet is far from its "
        "bound for its shapes: NFU-1 gives the same Ti neurons to all Tn outputs, so a step of a "
        "depthwise convolution (a tap of Tn channels) uses one of Ti products, and 1x1 groups of "
        f"34 channels to 34 fill 34 of 48 lanes both ways.\n\n{head}{body}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Whole networks on the paper's core.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(zoo.NETWORKS))
    names = parser.parse_args().names
    rows = []
    rtl, isa = VerilatorTarget(CONFIG, MEMORY), IsaTarget(CONFIG)
    with Progress(transient=True) as progress:
        task = progress.add_task("", total=len(names or zoo.NETWORKS))
        for name in names or zoo.NETWORKS:
            progress.update(task, description=name)
            rows.append(measure(name, CONFIG, rtl if name in ON_RTL else isa))
            progress.console.print("  ".join(rows[-1].cells()), highlight=False)
            progress.advance(task)
    rtl.close()
    if not names:
        write_section("scripts/networks", markdown(rows))
        Console().print(f"wrote {PAGE.name}")


if __name__ == "__main__":
    main()
