"""Files: outputs that appear complete or not at all, and inputs with clear errors."""

import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from hw.errors import UserError

__all__ = ["check_writable", "make_folder", "read_npz", "replacing", "write_all"]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside ``path``; what is written there becomes ``path`` at the end.

    If the body raises, ``path`` stays as it was and the temporary file is gone.

    Raises
    ------
    UserError
        If the folder cannot be written.
    """
    check_writable(path)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        partial.chmod(0o666 & ~_umask())
        partial.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {str(path)!r}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Raise UserError if a file ``path`` cannot be made, so that this is known before the work."""
    if path.is_dir():
        raise UserError(f"cannot write {str(path)!r}: it is a folder")
    if not path.parent.is_dir():
        raise UserError(f"cannot write {str(path)!r}: there is no folder {str(path.parent)!r}")
    if not os.access(path.parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise UserError(f"cannot write {str(path)!r}: permission denied")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an .npz file; UserError if it is none or cannot be read."""
    try:
        with path.open("rb") as file:
            content = np.load(file, allow_pickle=False)
            if not isinstance(content, np.ndarray):
                return {name: content[name] for name in content.files}
        raise UserError(f"{str(path)!r} must be an .npz file (numpy.savez), not a single array")
    except OSError as error:
        raise UserError(f"cannot read {str(path)!r}: {error.strerror or error}") from None
    except (ValueError, EOFError, zipfile.BadZipFile):
        raise UserError(f"{str(path)!r} is not an .npz file; make it with numpy.savez") from None


def make_folder(folder: Path) -> None:
    """Make ``folder`` if it is not there; UserError if it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {str(folder)!r}: {error.strerror}") from None
    if not os.access(folder, os.W_OK):
        raise UserError(f"cannot write into the folder {str(folder)!r}: permission denied")


def write_all(folder: Path, files: dict[str, str]) -> None:
    """Write all files (contents by name) beside their places, then move them there.

    Raises
    ------
    UserError
        If the folder cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix=".diannao.", dir=folder) as name:
        partial = Path(name)
        try:
            for file, content in files.items():
                (partial / file).write_text(content)
            for file in files:
                (partial / file).replace(folder / file)
        except OSError as error:
            raise UserError(f"cannot write into {str(folder)!r}: {error.strerror}") from None
