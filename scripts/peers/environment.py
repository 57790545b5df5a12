"""A virtual environment for each peer, made once and kept in the cache."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from sim.cache import cached, digest

__all__ = ["Environment", "PeerError", "call", "scratch"]

_HERE = Path(__file__).parent
_PATIENCE = 3600
"""Seconds that a peer may take for one step."""


class PeerError(Exception):
    """A peer cannot be installed, or cannot run a layer; the message says why, in one line."""


class Environment:
    """Where a peer is installed.

    Parameters
    ----------
    packages : what pip installs, as its command line has it

    Raises
    ------
    PeerError
        If pip cannot install the packages.
    """

    def __init__(self, *packages: str):
        def make(folder: Path) -> None:
            call(sys.executable, "-m", "venv", "--without-pip", str(folder))
            pip = (sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"))
            call(*pip, "install", "--quiet", "--disable-pip-version-check", *packages)

        folder = cached("peers", digest(sys.version, *packages), make)
        self._python = str(folder / "bin" / "python")

    def run(self, driver: str, layer: dict[str, Any], folder: Path) -> dict[str, Any]:
        """Run the script ``driver`` on a layer; returns what it prints as its last line, JSON."""
        description = folder / "layer.json"
        description.write_text(json.dumps(layer))
        # -P: the drivers stand beside modules that must not hide the peers' own.
        done = call(self._python, "-P", str(_HERE / driver), str(description), str(folder))
        return json.loads(done.splitlines()[-1])


def call(*command: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Output of a command; PeerError with the last line of what it complained about if it fails."""
    name = Path(command[0]).name
    try:
        done = subprocess.run(
            command, cwd=cwd, env=env, text=True, capture_output=True, check=False,
            timeout=_PATIENCE,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise PeerError(f"{name} took longer than {_PATIENCE} s") from None
    except OSError as error:
        raise PeerError(f"{name} cannot be started: {error.strerror}") from None
    if done.returncode:
        lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        errors = [line for line in lines if "error" in line.lower()]
        raise PeerError((errors or lines or [f"{name} ended with {done.returncode}"])[-1])
    return done.stdout


def scratch(name: str) -> tempfile.TemporaryDirectory:
    """A folder for files that nobody needs afterwards."""
    return tempfile.TemporaryDirectory(prefix=f"diannao-{name}-")
