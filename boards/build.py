"""From a board to its bitstream: Yosys, nextpnr and the packer, and what they report."""

import json
import os
import re
import signal
import subprocess
import time
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hw.errors import UserError
from sim.execution import Progress

from .catalog import BOARDS, Board
from .fit import largest
from .netlist import BEFORE_SYNTHESIS, SYNTHESIS, find_tool, for_synthesis
from .platform import PlatformTop, check_platform, device_of, family_of

__all__ = ["TimingError", "build_board"]

_TOOLS = {
    "ice40": {
        "YOSYS": "yosys", "NEXTPNR_ICE40": "nextpnr-ice40", "ICEPACK": "icepack"
    },
    "ecp5": {"YOSYS": "yosys", "NEXTPNR_ECP5": "nextpnr-ecp5", "ECPPACK": "ecppack"},
    "gowin": {
        "YOSYS": "yosys", "NEXTPNR_GOWIN": "nextpnr-himbaechel", "GOWIN_PACK": "gowin_pack"
    },
}  # fmt: skip
"""Environment variables through which Amaranth's build scripts find their tools."""

_BITSTREAM = {"ice40": "top.bin", "ecp5": "top.bit", "gowin": "top.fs"}

_CELLS = {
    "ice40": {
        "LUT": ("ICESTORM_LC",), "DSP": ("ICESTORM_DSP",), "BRAM": ("ICESTORM_RAM",),
        "SPRAM": ("ICESTORM_SPRAM",),
    },
    "ecp5": {
        "LUT": ("TRELLIS_COMB",), "FF": ("TRELLIS_FF",), "DSP": ("MULT18X18D",),
        "BRAM": ("DP16KD",),
    },
    "gowin": {
        "LUT": ("LUT4",), "FF": ("DFF",), "DSP": ("MULT9X9", "MULT18X18"),
        "BRAM": ("BSRAM",),
    },
}  # fmt: skip
"""What is counted, by the cell names of nextpnr. An iCE40 logic cell is a LUT with a flip-flop.
Where there are several, they are two uses of the same sites, and a design has one of them."""


class TimingError(UserError):
    """The clock is too fast for the placed and routed design."""


def _tools(family: str) -> dict[str, str]:
    """Commands by environment variable: native tools first, then those from PyPI."""
    return {variable: find_tool(tool) for variable, tool in _TOOLS[family].items()}


def build_board(
    board: Board, folder: Path, *, seed: int = 1, force: bool = False, progress: Progress
) -> dict[str, Any]:
    """Build ``board``'s bitstream in ``folder``, and ``report.json`` beside it.

    Parameters
    ----------
    seed : of the placement
    force : accept a design that does not meet its clock

    Returns
    -------
    dict
        The report: device, configuration, resources, clock, speed.

    Raises
    ------
    UserError
        If a tool is missing, or the design does not fit the device.
    TimingError
        If it is too slow and not ``force``. The report is written all the same.
    """
    begin = time.perf_counter()
    platform = board.make_platform()
    family = family_of(platform)
    for_synthesis(platform, family)
    check_platform(board, platform)
    environment = os.environ | _tools(family)
    progress(f"generating {board.name}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platforms use what Amaranth has deprecated
        plan = platform.build(
            PlatformTop(board), do_build=False,
            script_after_read=BEFORE_SYNTHESIS[family], synth_opts=SYNTHESIS[family],
            nextpnr_opts=(
                "--report report.nextpnr.json --timing-allow-fail "
                f"--seed {seed} {board.placer}"
            ),
        )  # fmt: skip
    if family == "gowin":
        plan.files["build_top.sh"] = _for_himbaechel(str(plan.files["build_top.sh"]), board)
    folder.mkdir(parents=True, exist_ok=True)
    plan.extract(str(folder))
    _run(folder, board, environment, progress)

    measured = json.loads((folder / "report.nextpnr.json").read_text())
    report = _report(board, platform, family, measured)
    report["bitstream"] = _BITSTREAM[family]
    report["seconds"] = round(time.perf_counter() - begin, 1)
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    if report["slack_ns"] < 0 and not force:
        raise TimingError(
            f"{board.name} reaches {report['fmax_hz'] / 1e6:.1f} MHz, not the "
            f"{board.clock / 1e6:g} MHz of its clock; choose a slower one with --clock, another "
            "placement with --seed, or --force"
        )
    return report


def _for_himbaechel(script: str, board: Board) -> str:
    """Amaranth's build script for nextpnr-gowin, with the options of what has replaced it."""
    script = script.replace(" --report", f" --freq {board.clock / 1e6:g} --report")
    for option in ("family", "cst"):
        script = script.replace(f" --{option} ", f" -o {option}=")
    return script


_STEPS = (("top.rpt", "synthesising"), ("top.tim", "placing and routing"))


def _run(folder: Path, board: Board, environment: dict[str, str], progress: Progress) -> None:
    for name, _ in _STEPS:
        (folder / name).unlink(missing_ok=True)
    said = ""
    with (
        (folder / "build.log").open("w") as log,
        subprocess.Popen(
            ["sh", "build_top.sh"], cwd=folder, env=environment, stdout=log, stderr=log,
            start_new_session=True,
        ) as process,
    ):  # fmt: skip
        try:
            while process.poll() is None:
                step = next((t for n, t in reversed(_STEPS) if (folder / n).exists()), "")
                if step and step != said:
                    said = step
                    progress(step)
                time.sleep(0.1)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)  # the shell, and the tool that it has started
            raise
    if process.returncode:
        raise UserError(_why(folder, board))


