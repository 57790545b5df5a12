"""Tables of activations and of their derivatives, for numbers of any width."""

from collections.abc import Callable, Sequence

import numpy as np

from hw.arith.numbers import Table

__all__ = [
    "ACTIVATIONS", "IDENTITY", "NEGATIVE", "activation", "at_least_zero", "derivative",
    "normalisation", "scaled",
]  # fmt: skip

ACTIVATIONS = ("Relu", "Sigmoid", "Tanh")
"""The ONNX operators that have tables."""

IDENTITY = Table((), (1,), (0,), 0)
"""What changes nothing."""

_PARTS = 14
"""Lines between the ends of a curve; with the constants beyond them, 16 segments."""


def _curve(x: np.ndarray, name: str) -> np.ndarray:
    return 0.5 + 0.5 * np.tanh(0.5 * x) if name == "Sigmoid" else np.tanh(x)


def _lines(
    function: Callable[[np.ndarray], np.ndarray], points: Sequence[float], frac: int, width: int
) -> Table:
    """Chords between ``points``, and constants beyond the first and the last one."""
    shift = min(28, width - 3)
    at = [round(point * (1 << frac)) for point in points]
    values = [round(value * (1 << frac)) for value in function(np.asarray(points)).tolist()]
    a, b = [0], [values[0] << shift]
    for n in range(len(at) - 1):
        slope = round((values[n + 1] - values[n]) / (at[n + 1] - at[n]) * (1 << shift))
        a.append(slope)
        b.append((values[n] << shift) - slope * at[n])
    a.append(0)
    b.append(values[-1] << shift)
    return Table(tuple(at), tuple(a), tuple(b), shift)


def activation(name: str, frac: int, width: int) -> Table:
    """The table of an activation; its argument and its result have ``frac`` fraction bits."""
    if name == "Relu":
        return Table((0,), (0, 1), (0, 0), 0)
    most = 8.0 if name == "Sigmoid" else 4.0
    low = 0.0 if name == "Sigmoid" else -1.0
    # Points are as dense as the root of the curvature: then all chords have the same error.
    x = np.linspace(-most, most, 1 << 12)
    dense = np.sqrt(np.abs(np.gradient(np.gradient(_curve(x, name), x), x)))
    share = np.cumsum(dense) / dense.sum()
    points = np.interp(np.linspace(0, 1, _PARTS + 1), share, x)
    points = (points - points[::-1]) / 2  # one of them is 0, where a tanh must be exactly 0
    points[0], points[-1] = -most, most

    def limited(at: np.ndarray) -> np.ndarray:
        # The ends are the limits, so that nothing jumps there.
        values = _curve(at, name)
        values[0], values[-1] = low, 1.0
        return values

    return _lines(limited, points.tolist(), frac, width)


def derivative(name: str, frac: int, width: int) -> Table:
    """The table of an activation's derivative as a function of the activation's result."""
    one = 1 << frac
    if name == "Relu":
        return Table((1,), (0, 0), (0, one), 0)
    low = 0.0 if name == "Sigmoid" else -1.0
    points = np.linspace(low, 1.0, _PARTS + 1).tolist()
    if name == "Sigmoid":
        return _lines(lambda y: y - y * y, points, frac, width)
    return _lines(lambda y: 1 - y * y, points, frac, width)


def normalisation(
    alpha: float, beta: float, bias: float, frac: int, width: int
) -> tuple[Table, Table, tuple[int, int]]:
    """``power``, ``slope`` and ``scale`` of ``sim.training.network.Normalise``.

    With u = bias + alpha * s the factor is f = u ** -beta, and twice its derivative is
    -2 * alpha * beta * f ** (1 + 1 / beta).

    Parameters
    ----------
    alpha : ONNX's, divided by the channels of a window
    beta, bias : ONNX's
    frac, width : format of neurons

    Raises
    ------
    ValueError
        If a table or the constant does not fit the width.
    """
    parts = np.linspace(0, 1, _PARTS + 1)
    # As dense as the root of the curvature, which here has an integral.
    most = bias + alpha * 2.0 ** (width - 1 - frac)
    ends = bias ** (-beta / 2), most ** (-beta / 2)
    u = (ends[0] + (ends[1] - ends[0]) * parts) ** (-2 / beta)
    exponent = 1 + 1 / beta
    largest = bias**-beta
    tables = []
    for points, function in (
        ((u - bias) / alpha, lambda s: (bias + alpha * s) ** -beta),
        (largest * parts ** (2 / exponent), lambda f: f**exponent),
    ):
        # In narrow formats some fall together.
        places = np.unique(np.minimum(np.round(points * 2.0**frac), 2.0 ** (width - 1) - 1))
        if len(places) < 2 or function(points).max() * 2.0**frac >= 2.0 ** (width - 1):
            raise ValueError("out of range")
        tables.append(_lines(function, (places * 2.0**-frac).tolist(), frac, width))
    constant = 2 * alpha * beta
    shift = min(63, int(np.floor(width - 2 - np.log2(constant))))
    slopes = [abs(slope) for table in tables for slope in table.a]
    if shift < 0 or max(slopes) >= 1 << (width - 1):
        raise ValueError("too steep")
    return tables[0], tables[1], (-round(constant * 2.0**shift), shift)


NEGATIVE = Table((), (-1,), (0,), 0)
"""What changes the sign."""


def at_least_zero(frac: int) -> Table:
    """1, with ``frac`` fraction bits, for what is not negative, else 0."""
    return Table((0,), (0, 0), (0, 1 << frac), 0)


def scaled(scale: tuple[int, int]) -> Table:
    """Times a multiplier, shifted right; see ``sim.training.network.Pool``."""
    return Table((), (scale[0],), (0,), scale[1])
