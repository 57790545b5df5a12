"""The loss, which is the host's: floating point, from the outputs' integers to what they should
change by."""

from dataclasses import dataclass

import numpy as np

from hw.arith.numbers import saturate

from .network import Formats

__all__ = ["LOSSES", "Loss", "Rate"]

LOSSES = ("cross-entropy", "squared-error")


@dataclass(frozen=True)
class Rate:
    """A learning rate, divided by the images of a batch: ``factor`` of 1 to 2, / 2 ** ``shift``.

    The factor is part of delta, which everything that comes back is linear in; the shift is that of
    the weight update.
    """

    factor: float
    shift: int

    @staticmethod
    def of(rate: float, batch: int) -> "Rate":
        shift = int(np.ceil(-np.log2(rate / batch)))
        return Rate(rate / batch * 2.0**shift, shift)


@dataclass(frozen=True)
class Loss:
    """Softmax and cross entropy against labels, or half the squared error against numbers.

    Parameters
    ----------
    name : one of ``LOSSES``
    formats : of the network
    rate : of learning
    """

    name: str
    formats: Formats
    rate: Rate

    def __call__(self, outputs: np.ndarray, wanted: np.ndarray) -> tuple[float, int, np.ndarray]:
        """Mean loss, correct images, and delta (images, outputs) in the gradients' format."""
        y = outputs * 2.0**-self.formats.activation
        if self.name == "cross-entropy":
            shifted = y - y.max(axis=1, keepdims=True)
            parts = np.exp(shifted)
            share = parts / parts.sum(axis=1, keepdims=True)
            rows = np.arange(len(y))
            loss = float(np.mean(np.log(parts.sum(axis=1)) - shifted[rows, wanted]))
            right = int((y.argmax(axis=1) == wanted).sum())
            error = share
            error[rows, wanted] -= 1
        else:
            error = y - wanted
            loss = float(np.mean(0.5 * (error**2).sum(axis=1)))
            right = int((y.argmax(axis=1) == wanted.argmax(axis=1)).sum())
        scaled = np.floor(-self.rate.factor * error * 2.0**self.formats.gradient + 0.5)
        return loss, right, saturate(scaled.astype(np.int64), self.formats.width)
