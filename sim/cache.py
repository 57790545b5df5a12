"""Files that are expensive to make, kept between runs under a name that says what they hold."""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from hw.errors import UserError

__all__ = ["cache_root", "cached", "digest"]


def cache_root() -> Path:
    """``$XDG_CACHE_HOME/diannao`` or ``~/.cache/diannao``."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "diannao"


def digest(*parts: str | bytes) -> str:
    """Name for what ``parts`` determine."""
    state = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        state.update(len(content).to_bytes(8, "little") + content)
    return state.hexdigest()[:32]


def cached(kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """The folder ``kind/key`` of the cache, made by ``make(folder)`` if it is not there.

    The folder appears at once and complete, or not at all; of several processes that want it, one
    makes it and the others wait.

    Raises
    ------
    UserError
        If the cache cannot be written.
    """
    parent = cache_root() / kind
    wanted = parent / key
    if wanted.exists():
        return wanted
    try:
        parent.mkdir(parents=True, exist_ok=True)
        lock = (parent / f"{key}.lock").open("w")
    except OSError as error:
        raise UserError(
            f"cannot write the cache {str(parent)!r}: {error.strerror}; set XDG_CACHE_HOME to a "
            "folder that can be written"
        ) from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not wanted.exists():
            for abandoned in parent.glob(f"{key}.*/"):  # by a process that was killed
                shutil.rmtree(abandoned, ignore_errors=True)
            partial = Path(tempfile.mkdtemp(prefix=f"{key}.", dir=parent))
            try:
                make(partial)
                partial.rename(wanted)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    return wanted
