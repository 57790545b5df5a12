"""NNgen's Verilog in Verilator, on the memory that our core is measured with."""

import os
from pathlib import Path
from typing import Any

import numpy as np

import sim.verilator
from sim.cache import cached, digest
from sim.cosim import simulator_environment
from sim.memory import MemorySettings

from .environment import PeerError, call

__all__ = ["simulate"]

_BENCH = Path(__file__).with_name("nngen_bench.cpp")
_MEMORY = Path(sim.verilator.__file__).parent
_LIMIT = 100_000_000
"""Cycles after which the accelerator is taken to hang."""

# The options of our own core's build.
_COMPILE = f"-std=c++17 -march=native -w -I{_MEMORY}"
_VERILATE = (
    "--cc", "--exe", "--build", "-O3", "--x-assign", "fast", "--x-initial", "fast", "--no-timing",
    "--output-split", "10000", "-Wno-fatal", "-Wno-lint", "-Wno-style", "--top-module", "layer",
    "-MAKEFLAGS", "OPT_FAST=-O3", "--Mdir", "model",
)  # fmt: skip


def simulate(folder: Path, about: dict[str, Any], memory: MemorySettings) -> tuple[int, float]:
    """Cycles and seconds of the accelerator that run_nngen.py described in ``folder``.

    Raises
    ------
    PeerError
        If it does not build, does not come to an end, breaks a rule of AXI, or computes something
        else than numpy.
    """
    bench = _build(folder / "layer.v")
    result = folder / "result.bin"
    settings = (memory.latency, memory.bandwidth, about["start"], about["busy"], _LIMIT)
    output = call(str(bench), str(folder / "image.bin"), str(result), *map(str, settings))
    cycles, seconds, *breach = output.split(maxsplit=2)
    if breach:
        raise PeerError(f"breaks a rule of AXI: {breach[0]}")

    expected = np.load(folder / "expected.npy").ravel()
    content = np.fromfile(result, np.uint8)[about["result"] :][: 2 * expected.size]
    wrong = int(np.count_nonzero(content.view(np.int16) != expected))
    if wrong:
        raise PeerError(f"{wrong} of {expected.size} results are wrong")
    return int(cycles), float(seconds)


def _build(verilog: Path) -> Path:
    env = simulator_environment("verilator")
    sources = [path.read_bytes() for path in (verilog, _BENCH, _MEMORY / "memory.h")]
    key = digest(*sources, _COMPILE, *_VERILATE)

    def make(folder: Path) -> None:
        tool = str(Path(env["VERILATOR_ROOT"]) / "bin" / "verilator_bin")
        call(tool, *_VERILATE, "-j", str(os.cpu_count()), "-CFLAGS", _COMPILE, str(verilog),
             str(_BENCH), "-o", str(folder / "bench"), cwd=folder, env=env)  # fmt: skip

    return cached("peers-rtl", key, make) / "bench"
