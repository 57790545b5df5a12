"""Efficiency of a DaDianNao node's RTL on layers of the paper, every output checked.

    python -m scripts.node_efficiency [--config NAME] [--set KEY=VALUE ...] LAYER ...

LAYER is ``class:INPUTS:OUTPUTS`` or ``conv:HEIGHT:WIDTH:CHANNELS:OUTPUTS:KERNEL``. By default the
full node (16 tiles of 16x16, memories as macros) runs a slice of CLASS2 and a crop of CONV2; its
Verilator model takes a minute or two to build.
"""

import argparse
import time

import numpy as np
from amaranth.lib import data

from compiler.dadiannao import lower
from diannao.configs import load_config
from hw.arith.numbers import bounds
from hw.dadiannao.config import NodeConfig
from hw.diannao.events import Events, SlotEvents
from sim import golden
from sim.graph import Graph
from sim.verilator.target import VerilatorTarget
from tests.compiler.networks import Network

__all__ = ["graph_of", "measure"]


LAYERS = ("class:4096:1024", "conv:24:40:32:48:9")
"""A quarter of CLASS2, as one of four nodes has it (all of it is 18 rows of SB too large for one),
and 16 rows of CONV2's outputs, one for each tile."""


def _when(moments: np.ndarray, name: str, part: str | None = None) -> np.ndarray:
    """The moments in which a field of ``events`` of one bit, or such a part of one, is set."""
    events = data.Layout.cast(Events)
    offset = events[name].offset
    if part is not None:
        offset += data.Layout.cast(SlotEvents)[part].offset
    return np.flatnonzero(moments["events"] >> np.uint64(offset) & np.uint64(1))


def graph_of(layer: str, config: NodeConfig) -> Graph:
    """A network of that layer alone, with random weights."""
    kind, *sizes = layer.split(":")
    net = Network(config.core, 0)
    if kind == "class":
        inputs, outputs = map(int, sizes)
        return net.graph(net.gemm(net.input(1, inputs, 1, 1), outputs))
    height, width, channels, outputs, kernel = map(int, sizes)
    x = net.input(1, channels, height, width)
    return net.graph(net.conv(x, outputs, (kernel, kernel), (1, 1), (0, 0, 0, 0), 1))


def measure(layer: str, target: VerilatorTarget, config: NodeConfig) -> dict[str, float]:
    """Run a layer; what it took, in cycles.

    ``bound`` is the larger of its multiplications over the multipliers and of its rows on the fat
    tree; ``steps`` are the cycles from the first step of a tile to the last one, ``cycles`` those
    from the first read slot to the store, with inputs and outputs in the central memories: with the
    way to the tiles, and from there until the last row is written. The loading of synapses and
    neurons from the host before and the storing behind are left out. ``efficiency`` is the bound
    over ``cycles``.
    """
    graph = graph_of(layer, config)
    program = lower(graph, config)
    low, high = bounds(graph.width)
    rng = np.random.default_rng(0)
    inputs = {n: rng.integers(low, high + 1, graph.tensors[n].shape) for n in graph.inputs}
    target.model.record((target.model.cycles, 1 << 62))
    seen = len(target.model.timeline())
    done = target.run(program, inputs)
    moments = target.model.timeline()[seen:]
    steps = _when(moments, "active")
    when = moments["cycle"].astype(np.int64)
    cycles = int(
        when[_when(moments, "nbout", "begin")[0]] - when[_when(moments, "nbin", "begin")[0]]
    )
    expected = golden.run(graph, inputs).tensors
    for name in graph.outputs:
        np.testing.assert_array_equal(done.tensors[name], expected[name], err_msg=name)
    (report,) = [entry for entry in program.layers.values() if entry.macs]
    activity = done.layers[report.tag]
    macs = report.macs / (config.tiles * config.tn * config.ti)
    rows = target.driver.counters()["ROWS_READ"] * config.trunk_beats
    bound = max(macs, rows)
    return {
        "macs": macs, "rows": rows, "bound": bound, "active": activity.active,
        "steps": int(when[steps[-1] + 1] - when[steps[0]]), "cycles": cycles,
        "efficiency": bound / cycles,
        "total": done.cycles or 0, "seconds": done.seconds or 0.0,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Efficiency of a DaDianNao node's RTL")
    parser.add_argument("--config", default="dadiannao")
    parser.add_argument("--set", action="append", default=["memory=macro"])
    parser.add_argument("layers", nargs="*", default=LAYERS)
    arguments = parser.parse_args()
    config = load_config(arguments.config, arguments.set)
    assert isinstance(config, NodeConfig), "the configuration must be of a DaDianNao machine"
    begin = time.perf_counter()
    target = VerilatorTarget(config)
    print(f"model built or found in {time.perf_counter() - begin:.0f} s")
    for layer in arguments.layers:
        found = measure(layer, target, config)
        rate = found["total"] / found["seconds"]
        print(f"{layer}: {found}, {rate:.0f} simulated cycles per second", flush=True)


if __name__ == "__main__":
    main()
