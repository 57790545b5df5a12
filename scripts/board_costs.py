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
    "ulx3s-85f": ((2, 4, 8), (4, 4, 16), (2, 8, 16), (8, 8, 16)),
    "icepi-zero": ((1, 2, 8), (2, 8, 8), (4, 4, 8), (4, 4, 16)),
    "icebreaker": ((1, 1, 8), (1, 8, 8), (4, 2, 8), (2, 2, 8)),
}
"""Tn, Ti and width of what is synthesised. The boards' own configurations are not among them, so
that their builds tell how good the estimates are."""


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
    costs = json.loads(COSTS.read_text()) if COSTS.exists() else {}
    for name in parser.parse_args().boards or _SAMPLES:
        samples = []
        for shape in _SAMPLES[name]:
            print(f"{name}: Tn = {shape[0]}, Ti = {shape[1]}, {shape[2]} bits", flush=True)
            samples.append(_sample(BOARDS[name], shape))
        costs[name] = samples
        COSTS.write_text(json.dumps(costs, indent=1) + "\n")


if __name__ == "__main__":
    main()
