"""The command line, called in this process."""

import sys
import warnings
from dataclasses import dataclass

import pytest

from diannao import cli


@dataclass(frozen=True)
class Result:
    """What a command left: exit status, and what it printed."""

    status: int
    out: str
    err: str


@pytest.fixture
def command(capsys, monkeypatch, tmp_path):
    """``command("run", "MODEL.onnx", ...)`` calls ``diannao`` in the folder ``tmp_path``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def call(*arguments) -> Result:
        monkeypatch.setattr(sys, "argv", ["diannao", *map(str, arguments)])
        with warnings.catch_warnings():
            warnings.simplefilter("default")  # as in a process of its own
            with pytest.raises(SystemExit) as ended:
                cli.main()
        printed = capsys.readouterr()
        return Result(ended.value.code or 0, printed.out, printed.err)  # type: ignore[arg-type]

    return call
