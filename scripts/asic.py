"""ASIC numbers in open standard-cell libraries: writes docs/asic.md and docs/asic-drop.svg.

    scripts/asic --liberty FILE [--liberty FILE ...] [--only PART] [--results FILE.json]

Parts: multipliers, drop, pipeline, size. Measured numbers are kept in the results file, so that
parts can be measured one by one.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from amaranth.hdl import Module, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from matplotlib import pyplot

from diannao.asic.flow import Mapped, map_component
from diannao.asic.liberty import Library
from diannao.asic.tops import BLOCKS, make_top
from diannao.asic.yosys import Yosys
from hw.arith.float_multiplier import FloatMultiplier
from hw.arith.multiplier import Multiplier
from hw.arith.numbers import error_bounds, truncated_product
from hw.diannao.config import CONFIGS

DOCS = Path(__file__).parent.parent / "docs"
PAPER = {"multiplier": 1309.32, "float": 7997.76, "ratio": 6.1, "size": 3.59}
"""65 nm: areas in um2 of a 16-bit truncated and of a float multiplier; 16x16 over 8x8 core."""
PAPER_MEMORY = 1_158_000 / (44 * 8192)
"""um2 per bit of the paper's memories."""

CONFIG = CONFIGS["diannao-16x16"]
RELAXED = 20.0
"""A clock period in ns that nothing here has trouble with: cells are then chosen for area."""


TOP_SIZES = {"nfu1": (4, 2, 6), "nfu2": (2, 16, 5), "nfu3": (4, 2, 7)}
"""Tn, Ti and most registers of the NFU stages whose critical path is measured."""


class Registered(wiring.Component):
    """A component between registers, so that each of its paths is one between registers.

    Parameters
    ----------
    inner : the component; the members are its members
    """

    def __init__(self, inner: Any):
        self.inner = inner
        super().__init__(inner.signature)

    def elaborate(self, platform):
        m = Module()
        m.submodules.inner = self.inner
        ours = self.signature.flatten(self)
        theirs = self.signature.flatten(self.inner)
        for (_, member, outer), (_, _, inner) in zip(ours, theirs, strict=True):
            outer, inner = Value.cast(outer), Value.cast(inner)
            register = Signal(len(inner), reset_less=True)
            if member.flow is In:
                m.d.sync += register.eq(outer)
                m.d.comb += inner.eq(register)
            else:
                m.d.sync += register.eq(inner)
                m.d.comb += outer.eq(register)
        return m


class Product(wiring.Component):
    """o = a * b as synthesis does it, of signed numbers of ``width`` bits; combinational."""

    a: Signal
    b: Signal
    o: Signal

    def __init__(self, width: int):
        super().__init__(
            {"a": In(signed(width)), "b": In(signed(width)), "o": Out(signed(2 * width))}
        )

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o.eq(self.a * self.b)
        return m


