"""The command ``diannao``."""

import json
import logging
import os
import sys
import warnings
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

# Small matrices by many threads are slower than by one; must be set before numpy is loaded.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from typer.exceptions import TyperException

from compiler.quantise import SaturationWarning
from hw.diannao.config import Config
from hw.errors import UserError
from sim.driver import CoreError, CoreTimeoutError

from .accelerators import accelerator_of, named_configs
from .asic.command import synth_command
from .bench.command import bench_command
from .board.command import board_app
from .configs import DEFAULT, load_config, load_core, to_toml
from .console import layer_table, showing_progress
from .energy import TABLES, add_energy, load_costs
from .energy.display import energy_table
from .files import check_writable, read_npz, replacing
from .generate import generate
from .options import Configuration, Settings
from .roofline import check_plot, plot
from .session import MismatchError, Session
from .targets import CLOCKED, is_board
from .training.command import train_command

__all__ = ["main"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
config_app = typer.Typer(help="Named configurations.")
app.add_typer(config_app, name="config")
app.add_typer(board_app, name="board")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"diannao {version('diannao')}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Say which one."),
    ] = False,
) -> None:
    """Generate accelerators of the DianNao family and run ONNX models on them."""


def _print_json(value) -> None:
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def _window(text: str, trace: Path | None) -> tuple[int, int]:
    """The two numbers of ``--trace-cycles``."""
    if trace is None:
        raise UserError("--trace-cycles says how much is traced; name a file with --trace")
    first, _, last = text.rpartition(":")
    if not (last.isdecimal() and (first or "0").isdecimal()) or int(first or 0) >= int(last):
        raise UserError(f"--trace-cycles must be LAST or FIRST:LAST in cycles, not {text!r}")
    return int(first or 0), int(last)


@app.command("run")
def run_command(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="The network.")],
    inputs: Annotated[
        Path | None,
        typer.Option("--input", metavar="FILE.npz", help="One array per input, by ONNX name."),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE.toml",
            help=f"Configuration of the core; without, {DEFAULT} or what is on the board.",
        ),
    ] = None,
    settings: Settings = None,
    target: Annotated[
        str,
        typer.Option(
            metavar="TARGET",
            help="golden, isa, verilator, icarus, a serial port with a board, or sim:BOARD.",
        ),
    ] = "verilator",
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE.npz", help="Outputs: NAME, NAME.int and NAME.frac."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Cycles, traffic, stalls by layer.")
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(metavar="FILE.npz", help="Samples that decide the number formats."),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(metavar="Qm.n", help="One number format for everything.")
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Waveforms (.vcd, .fst) or timeline (.json, Perfetto)."),
    ] = None,
    trace_cycles: Annotated[
        str | None,
        typer.Option(metavar="[FIRST:]LAST", help="Clock cycles that are traced; without, all."),
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Roofline of the layers (.svg, .png or .pdf)."),
    ] = None,
    energy: Annotated[
        str | None,
        typer.Option(
            metavar="TABLE", help=f"Energy by a table of costs: {', '.join(TABLES)} or FILE.toml."
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse operators that would run on the host.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report as JSON, not as a table.")
    ] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Say more.")] = False,
) -> None:
    """Run a network and report cycles, traffic and accuracy, layer by layer."""
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(message)s")
    window = None if trace_cycles is None else _window(trace_cycles, trace)
    if figure is not None:
        if target not in CLOCKED:
            raise UserError(f"--plot needs a target with a clock ({', '.join(CLOCKED)})")
        check_plot(figure)
    if energy is not None and target not in CLOCKED:
        raise UserError(f"--energy needs a target with a clock ({', '.join(CLOCKED)})")
    costs = None if energy is None else load_costs(energy)
    for wanted, option in ((figure, "--plot"), (energy, "--energy")):
        if wanted is not None and not is_board(target):
            load_core(option, config, settings or [])
    for path in (output, report, trace):
        if path is not None:
            check_writable(path)
    feeds = None if inputs is None else read_npz(inputs)
    with (
        showing_progress() as progress,
        Session(
            model, config=config, settings=settings or [], target=target, strict=strict,
            calibration=calibration, preset=preset, trace=trace, trace_cycles=window,
            progress=progress,
        ) as session,
    ):  # fmt: skip
        random = feeds is None
        if feeds is None:
            feeds = session.random_inputs()
        results = session.run_fixed(None, feeds)
        summary = {**session.report, "random_input": random}
    if costs is not None:
        summary = add_energy(summary, costs)
    if output is not None:
        arrays = {}
        for name, result in results.items():
            arrays[name] = result.values
            if result.integers is not None:
                arrays |= {f"{name}.int": result.integers, f"{name}.frac": np.array(result.frac)}
        with replacing(output) as partial, partial.open("wb") as file:
            np.savez(file, **arrays)
    if report is not None:
        with replacing(report) as partial:
            partial.write_text(json.dumps(summary, indent=2) + "\n")
    if figure is not None:
        plot(summary, figure)
    if as_json:
        _print_json(summary)
        return
    Console(highlight=False).print(layer_table(summary))
    if costs is not None:
        Console(highlight=False).print(energy_table(summary))
    if random:
        typer.echo("no --input: ran on random numbers from a fixed seed")
    for node in summary["host"]:
        typer.echo(f"on the host: {node['op']} {node['name']!r} ({node['reason']})")
    if summary["link_seconds"] is not None:
        typer.echo(f"{summary['link_seconds']:.2f} s on the line to the board")
    if summary["checked_tensors"]:
        typer.echo(f"{summary['checked_tensors']} tensors equal golden, bit for bit")
    if summary["float_error"] is not None:
        error = summary["float_error"]
        typer.echo(
            f"off ONNX Runtime by at most {error['max']:.4g}, {error['mean']:.4g} on average"
        )


