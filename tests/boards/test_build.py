"""A whole build, from a core to a bitstream, with the tools from PyPI."""

import json

import pytest

from boards.build import build_board
from boards.catalog import custom_board, find_board


@pytest.mark.slow
def test_bitstream(tmp_path):
    """A small core for a platform of amaranth-boards, with memory on the chip: the bitstream is
    that of the device, and the report says what was used and how fast it is."""
    board = custom_board("amaranth_boards.ulx3s:ULX3S_25F_Platform", 8)
    config = board.config.replace(tn=1, ti=2, segments=4, bias_rows=2)
    board = board.changed(clock=20_000_000, config=config)
    said = []

    def progress(what: str, done: int = 0, total: int | None = None) -> None:
        said.append(what)

    report = build_board(board, tmp_path, progress=progress)
    assert said == ["generating custom", "synthesising", "placing and routing"]
    assert report == json.loads((tmp_path / "report.json").read_text())
    bitstream = (tmp_path / report["bitstream"]).read_bytes()
    assert b"LFE5U-25F" in bitstream[:200]
    assert len(bitstream) > 100_000
    resources = report["resources"]
    assert resources["DSP"] == {"used": 1 * 2 + 1, "available": 28}
    assert 4 < resources["BRAM"]["used"] < resources["BRAM"]["available"] == 56
    assert 1000 < resources["FF"]["used"] < resources["LUT"]["used"] < 24_288
    assert report["device"] == "LFE5U-25F"
    assert report["fmax_hz"] > 20e6
    assert report["slack_ns"] == pytest.approx(50 - 1e9 / report["fmax_hz"], abs=1e-3)
    assert report["peak_gops"] == pytest.approx(2 * 1 * 2 * 0.020)
    assert report["gops_per_dsp"] == pytest.approx(report["peak_gops"] / 3)
    assert report["configuration"]["tn"] == 1


def silent(what: str, done: int = 0, total: int | None = None) -> None:
    """Tell nobody."""


@pytest.mark.slow
def test_icebreaker(tmp_path):
    """A core with all multipliers of an iCE40 and the memory in its SPRAM fits, and reaches the
    clock, which a PLL makes."""
    board = find_board("icebreaker")
    report = build_board(board, tmp_path, progress=silent)
    assert report["resources"]["DSP"] == {"used": 8, "available": 8}
    assert report["resources"]["SPRAM"] == {"used": 4, "available": 4}
    assert report["resources"]["LUT"]["used"] > 4000
    assert report["clock_hz"] == board.clock < report["fmax_hz"]
    assert report["peak_gops"] == pytest.approx(2 * 8 * board.clock / 1e9)
    bitstream = (tmp_path / report["bitstream"]).read_bytes()
    assert bitstream[:100].find(bytes.fromhex("7eaa997e")) >= 0  # the preamble of iCE40 bitstreams
    assert "SB_PLL40" in (tmp_path / "top.il").read_text()


@pytest.mark.slow
def test_tang_nano(tmp_path):
    """The tools for Gowin devices place and route the core, and the PLL makes its clock."""
    board = find_board("tang-nano-9k")
    report = build_board(board, tmp_path, progress=silent)
    assert report["resources"]["DSP"] == {"used": 8, "available": 40}
    assert report["resources"]["BRAM"] == {"used": 26, "available": 26}
    assert 4000 < report["resources"]["LUT"]["used"] < 8640
    assert report["clock_hz"] == board.clock < report["fmax_hz"]
    bitstream = (tmp_path / report["bitstream"]).read_text()
    assert len(bitstream.splitlines()) > 500  # a line of bits for each row of the device
    assert "rPLL" in (tmp_path / "top.il").read_text()
