"""The DianNao paper's claims beside ours, and the metrics of an accelerator: writes docs/claims.md.

    python -m scripts.claims [--reports DIR]

Layers (``diannao bench``) and networks run on the RTL, which takes some minutes. Their reports are
kept in DIR; those that are there already are not measured again. Numbers from synthesis are those
of ``scripts.asic`` in docs/asic.json.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from compiler.functions import Function, Sigmoid
from compiler.paper_program import paper_layer, paper_program
from compiler.tables import fit, table_error
from diannao.energy import load_costs
from hw.diannao.assembler import decode
from hw.diannao.config import CONFIGS, Config
from hw.diannao.core import Core
from hw.inventory import take_inventory
from hw.nfu.layouts import Op

from .asic import PAPER, SCALED, core_areas, float_ratios
from .bench import WIDE
from .metrics import CLOCK, COSTS, NETWORKS, layer_metrics, measure_network, network_metrics, row

DOCS = Path(__file__).parent.parent / "docs"
CONFIG = CONFIGS["diannao-16x16"]
BANDWIDTH = 250e9 / CLOCK
"""Bytes per cycle of the paper's memory."""
LAYERS = (
    "CLASS1", "CLASS3", "CONV1", "CONV2", "CONV3", "CONV4", "CONV5", "POOL1", "POOL3", "POOL5",
    "PROGRAM", "FC1024-B64",
)  # fmt: skip


@dataclass(frozen=True)
class Claim:
    """One line of the table."""

    number: str
    what: str
    paper: str
    ours: str
    how: str
    verdict: str

    @property
    def row(self) -> str:
        return row(self.number, self.what, self.paper, self.ours, self.how, self.verdict)


def _verdict(holds: bool, otherwise: str) -> str:
    return "holds" if holds else otherwise


def _range(values: list[float]) -> str:
    low, high = f"{min(values):.2f}", f"{max(values):.2f}"
    return low if low == high else f"{low} to {high}"


def _entries(report: dict[str, Any], name: str) -> dict[str, dict[str, Any]]:
    """What a bench report has of a layer, by source; for all of it if it has that."""
    found = {}
    for entry in report["layers"]:
        if entry["name"].rstrip("*") == name:
            found[entry["source"]] = entry
    return found


def _structure() -> Iterator[Claim]:
    core = take_inventory(Core(config=CONFIG))
    products = core.products("nfu.nfu1")
    adders = sum(core.count(f"nfu.nfu2.tree_{n}", "add") for n in range(CONFIG.tn))
    steady = products + adders
    last = sum(
        core.products(f"nfu.nfu3.function.lane_{n}")
        + core.operators[f"nfu.nfu3.function.lane_{n}"]["add"]
        for n in range(CONFIG.tn)
    )
    elaboration = "operators of the elaborated core"
    yield Claim("D1", "operations per cycle, CLASS and CONV", "496", f"{steady}", elaboration,
                _verdict(steady == 496, "differs"))  # fmt: skip
    yield Claim("D2", "the same while NFU-3 works", "528", f"{steady + last}", elaboration,
                _verdict(steady + last == 528, "differs"))  # fmt: skip
    rate = steady * CLOCK / 2**30
    yield Claim("D3", "GOP/s (of 2^30) at 0.98 GHz", "452", f"{rate:.1f}", "D1 times the clock",
                _verdict(abs(rate / 452 - 1) < 0.002, "differs"))  # fmt: skip
    row = core.memory_bits("sb") // CONFIG.sb_rows // 8
    demand = row * CLOCK / 2**30
    yield Claim("D4", "GB/s (of 2^30) of synapses", "467.30", f"{demand:.2f}",
                "a row of SB per cycle",
                _verdict(abs(demand - 467.30) < 0.01, "differs"))  # fmt: skip
    kib = 8 * 1024
    sizes = [
        core.memory_bits("nbin") / kib,
        (core.memory_bits("nbout.ring") + CONFIG.tn * CONFIG.width) / kib,
        core.memory_bits("sb") / kib,
        core.memory_bits("control.fetch.buffer") / kib,
    ]
    extra = core.memory_bits("nbout.partial") / kib
    ours = " + ".join(f"{size:g}" for size in sizes) + f" = {sum(sizes):g}"
    yield Claim("D5", "storage in KB: NBin, NBout, SB, instructions", "2 + 2 + 32 + 8 = 44",
                f"{ours}; and {extra:g} for partial sums of {CONFIG.acc_width} bits",
                "memories of the elaborated core",
                _verdict(sum(sizes) == 44, "differs"))  # fmt: skip
    yield Claim("D9", "operations per cycle over a SIMD core of 8 lanes", "62", f"{steady / 8:g}",
                "D1 over 8", _verdict(steady == 496, "differs"))  # fmt: skip


