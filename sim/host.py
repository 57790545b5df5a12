"""Between the integers of the core and the floats of the host: conversion, and host operators."""

import numpy as np
import onnx
import onnx.reference
import onnxruntime

from hw.arith.numbers import bounds

from .graph import Graph, Host

__all__ = ["dequantise", "evaluate", "quantise"]


def quantise(values: np.ndarray, frac: int, width: int) -> tuple[np.ndarray, int]:
    """Round ``values`` to integers of ``width`` bits with ``frac`` fraction bits.

    Halves go to the even neighbour; what does not fit (infinities too) saturates.

    Returns
    -------
    integers (int64), and how many of them were saturated

    Raises
    ------
    ValueError
        If a value is NaN.
    """
    scaled = np.rint(np.asarray(values, dtype=np.float64) * 2.0**frac)
    if np.isnan(scaled).any():
        raise ValueError(f"values must be numbers, but {np.isnan(scaled).sum()} of them are NaN")
    low, high = bounds(width)
    saturated = int(np.count_nonzero((scaled < low) | (scaled > high)))
    return np.clip(scaled, low, high).astype(np.int64), saturated


def dequantise(integers: np.ndarray, frac: int) -> np.ndarray:
    """The float32 values that integers with ``frac`` fraction bits stand for (exact to 24 bits)."""
    return (np.asarray(integers) * 2.0**-frac).astype(np.float32)


def _run(model: onnx.ModelProto, feeds: dict[str, np.ndarray], outputs: list[str]) -> list:
    """Run ``model`` in ONNX Runtime, or in ONNX's reference evaluator where that refuses it."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # a refusal is no error here, so nothing is to be printed
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception:  # ONNX Runtime's exceptions have no common base but this
        return onnx.reference.ReferenceEvaluator(model).run(outputs, feeds)  # type: ignore
    return session.run(outputs, feeds)  # type: ignore


def evaluate(
    node: Host, graph: Graph, tensors: dict[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """Run one host operator.

    Quantised inputs become float32 first; outputs that have a ``frac`` are quantised.

    Parameters
    ----------
    node : the operator
    graph : where its tensors are declared
    tensors : values of at least the node's inputs, integers where the tensor has a ``frac``

    Returns
    -------
    values of the node's outputs, and the number of saturated elements of the quantised ones
    """
    feeds = {}
    for name in node.inputs:
        tensor = graph.tensors[name]
        value = tensors[name]
        feeds[name] = value if tensor.frac is None else dequantise(value, tensor.frac)
    results = {}
    saturated = {}
    for name, value in zip(node.outputs, _run(node.model, feeds, list(node.outputs)), strict=True):
        frac = graph.tensors[name].frac
        if frac is None:
            results[name] = np.asarray(value)
        else:
            try:
                results[name], saturated[name] = quantise(value, frac, graph.width)
            except ValueError as error:
                raise ValueError(
                    f"output {name!r} of host operator {node.name!r}: {error}"
                ) from error
    return results, saturated
