"""The generated parts of docs/boards.md, from docs/boards.json."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from boards.catalog import BOARDS
from boards.fit import available, deviations, largest, measured
from diannao.board.display import print_build, print_fit

__all__ = ["DIGITS", "PAGE", "RESULTS", "written"]

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs" / "boards.json"
PAGE = ROOT / "docs" / "boards.md"
DIGITS = Path("models") / "digits.onnx"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _builds(results: dict[str, Any]) -> Iterator[str]:
    yield _row(
        "board", "core", "LUT", "FF", "DSP", "block RAM", "MHz reached (chosen)", "slack, ns",
        "GOP/s", "GOP/s per DSP", "build, s",
    )  # fmt: skip
    yield "| -- | -- |" + " --: |" * 9
    for name, result in results.items():
        built = result["build"]
        config = built["configuration"]
        counts = (built["resources"].get(kind) for kind in ("LUT", "FF", "DSP", "BRAM"))
        yield _row(
            name, f"{config['tn']}x{config['ti']}, {config['width']} bits",
            *(f"{c['used']:,} of {c['available']:,}" if c else "-" for c in counts),
            f"{built['fmax_hz'] / 1e6:.1f} ({built['clock_hz'] / 1e6:g})",
            f"{built['slack_ns']:.2f}", f"{built['peak_gops']:.2f}",
            f"{built['gops_per_dsp']:.3f}", f"{built['seconds']:.0f}",
        )  # fmt: skip


def _expected(result: dict[str, Any]) -> tuple[float, float]:
    """Seconds that a digit takes in the core, and on the line."""
    run = result["digits"]
    return run["cycles"] / result["build"]["clock_hz"], 10 * run["link_bytes"] / run["baud"]


def _digits(results: dict[str, Any]) -> Iterator[str]:
    yield _row("board", "MHz", "cycles", "core, ms", "bytes on the line", "line, ms", "digits/s")
    yield "| -- |" + " --: |" * 6
    for name, result in results.items():
        run = result["digits"]
        core, line = _expected(result)
        yield _row(
            name, f"{result['build']['clock_hz'] / 1e6:g}", f"{run['cycles']:,}",
            f"{1e3 * core:.2f}",
            f"{run['link_bytes']:,} in {run['link_frames']} frames", f"{1e3 * line:.2f}",
            f"{1 / (core + line):.0f}",
        )  # fmt: skip


def _estimates() -> Iterator[str]:
    yield _row("board", "core", "resource", "estimated", "measured", "error")
    yield "| -- | -- | -- |" + " --: |" * 3
    for name in measured():
        for config, kind, guess, count in deviations(name):
            core = f"{config.tn}x{config.ti}, {config.width} bits"
            error = 100 * (guess - count) / count
            yield _row(name, core, kind, f"{guess:,}", f"{count:,}", f"{error:+.1f} %")


def _demo(results: dict[str, Any], name: str) -> Iterator[str]:
    """What is typed for a board, and what it prints."""
    board, result = BOARDS[name], results[name]
    folder = Path("build") / name
    console = Console(file=io.StringIO(), width=100, highlight=False)
    if name in measured():
        console.print(f"$ diannao board fit {name}")
        print_fit(console, *largest(board), available(board))
        console.print()
    console.print(f"$ diannao board build {name} -o {folder}", soft_wrap=True)
    print_build(console, result["build"], folder)
    console.print(f"\n$ diannao board load {name} {folder}", soft_wrap=True)
    console.print(f"\n$ diannao run {DIGITS} --target sim:{name}", soft_wrap=True)
    said = console.file.getvalue() + result["digits"].get("printed", "")  # type: ignore
    yield "```"
    yield from (line.rstrip() for line in said.splitlines())
    yield "```\n"
    core, line = _expected(result)
    yield (
        f"Expected of the board: {1e3 * core:.2f} ms in the core and {1e3 * line:.2f} ms on the "
        f"line for a digit, so {1 / (core + line):.0f} digits per second."
    )


def written(page: str, results: dict[str, Any]) -> str:
    """``page`` with the generated parts as ``results`` say: what is between a line
    ``<!-- NAME -->`` and the next ``<!-- end -->``, for each table and each board's demo.

    Raises
    ------
    ValueError
        If the page does not have these lines.
    """
    results = {name: results[name] for name in BOARDS if name in results}
    parts = {
        "builds": _builds(results), "digits": _digits(results), "estimates": _estimates()
    }  # fmt: skip
    parts |= {f"demo of {name}": _demo(results, name) for name in results}
    for name, lines in parts.items():
        begin, end = f"<!-- {name} -->\n", "<!-- end -->"
        before, marked, after = page.partition(begin)
        if not marked or end not in after:
            raise ValueError(f"{PAGE.name} must hold the lines {begin.strip()} and {end}")
        rest = after[after.index(end) :]
        page = f"{before}{begin}{chr(10).join(lines)}\n{rest}"
    return page
