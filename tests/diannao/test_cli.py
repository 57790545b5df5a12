"""The command ``diannao``: run, generate and config, as a user calls them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

import diannao
from diannao import Session, load_config
from diannao import session as session_module
from diannao.accelerators import named_configs
from hw.diannao.isa import ErrorCode
from sim.driver import CoreError
from sim.isa import IsaTarget

from .models import convolution, images, network


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "network.onnx"
    onnx.save(network(), path)
    return path


@pytest.mark.parametrize("target", ["golden", "isa", "verilator"])
def test_run_writes_what_session_says(command, model, tmp_path, target):
    x = images(3)
    np.savez(tmp_path / "x.npz", x=x)
    done = command("run", model, "--config", "tiny", "--target", target, "--input", "x.npz",
                   "--output", "out.npz", "--report", "report.json")  # fmt: skip
    assert (done.status, done.err) == (0, "")
    expected = Session(model, "tiny", "golden").run_fixed(None, {"x": x})
    with np.load(tmp_path / "out.npz") as out:
        assert sorted(out) == ["p", "p.frac", "p.int", "y", "y.frac", "y.int"]
        for name, output in expected.items():
            assert out[name].dtype == np.float32
            np.testing.assert_array_equal(out[name], output.values)
            np.testing.assert_array_equal(out[f"{name}.int"], output.integers)
            assert out[f"{name}.frac"] == output.frac
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["model"], report["config"], report["target"]) == ("network.onnx", "tiny", target)
    assert (report["images"], report["random_input"]) == (3, False)
    for layer in ("conv", "pool", "classifier", "total"):
        assert layer in done.out
    clocked = target == "verilator"
    assert ("cycles" in done.out, " %" in done.out) == (clocked, clocked)
    assert ("4 tensors equal golden, bit for bit" in done.out) == (target != "golden")
    assert "off ONNX Runtime by at most" in done.out
    assert {path.name for path in tmp_path.iterdir()} == {
        "network.onnx", "x.npz", "out.npz", "report.json",
    }  # fmt: skip


def test_random_input_is_said_and_always_the_same(command, model):
    first, second = (
        command("run", model, "--config", "tiny", "--target", "isa", "--output", name)
        for name in ("a.npz", "b.npz")
    )
    assert "no --input: ran on random numbers from a fixed seed" in first.out
    assert first.out == second.out
    assert Path("a.npz").read_bytes() == Path("b.npz").read_bytes()


def test_output_keeps_the_name_it_was_given(command, model, tmp_path):
    done = command("run", model, "--config", "tiny", "--target", "golden", "--output", "result")
    assert done.status == 0
    with np.load("result") as out:
        assert out["y"].shape == (1, 5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["network.onnx", "result"]


def test_json_is_the_report(command, model):
    done = command("run", model, "--config", "tiny", "--target", "isa", "--json",
                   "--report", "report.json")  # fmt: skip
    assert json.loads(done.out) == json.loads(Path("report.json").read_text())


def test_calibration_and_preset(command, model):
    np.savez("large.npz", x=images(4, scale=50))
    fracs = []
    for options in ((), ("--calibration", "large.npz"), ("--preset", "Q5.11")):
        done = command("run", model, "--config", "tiny", "--target", "golden", "--output", "o.npz",
                       *options)  # fmt: skip
        assert done.status == 0
        with np.load("o.npz") as out:
            fracs.append(int(out["y.frac"]))
    assert fracs[1] < fracs[0]
    assert fracs[2] == 11


def test_trace_reaches_the_simulator(command, model, monkeypatch):
    """The traces themselves are examined with the target."""
    made = []

    def make_target(name, config, memory, trace, window, progress):
        made.append((name, config.name, trace, window))
        return IsaTarget(config)

    monkeypatch.setattr(session_module, "make_target", make_target)
    for window in ((), ("--trace-cycles", "300"), ("--trace-cycles", "20:300")):
        trace = ("--trace", "run.fst", *window)
        assert command("run", model, "--config", "tiny", *trace).status == 0
    path = Path("run.fst")
    assert made == [("verilator", "tiny", path, window) for window in (None, (0, 300), (20, 300))]


def test_host_operators_are_reported(command, tmp_path):
    soft = onnx.helper.make_node("Softmax", ["c"], ["y"], "soft", axis=1)
    onnx.save(convolution(None, soft), tmp_path / "soft.onnx")
    done = command("run", "soft.onnx", "--config", "tiny", "--target", "isa")
    assert done.status == 0
    assert "on the host: Softmax 'soft' (the core has no such operator)" in done.out


def test_names_are_printed_as_they_are(command):
    """Names with brackets are no markup, and reasons are not broken into lines."""
    name = "stage[bold]/" + 100 * "x"
    odd = onnx.helper.make_node("Softmax", ["c"], ["y"], name, axis=1)
    model = convolution(None, odd)
    model.graph.node[0].name = "[red]conv"
    onnx.save(model, "model.onnx")
    done = command("run", "model.onnx", "--config", "tiny", "--target", "isa")
    assert "[red]conv" in done.out
    assert f"on the host: Softmax {name!r} (the core has no such operator)\n" in done.out


def test_results_that_are_no_numbers(command):
    """The logarithm of negative numbers is NaN in ONNX Runtime, too; the report stays JSON."""
    onnx.save(convolution(None, onnx.helper.make_node("Log", ["c"], ["y"])), "log.onnx")
    done = command("run", "log.onnx", "--config", "tiny", "--target", "isa", "--json")
    assert done.status == 0
    report = json.loads(done.out, parse_constant=pytest.fail)
    assert 0 < report["float_error"]["mean"] <= report["float_error"]["max"] < 0.1


def test_a_core_that_fails_is_one_line_and_status_1(command, model, monkeypatch):
    class Failing:
        def run(self, program, inputs):
            raise CoreError("the core stopped with BUS_SB", ErrorCode.BUS_SB, 8)

        def close(self):
            pass

    monkeypatch.setattr(session_module, "make_target", lambda *_: Failing())
    done = command("run", model, "--config", "tiny", "--output", "out.npz")
    assert done.status == 1
    assert done.err == "diannao: the core stopped with BUS_SB; please report this\n"
    assert not Path("out.npz").exists()


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["frobnicate"], "No such command 'frobnicate'; diannao --help lists what there is"),
        (["run"], "Missing argument 'MODEL.onnx'; diannao run --help lists what there is"),
        (["run", "x.onnx", "--bogus"], "No such option: --bogus"),
        (["bench", "--memory-latency", "many"], "Invalid value for '--memory-latency'"),
        (["config"], "Missing command; diannao config --help lists what there is"),
    ],
    ids=["command", "argument", "option", "value", "subcommand"],
)
def test_mistyped_commands_are_one_line(command, typed, said):
    done = command(*typed)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("diannao: ")
    assert said in done.err
    assert done.err.count("\n") == 1


def test_without_arguments_there_is_help(command):
    done = command()
    assert (done.status, done.err) == (0, "")
    assert "generate" in done.out


def test_config_list(command):
    done = command("config", "list")
    assert done.status == 0
    rows = {line.split()[0]: line.split() for line in done.out.splitlines()}
    assert set(rows) == {"name", *named_configs()}
    assert rows["diannao-16x16"][1:] == "1 16 16 16 array 8 2K 32K 64".split()
    assert rows["dadiannao-4"][1:4] == ["4", "x", "16"]


@pytest.mark.parametrize("name", diannao.CONFIGS)
def test_config_show_is_a_file_for_config(command, name):
    done = command("config", "show", name)
    Path("mine.toml").write_text(done.out)
    assert load_config("mine.toml") == diannao.CONFIGS[name]
    shown = json.loads(command("config", "show", "mine.toml", "--set", "tn=3", "--json").out)
    assert load_config(name, ["tn=3", "name=custom"]) == diannao.Config(**shown)


def test_config_files_may_name_a_base(command):
    Path("mine.toml").write_text('base = "tiny"\nti = 3\nshared_port = false\n')
    done = command("config", "show", "mine.toml", "--set", "width=0x8", "--json")
    expected = diannao.CONFIGS["tiny"].replace(ti=3, width=8, name="custom")
    assert diannao.Config(**json.loads(done.out)) == expected
    assert json.loads(command("config", "show", "mine.toml", "--json").out)["name"] == "mine"


def test_help_of_every_command(command):
    for arguments in ((), ("run",), ("generate",), ("config",), ("config", "show")):
        done = command(*arguments, "--help")
        assert done.status == 0
        assert "Usage: diannao" in done.out


def test_installed_command():
    """The entry point, in a process of its own; without a terminal it draws no progress."""
    done = subprocess.run(
        [Path(sys.executable).parent / "diannao", "--version"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("diannao 0.1.0\n", "")
