"""Scalar functions that NFU-3 can evaluate from a table: chains of elementary activations."""

from dataclasses import dataclass

import numpy as np

__all__ = [
    "IDENTITY",
    "Clip",
    "Function",
    "LeakyRelu",
    "Linear",
    "Power",
    "Sigmoid",
    "Step",
    "Tanh",
]


@dataclass(frozen=True)
class Linear:
    """``scale * x + offset``."""

    scale: float = 1.0
    offset: float = 0.0
    kinks = ()
    curved = False

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.scale * x + self.offset


@dataclass(frozen=True)
class LeakyRelu:
    """``x`` where positive, ``alpha * x`` elsewhere; ReLU for ``alpha = 0``."""

    alpha: float = 0.0
    kinks = (0.0,)
    curved = False

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return np.where(x >= 0, x, self.alpha * x)


@dataclass(frozen=True)
class Clip:
    """``x`` limited to ``low`` .. ``high`` (either may be infinite)."""

    low: float
    high: float
    curved = False

    @property
    def kinks(self) -> tuple[float, ...]:
        return tuple(k for k in (self.low, self.high) if np.isfinite(k))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return np.minimum(np.maximum(x, self.low), self.high)


@dataclass(frozen=True)
class Sigmoid:
    """``1 / (1 + exp(-x))``."""

    kinks = (0.0,)
    curved = True

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return 0.5 + 0.5 * np.tanh(0.5 * x)


@dataclass(frozen=True)
class Tanh:
    """Hyperbolic tangent."""

    kinks = (0.0,)
    curved = True

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return np.tanh(x)


@dataclass(frozen=True)
class Power:
    """``max(x, low) ** exponent``, with ``low`` above 0 and ``exponent`` below 1."""

    exponent: float
    low: float
    curved = True

    @property
    def kinks(self) -> tuple[float, ...]:
        return (self.low,)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return np.maximum(x, self.low) ** self.exponent


Step = Linear | LeakyRelu | Clip | Sigmoid | Tanh | Power
"""An elementary function: convex or concave between its ``kinks``; not ``curved`` means linear."""


@dataclass(frozen=True)
class Function:
    """The composition of ``steps``, applied from first to last.

    At most one step may be curved, so that the whole is linear, convex or concave between kinks.
    """

    steps: tuple[Step, ...] = ()

    def __call__(self, x: np.ndarray) -> np.ndarray:
        for step in self.steps:
            x = step(x)
        return x

    def accepts(self, other: "Function") -> bool:
        """Whether ``self.then(other)`` is still a function that a table can be fitted to."""
        return sum(step.curved for step in self.steps + other.steps) <= 1

    def then(self, other: "Function") -> "Function":
        """``other`` applied to the result of this function."""
        if not self.accepts(other):
            raise ValueError(f"at most one curved step is possible, not {self} then {other}")
        steps: list[Step] = []
        for step in self.steps + other.steps:
            last = steps[-1] if steps else None
            if isinstance(step, Linear) and isinstance(last, Linear):
                steps.pop()
                step = Linear(step.scale * last.scale, step.scale * last.offset + step.offset)
            if step != Linear():
                steps.append(step)
        return Function(tuple(steps))

    def pieces(self, x: np.ndarray) -> list[int]:
        """Indices at which ascending samples ``x`` enter a new linear, convex or concave piece."""
        borders = {0}
        for step in self.steps:
            for kink in step.kinks:
                above = x >= kink
                borders.update((np.flatnonzero(above[1:] != above[:-1]) + 1).tolist())
            x = step(x)
        return sorted(borders)

    @property
    def selects(self) -> bool:
        """Whether the result is always the argument or a constant (identity, ReLU, clip)."""
        return all(
            isinstance(step, Clip) or step == LeakyRelu() or step == Linear() for step in self.steps
        )

    @property
    def steepest(self) -> float:
        """An upper bound of the slope's magnitude."""
        slopes = {Sigmoid: 0.25, Tanh: 1.0, Clip: 1.0}
        bound = 1.0
        for step in self.steps:
            if isinstance(step, Linear):
                bound *= abs(step.scale)
            elif isinstance(step, LeakyRelu):
                bound *= max(1.0, abs(step.alpha))
            elif isinstance(step, Power):
                bound *= abs(step.exponent) * step.low ** (step.exponent - 1)
            else:
                bound *= slopes[type(step)]
        return bound

    @property
    def nonnegative(self) -> bool:
        """Whether the result is known never to be negative."""
        last = self.steps[-1] if self.steps else None
        return (
            isinstance(last, Sigmoid | Power)
            or last == LeakyRelu()
            or (isinstance(last, Clip) and last.low >= 0)
        )


IDENTITY = Function()
