"""The command ``diannao synth``."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ..configs import DEFAULT
from ..console import showing_progress
from ..options import Configuration, Settings
from .synth import synthesise
from .tops import TOPS

__all__ = ["synth_command"]


def synth_command(
    liberty: Annotated[
        Path, typer.Option(metavar="FILE", help="Standard-cell library (.lib or .lib.gz).")
    ],
    top: Annotated[str, typer.Option(help=f"What to map: {', '.join(TOPS)}.")] = "nfu",
    period: Annotated[
        float | None,
        typer.Option(metavar="NS", help="Clock period to map for; without, the shortest."),
    ] = None,
    config: Configuration = DEFAULT,
    settings: Settings = None,
    macro_area: Annotated[
        float | None, typer.Option(metavar="UM2", help="Area of memory macros per bit.")
    ] = None,
    macro_delay: Annotated[
        float, typer.Option(metavar="NS", help="Access time of memory macros.")
    ] = 0.0,
    dont_use: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="Library cells to leave alone.")
    ] = None,
    activity: Annotated[
        Path | None,
        typer.Option(metavar="FILE.vcd", help="Toggle rates: waveforms of diannao run --trace."),
    ] = None,
    scope: Annotated[
        str | None, typer.Option(metavar="PATH", help="Where in FILE.vcd the top is.")
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="DIR", help="For synth.json, netlist.v, energy.toml."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
) -> None:
    """Map a core, or a part of it, to standard cells: area by block, critical path, power."""
    with showing_progress() as progress:
        result = synthesise(
            liberty, top=top, config=config, settings=settings or [], period=period,
            macro_area=macro_area, macro_delay=macro_delay, dont_use=dont_use or [],
            activity=activity, scope=scope, folder=folder, progress=progress,
        )  # fmt: skip
    if as_json:
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
        return
    console = Console(highlight=False)
    console.print(_table(result))
    for line in (*_timing_lines(result), *result["notes"]):
        console.print(line)


def _table(result: dict[str, Any]) -> Table:
    table = Table(
        title=f"{result['top']} of {result['config']} in {result['library']}",
        box=None, padding=(0, 2, 0, 0), pad_edge=False, title_justify="left",
    )  # fmt: skip
    table.add_column("block", no_wrap=True)
    headings = ("cells", "flip-flops", "area um2", "share", "mW", "macro bits", "macro um2")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    total = {**result, "name": "total"}
    for block in (*result["blocks"], total):
        if block is total:
            table.add_row()
        macro, power = block["macro_area_um2"], block["power_mw"]
        share = block["area_um2"] / total["area_um2"] if total["area_um2"] else 0.0
        table.add_row(
            block["name"], f"{block['cells']:,}", f"{block['flip_flops']:,}",
            f"{block['area_um2']:,.0f}", f"{100 * share:.1f} %",
            "-" if power is None else f"{power['total']:.3g}", f"{block['macro_bits']:,}",
            "-" if macro is None else f"{macro:,.0f}",
        )  # fmt: skip
    return table


def _timing_lines(result: dict[str, Any]) -> list[str]:
    power = result["power_mw"]
    if power is None:
        return []
    critical = result["critical_ns"]
    paths = ", ".join(f"{name} {delay:.2f} ns" for name, delay in result["paths_ns"].items())
    return [
        f"critical path {critical:.2f} ns, {1000 / critical:.0f} MHz ({paths});"
        " ideal clock, wires without capacitance",
        f"power {power['total']:.3g} mW at {result['period_ns']:.2f} ns (internal"
        f" {power['internal']:.3g}, switching {power['switching']:.3g}, leakage"
        f" {power['leakage']:.3g}; {result['activity']}), without memory macros",
    ]
