"""What simulators need to be installed."""

import shutil

from hw.errors import UserError

__all__ = ["need_compiler"]


def need_compiler() -> None:
    """Raise UserError unless there is a C++ compiler."""
    if shutil.which("g++") is None:
        raise UserError("a C++ compiler is needed; install it: apt-get install g++")
