"""``diannao bench``: the declared layers, their crops, runs on RTL and what is reported."""

import json
from dataclasses import replace
from math import prod

import numpy as np
import pytest

from compiler.bound import layer_of
from diannao import CONFIGS, MismatchError
from diannao.bench import LAYERS, Bench
from diannao.bench.crop import bound_of, crop
from diannao.bench.graphs import fitted, graph_of
from sim import golden
from sim.graph import Conv, Gemm, LocalConv, Pool

PAPER = CONFIGS["diannao-16x16"].replace(sb_port=2048)
TINY = CONFIGS["tiny"]

# From the paper's table 5: outputs and MACs of each layer, and the lower bound on its core with
# 255 bytes per cycle. Bounds count true MACs, so unlike steps they do not grow with idle lanes.
TABLE = {
    "CLASS1": ((1, 1), 19_200, 159),
    "CLASS3": ((1, 1), 20_000, 161),
    "CONV1": ((367, 492), 2.247e10, 87.75e6),
    "CONV2*": ((183, 183), 6.94e8, 5.45e6),
    "CONV3": ((29, 29), 2.906e8, 2.906e8 / 256),
    "CONV4": ((26, 26), 2.714e8, 1.060e6),
    "CONV5*": ((246, 246), 7.20e11, 5.64e9),
    "POOL1": ((183, 246), 0, 246 * 183 * 4 * 12 / 16),
    "POOL3": ((8, 8), 0, 8 * 8 * 16 * 100 / 16),
    "POOL5": ((128, 128), 0, 1.05e6),
    "PROGRAM": ((1, 1), 2.097e6, 16_508),
    "FC1024-B64": ((1, 1), 64 * 1024**2, 262_144),
    "FC1024": ((1, 1), 1024**2, 65_664),
    "ALEXNET-CONV1": ((55, 55), 411_778 * 256, 411_778),
    "ALEXNET-CONV3": ((13, 13), 149_520_384, 584_064),
}


@pytest.mark.parametrize("name", TABLE)
def test_layers_are_the_papers(name):
    """Outputs, MACs and bounds; the paper's figures have three or four digits and no biases."""
    size, macs, bound = TABLE[name]
    layer = LAYERS[name]
    graph = graph_of(layer, PAPER)
    (node,) = graph.nodes
    assert isinstance(node, Conv | LocalConv | Gemm | Pool)
    assert layer.output_size == size
    assert layer_of(node, 0, graph, PAPER).macs == pytest.approx(macs, rel=1e-3)
    assert bound_of(layer, PAPER) == pytest.approx(bound, rel=5e-3)


def test_the_program_fits_the_buffers():
    program = LAYERS["PROGRAM"]
    assert fitted(program, PAPER) == program
    small = fitted(program, TINY)
    assert (small.inputs, small.outputs) == (8 * 256, 4 * 2)


@pytest.mark.parametrize("name", ["CONV1", "POOL5", "ALEXNET-CONV1", "ALEXNET-CONV3"])
@pytest.mark.parametrize("most", [1_000, 30_000, 400_000])
def test_crops_are_as_large_as_allowed(name, most):
    layer = LAYERS[name]
    cut = crop(layer, PAPER, most)
    assert replace(cut, size=layer.size) == layer
    (rows, columns), (height, width) = cut.output_size, layer.output_size
    assert rows == 1 or bound_of(cut, PAPER) <= most
    larger = layer.cropped(rows + 1, max(1, round(width * (rows + 1) / height)))
    assert bound_of(larger, PAPER) > most
    assert columns == max(1, round(width * rows / height))
    assert cut.size == tuple(
        (count - 1) * layer.stride + kernel - 2 * layer.padding
        for count, kernel in zip((rows, columns), layer.kernel, strict=True)
    )


def test_short_layers_are_not_cropped():
    for name in ("CLASS1", "POOL3", "ALEXNET-CONV3"):
        assert crop(LAYERS[name], PAPER, 600_000) == LAYERS[name]


@pytest.fixture(scope="module")
def bench():
    with Bench(TINY, latency=2, most=3_000) as made:
        yield made


@pytest.mark.parametrize(
    "name", ["CLASS3", "PROGRAM", "POOL3", "CONV3", "ALEXNET-CONV1", "ALEXNET-CONV3"]
)
def test_layers_on_rtl(bench, name):
    """The crop runs on the RTL, equal to golden, and the model tells of the layer in full."""
    found = bench.measure(LAYERS[name])
    (cut, rtl), *rest = found.runs
    print(f"{name}: {cut.shape}: {rtl.cycles} cycles, bound {rtl.bound_cycles:.0f}")
    assert found.benchmark.memory.latency == 2
    assert rtl.source == "rtl"
    assert rtl.cycles > rtl.bound_cycles == pytest.approx(bound_of(cut, TINY))
    assert rtl.cycles == pytest.approx(rtl.active + sum(rtl.stalls.values()), rel=0.15)
    assert rtl.limits["nfu"] <= rtl.active
    for port, count in rtl.compulsory_bytes.items():
        assert rtl.bytes[port] >= count
    assert [entry.source for _, entry in rest] == ["model"] * (cut != found.benchmark)
    for whole, entry in rest:
        assert whole == found.benchmark
        parts = prod(whole.output_size) / prod(cut.output_size)
        assert entry.macs == pytest.approx(rtl.macs * parts)
        assert entry.cycles > entry.bound_cycles > rtl.bound_cycles


