"""Take the mean error of truncated products out of the biases.

The compensation constant of the truncated multiplier suits operands with random low bits. Zeros are
not like that: behind a ReLU half of the neurons are zero, nothing is dropped from their products,
and the constant itself is the error, which adds up over a layer's reduction. What a layer's inputs
look like on the calibration samples gives the mean of its error, and the bias takes it back.
"""

import numpy as np

from hw.arith.numbers import compensation
from sim import host

from .calibrate import Runner
from .float_graph import Conv, FloatGraph, Gemm, LocalConv

__all__ = ["layer_error", "mean_low_bits"]


def mean_low_bits(
    graph: FloatGraph, runner: Runner, fracs: dict[str, int], width: int, drop: int
) -> dict[str, np.ndarray]:
    """What the layers' inputs have in their low bits, on average over batch and map.

    Returns
    -------
    by tensor an array (drop + 1, C): entry (d, c) is the mean of ``x mod 2**d`` over channel c
    """
    names = {node.input for node in graph.nodes if isinstance(node, Conv | LocalConv | Gemm)}
    if drop == 0 or not names:
        return {}
    means: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for values in runner.batches(sorted({graph.tensors[name].source for name in names})):
        for name in names:
            tensor = graph.tensors[name]
            x, _ = host.quantise(values[tensor.source].reshape(tensor.shape), fracs[name], width)
            axes = (0, *range(2, x.ndim))
            low = [(x & ((1 << d) - 1)).mean(axis=axes) for d in range(drop + 1)]
            means[name].append(np.stack(low))
    return {name: np.mean(parts, axis=0) for name, parts in means.items()}


def layer_error(
    weight: np.ndarray,
    low_bits: np.ndarray,
    inside: np.ndarray,
    width: int,
    drop: int,
    groups: int = 1,
) -> np.ndarray:
    """Mean of ``sum T(x, w) - x * w`` for each of the layer's outputs, (O,) or (O, H, W).

    Parameters
    ----------
    weight : integers, (O, C / groups, Kh, Kw), (O, C, Kh, Kw, H, W) or (O, K)
    low_bits : entry of ``mean_low_bits`` for the layer's input
    inside : (Kh, Kw) or (Kh, Kw, H, W), how often each tap meets the input rather than the padding
    """
    outputs, positions = weight.shape[0], weight.shape[4:]
    taps = int(np.prod(weight.shape[1:4]))
    synapses = weight.reshape(groups, outputs // groups, taps, -1)
    reach = inside.reshape(taps * groups // low_bits.shape[1], -1)
    error = np.full((*synapses.shape[:2], reach.shape[1]), float(taps * compensation(width, drop)))
    for j in range(drop):
        sign = -1 if j == width - 1 else 1
        lost = np.multiply.outer(low_bits[drop - j], reach).reshape(groups, taps, -1)
        error -= sign * 2.0**j * np.einsum("gokp,gkp->gop", (synapses >> j) & 1, lost)
    return error.reshape(outputs, *positions)
