"""What Yosys makes of a board's core for an ECP5, module by module.

    python -m scripts.core_area BOARD [--set KEY=VALUE ...] [--each KEY=VALUE ...] [--delay PS]

A LUT-equivalent is a LUT4, or half of a CCU2C: of a pair of LUTs with their carry. Memories in LUTs
and the multiplexers that join LUTs are counted beside them. ``--each`` measures the core once more
with one change. Without ``--delay``, LUTs are chosen for speed, as in a bitstream.
"""

import argparse
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import connect, flipped
from rich.console import Console
from rich.table import Table

from boards.catalog import find_board
from boards.netlist import cells_of, module_of, synthesise
from boards.platform import family_of
from diannao.configs import load_core
from hw.diannao.config import Config
from hw.diannao.core import Core
from hw.errors import UserError

CELLS = ("LUT4", "CCU2C", "PFUMX", "L6MUX21", "TRELLIS_DPR16X4", "TRELLIS_FF", "DP16KD", "PDPW16KD",
         "MULT18X18D")  # fmt: skip


class OnBoard(wiring.Component):
    """A core with a shared port whose events are not connected.

    Members
    -------
    csr, irq, bus : as in Core
    """

    csr: Any
    irq: Signal
    bus: Any

    def __init__(self, *, config: Config):
        self._core = Core(config=config)
        members = self._core.signature.members
        super().__init__({name: members[name] for name in ("csr", "irq", "bus")})

    def elaborate(self, platform):
        m = Module()
        m.submodules.core = core = self._core
        connect(m, flipped(self.csr), core.csr)
        connect(m, core.bus, flipped(self.bus))
        m.d.comb += self.irq.eq(core.irq)
        return m


def measure(config: Config, delay: int) -> dict[str, Counter[str]]:
    """Cells by module and kind."""
    with tempfile.TemporaryDirectory() as folder:
        synthesise(OnBoard(config=config), "core", "ecp5", Path(folder), delay)
        cells = cells_of(Path(folder) / "core.json")
    taken: dict[str, Counter[str]] = defaultdict(Counter)
    for name, cell in cells.items():
        taken[module_of(name)][cell["type"]] += 1
    return dict(sorted(taken.items()))


def equivalents(cells: Counter[str]) -> int:
    """LUT-equivalents."""
    return cells["LUT4"] + 2 * cells["CCU2C"]


def line(name: str, cells: Counter[str], config: Config) -> list[str]:
    """A line of a table."""
    count = equivalents(cells)
    each = f"{count / (config.tn * config.ti):.1f}"
    return [name, f"{count:,}", each, *(f"{cells[kind]:,}" for kind in CELLS)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What a board's core takes.")
    parser.add_argument("board")
    for option in ("--set", "--each"):
        parser.add_argument(option, action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--delay", type=int, default=0, metavar="PS",
                        help="logic as fast as this may be chosen for area")  # fmt: skip
    arguments = parser.parse_args()
    try:
        board = find_board(arguments.board)
        if family_of(board.make_platform()) != "ecp5":
            raise UserError(f"the board must have an ECP5, which {board.name} has not")
        config = load_core("an area", board.config, arguments.set)
        changed = {each: load_core("an area", config, [each]) for each in arguments.each}
    except UserError as error:
        parser.exit(2, f"error: {error}\n")
    table = Table("module", "LUT-eq.", "per multiplier", *CELLS)
    modules = measure(config, arguments.delay)
    for name, cells in modules.items():
        table.add_row(*line(name, cells, config))
    table.add_section()
    table.add_row(*line("all", sum(modules.values(), Counter()), config))
    for each, other in changed.items():
        table.add_row(*line(each, sum(measure(other, arguments.delay).values(), Counter()), other))
    Console(width=200).print(table)


if __name__ == "__main__":
    main()
