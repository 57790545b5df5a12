"""The front end on whole networks: ONNX's light models, whose weights it does not ship."""

from collections import Counter

import numpy as np
import onnx
import pytest

from compiler.float_graph import Conv
from compiler.frontend import load
from diannao.zoo import network
from hw.diannao.config import CONFIGS, Config
from tests.compiler.onnx_models import compare, node

NETWORKS = {
    "alexnet": ({"Conv": 5, "Pool": 3, "Gemm": 3}, {"LRN": 2, "Softmax": 1}),
    "googlenet": (
        {"Conv": 57, "Pool": 14, "Concat": 9, "Gemm": 1}, {"LRN": 2, "Softmax": 1},
    ),
    "inception-v2": ({"Conv": 69, "Pool": 13, "Concat": 10, "Gemm": 1}, {"Softmax": 1}),
    "densenet121": ({"Conv": 121 + 62, "Pool": 5, "Concat": 58}, {}),
    "resnet50": ({"Conv": 53, "Pool": 2, "Add": 16, "Gemm": 1}, {"Softmax": 1}),
    "squeezenet": ({"Conv": 26, "Pool": 4, "Concat": 8}, {"Softmax": 1}),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_import(name):
    """Every operator ends up on the core but for those named; shapes cost nothing inside."""
    core, host = NETWORKS[name]
    graph = load(network(name))
    kinds = Counter(type(n).__name__ for n in graph.nodes)
    del kinds["Host"]
    assert kinds == core
    assert Counter(n.op for n in graph.host if not n.layout) == host
    produced = set(graph.inputs)
    for n in graph.nodes:
        assert produced.issuperset(n.inputs), f"{n.name} comes before what it reads"
        produced.update(n.outputs)
    assert produced.issuperset(graph.outputs)


def test_channel_shuffles_are_reported():
    """ShuffleNet: grouped convolutions run on the core; its shuffles do not, and it says why."""
    graph = load(network("shufflenet"))
    assert Counter(n.reason for n in graph.host if not n.layout) == {
        "perm [0, 2, 1, 3, 4] moves data; only layout changes are free": 16,
        "the core has no such operator": 1,
    }
    convolutions = [n for n in graph.nodes if isinstance(n, Conv)]
    assert Counter(n.groups > 1 for n in convolutions) == {True: 48, False: 1}


@pytest.mark.parametrize("config", [Config(), CONFIGS["diannao-16x16"]], ids=lambda c: c.name)
def test_squeezenet_keeps_its_accuracy(config):
    """Class scores of the quantised network, with and without truncated multipliers."""
    model = network("squeezenet")
    # The scores before Softmax, flattened, so that their scale says something.
    del model.graph.node[-1:]
    scores = next(n.output[0] for n in model.graph.node if n.op_type == "GlobalAveragePool")
    model.graph.node.append(node("Flatten", [scores], ["scores"]))
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info("scores", 1, [1, 1000]))
    x = np.random.default_rng(2).normal(size=(1, 3, 224, 224)).astype(np.float32)
    result = compare(model, {"data_0": x}, config)
    spread = float(np.std(result.result.tensors["scores"]))
    print(f"largest error {result.error:.5f} for scores with a deviation of {spread:.3f}")
    assert result.error <= 0.002 * spread
    assert result.result.saturated == {}
