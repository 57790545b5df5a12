"""Claim A10, training: digits in floating point and in 32 and 16 bits, golden for the whole run.

    python -m scripts.training_claims

prints the table that docs/dadiannao-claims.md holds. A perceptron of 64, 32 and 10 neurons is
trained on the 1437 training images of scikit-learn's digits by plain stochastic gradient descent,
with the same first weights, order of images and rate for each arithmetic.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from diannao.training import train
from scripts.digits import digits

__all__ = ["perceptron", "rows", "section"]

SIZES = (64, 32, 10)
EPOCHS = 40
BATCH = 16
SEED = 1
RATES = (0.1, 0.02, 0.005, 0.002)


def perceptron() -> onnx.ModelProto:
    """The untrained network, with ReLU between its layers."""
    rng = np.random.default_rng(SEED)
    nodes, weights, value = [], [], "x"
    for n, (inputs, outputs) in enumerate(pairwise(SIZES)):
        weight = rng.normal(0, np.sqrt(2 / inputs), (outputs, inputs)).astype(np.float32)
        weights.append(numpy_helper.from_array(weight, f"w{n}"))
        weights.append(numpy_helper.from_array(np.zeros(outputs, np.float32), f"b{n}"))
        nodes.append(helper.make_node("Gemm", [value, f"w{n}", f"b{n}"], [f"s{n}"], transB=1))
        value = f"s{n}"
        if n < len(SIZES) - 2:
            nodes.append(helper.make_node("Relu", [value], [f"y{n}"]))
            value = f"y{n}"
    graph = helper.make_graph(
        nodes, "perceptron",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", SIZES[0]])],
        [helper.make_tensor_value_info(value, TensorProto.FLOAT, ["N", SIZES[-1]])], weights,
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def in_float(x: np.ndarray, labels: np.ndarray, test: tuple, rate: float) -> float:
    """Accuracy on the test images after training in float64."""
    values = {each.name: numpy_helper.to_array(each).astype(np.float64)
              for each in perceptron().graph.initializer}  # fmt: skip
    w0, b0, w1, b1 = (values[name] for name in ("w0", "b0", "w1", "b1"))
    rng = np.random.default_rng(SEED)
    for _ in range(EPOCHS):
        order = rng.permutation(len(x))
        for first in range(0, len(x) - BATCH + 1, BATCH):
            chosen = order[first : first + BATCH]
            hidden = np.maximum(x[chosen] @ w0.T + b0, 0)
            y = hidden @ w1.T + b1
            share = np.exp(y - y.max(axis=1, keepdims=True))
            share /= share.sum(axis=1, keepdims=True)
            share[np.arange(BATCH), labels[chosen]] -= 1
            delta = share * (rate / BATCH)
            back = (delta @ w1) * (hidden > 0)
            w1, b1 = w1 - delta.T @ hidden, b1 - delta.sum(axis=0)
            w0, b0 = w0 - back.T @ x[chosen], b0 - back.sum(axis=0)
    found = (np.maximum(test[0] @ w0.T + b0, 0) @ w1.T + b1).argmax(axis=1)
    return float(np.mean(found == test[1]))


def rows() -> Iterator[tuple[float, list[float]]]:
    """By learning rate: accuracy on the test images in float, 32 and 16 bits, in percent."""
    images, labels, test_images, test_labels = digits()
    x, test = images.reshape(len(images), -1), test_images.reshape(len(test_images), -1)
    for rate in RATES:
        found = [in_float(x, labels, (test, test_labels), rate)]
        for width in (32, 16):
            done = train(
                perceptron(), x, labels, test=(test, test_labels), epochs=EPOCHS, batch=BATCH,
                rate=rate, width=width, seed=SEED,
            )  # fmt: skip
            found.append(done.epochs[-1].test_accuracy or 0.0)
        yield rate, [100 * value for value in found]


def on_rtl(batches: int = 3, batch: int = 8) -> tuple[int, bool]:
    """Clock cycles per batch on the RTL of a tiny node, and whether all weights equal golden."""
    images, labels, _, _ = digits()
    x = images.reshape(len(images), -1)
    golden, rtl = (
        train(perceptron(), x, labels, epochs=1, batch=batch, batches=batches, target=target)
        for target in ("golden", "verilator")
    )
    pairs = zip(golden.model.graph.initializer, rtl.model.graph.initializer, strict=True)
    equal = all(
        np.array_equal(numpy_helper.to_array(a), numpy_helper.to_array(b)) for a, b in pairs
    )
    return (rtl.cycles or 0) // batches, equal


def section() -> str:
    """Claim A10 as a table, and what the RTL says."""
    lines = [
        f"| {rate:g} | {' | '.join(f'{value:.1f} %' for value in found)} |"
        for rate, found in rows()
    ]
    cycles, equal = on_rtl()
    return "\n".join(
        [
            "| learning rate | float | 32 bits | 16 bits |",
            "|---|---|---|---|",
            *lines,
            "",
            "Three batches of 8 images with 32 bits on the RTL of `dadiannao-tiny-training` (4 "
            f"tiles of 4x4) take {cycles:,} cycles each; every weight is then "
            + ("as in golden." if equal else "NOT as in golden."),
        ]
    )


if __name__ == "__main__":
    print(section())
