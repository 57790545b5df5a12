"""Energy from counted events and cost tables."""

import json
from dataclasses import asdict

import onnx
import pytest

from diannao.configs import load_core
from diannao.energy import TABLES, CostTable, add_energy, load_costs, measured_costs
from diannao.energy.events import GROUPS, events_of
from diannao.energy.table import EVENTS
from hw.errors import UserError

from .models import network

CONFIG = load_core("this test", "tiny")  # Tn = 2, Ti = 4, 16 bits

CONV = {
    "name": "conv", "macs": 700, "nfu_active": 100, "cycles": 150,
    "bytes": {"nbin": 640, "sb": 320, "nbout": 80},
}  # fmt: skip
POOL = {
    "name": "pool", "macs": 0, "nfu_active": 30, "cycles": 40,
    "bytes": {"nbin": 200, "sb": 0, "nbout": 40},
}  # fmt: skip
REPORT = {"layers": [CONV, POOL], "configuration": asdict(CONFIG)}


def test_events_of_products():
    """100 steps of 2 x 4 products; 20 rows of outputs, so 80 steps leave partial sums."""
    sums = 80 * 2 * CONFIG.acc_width / 8
    assert events_of(CONV, CONFIG) == {
        "mac": 800, "hop": 1600, "pool": 0, "nbin_read": 800, "nbin_write": 640, "sb_read": 1600,
        "sb_write": 320, "nbout_read": sums + 80, "nbout_write": sums + 80, "memory": 1040,
        "cycle": 150,
    }  # fmt: skip


def test_events_of_pooling():
    """30 steps of two lanes, no synapses; 10 rows of outputs."""
    sums = 20 * 2 * CONFIG.acc_width / 8
    assert events_of(POOL, CONFIG) == {
        "mac": 0, "hop": 60, "pool": 60, "nbin_read": 240, "nbin_write": 200, "sb_read": 0,
        "sb_write": 0, "nbout_read": sums + 40, "nbout_write": sums + 40, "memory": 240,
        "cycle": 40,
    }  # fmt: skip


@pytest.mark.parametrize("event", EVENTS)
def test_energy_is_events_times_costs(event):
    cost = dict.fromkeys(EVENTS, 0.0) | {event: 2.5}
    report = add_energy(REPORT, CostTable("mine", "pJ", "invented", cost))
    energies = [2.5 * events_of(layer, CONFIG)[event] for layer in (CONV, POOL)]
    assert [layer["energy"]["total"] for layer in report["layers"]] == energies
    assert report["energy"]["total"] == report["energy"]["by"][event] == sum(energies)
    assert report["energy"]["per_mac"] == pytest.approx(sum(energies) / 700)
    assert report["energy"]["joules"] == pytest.approx(sum(energies) * 1e-12)
    assert report["layers"][1]["energy"]["per_mac"] is None
    assert (report["energy"]["table"], report["energy"]["source"]) == ("mine", "invented")
    assert "energy" not in CONV


def test_tables_that_come_along():
    relative, paper = map(load_costs, TABLES)
    assert relative.joules is None
    per_word = {event: 2 * cost for event, cost in relative.cost.items()}
    assert (relative.cost["mac"], per_word["sb_read"], per_word["memory"]) == (1, 6, 200)
    assert relative.cost["hop"] == 2
    # In each cycle of the paper's steady state: its 485 mW at 0.98 GHz.
    events = {"mac": 256, "sb_read": 512, "nbin_read": 32, "nbout_read": 32, "nbout_write": 32,
              "cycle": 1}  # fmt: skip
    power = 0.98 * sum(paper.cost[event] * count for event, count in events.items())
    assert power == pytest.approx(485, rel=0.005)
    assert {event for group in GROUPS.values() for event in group} == set(EVENTS)


def test_measured_costs(tmp_path):
    """The NFU's power becomes the cost of its 16 products, the rest that of a cycle."""
    blocks = [
        {"name": name, "power_mw": {"total": power}}
        for name, power in (("NFU-1", 3.0), ("NFU-2", 1.0), ("CP", 2.0), ("DMA", 0.5))
    ]
    result = {
        "top": "core", "config": "c", "library": "l", "period_ns": 4.0, "activity": "assumed",
        "power_mw": {"total": 6.5}, "blocks": blocks, "configuration": {"tn": 4, "ti": 4},
    }  # fmt: skip
    path = tmp_path / "energy.toml"
    path.write_text(measured_costs(result) or "")
    table = load_costs(path)
    assert table.unit == "pJ"
    assert "diannao synth --top core" in table.source
    assert table.cost["mac"] == 4.0 * 4.0 / 16
    assert table.cost["cycle"] == 2.5 * 4.0
    assert table.cost["sb_read"] == 3 * table.cost["mac"]
    assert measured_costs({**result, "top": "sb"}) is None
    assert measured_costs({**result, "power_mw": None}) is None


@pytest.mark.parametrize("table", TABLES)
def test_run_with_energy(command, tmp_path, table):
    """The command's report is the plain one with the energy added, and names the table."""
    onnx.save(network(), tmp_path / "network.onnx")
    done = command("run", "network.onnx", "--config", "tiny", "--energy", table, "--report", "r")
    assert done.status == 0, done.err
    report = json.loads((tmp_path / "r").read_text())
    plain = {key: value for key, value in report.items() if key != "energy"}
    assert report == add_energy(plain, load_costs(table))
    assert report["energy"]["total"] > 0
    assert f"energy by table {table}" in done.out
    assert f"{report['energy'].get('joules', report['energy']['total']):.4g}" in done.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--energy", "mine"], "unknown table of energy costs 'mine'; known: relative, dian"),
        (["--energy", "mine.toml"], "cannot read energy costs 'mine.toml'"),
        (["--energy", "relative", "--target", "isa"], "--energy needs a target with a clock"),
    ],
)
def test_mistakes_are_one_line(command, tmp_path, arguments, message):
    onnx.save(network(), tmp_path / "network.onnx")
    done = command("run", "network.onnx", "--config", "tiny", *arguments)
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert message in done.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("unit = ", "is not a TOML file"),
        ('unit = "eV"', "unit must be one of pJ, MAC, not 'eV'"),
        ('unit = "pJ"', "source must say where the costs come from"),
        ('unit = "pJ"\nsource = "x"\n[cost]\nmac = 1', "cost must have mac, hop"),
        ('unit = "pJ"\nother = 1', "unknown key 'other'"),
    ],
)
def test_bad_tables(tmp_path, text, message):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        load_costs(path)


def test_costs_are_numbers(tmp_path):
    path = tmp_path / "bad.toml"
    for value in ("-1", '"1"', "true", "inf"):
        costs = "\n".join(f"{event} = {value if event == 'pool' else 1}" for event in EVENTS)
        path.write_text(f'unit = "pJ"\nsource = "x"\n[cost]\n{costs}\n')
        with pytest.raises(UserError, match="cost of pool must be 0 or more"):
            load_costs(path)
