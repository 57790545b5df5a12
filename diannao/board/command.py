"""``diannao board``: list, fit, build, load."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from boards.catalog import BOARDS, Board, custom_board, find_board
from hw.errors import UserError

from ..configs import load_core
from ..console import showing_progress
from ..files import make_folder
from ..options import Settings
from .display import new_table, print_build, print_fit

__all__ = ["board_app"]

board_app = typer.Typer(help="Bitstreams for open FPGA boards.")

Name = Annotated[str, typer.Argument(metavar="BOARD", help=f"One of {', '.join(BOARDS)}.")]


@board_app.command("list")
def list_command() -> None:
    """The boards, and what each one gets."""
    table = new_table("board", "device", "memory", "Tn x Ti", "bits", "MHz", "GOP/s")
    for board in BOARDS.values():
        config = board.config
        peak = 2 * config.tn * config.ti * board.clock / 1e9
        table.add_row(
            board.name, board.title, board.memory_text, f"{config.tn} x {config.ti}",
            str(config.width), f"{board.clock / 1e6:g}", f"{peak:.2f}",
        )  # fmt: skip
    Console(highlight=False).print(table)


@board_app.command("fit")
def fit_command(
    name: Name,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="tn, ti or width, if it is to be so."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
) -> None:
    """Propose the largest core that should fit a board, from measured costs of its modules."""
    from boards.fit import VARIED, available, estimate, exceeded, largest, resources_text

    board = find_board(name)
    fixed = {setting.partition("=")[0].strip() for setting in settings or ()}
    if others := sorted(fixed - {*VARIED}):
        raise UserError(f"fit knows the costs of {', '.join(VARIED)}, not of {', '.join(others)}")
    if settings:
        board = board.changed(config=load_core("a board", board.config, settings))
    if {"tn", "ti"} <= fixed:
        counts = estimate(board)
        if missing := exceeded(board, counts):
            raise UserError(
                f"tn={board.config.tn} and ti={board.config.ti} should not fit {name}: they need "
                f"about {resources_text(counts, missing)}; set only one of them to see what would"
            )
    else:
        board, counts = largest(board, fixed)
    config, has = board.config, available(board)
    if as_json:
        found = {"board": name, "tn": config.tn, "ti": config.ti, "width": config.width}
        sys.stdout.write(json.dumps({**found, "estimate": counts, "device": has}, indent=2) + "\n")
        return
    print_fit(Console(highlight=False), board, counts, has)


@board_app.command("build")
def build_command(
    folder: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Where to.")],
    name: Annotated[
        str | None, typer.Argument(metavar="BOARD", help=f"One of {', '.join(BOARDS)}.")
    ] = None,
    platform: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:CLASS", help="Any other platform of amaranth-boards, instead of BOARD."
        ),
    ] = None,
    settings: Settings = None,
    clock: Annotated[
        float | None, typer.Option(metavar="MHZ", help="Clock, other than the board's usual one.")
    ] = None,
    memory: Annotated[
        int | None, typer.Option(metavar="KIB", help="Memory in block RAM, for --platform.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the placement.")] = 1,
    force: Annotated[
        bool, typer.Option("--force", help="Accept a design that is too slow for its clock.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
) -> None:
    """Build the bitstream of a board: what it uses of the device, and how fast it is."""
    from boards.build import build_board

    board = _board(name, platform, memory)
    if settings:
        board = board.changed(config=load_core("a board", board.config, settings))
    if clock is not None:
        if clock <= 0:
            raise UserError(f"--clock must be positive, not {clock:g} MHz")
        board = board.changed(clock=round(clock * 1e6))
    make_folder(folder)
    with showing_progress() as progress:
        report = build_board(board, folder, seed=seed, force=force, progress=progress)
    if as_json:
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
        return
    print_build(Console(highlight=False), report, folder)


def _board(name: str | None, platform: str | None, memory: int | None) -> Board:
    if (name is None) == (platform is None):
        raise UserError("name a board, or give --platform MODULE:CLASS, but not both")
    if platform is not None:
        return custom_board(platform, memory or 32)
    if memory is not None:
        raise UserError("--memory belongs to --platform; a board has the memory that it has")
    return find_board(name or "")


@board_app.command("load")
def load_command(
    name: Name,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where it was built.")],
) -> None:
    """Configure a board that is connected, with openFPGALoader."""
    board = find_board(name)
    try:
        report = json.loads((folder / "report.json").read_text())
    except (OSError, ValueError):
        raise UserError(
            f"there is no bitstream in {str(folder)!r}; build it with: "
            f"diannao board build {name} -o {folder}"
        ) from None
    if report["board"] != board.name:
        raise UserError(f"{str(folder)!r} holds a bitstream for {report['board']}, not {name}")
    loader = shutil.which("openFPGALoader")
    if loader is None:
        raise UserError(
            "openFPGALoader is missing; install it: apt-get install openfpgaloader, or see "
            "https://trabucayre.github.io/openFPGALoader"
        )
    command = [loader, "-b", board.loader, str(folder / report["bitstream"])]
    if subprocess.run(command, check=False).returncode:
        raise UserError(f"openFPGALoader has failed: {' '.join(command)}")
