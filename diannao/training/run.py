"""Trains a model with stochastic gradient descent, in golden or on a machine."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import onnx

from compiler.training.frontend import TrainingModel, read_model
from hw.arith.numbers import saturate
from hw.dadiannao.config import NodeConfig
from hw.errors import UserError
from sim.training.golden import Golden
from sim.training.loss import LOSSES, Loss, Rate
from sim.training.network import Formats, Linear

from ..accelerators import MachineConfig
from ..configs import load_config

__all__ = ["FORMATS", "TARGETS", "Epoch", "Training", "train"]

FORMATS = {
    16: Formats(width=16, activation=10, weight=10, gradient=10),
    32: Formats(width=32, activation=20, weight=24, gradient=26),
}
"""Number formats by width: the paper's Q6.10 everywhere, and 32 bits with as much more fraction."""

TARGETS = ("golden", "isa", "verilator")

DEFAULT = "dadiannao-tiny-training"
"""The machine of the targets ``isa`` and ``verilator``."""


class Engine(Protocol):
    """What trains: see ``sim.training.golden.Golden``."""

    def forward(self, x: np.ndarray) -> np.ndarray: ...

    def backward(self, delta: np.ndarray, shift: int) -> None: ...


@dataclass(frozen=True)
class Epoch:
    """What an epoch has come to.

    Parameters
    ----------
    loss, accuracy : mean over the images that it was trained with, as they came
    test_accuracy : on the test images after it, or None without them
    """

    loss: float
    accuracy: float
    test_accuracy: float | None


@dataclass
class Training:
    """The result of ``train``.

    Parameters
    ----------
    model : ONNX with the trained weights
    epochs : one after the other
    cycles : clock cycles of all batches on RTL, else None
    """

    model: onnx.ModelProto
    epochs: list[Epoch] = field(default_factory=list)
    cycles: int | None = None


Report = Callable[[int, int, int, float, float], None]
"""Told epoch, batch, batches of an epoch, mean loss and accuracy so far."""


def train(
    model: str | Path | onnx.ModelProto,
    inputs: np.ndarray,
    labels: np.ndarray,
    *,
    test: tuple[np.ndarray, np.ndarray] | None = None,
    epochs: int = 10,
    batch: int = 16,
    rate: float = 0.1,
    loss: str = "cross-entropy",
    width: int = 32,
    target: str = "golden",
    config: str | MachineConfig = DEFAULT,
    batches: int | None = None,
    seed: int = 1,
    report: Report | None = None,
) -> Training:
    """Train ``model`` in fixed point.

    Forward, backward and update run on the machine (or in its golden model); the loss and its
    gradient with respect to the outputs, and the order of the images, are the host's.

    Parameters
    ----------
    model : ONNX, a chain of layers
    inputs : (images, ...) numbers, as the model takes them
    labels : (images,) integers for cross entropy, (images, outputs) numbers for the squared error
    test : inputs and labels to test with after every epoch
    epochs, batch, rate : of plain stochastic gradient descent; images that do not fill the last
        batch of an epoch are left out of it
    loss : "cross-entropy" (of softmax) or "squared-error"
    width : bits of all numbers, 16 or 32
    target : "golden", "isa" (interpreter) or "verilator" (RTL)
    config : the machine, for the latter two
    batches : stop after so many of an epoch
    seed : of the order of the images
    report : told about each batch

    Raises
    ------
    UserError
        If something of this cannot be.
    """
    _check(epochs, batch, rate, loss, width, target, batches)
    formats = FORMATS[width]
    source = Path(model) if isinstance(model, str) else model
    read = read_model(source, formats)
    x, wanted = _data(read, inputs, labels, loss)
    tested = None if test is None else _data(read, *test, loss)
    if len(x) < batch:
        raise UserError(f"batch must be at most the {len(x)} images there are, not {batch}")
    step = Loss(loss, formats, Rate.of(rate, batch))
    total = formats.gradient + formats.activation - formats.weight + step.rate.shift
    if not 0 <= total < 64:
        raise UserError(f"rate {rate:g} with batches of {batch} is out of range; try 0.1")
    engine = _engine(read, target, config, batch, step.rate.shift)
    result = Training(read.model)
    try:
        rng = np.random.default_rng(seed)
        for number in range(epochs):
            mean, accuracy = _epoch(engine, step, x, wanted, batch, batches, rng, report, number)
            found = None
            if tested is not None:
                engine.store()
                found = _accuracy(read, *tested)
            result.epochs.append(Epoch(mean, accuracy, found))
        engine.store()
        result.cycles = engine.cycles
    finally:
        engine.close()
    result.model = read.trained()
    return result


