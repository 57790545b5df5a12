"""DaDianNao machines behind the session and the command line."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import diannao
from hw.dadiannao.config import CONFIGS, NodeConfig
from hw.errors import UserError

DIGITS = Path(__file__).parents[2] / "models" / "digits.onnx"


def run(config, settings=(), images=4, target="isa"):
    session = diannao.Session(DIGITS, config=config, settings=settings, target=target)
    outputs = session.run(None, session.random_inputs(images))
    return session, outputs


@pytest.mark.parametrize("config", ["dadiannao-tiny", "dadiannao-tiny-4", "dadiannao"])
def test_interpreter_computes_what_golden_does(config):
    """The session compares; here it counts that it did."""
    session, outputs = run(config)
    _, expected = run(config, target="golden")
    assert session.report["checked_tensors"] == 2
    for mine, golden in zip(outputs, expected, strict=True):
        np.testing.assert_array_equal(mine, golden)
    assert all(layer["source"] == "isa" for layer in session.report["layers"])


def test_more_images_than_the_central_memories_hold():
    """The program runs all layers for some images, then for the others."""
    session, _ = run("dadiannao-tiny", images=16)
    assert session.report["images"] == 16


def test_nodes_share_the_work():
    steps = [sum(layer["nfu_active"] for layer in run(name)[0].report["layers"])
             for name in ("dadiannao-tiny", "dadiannao-tiny-4")]  # fmt: skip
    assert steps[1] < steps[0]


def test_configuration_files(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('base = "dadiannao-tiny"\ntiles = 2\n')
    config = diannao.load_config(path)
    assert isinstance(config, NodeConfig)
    assert config == CONFIGS["dadiannao-tiny"].replace(name="mine", tiles=2)
    assert diannao.load_config("dadiannao-tiny", ["rows=2"]) == CONFIGS["dadiannao-tiny"].replace(
        name="custom", rows=2
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "dadiannao-tiny", "--set", "sb_rows=64"],
         r"needs 395 rows of SB in every tile, 331 more than the 64 there are; "
         r"no number of nodes would do"),
        (["--config", "dadiannao-tiny", "--set", "sb_rows=320"],
         r"needs 395 rows of SB in every tile, 75 more than the 320 there are; "
         r"4 nodes would do: set rows=2 and columns=2"),
        (["--config", "dadiannao-tiny", "--set", "central_rows=64"],
         r"rows of a central memory, \d+ more than the 64 there are; .* nodes would do"),
        (["--config", "dadiannao-tiny", "--set", "rows=9"], "rows must be 1 to 8, not 9"),
        (["--config", "dadiannao-tiny", "--set", "nodes=3"],
         "nodes are set as rows x columns: 3 are rows=1 and columns=3"),
        (["--config", "dadiannao-tiny", "--set", "nodes=11"],
         "11 nodes are no mesh of rows x columns, 1 to 8 each; set rows and columns"),
        (["--config", "dadiannao-tiny", "--set", "tiles=3"], "tiles must be a power of two"),
        (["--config", "dadiannao-tiny", "--target", "verilator", "--trace", "x.json"],
         r"a timeline \(x.json\) is there of DianNao cores only, not of 'dadiannao-tiny'"),
        (["--config", "dadiannao-tiny", "--target", "verilator", "--plot", "x.svg"],
         "--plot must have the configuration of a DianNao core"),
    ],
)  # fmt: skip
def test_errors_are_one_line(command, arguments, message):
    if "--target" not in arguments:
        arguments = [*arguments, "--target", "isa"]
    done = command("run", str(DIGITS), *arguments)
    assert done.status == 2
    assert done.out == ""
    assert done.err.count("\n") == 1
    assert re.search(message, done.err), done.err


@pytest.mark.parametrize("name", CONFIGS)
def test_config_show_is_a_file_for_config(command, name):
    done = command("config", "show", name)
    Path("mine.toml").write_text(done.out)
    assert diannao.load_config("mine.toml") == CONFIGS[name]
    shown = json.loads(command("config", "show", "mine.toml", "--json").out)
    assert NodeConfig(**shown) == CONFIGS[name]


def test_private_kernels_are_refused_by_name():
    from compiler.dadiannao import lower
    from tests.compiler.networks import Network

    config = CONFIGS["dadiannao-tiny"]
    net = Network(config.core, 0)
    net.local(net.input(1, 2, 5, 5), 3)
    with pytest.raises(UserError, match="private kernels, which DaDianNao nodes do not run"):
        lower(net.graph(), config)
