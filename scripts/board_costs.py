"""Measure with Yosys what the modules of some cores take of each board, for ``boards.fit``."""

import argparse
import json
import tempfile
from pathlib import Path

from boards.catalog import BOARDS, Board
from boards.fit import COSTS, VARIED
from boards.netlist import cells_by_module, synthesise
from boards.platform import family_of

_SAMPLES = {
    "ulx3s-85f": ((4, 4, 16), (4, 8, 16), (8, 8, 16), (4, 8, 8)),
    "icepi-zero": ((2, 4, 8), (2, 8, 8), (4, 8, 8)),
    "icebreaker": ((2, 2, 8), (2, 3, 8), (2, 6, 8)),
    "tang-nano-9k": ((2, 2, 8), (2, 3, 8), (2, 6, 8)),
}
"""Tn, Ti and width of what is synthesised: such as may be proposed for the board, with Ti from Tn
to 4 Tn. What its own core takes is known from its build."""


def _sample(board: Board, shape: tuple[int, int, int]) -> dict:
    changes = dict(zip(VARIED, shape, strict=True))
    family = family_of(board.make_platform())
    with tempfile.TemporaryDirectory() as folder:
        made = board.changed(config=board.config.replace(**changes)).make_top()
        synthesise(made, "top", family, Path(folder))
        return {**changes, "cells": cells_by_module(Path(folder) / "top.json", family)}


def main() -> None:
    """Measure all boards, or those that are named, and keep what is known of the others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("boards", nargs="*", metavar="BOARD", choices=[*_SAMPLES, []])
    for name in parser.parse_args().boards or _SAMPLES:
        samples = []
        board = BOARDS[name]
        for shape in _SAMPLES[name]:
            print(f"{name}: Tn = {shape[0]}, Ti = {shape[1]}, {shape[2]} bits", flush=True)
            samples.append(_sample(board, shape))
            costs = json.loads(COSTS.read_text())
            costs.setdefault(name, {})["samples"] = samples
            COSTS.write_text(json.dumps(costs, indent=1) + "\n")


if __name__ == "__main__":
    main()
