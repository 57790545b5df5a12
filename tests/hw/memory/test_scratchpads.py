# amaranth: UnusedElaboratable=no
"""The scratchpads in both simulators, and what their constructors refuse."""

import pytest

from hw.memory.nbin import Nbin
from hw.memory.nbout import Nbout
from hw.memory.ram import Ram
from hw.memory.sb import Sb

PAPER = {"elements": 1024, "banks": 16, "width": 16, "ti": 16, "write_lanes": 16}


@pytest.mark.parametrize(
    "shape",
    [
        PAPER,
        {"elements": 56, "banks": 8, "width": 8, "ti": 3, "write_lanes": 8},
        {"elements": 40, "banks": 8, "width": 16, "ti": 5, "write_lanes": 2},
        {"elements": 24, "banks": 4, "width": 8, "ti": 4, "write_lanes": 3, "read_stages": 3},
        {"elements": 48, "banks": 8, "width": 8, "ti": 6, "write_lanes": 4, "read_stages": 4},
        {"elements": 12, "banks": 2, "width": 16, "ti": 1, "write_lanes": 2},
    ],
    ids=lambda shape: f"{shape['ti']}x{shape['write_lanes']}",
)
def test_nbin(bench, shape):
    bench(Nbin(**shape), "nbin", "tests.hw.memory.bench_nbin", shape)


@pytest.mark.parametrize(
    "shape",
    [
        {"elements": 56, "banks": 8, "width": 8, "ti": 3, "write_lanes": 4},
        {"elements": 20, "banks": 4, "width": 16, "ti": 3, "write_lanes": 2},
    ],
    ids=lambda shape: f"{shape['width']}bits",
)
def test_nbin_in_lanes(bench, shape):
    shape = {**shape, "in_lanes": True}
    bench(Nbin(**shape), "nbin", "tests.hw.memory.bench_nbin_lanes", shape)


@pytest.mark.parametrize(
    "shape",
    [
        {"rows": 64, "row_bits": 4096, "port": 1024},
        {"rows": 5, "row_bits": 144, "port": 64},
        {"rows": 2, "row_bits": 48, "port": 64},
    ],
    ids=lambda shape: f"{shape['row_bits']}by{shape['port']}",
)
def test_sb(bench, shape):
    bench(Sb(**shape), "sb", "tests.hw.memory.bench_sb", shape)


@pytest.mark.parametrize(
    "shape",
    [
        {"rows": 64, "tn": 16, "acc_width": 47, "width": 16},
        {"rows": 7, "tn": 3, "acc_width": 25, "width": 8},
        {"rows": 2, "tn": 1, "acc_width": 33, "width": 16},
    ],
    ids=lambda shape: f"{shape['rows']}x{shape['tn']}",
)
def test_nbout(bench, shape):
    bench(Nbout(**shape), "nbout", "tests.hw.memory.bench_nbout", shape)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"read_stages": 5}, "read_stages must be 2 to 4, not 5"),
        ({"banks": 12}, "banks must be a power of two from 2 upwards, not 12"),
        ({"ti": 17}, r"banks must be at least ti \(17\) and write_lanes \(16\), not 16"),
        ({"write_lanes": 32}, r"banks must be at least ti \(16\) and write_lanes \(32\), not 16"),
        ({"elements": 1000}, r"elements must be a multiple of banks \(16\), at least two"),
        ({"elements": 16}, r"elements must be a multiple of banks \(16\), at least two"),
    ],
)
def test_nbin_refuses(changes, message):
    with pytest.raises(ValueError, match=message):
        Nbin(**PAPER | changes)


def test_ram_refuses_a_single_row():
    with pytest.raises(ValueError, match="depth must be at least 2, not 1"):
        Ram(shape=8, depth=1)
