"""What the boards are like: writes docs/boards.json, and from it the tables of docs/boards.md.

    scripts/boards [BOARD ...] [--reports DIR] [--tables]

Builds the bitstream of each board and runs the digits network on its simulation; without names, of
all boards. ``--reports DIR`` takes builds that are there already: ``DIR/BOARD/report.json``.
``--tables`` only writes the tables anew.
"""

import argparse
import contextlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from boards.build import build_board
from boards.catalog import BOARDS, Board, find_board
from boards.fit import COSTS, estimate
from boards.transport import BoardTarget
from diannao.session import Session
from hw.errors import UserError

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs" / "boards.json"
PAGE = ROOT / "docs" / "boards.md"
DIGITS = ROOT / "models" / "digits.onnx"


def say(what: str, done: int = 0, total: int | None = None) -> None:
    """Print a step; steps that are counted only once."""
    if done == 0:
        print(what, flush=True)


def build(board: Board, reports: Path | None) -> dict[str, Any]:
    """The report of a build, or why there is none."""
    if reports is not None and (report := reports / board.name / "report.json").exists():
        built = json.loads(report.read_text())
        if built["configuration"] != asdict(board.config) or built["clock_hz"] != board.clock:
            raise UserError(f"{str(report)!r} is of another {board.name}; build it again")
        return built
    with tempfile.TemporaryDirectory() as folder:
        try:
            return build_board(board, Path(folder), force=True, progress=say)
        except UserError as error:
            return {"error": str(error).replace(folder, "DIR")}


def digits(board: Board) -> dict[str, Any]:
    """The digits network on the simulation of ``board``: how many tensors equal golden, and cycles,
    bytes and frames on the line for one image when the network is loaded already."""
    with Session(DIGITS, "tiny", "golden") as session:
        images = session.random_inputs(1)
    with contextlib.closing(Session(DIGITS, target=f"sim:{board.name}", progress=say)) as session:
        session.run(None, images)
        checked = session.report["checked_tensors"]
    with contextlib.closing(
        Session(DIGITS, target=f"sim:{board.name}", check=False, progress=say)
    ) as session:
        target = session._target
        assert isinstance(target, BoardTarget)
        session.run(None, images)
        cycles, moved, frames = session.report["cycles"], target.link.moved, target.link.frames
        session.run(None, images)
        return {
            "checked_tensors": checked,
            "cycles": session.report["cycles"] - cycles,
            "link_bytes": target.link.moved - moved,
            "link_frames": target.link.frames - frames,
            "baud": board.baud,
        }


def _builds(results: dict[str, Any]) -> Iterator[str]:
    yield _row(
        "board", "core", "LUT", "FF", "DSP", "block RAM", "MHz reached (chosen)", "slack, ns",
        "GOP/s", "GOP/s per DSP", "build, s",
    )  # fmt: skip
    yield "| -- | -- |" + " --: |" * 9
    for name, result in results.items():
        built, config = result["build"], BOARDS[name].config
        core = f"{config.tn}x{config.ti}, {config.width} bits"
        if "error" in built:
            yield _row(name, core, "does not fit, see below", *["-"] * 8)
            continue
        counts = (built["resources"].get(kind) for kind in ("LUT", "FF", "DSP", "BRAM"))
        yield _row(
            name, core, *(f"{c['used']:,} of {c['available']:,}" if c else "-" for c in counts),
            f"{built['fmax_hz'] / 1e6:.1f} ({built['clock_hz'] / 1e6:g})",
            f"{built['slack_ns']:.2f}", f"{built['peak_gops']:.2f}",
            f"{built['gops_per_dsp']:.3f}", f"{built['seconds']:.0f}",
        )  # fmt: skip
    for name, result in results.items():
        if "error" in result["build"]:
            yield f"\n`{name}`: {result['build']['error']}."


def _digits(results: dict[str, Any]) -> Iterator[str]:
    yield _row("board", "MHz", "cycles", "core, ms", "bytes on the line", "line, ms", "digits/s")
    yield "| -- |" + " --: |" * 6
    for name, result in results.items():
        run, clock = result["digits"], BOARDS[name].clock
        core, line = run["cycles"] / clock, 10 * run["link_bytes"] / run["baud"]
        yield _row(
            name, f"{clock / 1e6:g}", f"{run['cycles']:,}", f"{1e3 * core:.2f}",
            f"{run['link_bytes']:,} in {run['link_frames']} frames", f"{1e3 * line:.2f}",
            f"{1 / (core + line):.0f}",
        )  # fmt: skip


def _estimates(results: dict[str, Any]) -> Iterator[str]:
    yield _row("board", "resource", "estimated", "built", "error")
    yield "| -- | -- |" + " --: |" * 3
    for name, result in results.items():
        if "error" in result["build"]:
            continue
        for kind, count in result["build"]["resources"].items():
            used, guess = count["used"], result["estimate"].get(kind)
            if used and guess is not None:
                error = 100 * (guess - used) / used
                yield _row(name, kind, f"{guess:,}", f"{used:,}", f"{error:+.1f} %")


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


_TABLES = {"builds": _builds, "digits": _digits, "estimates": _estimates}
"""What is written between ``<!-- NAME -->`` and ``<!-- end -->``."""


def main() -> None:
    """Measure, and write both files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("boards", nargs="*", metavar="BOARD")
    parser.add_argument("--reports", type=Path, metavar="DIR")
    parser.add_argument("--tables", action="store_true")
    arguments = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in () if arguments.tables else arguments.boards or BOARDS:
        board = find_board(name)
        results[name] = {
            "build": build(board, arguments.reports),
            "estimate": estimate(board) if board.name in json.loads(COSTS.read_text()) else {},
            "digits": digits(board),
        }
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    results = {name: results[name] for name in BOARDS if name in results}
    page = PAGE.read_text()
    for name, table in _TABLES.items():
        begin, end = f"<!-- {name} -->\n", "<!-- end -->"
        before, marked, after = page.partition(begin)
        if not marked or end not in after:
            raise SystemExit(f"{PAGE.name} must hold the lines {begin.strip()} and {end}")
        rest = after[after.index(end) :]
        page = f"{before}{begin}{chr(10).join(table(results))}\n{rest}"
    PAGE.write_text(page)


if __name__ == "__main__":
    main()