class Bench:
    """Measures components in one library."""

    def __init__(self, path: Path):
        self.library = Library(path)
        self.yosys = Yosys()

    def map(self, component: wiring.Component, **options) -> Mapped:
        started = time.monotonic()
        mapped = map_component(component, "top", self.library, self.yosys, **options)
        if mapped.timing is None:
            raise SystemExit("OpenSTA is missing; install it with: apt-get install opensta")
        print(f"  {time.monotonic() - started:.1f} s, {mapped.area:.0f} um2", flush=True)
        return mapped

    def between_registers(self, component: wiring.Component, period: float | None) -> dict:
        """Area and power (at RELAXED, random operands) of ``component``, and its critical path."""
        mapped = self.map(
            Registered(component), period=period, blocks={"inner": "inner"}, activity=0.5
        )
        (inner,) = [block for block in mapped.blocks if block.name == "inner"]
        assert mapped.timing is not None
        assert inner.power is not None
        power = inner.power.total * mapped.timing.period_ns  # pJ per cycle
        return {"area": inner.area, "ns": mapped.timing.paths["register to register"], "pj": power}

    # Parts

    def multipliers(self) -> dict[str, Any]:
        """Multipliers by description, mapped for the shortest delay and for a relaxed clock."""
        makers: dict[str, Callable[[], wiring.Component]] = {
            f"16 bits, {CONFIG.drop} columns dropped": lambda: _array(16, CONFIG.drop),
            "16 bits, 16 columns dropped": lambda: _array(16, 16),
            "16 bits, exact": lambda: _array(16, 0),
            "16 bits, exact, written `*`": lambda: Product(16),
            "8 bits, exact": lambda: _array(8, 0),
            "float, 32 bits, no subnormals": lambda: FloatMultiplier(subnormals=False),
            "float, 32 bits, IEEE 754": lambda: FloatMultiplier(subnormals=True),
        }
        return {
            name: {
                "fast": self.between_registers(make(), None),
                "small": self.between_registers(make(), RELAXED),
            }
            for name, make in makers.items()
        }

    def drop(self) -> list[dict[str, Any]]:
        """Area, delay and error of the 16-bit multiplier by dropped columns."""
        rng = np.random.default_rng(1)
        x, w = rng.integers(-(1 << 15), 1 << 15, (2, 200_000))
        rows = []
        for drop in range(17):
            error = (truncated_product(x, w, 16, drop) - x * w) / 2**16
            rows.append(
                {
                    "drop": drop,
                    "rms": float(np.sqrt(np.mean(error**2))),
                    "max": max(map(abs, error_bounds(16, drop))) / 2**16,
                    "small": self.between_registers(_array(16, drop), RELAXED),
                    "fast": self.between_registers(_array(16, drop), None),
                }
            )
        return rows

    def pipeline(self) -> dict[str, list[dict[str, Any]]]:
        """Critical path and area of each NFU stage by its number of pipeline registers."""
        result: dict[str, list[dict[str, Any]]] = {}
        for top, (tn, ti, most) in TOP_SIZES.items():
            result[top] = []
            for stages in range(1, most + 1):
                config = CONFIG.replace(
                    tn=tn, ti=ti, nbin_port=64, **{f"{top}_stages": stages},
                )  # fmt: skip
                measured = self.between_registers(make_top(top, config), None)
                result[top].append({"stages": stages, **measured})
        return result

    def size(self) -> dict[str, Any]:
        """Areas of the 16x16 and the 8x8 core, for the shortest delay."""
        result = {}
        for name in ("diannao-8x8", "diannao-16x16"):
            mapped = self.map(make_top("core", CONFIGS[name]), blocks=BLOCKS["core"])
            assert mapped.timing is not None
            result[name] = {
                "blocks": {block.name: [block.area, block.macro_bits] for block in mapped.blocks},
                "paths": mapped.timing.paths,
            }
        return result


def _array(width: int, drop: int) -> Multiplier:
    return Multiplier(width=width, drop=drop, style="array", stages=0)


def report(results: dict[str, Any]) -> str:
    """The page docs/asic.md."""
    parts = [_HEAD]
    parts += [_multiplier_part(results), _drop_part(results)]
    parts += [_pipeline_part(results), _size_part(results)]
    return "\n".join(parts)


_HEAD = """\
# ASIC numbers

Made by `scripts/asic --liberty FILE ...` from open standard-cell libraries, which are not
part of this project; the numbers are in `asic.json`. Yosys and its ABC map each module once, for
little area, and size its gates; nothing is optimised across the borders of modules, but constants
pass them. OpenSTA times the gates. There is no placement: wires have no capacitance and the clock
is ideal, so a layout will be slower and larger. What is timed here lies between registers, and its
area is that without them.

The paper's figures are from a commercial library of 65 nm with layout; only ratios compare.
"""


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |\n"


def _head(*cells: str) -> str:
    return _row(*cells) + _row("--", *["--:"] * (len(cells) - 1))


