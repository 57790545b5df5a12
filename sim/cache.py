"""Files that are expensive to make, kept between runs under a name that says what they hold."""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

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
    """
    parent = cache_root() / kind
    parent.mkdir(parents=True, exist_ok=True)
    wanted = parent / key
    if wanted.exists():
        return wanted
    with (parent / f"{key}.lock").open("w") as lock:
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
