"""Waveform files of the Verilator harness, with the probe."""

import shutil
import subprocess
import sys

import pytest

from hw.errors import UserError
from sim.verilator import Model, build

from .test_verilator import NARROW, Bench, ports


def has_fst() -> bool:
    if shutil.which("g++") is None:
        return False
    source = b"#include <lz4.h>\n#include <zlib.h>\n"
    command = ["g++", "-E", "-x", "c++", "-"]
    return not subprocess.run(command, input=source, capture_output=True, check=False).returncode


def bursts(bench: Bench) -> None:
    bench.bursts(1, address=0, beats=4, bursts=50)
    bench.model.close()


def test_vcd(tmp_path):
    """One change of the clock for each half of each cycle in the window."""
    whole, part = tmp_path / "whole.vcd", tmp_path / "part.vcd"
    bench = Bench(NARROW, trace="vcd", trace_file=whole)
    bursts(bench)
    bench = Bench(NARROW, trace="vcd", trace_file=part, window=(100, 150))
    bursts(bench)
    text = whole.read_text()
    assert "nbin__rdata" in text
    times = [int(line[1:]) for line in text.splitlines() if line.startswith("#")]
    assert len(times) > 400
    times = [int(line[1:]) for line in part.read_text().splitlines() if line.startswith("#")]
    assert times == list(range(200, 300))


@pytest.mark.skipif(not has_fst(), reason="FST needs liblz4-dev and zlib1g-dev")
def test_fst(tmp_path):
    """A header (block 0 of 329 bytes) with the first and last time, then data."""
    file = tmp_path / "probe.fst"
    bench = Bench(NARROW, trace="fst", trace_file=file, window=(100, 150))
    bursts(bench)
    content = file.read_bytes()
    assert (content[0], int.from_bytes(content[1:9])) == (0, 329)
    assert [int.from_bytes(content[at : at + 8]) for at in (9, 17)] == [200, 299]
    assert len(content) > 1000


def test_missing_libraries(monkeypatch):
    # The package's attribute of this name is the function.
    module = sys.modules["sim.verilator.build"]
    monkeypatch.setattr(module, "_has_headers", lambda *names: False)
    with pytest.raises(UserError, match=r"apt-get install liblz4-dev zlib1g-dev, or choose"):
        build("module probe; endmodule", "probe", ports(NARROW), trace="fst")


def test_a_window_needs_no_waveforms(tmp_path):
    """What is recorded of ``events`` is in the window, and changes with every entry or pulses."""
    bench = Bench(NARROW)
    assert isinstance(bench.model, Model)
    bench.model.record((5, 40))
    bench.bursts(1, address=0, beats=4, bursts=3, tag=3)
    moments = bench.model.timeline()
    assert len(moments)
    assert 5 <= moments["cycle"].min() <= moments["cycle"].max() < 40
    changes = moments["events"]
    assert (changes[1:] != changes[:-1]).all(), "the probe has no pulses"
