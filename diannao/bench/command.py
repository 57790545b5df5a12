"""The command ``diannao bench``."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hw.errors import UserError

from ..configs import DEFAULT, load_core
from ..console import showing_progress
from ..files import check_writable, replacing
from ..options import Configuration, Settings
from ..roofline import check_plot, plot
from .layers import LAYERS, Benchmark
from .measure import MOST, Bench
from .report import report_of
from .table import markdown, table

__all__ = ["bench_command"]


def bench_command(
    layers: Annotated[
        list[str] | None,
        typer.Argument(metavar="[LAYER]...", help=f"Which ({', '.join(LAYERS)}); without, all."),
    ] = None,
    config: Configuration = DEFAULT,
    settings: Settings = None,
    bandwidth: Annotated[
        int | None,
        typer.Option("--memory-bytes", metavar="N", min=1, help="Memory's bytes per cycle."),
    ] = None,
    latency: Annotated[
        int | None, typer.Option("--memory-latency", metavar="N", min=1, help="In cycles.")
    ] = None,
    most: Annotated[
        int,
        typer.Option(
            "--rtl-cycles",
            metavar="N",
            min=1,
            help="Layers whose bound is longer run on the RTL as a crop in x and y.",
        ),
    ] = MOST,
    model_only: Annotated[
        bool, typer.Option("--model", help="The performance model for everything, no RTL.")
    ] = False,
    figure: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Roofline (.svg, .png or .pdf).")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--json", metavar="FILE.json", help="Everything, for machines.")
    ] = None,
    page: Annotated[
        Path | None, typer.Option("--markdown", metavar="FILE.md", help="The table for a page.")
    ] = None,
) -> None:
    """Measure the layers of the papers: cycles against the bound, traffic and stalls.

    Each layer comes with its memory (the paper's, 255 bytes per cycle after 100 cycles, or that of
    the peers, 32 bytes per cycle). Every output on the RTL is compared with the golden model.
    """
    wanted = [_find(name) for name in layers or LAYERS]
    core = load_core("bench", config, settings or [])
    if figure is not None:
        check_plot(figure)
    for path in (report, page):
        if path is not None:
            check_writable(path)
    with (
        showing_progress() as progress,
        Bench(
            core, bandwidth=bandwidth, latency=latency, most=most, model_only=model_only,
            progress=progress,
        ) as bench,
    ):  # fmt: skip
        measurements = [bench.measure(layer) for layer in wanted]
    if not any(layer.runs for layer in measurements):
        raise UserError(measurements[0].reason)
    summary = report_of(measurements, core)
    if report is not None:
        with replacing(report) as partial:
            partial.write_text(json.dumps(summary, indent=2) + "\n")
    if page is not None:
        with replacing(page) as partial:
            partial.write_text(markdown(measurements))
    if figure is not None:
        plot(summary, figure)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    console.print(table(measurements, f"benchmark layers on {core.name}"))
    for name, reason in summary["left_out"].items():
        console.print(f"{name} left out: {reason}")


def _find(name: str) -> Benchmark:
    """A layer by name; the paper's asterisk may be left out, which shells would expand."""
    for known in (name.upper(), f"{name.upper()}*"):
        if known in LAYERS:
            return LAYERS[known]
    raise UserError(f"unknown layer {name!r}; known: {', '.join(LAYERS)}")
