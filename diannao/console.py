"""What people see while they wait: progress bars and tables."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from sim.execution import Progress as Report

__all__ = ["layer_table", "showing_progress"]


@contextmanager
def showing_progress() -> Iterator[Report]:
    """A progress callback that draws a bar on stderr, if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda what, done=0, total=None: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)

        def report(what: str, done: int = 0, total: int | None = None) -> None:
            if what:
                progress.reset(task, total=total, description=what)
            progress.update(task, completed=done)

        yield report


def layer_table(report: dict[str, Any]) -> Table:
    """The layers of a report (see ``Session.report``) for people."""
    title = f"{report['model']} on {report['config']} ({report['target']})"
    modelled = any(layer["source"] == "model" for layer in report["layers"])
    table = Table(
        title=escape(title),
        caption="cycles of layers: by the performance model" if modelled else None,
    )
    table.add_column("layer")
    table.add_column("operator")
    clocked = report["target"] not in ("golden", "isa")
    for heading in ("MACs", "cycles" if clocked else "NFU steps", "bound", "efficiency"):
        table.add_column(heading, justify="right")
    total = {"name": "total", "op": "", **report}
    if not clocked:
        steps = [layer["cycles"] for layer in report["layers"]]
        total["cycles"] = None if None in steps else sum(steps)
    for row in (*report["layers"], total):
        if row is total:
            table.add_section()
        cycles, efficiency = row["cycles"], row["efficiency"]
        table.add_row(
            escape(row["name"]),
            escape(row["op"]),
            f"{row['macs']:,}",
            "-" if cycles is None else f"{cycles:,}",
            f"{row['bound_cycles']:,.0f}",
            f"{100 * efficiency:.1f} %" if efficiency else "-",
        )
    return table