class _GoldenEngine(Golden):
    """Golden as it is; its weights are the network's."""

    cycles = None

    def store(self) -> None:
        """The network has the weights already."""

    def close(self) -> None:
        """Nothing is held."""


def _engine(read: TrainingModel, target: str, config: str | MachineConfig, batch: int, shift: int):
    if target == "golden":
        return _GoldenEngine(read.network)
    from .machine import MachineEngine  # a simulator's build only where it is needed

    machine = load_config(config)
    if not isinstance(machine, NodeConfig):
        raise UserError(f"{machine.name} is no DaDianNao machine and cannot train; try {DEFAULT}")
    return MachineEngine(read.network, machine, batch, shift, target)


def _check(epochs, batch, rate, loss, width, target, batches) -> None:
    for name, value in (("epochs", epochs), ("batch", batch), ("batches", batches)):
        if value is not None and value < 1:
            raise UserError(f"{name} must be at least 1, not {value}")
    if not rate > 0:
        raise UserError(f"rate must be more than 0, not {rate:g}")
    for name, value, choices in (
        ("loss", loss, LOSSES), ("width", width, tuple(FORMATS)), ("target", target, TARGETS),
    ):  # fmt: skip
        if value not in choices:
            raise UserError(f"{name} must be one of {', '.join(map(str, choices))}, not {value}")


def _data(
    read: TrainingModel, inputs: np.ndarray, labels: np.ndarray, loss: str
) -> tuple[np.ndarray, np.ndarray]:
    """Integers of the inputs (images, channels, height, width), and what is wanted."""
    formats, shape = read.network.formats, read.network.shape
    if len(inputs) != len(labels) or not len(inputs):
        raise UserError(f"there must be as many labels as images, not {len(labels)} and "
                        f"{len(inputs)}")  # fmt: skip
    if inputs[0].size != np.prod(shape):
        raise UserError(f"images must have {np.prod(shape)} numbers, as input {read.input!r} has, "
                        f"not {inputs[0].size}")  # fmt: skip
    for name, values in (("images", inputs), ("labels", labels)):
        if values.dtype.kind not in "buif" or not np.isfinite(values).all():
            raise UserError(f"{name} must be finite numbers")
    scaled = np.floor(inputs.astype(np.float64) * 2.0**formats.activation + 0.5)
    x = saturate(scaled.astype(np.int64), formats.width).reshape(len(inputs), *shape)
    last = read.network.layers[-1]
    if not isinstance(last, Linear) or not read.flat:
        raise UserError("the last layer of a model to be trained must be a Gemm or MatMul")
    outputs = len(last.weight)
    if loss == "cross-entropy":
        if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
            raise UserError("labels must be one integer per image for cross entropy; for numbers "
                            "choose the loss squared-error")  # fmt: skip
        if labels.min() < 0 or labels.max() >= outputs:
            raise UserError(f"labels must be 0 to {outputs - 1}, as there are {outputs} outputs, "
                            f"not {labels.min()} to {labels.max()}")  # fmt: skip
        return x, labels.astype(np.int64)
    if read.softmax:
        raise UserError("the squared error needs a model without Softmax at its end")
    if labels.shape != (len(x), outputs):
        raise UserError(f"labels must have the shape {(len(x), outputs)} for the squared error, "
                        f"not {labels.shape}")  # fmt: skip
    return x, labels.astype(np.float64)


def _batches(count: int, batch: int, most: int | None, rng) -> Iterator[np.ndarray]:
    order = rng.permutation(count)
    for number in range(min(count // batch, most or count)):
        yield order[number * batch : (number + 1) * batch]


def _epoch(engine, step, x, wanted, batch, most, rng, report, number) -> tuple[float, float]:
    """Mean loss and accuracy of one pass over the images."""
    losses, right, seen = 0.0, 0, 0
    total = min(len(x) // batch, most or len(x))
    for done, chosen in enumerate(_batches(len(x), batch, most, rng), start=1):
        outputs = engine.forward(x[chosen])
        loss, correct, delta = step(outputs, wanted[chosen])
        engine.backward(delta, step.rate.shift)
        losses, right, seen = losses + loss * batch, right + correct, seen + batch
        if report is not None:
            report(number, done, total, losses / seen, right / seen)
    return losses / seen, right / seen


def _accuracy(read: TrainingModel, x: np.ndarray, wanted: np.ndarray) -> float:
    """Share of images whose largest output is the right one, in golden."""
    found = Golden(read.network).forward(x).argmax(axis=1)
    return float(np.mean(found == (wanted if wanted.ndim == 1 else wanted.argmax(axis=1))))
