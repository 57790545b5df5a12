"""From a component to cells of a library: area by block, critical path, power."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from amaranth.lib import wiring

from hw.cells import CellLibrary
from sim.execution import Progress
from sim.sharing import share_modules

from .activity import Activity
from .liberty import Library
from .macros import Macro, find_macros, to_liberty
from .netlist import Netlist
from .sta import Power, Timing, analyse
from .yosys import Yosys

__all__ = ["MacroModel", "Mapped", "map_component"]

_BORDERS = 4
"""Borders of modules that a constant passes on its way from a multiplier to an adder tree."""

_MAPPING = """\
strash
ifraig
scorr
dch
amap
topo
buffer -p -N {fanout}
upsize {target}
dnsize {target}
"""
"""ABC: clean up, map for little area, buffer what drives many inputs, size the gates for speed.

Of ABC's mappers, ``amap`` makes multipliers a third smaller than ``map``, which is a fifth faster.
"""


@dataclass(frozen=True)
class MacroModel:
    """What is known of memory macros.

    Parameters
    ----------
    area : um2 per bit; None if it is not known
    delay : ns from the clock to the outputs
    """

    area: float | None = None
    delay: float = 0.0


@dataclass(frozen=True)
class Block:
    """What one block of the design consists of.

    ``area`` (um2) and ``power`` (None without OpenSTA) are those of the cells, without macros.
    """

    name: str
    area: float
    cells: int
    flip_flops: int
    macros: list[dict[str, Any]]
    power: Power | None

    @property
    def macro_bits(self) -> int:
        return sum(macro["bits"] for macro in self.macros)


@dataclass(frozen=True)
class Mapped:
    """A component in cells of a library.

    Parameters
    ----------
    blocks : its parts, the largest first
    yosys : version of the synthesiser
    timing : critical path and power; None without OpenSTA
    netlist : structural Verilog
    """

    blocks: list[Block]
    yosys: str
    timing: Timing | None
    netlist: str

    @property
    def area(self) -> float:
        """um2, without macros."""
        return sum(block.area for block in self.blocks)

    @property
    def macro_bits(self) -> int:
        return sum(block.macro_bits for block in self.blocks)

    @property
    def power(self) -> Power | None:
        """mW, without macros."""
        powers = [block.power for block in self.blocks if block.power is not None]
        return reduce(Power.plus, powers) if powers else None

    def to_json(self, model: MacroModel) -> dict[str, Any]:
        """Everything but the netlist."""

        def amounts(area: float, bits: int, power: Power | None) -> dict[str, Any]:
            return {
                "area_um2": round(area, 2),
                "macro_bits": bits,
                "macro_area_um2": None if model.area is None else round(bits * model.area, 2),
                "power_mw": None if power is None else {**power._asdict(), "total": power.total},
            }

        timing = self.timing
        return {
            **amounts(self.area, self.macro_bits, self.power),
            "cells": sum(block.cells for block in self.blocks),
            "flip_flops": sum(block.flip_flops for block in self.blocks),
            "blocks": [
                {
                    "name": block.name,
                    **amounts(block.area, block.macro_bits, block.power),
                    "cells": block.cells,
                    "flip_flops": block.flip_flops,
                    "macros": block.macros,
                }
                for block in self.blocks
            ],
            "critical_ns": None if timing is None else timing.critical_ns,
            "paths_ns": None if timing is None else timing.paths,
            "period_ns": None if timing is None else timing.period_ns,
            "activity": None if timing is None else timing.activity,
            "critical_path": None if timing is None else timing.report.splitlines(),
            "yosys": self.yosys,
        }


def map_component(
    component: wiring.Component,
    name: str,
    library: Library,
    yosys: Yosys,
    *,
    period: float | None = None,
    blocks: dict[str, str] | None = None,
    macro_model: MacroModel = MacroModel(),
    dont_use: Iterable[str] = (),
    activity: Activity | float = 0.1,
    progress: Progress = lambda what, done=0, total=None: None,
) -> Mapped:
    """Map ``component`` to ``library``.

    The hierarchy is kept: equal modules are mapped once, and nothing is optimised across their
    borders. Memories of MACRO_BITS and more become macros, smaller ones flip-flops. The clock is
    ideal; nets of high fan-out get trees of buffers. There is no placement: wires have no
    capacitance, so that delays and power are those of the cells.

    Parameters
    ----------
    name : of the top module
    library, yosys : what it is mapped to, and by whom
    period : clock period in ns to map for; None maps for the shortest that there is
    blocks : names of blocks by the instance path of each; the longest path that fits counts. None
        takes the instances in the top, those of one name with several numbers together.
    macro_model : delay of memory macros
    dont_use : patterns of cells to leave alone
    activity : toggles per cycle: as simulated, see ``analyse``, or the same of all signals
    progress : callback

    Raises
    ------
    UserError
        If Yosys or OpenSTA fails, for example because the library lacks something.
    """
    progress(f"{name}: elaborating")
    rtlil = share_modules(CellLibrary().to_rtlil(component, name))
    rtlil = re.sub(r"^(  wire .*?) signed ", r"\1 ", rtlil, flags=re.MULTILINE)
    macros = find_macros(rtlil)
    with TemporaryDirectory(prefix="diannao-synth-") as folder_name:
        folder = Path(folder_name)
        (folder / "design.il").write_text(rtlil)
        (folder / "cells.lib").write_text(library.text)
        target = "" if period is None else f"-D {round(1000 * period)}"
        (folder / "map.abc").write_text(_MAPPING.format(fanout=library.FANOUT, target=target))
        (folder / "map.constr").write_text(
            f"set_driving_cell {library.buffer.cell}\nset_load {4 * library.pin_load}\n"
        )
        total = len(re.findall(r"^module ", rtlil, re.MULTILINE))
        done = 0

        def step(log: str) -> None:
            nonlocal done
            done += log.count("Extracting gate netlist")
            progress(f"{name}: mapping modules", done, total)

        yosys.run(_script(name, macros, dont_use), folder, step)
        progress(f"{name}: netlist")
        netlist = Netlist(folder / "netlist.json", name, library)
        verilog = netlist.to_verilog()
        progress(f"{name}: timing")
        # OpenSTA 2.0 crashes on power that has to do with constants.
        (folder / "netlist.v").write_text(netlist.to_verilog(constants=False))
        (folder / "macros.lib").write_text(
            to_liberty(netlist.macros, macro_model.delay, library.pin_load)
        )
        timing = analyse(folder, netlist, library, period, activity)
    return Mapped(_count(netlist, library, macros, blocks, timing), yosys.version, timing, verilog)


def _script(name: str, macros: dict[str, Macro], dont_use: Iterable[str]) -> str:
    avoid = "".join(f" -dont_use {pattern}" for pattern in dont_use)
    lines = [
        "read_rtlil design.il",
        f"hierarchy -check -top {name}",
        "setattr -unset init w:*",
        "proc", "opt_expr", "opt_clean", "memory_collect", "opt_clean",
        *(f"setattr -set submod \"macro\" {module}/t:$mem_v2" for module in macros),
        *(["submod", *(f"blackbox {macro.module}" for macro in macros.values())] if macros else ()),
        *(["opt_hier", "opt -fast"] * _BORDERS),
        "opt", "wreduce", "peepopt", "opt_clean", "alumacc", "opt", "memory_map", "opt -fast -full",
        "techmap", "opt -fast",
        f"dfflibmap -liberty cells.lib{avoid}",
        f"abc -liberty cells.lib -constr map.constr -script map.abc{avoid}",
        "setundef -zero", "opt_clean -purge",
        "read_liberty -lib -overwrite -ignore_miss_func cells.lib",
        "write_json netlist.json",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _count(
    netlist: Netlist,
    library: Library,
    macros: dict[str, Macro],
    blocks: dict[str, str] | None,
    timing: Timing | None,
) -> list[Block]:
    by_module = {macro.module: macro for macro in macros.values()}
    leaves: dict[str, Counter[str]] = {}
    powers: dict[str, Power] = {}
    for path, module in netlist.instances():
        block = _block(path, blocks)
        leaves.setdefault(block, Counter()).update(netlist.leaves(module))
        if timing is not None:
            none = Power(0.0, 0.0, 0.0)
            powers[block] = powers.get(block, none).plus(timing.power.get(path, none))
    result = []
    for name, cells in leaves.items():
        if not cells:
            continue
        contents = [
            {
                "rows": macro.rows, "width": macro.width, "reads": macro.reads,
                "writes": macro.writes, "count": count, "bits": macro.bits * count,
            }
            for cell, count in sorted(cells.items())
            if (macro := by_module.get(cell)) is not None
        ]  # fmt: skip
        result.append(
            Block(
                name,
                sum(library.areas.get(cell, 0.0) * count for cell, count in cells.items()),
                sum(count for cell, count in cells.items() if cell in library.areas),
                sum(count for cell, count in cells.items() if cell in library.flip_flops),
                contents,
                powers.get(name),
            )
        )
    return sorted(result, key=lambda block: -block.area)


def _block(path: str, blocks: dict[str, str] | None) -> str:
    if blocks is None:
        return re.sub(r"(_\d+)+$", "", path.split(".")[0]) or "top"
    while path:
        if path in blocks:
            return blocks[path]
        path = path.rpartition(".")[0]
    return "other"
