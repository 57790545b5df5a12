"""The compiled part of the performance model: from its sources to a shared library, cached."""

import ctypes
import subprocess
from functools import lru_cache
from pathlib import Path

from hw.diannao.isa import LEVELS

from ..cache import cached, digest
from ..toolchain import need_compiler

__all__ = ["library"]

_HERE = Path(__file__).parent
_MEMORY = _HERE.parent / "verilator" / "memory.h"
# The library is used on the machine that builds it, so it may use all of its instructions.
_COMMAND = ("g++", "-std=c++17", "-O3", "-march=native", f"-DLEVELS={LEVELS}",
            "-shared", "-fPIC", "-fvisibility=hidden", "-Wall", "-Werror")  # fmt: skip


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL:
    """The compiled model; it is built in a few seconds when its sources have changed.

    Raises
    ------
    UserError
        If there is no C++ compiler.
    """
    need_compiler()
    sources = [path.read_bytes() for path in (*sorted(_HERE.glob("*.h")), _HERE / "core.cpp")]
    version = subprocess.run(["g++", "--version"], capture_output=True, check=True).stdout
    key = digest(version, *_COMMAND, *sources, _MEMORY.read_bytes())

    def make(folder: Path) -> None:
        command = [*_COMMAND, str(_HERE / "core.cpp"), "-o", str(folder / "model.so")]
        done = subprocess.run(command, text=True, capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}\nfailed:\n{done.stdout}{done.stderr}")

    return ctypes.CDLL(str(cached("model", key, make) / "model.so"))
