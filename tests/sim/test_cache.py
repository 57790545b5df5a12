"""The cache of expensive files."""

import multiprocessing
import os
import time
from pathlib import Path

import pytest

from hw.errors import UserError
from sim.cache import cached, digest


def _make(cache: Path, results) -> None:
    os.environ["XDG_CACHE_HOME"] = str(cache)

    def make(folder: Path):
        (folder / "half").touch()
        time.sleep(0.5)
        (folder / "maker").write_text(str(os.getpid()))

    results.put((cached("thing", "key", make) / "maker").read_text())


def test_several_processes_make_it_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [context.Process(target=_make, args=(tmp_path, results)) for _ in range(3)]
    for worker in workers:
        worker.start()
    makers = {results.get(timeout=60) for _ in workers}
    for worker in workers:
        worker.join()
    assert len(makers) == 1
    folders = [path.name for path in (tmp_path / "diannao" / "thing").iterdir() if path.is_dir()]
    assert folders == ["key"]


def test_a_failed_attempt_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def fail(folder: Path):
        (folder / "half").touch()
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        cached("thing", "key", fail)
    assert not [path for path in (tmp_path / "diannao" / "thing").iterdir() if path.is_dir()]
    folder = cached("thing", "key", lambda folder: (folder / "whole").touch())
    assert [path.name for path in folder.iterdir()] == ["whole"]


def test_what_a_killed_process_left_is_removed(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    left = tmp_path / "diannao" / "thing" / "key.abandoned"
    left.mkdir(parents=True)
    other = tmp_path / "diannao" / "thing" / "other.busy"
    other.mkdir()
    cached("thing", "key", lambda folder: None)
    assert not left.exists()
    assert other.exists()


def test_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"^cannot write the cache .*; set XDG_CACHE_HOME to a"):
        cached("thing", "key", lambda folder: None)


def test_digest_tells_parts_apart():
    assert digest("ab", "c") != digest("a", "bc")
    assert digest("ab", b"c") == digest("ab", "c")