def cycle_claims(report: dict[str, Any]) -> Iterator[Claim]:
    """Claims on cycles, for the layers that a report of ``diannao bench`` has."""
    config = Config(**report["configuration"])
    program = _entries(report, "PROGRAM").get("rtl")
    if program is not None:
        steps = [
            instruction
            for instruction in decode(paper_program(paper_layer(config), config).words)
            if instruction.nfu is not None and instruction.nfu.op is Op.MAC
        ]
        weights = 8192 * 256 * config.element_bytes / 2**20
        busy = program["nfu_active"]
        yield Claim(
            "D6", "the paper's program 8192 -> 256",
            "128 instructions, 8192 NFU cycles, 4 MiB of weights",
            f"{len(steps)} instructions, {busy:,} NFU cycles, {weights:g} MiB; with the memory "
            f"{program['cycles']:,} cycles, of which it needs {program['bound_cycles']:,.0f}",
            "RTL", _verdict((len(steps), busy) == (128, 8192), "differs"),
        )  # fmt: skip
        share = 100 * busy / program["cycles"]
        limit = 100 * BANDWIDTH / (config.tn * config.ti * config.element_bytes)
        yield Claim(
            "D7", "peak that 250 GB/s allow where no weight is reused", f"{limit:.1f} %",
            f"{share:.1f} % in the program of D6", "RTL",
            _verdict(0.95 * limit < share <= limit, "differs"),
        )  # fmt: skip
    for name, memory, nfu in (("CLASS1", 158, 120), ("CLASS3", 159, 91)):
        entry = _entries(report, name).get("rtl")
        if entry is not None:
            bound = entry["bound_cycles"]
            yield Claim(
                "D7", f"{name} is bound by memory: cycles of memory, of NFU", f"{memory}, {nfu}",
                f"bound {bound:,.0f} by {entry['bound_by']}, {entry['nfu_active']} steps; "
                f"{entry['cycles']:,} cycles with start and end",
                "RTL, bytes of the ports",
                _verdict(entry["bound_by"] == "memory" and abs(bound / memory - 1) < 0.05,
                         "bound differs")
                + "; shorter than a few memory latencies",
            )  # fmt: skip
    for name, claim, lanes in (
        ("CONV1", "> 90 %", 1.0), ("CONV4", "> 90 %", 1.0), ("CONV3", "92.7 %", 0.927),
        ("CONV2", "25 % of the lanes", 0.25),
    ):  # fmt: skip
        entries = _entries(report, name)
        if not entries:
            for left_out, reason in report["left_out"].items():
                if left_out.rstrip("*") == name:
                    what = f"use of the multipliers, {name}"
                    yield Claim("D8", what, claim, "-", reason, "not measured")
            continue
        entry = entries.get("rtl") or entries["model"]
        use = entry["macs"] / (config.tn * config.ti) / entry["cycles"]
        crop = "" if entry.get("crop") is None else f" of a crop to {entry['crop']} outputs"
        how = ("RTL" if entry["source"] == "rtl" else "performance model") + crop
        enough = use > 0.9 if lanes == 1.0 else use > 0.97 * lanes
        yield Claim(
            "D8", f"use of the multipliers, {name}", claim, f"{100 * use:.1f} %", how,
            _verdict(enough, "below")
            + ("; other mapping, see docs/architecture.md" if use > 1.03 * lanes else ""),
        )  # fmt: skip


def _table_claim() -> Claim:
    numbers = {"input_frac": 10, "output_frac": 10, "width": 16, "drop": CONFIG.drop}
    function = Function((Sigmoid(),))
    table = fit(function, segments=16, **numbers)
    most, mean = table_error(table, function, **numbers)
    return Claim(
        "D11", "error of the sigmoid in 16 segments, Q6.10", "negligible",
        f"at most {most:.2f}, on average {mean:.2f} of a last place (2^-10)",
        "all 65536 inputs, golden", _verdict(most < 2, "larger"),
    )  # fmt: skip


def _synthesis(results: dict[str, Any]) -> Iterator[Claim]:
    sized = [parts for parts in results.values() if "size" in parts]
    if sized:
        whole, scaled = (
            [large / small for small, large in (core_areas(parts, blocks) for parts in sized)]
            for blocks in (None, SCALED)
        )
        close = [abs(ratio / PAPER["size"] - 1) < 0.2 for ratio in (*whole, *scaled)]
        yield Claim(
            "D10", "area of 16x16 over 8x8", f"{PAPER['size']}",
            f"{_range(whole)}; NFU with NBin, SB, NBout {_range(scaled)}",
            "synthesis, open libraries, macros at the paper's ratio (docs/asic.md)",
            "holds" if all(close)
            else "holds within 20 % for NFU and buffers; control and DMAs are larger here"
            if all(close[len(whole):]) else "more than 20 % off",
        )  # fmt: skip
    ratios = float_ratios(results)
    near = sum(abs(ratio / PAPER["ratio"] - 1) < 0.25 for ratio in ratios)
    yield Claim(
        "D12", "area of a float multiplier over a 16-bit truncated one", f"{PAPER['ratio']}",
        f"{_range(ratios)}, by columns dropped and subnormals",
        "synthesis, open libraries (docs/asic.md)",
        "holds" if near == len(ratios)
        else f"{near} of {len(ratios)} pairs are within 25 %: those with 16 columns dropped"
        if near else "smaller",
    )  # fmt: skip


