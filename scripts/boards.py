"""What the boards are like: writes docs/boards.json, and from it the generated parts of
docs/boards.md; and what a build took to boards/costs.json, for ``diannao board fit``.

    scripts/boards [BOARD ...] [--reports DIR] [--page]

Builds the bitstream of each board and runs the digits network on its simulation; without names, of
all boards. ``--reports DIR`` takes builds that are there already: ``DIR/BOARD/report.json``.
``--page`` only writes the page anew.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from boards.build import build_board
from boards.catalog import BOARDS, Board, find_board
from boards.fit import COSTS
from boards.transport import BoardTarget
from diannao.session import Session
from hw.errors import UserError
from scripts.board_page import DIGITS, PAGE, RESULTS, ROOT, written


def say(what: str, done: int = 0, total: int | None = None) -> None:
    """Print a step; steps that are counted only once."""
    if done == 0:
        print(what, flush=True)


def build(board: Board, reports: Path | None) -> dict[str, Any]:
    """The report of a build."""
    if reports is not None and (report := reports / board.name / "report.json").exists():
        built = json.loads(report.read_text())
        if built["configuration"] != asdict(board.config) or built["clock_hz"] != board.clock:
            raise UserError(f"{str(report)!r} is of another {board.name}; build it again")
        return built
    with tempfile.TemporaryDirectory() as folder:
        return build_board(board, Path(folder), progress=say)


def digits(board: Board) -> dict[str, Any]:
    """The digits network on the simulation of ``board``: what ``diannao run`` prints, and cycles,
    bytes and frames on the line for one image when the network is loaded already.

    Frames while the core computes do not count: how many there are depends on the simulation's
    speed, and they take no time of their own.
    """
    target = f"sim:{board.name}"
    diannao = Path(sys.executable).parent / "diannao"
    printed = subprocess.run(
        [diannao, "run", DIGITS, "--target", target],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True,
    ).stdout  # fmt: skip
    model = ROOT / DIGITS
    with contextlib.closing(Session(model, target=target, check=False, progress=say)) as session:
        link = session._target
        assert isinstance(link, BoardTarget)
        transport = link.driver._transport
        wait = transport.wait
        line = Counter()

        def count(sign: int) -> None:
            line.update(bytes=sign * link.link.moved, frames=sign * link.link.frames)

        def waits(timeout: int | None) -> bool:
            count(+1)
            done = wait(timeout)
            count(-1)
            return done

        transport.wait = waits
        images = session.random_inputs()
        session.run(None, images)
        cycles = session.report["cycles"]
        line.clear()
        count(-1)
        session.run(None, images)
        count(+1)
        return {
            "printed": printed,
            "cycles": session.report["cycles"] - cycles,
            "link_bytes": line["bytes"],
            "link_frames": line["frames"],
            "baud": board.baud,
        }


def main() -> None:
    """Measure, and write the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("boards", nargs="*", metavar="BOARD")
    parser.add_argument("--reports", type=Path, metavar="DIR")
    parser.add_argument("--page", action="store_true")
    arguments = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    costs = json.loads(COSTS.read_text())
    for name in () if arguments.page else arguments.boards or BOARDS:
        board = find_board(name)
        built = build(board, arguments.reports)
        results[name] = {"build": built, "digits": digits(board)}
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        taken = {kind: count["used"] for kind, count in built["resources"].items()}
        costs.setdefault(name, {})["built"] = taken
        COSTS.write_text(json.dumps(costs, indent=1) + "\n")
    PAGE.write_text(written(PAGE.read_text(), results))


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(str(error)) from None
