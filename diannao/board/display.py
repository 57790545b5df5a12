"""What ``diannao board`` prints."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from boards.catalog import Board

__all__ = ["new_table", "print_build", "print_fit"]


def new_table(*headings: str) -> Table:
    """A table without lines; numbers are from the second column on."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number > 1 else "left", no_wrap=True)
    return table


def _resources(resources: Mapping[str, Mapping[str, int]]) -> Table:
    table = new_table("resource", "", "used", "available", "share")
    for name, count in resources.items():
        share = count["used"] / count["available"] if count["available"] else 0.0
        table.add_row(
            name, "", f"{count['used']:,}", f"{count['available']:,}", f"{100 * share:.1f} %"
        )
    return table


def print_fit(console: Console, board: Board, counts: dict[str, int], has: dict[str, int]) -> None:
    """Print a proposal.

    Parameters
    ----------
    board : with the core that is proposed
    counts : what it should take, by resource
    has : what the device has
    """
    from boards.fit import VARIED  # takes half a second

    console.print(
        _resources({kind: {"used": counts.get(kind, 0), "available": has[kind]} for kind in has})
    )
    chosen = " ".join(f"--set {key}={getattr(board.config, key)}" for key in VARIED)
    console.print(
        "estimated; whether it fits, and whether its clock is fast enough, the build tells:\n"
        f"diannao board build {board.name} {chosen} -o DIR",
        soft_wrap=True,
    )


def print_build(console: Console, report: dict[str, Any], folder: Path) -> None:
    """Print the ``report`` of a build in ``folder``."""
    console.print(_resources(report["resources"]))
    console.print(
        f"{report['fmax_hz'] / 1e6:.1f} MHz reached, {report['clock_hz'] / 1e6:g} MHz chosen, "
        f"slack {report['slack_ns']:.2f} ns"
    )
    per_dsp = report["gops_per_dsp"]
    console.print(
        f"peak {report['peak_gops']:.3g} GOP/s"
        + (f", {per_dsp:.3g} per DSP" if per_dsp else "")
        + f"; built in {report['seconds']:.0f} s"
    )
    console.print(folder / report["bitstream"])
