"""scripts/asic and scripts/claims: what follows from the numbers that they measure."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib.wiring import Component, In, Out
from amaranth.sim import Simulator

from diannao.configs import load_config
from scripts import claims
from scripts.asic import (
    PAPER,
    PAPER_MEMORY,
    Registered,
    core_areas,
    depths,
    float_ratios,
    plot_drop,
    report,
)


def area(value: float) -> dict:
    measured = {"area": value, "ns": 2.0, "pj": 1.0}
    return {"small": measured, "fast": measured}


def stages(*delays: float) -> list[dict]:
    return [
        {"stages": k, "area": 100.0 * k, "ns": delay, "pj": 1.0}
        for k, delay in enumerate(delays, 1)
    ]


PARTS = {
    "multipliers": {
        "16 bits, 8 columns dropped": area(PAPER["multiplier"]),
        "16 bits, exact": area(1500.0),
        "float, 32 bits, IEEE 754": area(PAPER["float"]),
    },
    "drop": [{"drop": d, "rms": d / 100, "max": d / 10, **area(100.0 - d)} for d in range(17)],
    "pipeline": {
        "nfu1": stages(5, 4, 3, 2),
        "nfu2": stages(4.4, 4.3, 4.1, 4),
        "nfu3": stages(9, 6, 4.2, 3, 3),
    },
    "size": {
        name: {
            "blocks": {
                "NFU-1": [cells, 0], "NFU-2": [cells / 4, 0], "NFU-3": [cells / 8, 0],
                "SB": [0.0, bits],
            },
            "paths": {"register to register": 5.0},
        }
        for name, cells, bits in (("diannao-8x8", 1000.0, 100), ("diannao-16x16", 4000.0, 400))
    },
}  # fmt: skip
"""As if the library were the paper's."""


def test_what_follows_from_measurements():
    results = {"toy": PARTS}
    assert float_ratios(results) == [PAPER["float"] / PAPER["multiplier"]]
    small, large = core_areas(PARTS)
    assert (small, large) == pytest.approx((1375 + 100 * PAPER_MEMORY, 5500 + 400 * PAPER_MEMORY))


def test_depths():
    """Slower machines are listed as long as they are smaller; the slowest stage sets the clock."""
    found = depths(PARTS)
    assert [(each.period, each.registers) for each in found] == [
        (4, [2, 4, 4]), (4.1, [2, 3, 4]), (4.2, [2, 3, 3]), (4.3, [2, 2, 3]), (4.4, [2, 1, 3]),
        (5, [1, 1, 3]), (6, [1, 1, 2]), (9, [1, 1, 1]),
    ]  # fmt: skip
    # The cores have 2, 2 and 5 registers, where 200, 200 and 500 um2 were measured.
    assert found[0].area == pytest.approx(4000 + 2 * 1000 + 0.8 * 500)


def test_page_and_plot(tmp_path):
    text = report({"toy": PARTS})
    assert "| 16 bits, exact | 1,500 | 1.15 | 2.00 | 1.0 | 1,500 | 2.00 |" in text
    assert "| 16 | 0.16 | 1.6 | 84 | 84 % | 2.00 |" in text
    assert "| NFU-1 | **2** | 4.00 | 200 | 200 % |" in text
    assert "| NFU-1 | 1,000 | 4,000 | 4.00 | 0 | 0 |" in text
    assert "| NFU and buffers with macros | 1,696 | 6,785 | **4.00** |" in text
    assert "| with macros | 1,696 | 6,785 | **4.00** |" in text
    plot_drop({"toy": PARTS}, tmp_path / "drop.svg")
    assert "<svg" in (tmp_path / "drop.svg").read_text()


def test_registered():
    """A component between registers answers two cycles later."""

    class Double(Component):
        i: In(8)
        o: Out(9)

        def elaborate(self, platform):
            m = Module()
            m.d.comb += self.o.eq(self.i << 1)
            return m

    dut: Any = Registered(Double())
    seen = []

    async def bench(ctx):
        for value in range(10):
            ctx.set(dut.i, value)
            await ctx.tick()
            seen.append(ctx.get(dut.o))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert seen[1:] == [2 * value for value in range(9)]


def bench_report(cycles: int) -> dict:
    """A report of two layers of which the first is the paper's program."""
    moved = {"nbin": 16_384, "sb": 4_198_400, "nbout": 512}
    program = {
        "name": "PROGRAM", "source": "rtl", "macs": 8192 * 256, "cycles": cycles,
        "nfu_active": 8192, "bound_cycles": 16519.0, "bound_by": "memory", "bytes": moved,
        "crop": None,
    }  # fmt: skip
    conv = {**program, "name": "CONV3", "macs": 290_638_400, "cycles": 1_181_226,
            "nfu_active": 1_180_000}  # fmt: skip
    return {
        "layers": [program, conv],
        "left_out": {"CONV2*": "no way"},
        "configuration": asdict(load_config("diannao-16x16")),
    }


def test_claims():
    text = claims.page(bench_report(16_980), [], {"toy": PARTS})
    verdicts = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0].startswith("D"):
            verdicts.setdefault(cells[0], []).append((cells[3], cells[5]))
    assert set(verdicts) == {f"D{k}" for k in range(1, 13)}
    assert verdicts["D8"].pop() == ("-", "not measured")
    for number in ("D1", "D2", "D3", "D4", "D5", "D6", "D7", "D8", "D9", "D11", "D12"):
        assert all(verdict.startswith("holds") for _, verdict in verdicts[number]), number
    assert [ours for ours, _ in verdicts["D1"] + verdicts["D2"]] == ["496", "528"]
    assert verdicts["D6"][0][0].startswith("128 instructions, 8,192 NFU cycles, 4 MiB")
    # The toy core's ratio of 4 is within 20 % of the paper's 3.59.
    assert verdicts["D10"] == [("4.00; NFU with NBin, SB, NBout 4.00", "holds")]
    words = (16_384 + 4_198_400 + 512) / 2 / (8192 * 256)
    assert "| PROGRAM | rtl | 2,097,152 | 16,980 | 0.01733 | 48.2 % |" in text
    assert f"| {words:.4f} |" in text


def test_claims_that_do_not_hold():
    report = bench_report(40_000)
    report["layers"][0]["nfu_active"] = 8000
    verdicts = {claim.number: claim.verdict for claim in claims.cycle_claims(report)}
    assert (verdicts["D6"], verdicts["D7"]) == ("differs", "differs")


def test_committed_results_have_all_parts():
    """docs/asic.md is what docs/asic.json says."""
    docs = Path(__file__).parent.parent.parent / "docs"
    results = json.loads((docs / "asic.json").read_text())
    assert (docs / "asic.md").read_text() == report(results)
    for parts in results.values():
        rms = [row["rms"] for row in parts["drop"]]
        assert np.all(np.diff(rms) > 0)