def _too_large(folder: Path, family: str) -> dict[str, tuple[int, int]]:
    """Resources of which more are needed than there are, as nextpnr counted them."""
    path = folder / "top.tim"
    said = path.read_text(errors="replace") if path.exists() else ""
    counts: dict[str, tuple[int, int]] = {
        name: (int(used), int(has))
        for name, used, has in re.findall(r"^Info:\s+(\w+):\s+(\d+)/\s*(\d+)", said, re.MULTILINE)
    }
    kinds: dict[str, str] = {c: kind for kind, cells in _CELLS[family].items() for c in cells}
    return {kinds.get(name, name): count for name, count in counts.items() if count[0] > count[1]}


def _why(folder: Path, board: Board) -> str:
    """Which resources are missing, or the tools' own words for what went wrong."""
    platform = board.make_platform()
    if missing := _too_large(folder, family_of(platform)):
        counts = ", ".join(f"{used:,} {kind} of {has:,}" for kind, (used, has) in missing.items())
        return f"the design needs {counts} of the {device_of(platform)}; {_proposal(board)}"
    for name in ("top.tim", "top.rpt", "build.log"):
        path = folder / name
        if path.exists():
            errors = re.findall(r"^ERROR: (.*)$", path.read_text(errors="replace"), re.MULTILINE)
            if errors:
                return f"the design cannot be built: {errors[0]} (see {str(folder)!r})"
    return f"the tools have failed; see {str(folder / 'build.log')!r}"


def _proposal(board: Board) -> str:
    """What would fit."""
    known = BOARDS.get(board.name)
    if known is None:
        return "choose a smaller core, with --set tn=N or --set ti=N"
    try:
        config = known.config.replace(width=board.config.width)
        changed, _ = largest(known.changed(config=config))
    except UserError as error:
        return str(error)
    config = changed.config
    return f"--set tn={config.tn} --set ti={config.ti} should fit (see diannao board fit)"


def _report(board: Board, platform: Any, family: str, measured: dict[str, Any]) -> dict[str, Any]:
    usage = measured["utilization"]
    resources = {}
    for name, cells in _CELLS[family].items():
        counts = max((usage[cell] for cell in cells if cell in usage), key=lambda one: one["used"])
        resources[name] = {"used": counts["used"], "available": counts["available"]}
    # The core's clock is the only one that logic runs on.
    fmax = min(clock["achieved"] for clock in measured["fmax"].values()) * 1e6
    operations = 2 * board.config.tn * board.config.ti * board.clock
    dsps = resources["DSP"]["used"]
    return {
        "board": board.name,
        "device": device_of(platform),
        "configuration": asdict(board.config),
        "memory": board.memory_text,
        "resources": resources,
        "clock_hz": board.clock,
        "fmax_hz": round(fmax),
        "slack_ns": round(1e9 / board.clock - 1e9 / fmax, 3),
        "peak_gops": operations / 1e9,
        "gops_per_dsp": operations / 1e9 / dsps if dsps else None,
    }