def _multiplier_part(results: dict[str, Any]) -> str:
    text = """\
## Multipliers

Combinational. *small*: at {relaxed:.0f} ns, sized for area; *fast*: sized for speed. Energy is that
of an operation when every signal toggles every other cycle (*small*), so it follows the capacitance
that switches. The ratio is that of the *small* areas to the first line.

"""
    text = text.format(relaxed=RELAXED)
    for library, parts in results.items():
        rows = parts["multipliers"]
        reference = next(iter(rows.values()))["small"]["area"]
        text += f"`{library}`\n\n"
        text += _head("multiplier", "small um2", "ratio", "ns", "pJ", "fast um2", "ns")
        for name, row in rows.items():
            small, fast = row["small"], row["fast"]
            text += _row(
                name, f"{small['area']:,.0f}", f"{small['area'] / reference:.2f}",
                f"{small['ns']:.2f}", f"{small['pj']:.1f}", f"{fast['area']:,.0f}",
                f"{fast['ns']:.2f}",
            )  # fmt: skip
        text += "\n"
    low, high = (f"{f(float_ratios(results)):.1f}" for f in (min, max))
    return (
        text
        + f"""\
The paper has {PAPER["float"]:,.0f} and {PAPER["multiplier"]:,.0f} um2, a ratio of {PAPER["ratio"]}.
Here float is {low} to {high} times as large as the fixed-point multiplier, depending on how many
columns that one drops and on whether float has subnormal numbers, and takes 2 to 4 times as long.
The paper does not say which columns its multiplier drops, nor how fast the two were to be: a float
multiplier that must be as fast as the other one is larger than these.
"""
    )


def float_ratios(results: dict[str, Any]) -> list[float]:
    """Areas of float multipliers over those of truncated ones, in all libraries."""
    ratios = []
    for parts in results.values():
        rows = parts["multipliers"]
        areas = {name: row["small"]["area"] for name, row in rows.items()}
        truncated = [area for name, area in areas.items() if "dropped" in name]
        floats = [area for name, area in areas.items() if "float" in name]
        ratios += [a / b for a in floats for b in truncated]
    return ratios


def _drop_part(results: dict[str, Any]) -> str:
    text = """\
## Dropped columns

The 16-bit multiplier by the number of partial-product columns that it leaves out. Error is that of
a product in units of 2^16, the last place of the product's upper half: of random operands, and the
largest that there is. Sums of products are rounded to 16 bits only at the end, with errors of half
a unit; the accuracy of a network by `drop` is in [numbers.md](numbers.md).

![Area and error of the multiplier by dropped columns](asic-drop.svg)

"""
    libraries = list(results)
    text += _head(
        "drop", "rms error", "largest", *(f"`{name}` um2" for name in libraries),
        *("of exact" for _ in libraries), *("ns" for _ in libraries),
    )  # fmt: skip
    columns = [results[name]["drop"] for name in libraries]
    for rows in zip(*columns, strict=True):
        exact = [column[0]["small"]["area"] for column in columns]
        areas = [row["small"]["area"] for row in rows]
        shares = [f"{100 * area / whole:.0f} %" for area, whole in zip(areas, exact, strict=True)]
        text += _row(
            rows[0]["drop"], f"{rows[0]['rms']:.2g}", f"{rows[0]['max']:.2g}",
            *(f"{area:,.0f}" for area in areas), *shares,
            *(f"{row['fast']['ns']:.2f}" for row in rows),
        )  # fmt: skip
    return text


def plot_drop(results: dict[str, Any], path: Path) -> None:
    """Area over error, a point for each number of dropped columns."""
    pyplot.rcParams["svg.hashsalt"] = "diannao"  # the same numbers give the same bytes
    figure, axes = pyplot.subplots(figsize=(7, 4))
    for name, parts in results.items():
        rows = parts["drop"]
        areas = [100 * row["small"]["area"] / rows[0]["small"]["area"] for row in rows]
        axes.plot([row["rms"] for row in rows], areas, "o-", markersize=4, label=name)
        for row, area in zip(rows, areas, strict=True):
            if row["drop"] % 4 == 0 and name == next(iter(results)):
                axes.annotate(str(row["drop"]), (row["rms"], area), (4, 4),
                              textcoords="offset points")  # fmt: skip
    axes.set_xscale("symlog", linthresh=1e-4)
    axes.set_xlim(left=0)
    axes.set_xlabel("root mean square error of a product, units of 2^16")
    axes.set_ylabel("area, % of the exact multiplier")
    axes.set_title("16-bit multiplier by dropped columns (numbers at the points)")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _pipeline_part(results: dict[str, Any]) -> str:
    text = """\
## Critical path of the NFU by pipeline depth

The longest path of each stage of the NFU by its number of pipeline registers, gates sized for
speed. Few lanes are enough for that: NFU-1 with Tn = 4, Ti = 2, NFU-2 with Tn = 2, Ti = 16 (its
trees have the paper's depth), NFU-3 with Tn = 4.

"""
    for library, parts in results.items():
        text += f"`{library}`\n\n" + _head("stage", "registers", "ns", "um2", "of the first")
        for top, rows in parts["pipeline"].items():
            for row in rows:
                chosen = row["stages"] == getattr(CONFIG, f"{top}_stages")
                count = f"**{row['stages']}**" if chosen else row["stages"]
                share = row["area"] / rows[0]["area"]
                text += _row(
                    _stage(top), count, f"{row['ns']:.2f}", f"{row['area']:,.0f}",
                    f"{100 * share:.0f} %",
                )  # fmt: skip
        text += "\n"
    return text + _depth_text(results)


