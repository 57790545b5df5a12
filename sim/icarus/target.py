"""Icarus Verilog as a target: each run is a simulation of its own, with the driver inside."""

import logging
import os
import pickle
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import numpy as np

from hw.errors import UserError

from ..cosim import simulator_environment
from ..devices import MachineConfig
from ..execution import Execution, Progress
from ..memory import MemorySettings
from ..program import Program
from ..verilator.build import core_verilog

__all__ = ["IcarusTarget"]

log = logging.getLogger(__name__)


class IcarusTarget:
    """Executes programs on the Verilog of a core in Icarus Verilog.

    Parameters
    ----------
    config : the core
    settings : the memory; without random pauses
    progress : told what is being done
    sources : Verilog files of a module ``core``, instead of what is generated for ``config``; for a
        netlist, say

    Raises
    ------
    UserError
        If Icarus Verilog is not installed.
    """

    def __init__(
        self,
        config: MachineConfig,
        settings: MemorySettings | None = None,
        progress: Progress | None = None,
        *,
        sources: Sequence[Path] = (),
    ):
        if shutil.which("iverilog") is None:
            raise UserError("Icarus Verilog is not installed; install it: apt-get install iverilog")
        self._settings = settings or MemorySettings()
        if self._settings.on_chip:
            raise UserError("the target icarus has no on_chip memory; a simulated board has")
        if self._settings.stall:
            raise UserError("the target icarus has no memory with random pauses; use verilator")
        self._config = config
        self._progress = progress
        self._sources = list(sources)
        self._folder = Path(tempfile.mkdtemp(prefix="diannao-icarus-"))
        self._built = False

    def run(self, program: Program, inputs: dict[str, np.ndarray]) -> Execution:
        """Execute ``program``; see ``sim.execution.Target``."""
        from cocotb_tools.runner import get_runner  # not needed by other targets

        (self._folder / "job").write_bytes(pickle.dumps((program, inputs, self._settings)))
        result = self._folder / "result"
        result.unlink(missing_ok=True)
        log_file = self._folder / "log"
        environment = simulator_environment("icarus") | {"COCOTB_LOG_LEVEL": "WARNING"}
        with mock.patch.dict(os.environ, environment, clear=True):
            runner = get_runner("icarus")
            runner.log.setLevel(log.getEffectiveLevel())
            if not self._built:
                if self._progress is not None:
                    self._progress(f"building the Icarus model of {self._config.name}")
                if not self._sources:
                    self._sources = [self._folder / "core.sv"]
                    self._sources[0].write_text(core_verilog(self._config))
            runner.build(
                sources=self._sources, hdl_toplevel="core", build_dir=self._folder / "build",
                always=not self._built, timescale=("1ns", "1ps"),
                log_file=self._folder / "build.log",
            )  # fmt: skip
            self._built = True
            try:
                runner.test(
                    test_module="sim.icarus.bench", hdl_toplevel="core",
                    build_dir=self._folder / "build", test_dir=self._folder,
                    extra_env={"DIANNAO_JOB": str(self._folder)}, log_file=log_file,
                )  # fmt: skip
            except (SystemExit, RuntimeError) as failed:
                if not result.exists():
                    raise RuntimeError(
                        f"the simulation in Icarus failed:\n{log_file.read_text()}"
                    ) from failed
        outcome = pickle.loads(result.read_bytes())
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def close(self) -> None:
        """Remove the simulation's files."""
        shutil.rmtree(self._folder, ignore_errors=True)