@app.command("generate")
def generate_command(
    folder: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Where to.")],
    config: Configuration = DEFAULT,
    settings: Settings = None,
) -> None:
    """Write a core's Verilog, manifest, FuseSoC file, lint waivers and register map."""
    with showing_progress() as progress:
        progress(f"generating {config}")
        manifest = generate(config, folder, settings or [])
    for name in [*manifest["sha256"], f"{manifest['module']}.json"]:
        typer.echo(folder / name)


app.command("synth")(synth_command)
app.command("bench")(bench_command)
app.command("train")(train_command)


def _kib(size: int) -> str:
    return f"{size / 1024:g}K"


@config_app.command("list")
def config_list() -> None:
    """The named configurations; of DaDianNao nodes x tiles, and a tile's buffers (bytes, rows)."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    headings = ("name", "NFUs", "Tn", "Ti", "bits", "multiplier", "drop", "NBin", "SB", "NBout")
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "name" else "right", no_wrap=True)
    for config in named_configs().values():
        core = accelerator_of(config).arithmetic(config)
        nfus = "1" if isinstance(config, Config) else f"{config.nodes} x {config.tiles}"
        table.add_row(
            config.name, nfus, str(core.tn), str(core.ti), str(core.width), core.multiplier,
            str(core.drop), _kib(core.nbin_elements * core.element_bytes),
            _kib(core.sb_rows * core.sb_row_bits // 8), str(core.nbout_rows),
        )  # fmt: skip
    Console(highlight=False).print(table)


@config_app.command("show")
def config_show(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE.toml")],
    settings: Settings = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of TOML.")] = False,
) -> None:
    """A configuration in full, as a file that --config takes."""
    config = load_config(name, settings or [])
    if as_json:
        _print_json(asdict(config))
    else:
        typer.echo(to_toml(config), nl=False)


def main() -> None:
    """Entry point: a user's mistake is one line on stderr and exit status 2.

    A core that fails is one line, too, with exit status 1.
    """

    def show_warning(message, category, *_args, **_kwargs) -> None:
        if issubclass(category, SaturationWarning):
            typer.echo(f"diannao: warning: {message}", err=True)

    warnings.showwarning = show_warning
    try:
        status = app(sys.argv[1:] or ["--help"], prog_name="diannao", standalone_mode=False)
        sys.exit(status or 0)
    except UserError as error:
        typer.echo(f"diannao: {error}", err=True)
        sys.exit(2)
    except TyperException as error:
        # What was typed; Typer by itself draws a box of several lines.
        context = getattr(error, "ctx", None)
        where = "diannao" if context is None else context.command_path
        said = error.format_message().rstrip(".")
        typer.echo(f"diannao: {said}; {where} --help lists what there is", err=True)
        sys.exit(2)
    except typer.Abort:
        typer.echo("diannao: stopped", err=True)
        sys.exit(130)
    except (MismatchError, CoreError, CoreTimeoutError) as error:
        typer.echo(f"diannao: {error}; please report this", err=True)
        sys.exit(1)