class Depths(NamedTuple):
    """The smallest NFU for a clock period: registers of its three stages, um2 at 16x16."""

    period: float
    registers: list[int]
    area: float


def depths(parts: dict[str, Any]) -> list[Depths]:
    """The smallest NFU for each period, fastest first, without those that gain nothing.

    A stage of 16x16 is taken to grow by its registers as the few lanes do that were measured.
    """
    pipeline, blocks = parts["pipeline"], parts["size"]["diannao-16x16"]["blocks"]
    found: list[Depths] = []
    for period in sorted({row["ns"] for rows in pipeline.values() for row in rows}):
        registers, area = [], 0.0
        for top, rows in pipeline.items():
            fitting = [row for row in rows if row["ns"] <= period]
            if fitting:
                smallest = min(fitting, key=lambda row: row["area"])
                ours = rows[getattr(CONFIG, f"{top}_stages") - 1]
                registers.append(smallest["stages"])
                area += blocks[_stage(top)][0] * smallest["area"] / ours["area"]
        if len(registers) == len(pipeline) and (not found or area < found[-1].area):
            found.append(Depths(period, registers, area))
    return found


def _stage(top: str) -> str:
    return top.replace("nfu", "NFU-")


def _depth_text(results: dict[str, Any]) -> str:
    text = """\
The smallest NFU of 16x16 for each period that there is, by these numbers. The product says which of
them computes most for its area: the smallest (bold).

"""
    for library, parts in results.items():
        text += f"`{library}`\n\n"
        text += _head("period ns", "NFU-1", "NFU-2", "NFU-3", "mm2", "mm2 ns")
        found = depths(parts)
        best = min(each.area * each.period for each in found)
        for each in found:
            product = each.area * each.period
            shown = f"{product / 1e6:.2f}"
            text += _row(
                f"{each.period:.2f}", *each.registers, f"{each.area / 1e6:.2f}",
                f"**{shown}**" if product == best else shown,
            )  # fmt: skip
        text += "\n"
    default = ", ".join(f"{_stage(top)} {getattr(CONFIG, f'{top}_stages')}" for top in TOP_SIZES)
    return (
        text
        + f"""\
So the paper's configurations have {default}: NFU-1 has a second register, for its
operands, where the access of SB fills a cycle, and that of NFU-2 between trees and accumulation
costs nothing. More registers in NFU-1 and NFU-2 cost a lot, because they cut carry-save trees and
adder trees, where many bits are under way; they gain a percent in one library, nothing in the
other. NFU-3 has registers for the narrowed sum, the coefficients, the product, the sum before
rounding, and the result.
Others have 3 + 2 + 3 by default, because a DSP block holds three registers.
The RTL of others for the paper's 0.98 GHz at 65 nm has 3 + 2 + 3.
"""
    )


