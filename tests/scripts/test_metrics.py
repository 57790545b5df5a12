"""scripts/metrics: products without a zero factor, and the tables of metrics."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

from hw.diannao.config import CONFIGS
from scripts.metrics import CLOCK, layer_metrics, network_metrics, nonzero
from sim import golden
from sim.graph import Add, Conv, Gemm
from tests.compiler.networks import Network
from tests.compiler.onnx_models import node, onnx_model


@pytest.mark.parametrize(("strides", "pads", "groups"), [
    ((1, 1), (0, 0, 0, 0), 1), ((2, 3), (1, 2, 0, 1), 2),
])  # fmt: skip
def test_products_without_a_zero_factor(strides, pads, groups):
    """As many as ONNX's own operators count, on ones where there is a number."""
    net = Network(CONFIGS["tiny"], seed=1)
    x = net.input(2, 4, 7, 8)
    a = net.conv(x, 6, (3, 2), strides, pads, groups)
    b = net.add(a, a)
    net.gemm(b, 5)
    graph = net.graph()
    rng = np.random.default_rng(2)
    kept = [
        replace(n, weight=n.weight * (rng.random(n.weight.shape) < 0.4))
        if isinstance(n, Conv | Gemm) else n
        for n in graph.nodes
    ]  # fmt: skip
    graph = replace(graph, nodes=kept)
    image = rng.integers(-99, 100, (2, 4, 7, 8)) * (rng.random((2, 4, 7, 8)) < 0.5)
    tensors = golden.run(graph, {x: image}).tensors

    counts = nonzero(graph, {x: image / 2**8})
    assert json.loads(json.dumps(counts)) == counts
    conv, add, gemm = graph.nodes
    assert isinstance(conv, Conv)
    assert isinstance(add, Add)
    assert isinstance(gemm, Gemm)
    assert [counts[n.name]["shape"] for n in (conv, add, gemm)] == ["2x3, 4 -> 6", "", (
        f"{gemm.weight.shape[1]} -> 5"
    )]  # fmt: skip
    ones = {"x": (image != 0).astype(np.float32)}
    model = onnx_model(
        [node("Conv", ["x", "w"], ["y"], strides=strides, pads=pads, group=groups)],
        {"x": image.shape}, {"y": 4}, {"w": (conv.weight != 0).astype(np.float32)},
    )  # fmt: skip
    (seen,) = ReferenceEvaluator(model).run(None, ones)
    assert counts[conv.name]["nonzero_macs"] == np.sum(seen)
    assert counts[add.name]["nonzero_macs"] == 2 * np.count_nonzero(tensors[a])
    flat = (tensors[b].reshape(2, -1) != 0).astype(int)
    assert counts[gemm.name]["nonzero_macs"] == np.sum(flat @ (gemm.weight != 0).T.astype(int))
    assert counts[conv.name]["nonzero_weights"] == np.count_nonzero(conv.weight)


def test_tables():
    config = CONFIGS["diannao-16x16"]
    layer = {
        "name": "conv", "op": "Conv", "source": "rtl", "macs": 256_000, "cycles": 2000,
        "nfu_active": 1000, "bytes": {"nbin": 4000, "sb": 16_000, "nbout": 480},
    }  # fmt: skip
    pool = {**layer, "name": "pool", "op": "Pool", "macs": 0}
    count = {"shape": "3x3, 16 -> 16", "weights": 2304, "nonzero_weights": 2000,
             "nonzero_macs": 128_000}  # fmt: skip
    report = {
        "model": "net", "images": 2, "layers": [layer, pool], "cycles": 4000, "macs": 256_000,
        "configuration": asdict(config), "counts": {"conv": count}, "accuracy": None,
        "float_error": {"mean": 0.25},
    }  # fmt: skip
    text = layer_metrics(report, "Net")
    ms = 1000 * 2000 / CLOCK
    words = 20_480 / 2
    start = f"| conv | 3x3, 16 -> 16 | 2,304, 2,000 | 256,000 | 128,000 | 2,000 | {ms:.4g} | 50.0 %"
    assert start in text
    assert f"| {words / 128_000:.4f} |\n" in text
    assert "| pool | Pool | - | 0 | 0 | 2,000 |" in text
    whole = network_metrics([report])
    assert "| net | 2 | 2 | off by 0.25 | 2,304 | 86.8 % | 256,000 | 50.0 % | 4,000 |" in whole
    assert f"| {2000 / CLOCK * 1000:.4g} | 25.0 % |" in whole
    assert "| 97.50 % |" in network_metrics([{**report, "accuracy": 0.975}])
