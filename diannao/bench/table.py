"""Measurements as a table, for the terminal and for Markdown."""

from collections.abc import Iterable, Iterator

from rich import box
from rich.table import Table

from ..report import LayerRecord
from .layers import Benchmark
from .measure import Measurement, Modelled

__all__ = ["markdown", "table"]

_HEADINGS = ("layer", "shape", "ran", "cycles", "bound", "set by", "efficiency", "lanes",
             "NBin", "SB", "NBout", "NFU waits for", "model")  # fmt: skip
_LEFT = {"layer", "shape", "ran", "set by", "NFU waits for"}
_RESOURCES = {"nfu": "NFU", "nbin": "NBin port", "sb": "SB port", "nbout": "NBout port",
              "bus": "port", "memory": "memory"}  # fmt: skip
_STALLS = {"nbin": "NBin", "sb": "SB", "nbout": "NBout", "store": "store",
           "instruction": "instruction"}  # fmt: skip
_SOURCES = {"rtl": "RTL", "model": "model"}


def _traffic(record: LayerRecord, port: str) -> str:
    """Bytes, and how often each of the compulsory ones was moved."""
    moved, needed = record.bytes[port], record.compulsory_bytes[port]
    if not needed:
        return _bytes(moved)
    times = moved / needed
    return f"{_bytes(moved)} {times:,.0f}x" if times >= 100 else f"{_bytes(moved)} {times:.3g}x"


def _bytes(count: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} B"


def _stalls(record: LayerRecord) -> str:
    assert record.cycles is not None
    shares = {_STALLS[cause]: count / record.cycles for cause, count in record.stalls.items()}
    return ", ".join(f"{cause} {share:.1%}" for cause, share in shares.items() if share >= 0.001)


def _model(record: LayerRecord, model: Modelled) -> str:
    """How far the performance model is from the RTL, and the seconds that it takes."""
    took = f"{model.seconds:.2f} s"
    if record.source != "rtl":
        return took
    assert record.cycles
    return f"{model.cycles / record.cycles - 1:+.3%}, {took}"


def _cells(ran: str, record: LayerRecord, model: Modelled) -> Iterator[str]:
    yield ran
    yield f"{record.cycles:,}"
    yield f"{record.bound_cycles:,.0f}"
    yield _RESOURCES[record.bound_by]
    yield f"{record.efficiency:.3f}"
    yield f"{record.lane_utilisation:.3f}" if record.lane_utilisation else "-"
    for port in ("nbin", "sb", "nbout"):
        yield _traffic(record, port)
    yield _stalls(record)
    yield _model(record, model)


def _rows(measurements: Iterable[Measurement]) -> Iterator[list[str]]:
    for entry in measurements:
        for (measured, record), model in zip(entry.runs, entry.models, strict=True):
            layer = entry.benchmark
            yield [layer.name, layer.shape, *_cells(_ran(layer, measured, record), record, model)]


def _ran(whole: Benchmark, measured: Benchmark, record: LayerRecord) -> str:
    """What ran where: "RTL", or with a crop's outputs "RTL, 66x51 of 492x367"."""
    source = _SOURCES[record.source or ""]
    if measured == whole:
        return source
    (rows, columns), (height, width) = measured.output_size, whole.output_size
    return f"{source}, {columns}x{rows} of {width}x{height}"


def table(measurements: Iterable[Measurement], title: str) -> Table:
    """For the terminal, which has no room for the shapes."""
    made = Table(title=title, box=box.SIMPLE)
    shape = _HEADINGS.index("shape")
    for heading in _HEADINGS:
        if heading != "shape":
            made.add_column(heading, justify="left" if heading in _LEFT else "right")
    for row in _rows(measurements):
        made.add_row(*row[:shape], *row[shape + 1 :])
    return made


def markdown(measurements: Iterable[Measurement]) -> str:
    """For a page."""
    rules = [":--" if heading in _LEFT else "--:" for heading in _HEADINGS]
    lines = [list(_HEADINGS), rules, *_rows(measurements)]
    escaped = ([cell.replace("*", r"\*") for cell in line] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in escaped)