def _size_part(results: dict[str, Any]) -> str:
    if not any("size" in parts for parts in results.values()):
        return ""
    text = """\
## 16x16 against 8x8

The whole core, gates sized for speed. Memories of 1024 bits and more are macros; no open library
has them, so they are counted with the paper's ratio: its 44 KB take {memory:.2f} um2 per bit, which
is {relative:.5f} of its multiplier's area.

"""
    text = text.format(memory=PAPER_MEMORY, relative=PAPER_MEMORY / PAPER["multiplier"])
    for library, parts in results.items():
        if "size" not in parts:
            continue
        per_bit = macro_area(parts)
        small, large = (parts["size"][name]["blocks"] for name in ("diannao-8x8", "diannao-16x16"))
        text += f"`{library}`, macros at {per_bit:.1f} um2 per bit\n\n"
        text += _head("block", "8x8 cells um2", "16x16 cells um2", "ratio", "8x8 macro bits",
                      "16x16 macro bits")  # fmt: skip
        for name in large:
            (a, bits_a), (b, bits_b) = small.get(name, (0, 0)), large[name]
            ratio = f"{b / a:.2f}" if a else "-"
            text += _row(name, f"{a:,.0f}", f"{b:,.0f}", ratio, f"{bits_a:,}", f"{bits_b:,}")
        a, b = (sum(area for area, _ in blocks.values()) for blocks in (small, large))
        text += _row("all cells", f"{a:,.0f}", f"{b:,.0f}", f"{b / a:.2f}", "", "")
        a, b = core_areas(parts)
        text += _row("with macros", f"{a:,.0f}", f"{b:,.0f}", f"**{b / a:.2f}**", "", "")
        a, b = core_areas(parts, SCALED)
        text += _row("NFU and buffers with macros", f"{a:,.0f}", f"{b:,.0f}",
                     f"**{b / a:.2f}**", "", "")  # fmt: skip
        path = parts["size"]["diannao-16x16"]["paths"]["register to register"]
        text += f"\nLongest path of the 16x16 core between registers: {path:.2f} ns.\n\n"
    return (
        text
        + f"""\
The paper: 3.02 against 0.85 mm2, {PAPER["size"]}, layouts. What Tn and Ti size comes close to that.
The rest is larger here than the paper's CP and hardly grows: units with queues of their own, DMAs
for any byte address with many reads under way, and the same instruction buffer in both cores.
"""
    )


def macro_area(parts: dict[str, Any]) -> float:
    """um2 per bit of a macro in a library: as in the paper, relative to the multiplier."""
    multiplier = next(iter(parts["multipliers"].values()))["small"]["area"]
    return PAPER_MEMORY * multiplier / PAPER["multiplier"]


SCALED = ("NFU-1", "NFU-2", "NFU-3", "NBin", "SB", "NBout")
"""Blocks that Tn and Ti size."""


def core_areas(parts: dict[str, Any], chosen: tuple[str, ...] | None = None) -> tuple[float, float]:
    """um2 of the 8x8 and of the 16x16 core with macros, or of some of their blocks."""
    small, large = (
        sum(
            area + bits * macro_area(parts)
            for block, (area, bits) in parts["size"][name]["blocks"].items()
            if chosen is None or block in chosen
        )
        for name in ("diannao-8x8", "diannao-16x16")
    )
    return small, large


def _rounded(value: Any) -> Any:
    """Numbers with six digits."""
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


PARTS = ("multipliers", "drop", "pipeline", "size")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--liberty", action="append", type=Path, default=[])
    parser.add_argument("--only", action="append", choices=PARTS)
    parser.add_argument("--results", type=Path, default=DOCS / "asic.json")
    arguments = parser.parse_args()
    results = json.loads(arguments.results.read_text()) if arguments.results.exists() else {}
    for path in arguments.liberty:
        bench = Bench(path)
        for part in arguments.only or PARTS:
            print(f"{bench.library.name}: {part}", flush=True)
            measured = _rounded(getattr(bench, part)())
            results.setdefault(bench.library.name, {})[part] = measured
            arguments.results.write_text(json.dumps(results, indent=1) + "\n")
    if all(set(parts) >= set(PARTS) for parts in results.values()):
        (DOCS / "asic.md").write_text(report(results))
        plot_drop(results, DOCS / "asic-drop.svg")
        print("wrote docs/asic.md")


if __name__ == "__main__":
    main()