def _specification(results: dict[str, Any]) -> str:
    multipliers = CONFIG.tn * CONFIG.ti
    text = row("ASIC specification", *results) + row("--", *["--"] * len(results))

    def line(name: str, of) -> str:
        return row(name, *(of(parts) if "size" in parts else "-" for parts in results.values()))

    def core_area(parts) -> str:
        return (
            f"{core_areas(parts)[1] / 1e6:.2f} mm2, {core_areas(parts)[1] / multipliers:,.0f} um2"
        )

    def clock(parts) -> str:
        path = max(parts["size"]["diannao-16x16"]["paths"].values())
        return f"{1000 / path:.0f} MHz"

    text += line("clock, core synthesised for speed", clock)
    text += line("multipliers", lambda parts: f"{multipliers}, {CONFIG.width} bits")
    text += line("core area with macros, per multiplier", core_area)
    bits = "on-chip memory, per multiplier"
    return (
        text
        + line(bits, lambda parts: _memory(parts, multipliers))
        + line("measured or simulated", lambda parts: "synthesis, typical corner, no layout")
    )


def _memory(parts: dict[str, Any], multipliers: int) -> str:
    blocks = parts["size"]["diannao-16x16"]["blocks"].values()
    kilobytes = sum(bits for _, bits in blocks) / 8192
    return f"{kilobytes:.1f} KB, {1024 * kilobytes / multipliers:.0f} B"


def page(bench: dict[str, Any], networks: list[dict[str, Any]], results: dict[str, Any]) -> str:
    """docs/claims.md."""
    claims = [*_structure(), *cycle_claims(bench), _table_claim(), *_synthesis(results)]
    claims.sort(key=lambda claim: int(claim.number[1:]))
    text = """\
# Claims

Made by `scripts/claims`. The claims of the DianNao paper (ASPLOS 2014) beside what this project
measures: on the paper's machine (`diannao-16x16`), and for cycles with its memory of 250 GB/s and
an SB port of 2048 bits, which is not the limit then. Those of DaDianNao, with tables for 1 to 64
nodes, are on [a page of their own](dadiannao-claims.md).

"""
    text += row("", "claim", "paper", "ours", "how", "verdict") + row(*["--"] * 6)
    text += "".join(claim.row for claim in claims)
    costs = load_costs(COSTS)
    text += f"""
## Metrics

What the tutorial on efficient processing (ISCA 2017) asks of every accelerator. Time at the paper's
0.98 GHz; power and energy from counted events by the cost table `{COSTS}` ({costs.source}),
memory included. *use of peak* counts true MACs; *memory words* are what the ports read and wrote,
of 16 bits. Operands have 16 bits.

"""
    text += _specification(results) + "\n"
    text += """\
### Networks

On the RTL of `diannao-16x16`, all images in one batch. `digits` is trained (`models/digits.onnx`),
and *accuracy* is that on its 360 test images; the others have random weights (`diannao.zoo`), for
which it is the mean difference to ONNX Runtime's floats. Layers, MACs and weights are those on the
core. Products with a zero factor are counted in the golden model; the core does not skip them.

"""
    text += network_metrics(networks) + "\n"
    for report in networks:
        if report["model"] in BY_LAYER:
            text += layer_metrics(report, f"Layers of {report['model']}")
    text += layer_metrics(bench, "Benchmark layers")
    text += """\
Their numbers are random, so hardly any is zero. They are those of one image, and of a batch where
the name says so.
"""
    return text


BY_LAYER = ("digits", "alexnet")
"""Networks whose layers are listed."""


def _measure_layers() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.json"
        command = [str(Path(sys.executable).with_name("diannao")), "bench", *LAYERS, *WIDE]
        subprocess.run([*command, "--json", str(path)], check=True)
        return json.loads(path.read_text())


def _kept(path: Path, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The report in ``path``, measured and written there if there is none."""
    if not path.exists():
        print(f"measuring {path.stem}", flush=True)
        path.write_text(json.dumps(measure(), indent=1) + "\n")
    return json.loads(path.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--reports", type=Path, metavar="DIR")
    with tempfile.TemporaryDirectory() as temporary:
        folder = parser.parse_args().reports or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        bench = _kept(folder / "bench.json", _measure_layers)
        networks = [
            _kept(folder / f"{name}.json", partial(measure_network, name)) for name in NETWORKS
        ]
    results = json.loads((DOCS / "asic.json").read_text())
    (DOCS / "claims.md").write_text(page(bench, networks, results))
    print("wrote docs/claims.md")


if __name__ == "__main__":
    main()
