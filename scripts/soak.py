"""Random networks and programs on the RTL of small cores, with random memories, until one differs.

    python scripts/soak.py --count 200 --config shared-4x4-8bit

Networks must give what golden gives, tensor by tensor; programs by hand must do to memory and
counters what they do in the interpreter. A failure names the seed that repeats it:
``--seed SEED --count 1``.
"""

import os
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent.parent))  # the tests are no installed package

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.sim.rtl import CORES
from tests.sim.soak import soak_network, soak_program

CONFIGS = {config.name: config for config, _ in CORES}


def main(
    count: Annotated[int, typer.Option(min=1, help="networks, and programs, on each core")] = 100,
    config: Annotated[
        list[str] | None, typer.Option(help=f"core, of {', '.join(CONFIGS)} (default: all)")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="first seed (default: a random one)")] = None,
) -> None:
    """Run random networks and programs on the RTL and compare."""
    for name in config or ():
        if name not in CONFIGS:
            raise typer.BadParameter(f"--config must be of {', '.join(CONFIGS)}, not {name!r}")
    first = int(np.random.default_rng().integers(1 << 31)) if seed is None else seed
    console = Console(stderr=True, highlight=False)
    console.print(f"seeds {first} to {first + count - 1}")
    failures = 0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        for name in config or CONFIGS:
            seen = Counter()
            task = progress.add_task(name, total=2 * count)
            for number in range(first, first + count):
                for kind, run in (("network", soak_network), ("program", soak_program)):
                    try:
                        seen[f"{kind} {run(CONFIGS[name], number)}"] += 1
                    except Exception as error:
                        failures += 1
                        seen[f"{kind} FAILS"] += 1
                        where = f"{kind} on {name}, --seed {number} --count 1 --config {name}"
                        console.print(f"{where}:\n  {type(error).__name__}: {error}", markup=False)
                    progress.advance(task)
            parts = ", ".join(f"{times} x {what}" for what, times in sorted(seen.items()))
            console.print(f"{name}: {parts}")
    if failures:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
