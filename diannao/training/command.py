"""The command ``diannao train``."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import onnx
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from compiler.training.frontend import read_model
from hw.errors import UserError
from sim.training.loss import LOSSES

from ..configs import load_config
from ..files import check_writable, read_npz, replacing
from ..options import Settings
from .run import DEFAULT, FORMATS, TARGETS, Report, train

__all__ = ["train_command"]

_LABELS = "labels"
_TEST = "test_"


def train_command(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="What to train.")],
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            metavar="FILE.npz",
            help="The model's input by its name, and labels; test_... of both to test with.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE.onnx", help="The trained model.")
    ],
    epochs: Annotated[int, typer.Option(metavar="N", help="Passes over the data.")] = 10,
    batch: Annotated[int, typer.Option(metavar="N", help="Images between two updates.")] = 16,
    rate: Annotated[float, typer.Option(metavar="X", help="Learning rate.")] = 0.1,
    loss: Annotated[str, typer.Option(help=" or ".join(LOSSES))] = LOSSES[0],
    width: Annotated[int, typer.Option(help=f"Bits: {', '.join(map(str, FORMATS))}.")] = 32,
    target: Annotated[str, typer.Option(help=f"{', '.join(TARGETS)}.")] = "golden",
    config: Annotated[
        str, typer.Option("--config", metavar="NAME|FILE.toml", help="The machine, if not golden.")
    ] = DEFAULT,
    settings: Settings = None,
    batches: Annotated[
        int | None, typer.Option(metavar="N", help="Stop each epoch after so many batches.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the order of the images.")] = 1,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE.json", help="The epochs, for machines.")
    ] = None,
) -> None:
    """Train a model in fixed point on a DaDianNao machine, or in its golden model."""
    for path in (output, report):
        if path is not None:
            check_writable(path)
    arrays = read_npz(data)
    name = read_model(model, next(iter(FORMATS.values()))).input
    wanted = {name, _LABELS}
    known = wanted | {_TEST + key for key in wanted}
    missing, unknown = wanted - arrays.keys(), arrays.keys() - known
    if missing or unknown:
        what = f"has no array {min(missing)!r}" if missing else f"has {min(unknown)!r}"
        raise UserError(f"{str(data)!r} {what}; it must hold {', '.join(sorted(wanted))} and may "
                        f"hold {', '.join(sorted(known - wanted))}")  # fmt: skip
    test = None
    if _TEST + name in arrays and _TEST + _LABELS in arrays:
        test = arrays[_TEST + name], arrays[_TEST + _LABELS]
    with _showing(epochs) as progress:
        result = train(
            model, arrays[name], arrays[_LABELS], test=test, epochs=epochs, batch=batch, rate=rate,
            loss=loss, width=width, target=target, config=load_config(config, settings or []),
            batches=batches, seed=seed, report=progress,
        )  # fmt: skip
    with replacing(output) as partial:
        onnx.save(result.model, partial)
    if report is not None:
        content = {
            "model": str(model), "target": target, "width": width, "rate": rate, "batch": batch,
            "epochs": [vars(epoch) for epoch in result.epochs], "cycles": result.cycles,
        }  # fmt: skip
        with replacing(report) as partial:
            partial.write_text(json.dumps(content, indent=2) + "\n")
    last = result.epochs[-1]
    text = f"loss {last.loss:.4f}, accuracy {100 * last.accuracy:.2f} %"
    if last.test_accuracy is not None:
        text += f", {100 * last.test_accuracy:.2f} % on the test images"
    if result.cycles is not None:
        text += f", {result.cycles:,} clock cycles"
    typer.echo(f"{text}; wrote {output}")


@contextmanager
def _showing(epochs: int) -> Iterator[Report]:
    """A bar with loss and accuracy on stderr, if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda *_: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)

        def report(epoch: int, done: int, total: int, loss: float, accuracy: float) -> None:
            text = f"epoch {epoch + 1}/{epochs}: loss {loss:.4f}, {100 * accuracy:.2f} % right"
            progress.update(
                task, description=text, completed=epoch * total + done, total=epochs * total
            )

        yield report