def test_private_kernels_on_rtl(bench):
    """Without the model: all weights of CONV2* take a minute to be laid out."""
    cut = LAYERS["CONV2*"].cropped(1, 2)
    ((whole, rtl),) = bench.measure(cut).runs
    assert whole.output_size == (1, 2)
    assert rtl.compulsory_bytes["sb"] >= 2 * 2 * 8 * 8 * 18 * 18
    assert rtl.efficiency >= 0.5


def test_a_layer_larger_than_memory_runs_as_a_crop_only():
    with Bench(PAPER, model_only=True) as made:
        found = made.measure(LAYERS["CONV5*"])
    assert not found.runs
    assert found.reason == (
        "all of it takes 1.44e+12 bytes of memory, 32 address bits reach 4.29e+09"
    )


def test_a_difference_from_golden_is_an_error(bench, monkeypatch):
    right = golden.run

    def wrong(graph, inputs):
        result = right(graph, inputs)
        result.tensors["y"] = result.tensors["y"] ^ (np.arange(100) == 99)
        return result

    monkeypatch.setattr(golden, "run", wrong)
    with pytest.raises(MismatchError, match=r"1 of 100 elements of tensor 'y', first at \(0, 99\)"):
        bench.measure(LAYERS["CLASS3"])


def test_command(command, tmp_path):
    """Table, JSON, page and plot of a whole layer and of a crop."""
    done = command(
        "bench", "class3", "POOL3", "--config", "tiny", "--memory-latency", 2,
        "--memory-bytes", 64, "--rtl-cycles", 6000,
        "--json", "r.json", "--markdown", "r.md", "--plot", "r.svg",
    )  # fmt: skip
    assert done.status == 0
    assert "benchmark layers on tiny" in done.out
    report = json.loads((tmp_path / "r.json").read_text())
    runs = [(layer["name"], layer["source"]) for layer in report["layers"]]
    assert runs == [("CLASS3", "rtl"), ("POOL3", "rtl"), ("POOL3", "model")]
    class3, crop3, pool3 = report["layers"]
    assert crop3["crop"] == [2, 2]
    assert pool3["crop"] is class3["crop"] is None
    assert all(layer["memory"]["bandwidth"] == 64 for layer in report["layers"])
    for layer in report["layers"]:
        assert layer["efficiency"] == pytest.approx(layer["bound_cycles"] / layer["cycles"], 1e-3)
        assert layer["bound_cycles"] == pytest.approx(layer["limits"][layer["bound_by"]], abs=0.1)
    assert report["cycles"] == class3["cycles"] + crop3["cycles"]
    for layer in report["layers"]:
        assert layer["model"]["cycles"] == pytest.approx(layer["cycles"], rel=0.01)
        assert layer["model"]["seconds"] > 0
    assert pool3["model"]["cycles"] == pool3["cycles"]
    assert report["config"] == "tiny"
    assert report["left_out"] == {}
    lines = (tmp_path / "r.md").read_text().splitlines()
    assert [len(line.split("|")) for line in lines] == [15] * 5
    assert f"{crop3['cycles']:,}" in lines[3]
    assert "RTL, 2x2 of 8x8" in lines[3]
    assert lines[3].endswith(f"%, {crop3['model']['seconds']:.2f} s |")
    assert "</svg>" in (tmp_path / "r.svg").read_text()


def test_model_only_and_layers_that_do_not_fit(command, tmp_path):
    core = ("--config", "tiny", "--set", "max_reduction=1000")
    done = command("bench", "CONV3", "CLASS1", *core, "--model", "--json", "r.json")
    assert done.status == 0
    report = json.loads((tmp_path / "r.json").read_text())
    (layer,) = report["layers"]
    assert (layer["name"], layer["source"]) == ("CLASS1", "model")
    reason = report["left_out"]["CONV3"]
    assert "set max_reduction=1728" in reason
    assert f"CONV3 left out: {reason[:40]}" in done.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("CONV9",), "unknown layer 'CONV9'; known: CLASS1, CLASS3, "),
        (("CLASS1", "--plot", "r.txt"), "a plot's name must end in .svg, .png, .pdf, not 'r.txt'"),
        (("CLASS1", "--json", "no/r.json"), "cannot write 'no/r.json': there is no folder 'no'"),
        (("CONV4", "--set", "max_reduction=9", "--model"), "layer 'CONV4' sums 784 products"),
    ],
)
def test_mistakes(command, options, message):
    done = command("bench", *options)
    assert done.status == 2
    assert done.err.startswith(f"diannao: {message}")
