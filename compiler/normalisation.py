"""Local response normalisation, written out in what a machine with held neurons has.

The paper's nodes normalise with products, sums and a table (section V.B.3): the squares, then for
every neuron the sum of those in its window of channels, which is a convolution of one pixel whose
weights are a band, with the power as its activation, then the product with the neuron. All
of a pixel's channels are in one node, so nothing goes from node to node.
"""

import numpy as np
from onnx import helper, numpy_helper

from .model import Model

__all__ = ["write_out_normalisations"]


def write_out_normalisations(model: Model) -> None:
    """Replace every LRN of maps, in place, by Mul, Conv, Clip, Pow and Mul."""
    nodes = []
    for node in model.proto.graph.node:
        values = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        alpha, beta = values.get("alpha", 1e-4), values.get("beta", 0.75)
        start = values.get("bias", 1.0)
        shape = model.shapes.get(node.input[0], ()) if node.input else ()
        if (
            node.op_type != "LRN"
            or node.domain not in ("", "ai.onnx")
            or len(shape) != 4
            or model.dtypes[node.input[0]] != np.float32
            or not (alpha >= 0 and beta > 0 and start > 0)
        ):
            nodes.append(node)
            continue
        x, y, name = node.input[0], node.output[0], node.name or node.output[0]

        def tensor(suffix: str, x: str = x, y: str = y) -> str:
            found = f"{y}.{suffix}"
            while found in model.shapes:
                found += "_"
            model.shapes[found], model.dtypes[found] = model.shapes[x], model.dtypes[x]
            return found

        def constant(suffix: str, value: np.ndarray, tensor=tensor) -> str:
            found = tensor(suffix)
            model.constants[found] = value.astype(np.float32)
            model.shapes[found] = value.shape
            model.proto.graph.initializer.append(
                numpy_helper.from_array(model.constants[found], found)
            )
            return found

        squares, sums, positive, factors = map(tensor, ("squares", "sums", "positive", "factors"))
        size, channels = values["size"], shape[1]
        weights = constant("band", band(channels, size)[:, :, None, None] * (alpha / size))
        bias = constant("bias", np.full(channels, start))
        low, exponent = constant("low", np.array(start)), constant("exponent", np.array(-beta))
        nodes += [
            helper.make_node("Mul", [x, x], [squares], f"{name}.squares"),
            helper.make_node("Conv", [squares, weights, bias], [sums], f"{name}.sums"),
            helper.make_node("Clip", [sums, low], [positive], f"{name}.positive"),
            helper.make_node("Pow", [positive, exponent], [factors], f"{name}.factors"),
            helper.make_node("Mul", [x, factors], [y], f"{name}.products"),
        ]
    del model.proto.graph.node[:]
    model.proto.graph.node.extend(nodes)


def band(channels: int, size: int) -> np.ndarray:
    """(channels, channels): 1 where the window of a row's channel has the column's one, else 0."""
    distance = np.arange(channels)[None, :] - np.arange(channels)[:, None]
    return ((distance >= -((size - 1) // 2)) & (distance <= size // 2)).astype(np.float64)
