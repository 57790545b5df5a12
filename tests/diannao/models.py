"""Models for tests of Session and command line, all with inputs ``x`` of N x 3 x 6 x 6."""

import numpy as np
import onnx

from tests.compiler.onnx_models import node, onnx_model, weights

__all__ = ["IMAGE", "convolution", "images", "network"]

IMAGE = (3, 6, 6)


def images(count: int, seed: int = 1, scale: float = 1.0) -> np.ndarray:
    """Normal random inputs."""
    rng = np.random.default_rng(seed)
    return (scale * rng.normal(size=(count, *IMAGE))).astype(np.float32)


def network(batch: int | str = "N") -> onnx.ModelProto:
    """Conv, Relu, MaxPool and Gemm, with an inner tensor ``p`` as second output."""
    nodes = [
        node("Conv", ["x", "w"], ["c"], "conv", pads=[1, 1, 1, 1]),
        node("Relu", ["c"], ["r"], "relu"),
        node("MaxPool", ["r"], ["p"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", ["p"], ["f"], "flatten"),
        node("Gemm", ["f", "g"], ["y"], "classifier", transB=1),
    ]
    constants = {"w": weights(4, 3, 3, 3), "g": weights(5, 36, seed=2)}
    return onnx_model(nodes, {"x": (batch, *IMAGE)}, {"y": 2, "p": 4}, constants)


def convolution(weight: np.ndarray | None = None, *after: onnx.NodeProto) -> onnx.ModelProto:
    """A Conv named ``conv`` of ``x``; ``after`` leads from its output ``c`` to ``y``."""
    weight = weights(4, 3, 3, 3) if weight is None else weight
    nodes = [node("Conv", ["x", "w"], ["c" if after else "y"], "conv"), *after]
    return onnx_model(nodes, {"x": ("N", *IMAGE)}, {"y": 4}, {"w": weight})
