# SPDX-License-Identifier: GPL-3.0-or-later
"""What processes of one run share, what others make of it, and what is left of a run that was killed."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.durable.temporal.plugins.plugin_utils._run_cache import FOLDER, RunCache

VALUE = "a-value-that-must-not-be-found"


def _child(directory: Path, queue: multiprocessing.Queue[str]) -> None:
    queue.put(str(RunCache(directory).get("a", "b")))


def test_a_child_of_the_run_finds_what_another_has_kept(tmp_path: Path) -> None:
    RunCache(tmp_path).put(VALUE, "a", "b")
    context = multiprocessing.get_context("fork")
    queue: multiprocessing.Queue[str] = context.Queue()
    process = context.Process(target=_child, args=(tmp_path, queue))
    process.start()
    assert queue.get(timeout=30) == VALUE
    process.join()


def test_another_run_finds_nothing(tmp_path: Path) -> None:
    RunCache(tmp_path, b"one").put(VALUE, "a")
    assert RunCache(tmp_path, b"two").get("a") is None
    assert RunCache(tmp_path, b"one").get("a") == VALUE
    assert RunCache(tmp_path, b"one").get("b") is None
    assert RunCache(tmp_path, b"one").get("a", "") is None


def test_a_value_that_is_taken_under_another_name_is_none(tmp_path: Path) -> None:
    cache = RunCache(tmp_path, b"one")
    cache.put(VALUE, "a")
    (kept,) = (tmp_path / FOLDER).iterdir()
    cache.put("other", "b")
    (other,) = (p for p in (tmp_path / FOLDER).iterdir() if p != kept)
    other.write_bytes(kept.read_bytes())
    assert cache.get("b") is None


def test_neither_values_nor_names_lie_on_the_disk(tmp_path: Path) -> None:
    cache = RunCache(tmp_path)
    cache.put([VALUE], "secret", "company-prod", "database-password")
    with cache.locked(1, "secret", "company-prod"):
        pass
    folder = tmp_path / FOLDER
    assert folder.stat().st_mode & 0o777 == 0o700
    files = list(folder.iterdir())
    assert len(files) == 2
    for file in files:
        assert file.stat().st_mode & 0o777 == 0o600
        assert "company" not in file.name
        for text in (VALUE, "company", "database"):
            assert text.encode() not in file.read_bytes()


def test_the_directory_is_the_one_of_the_run(tmp_path: Path) -> None:
    code = f"""
from ansible_collections.durable.temporal.plugins.plugin_utils._run_cache import RunCache
from ansible import constants
RunCache().put("{VALUE}", "a")
print(constants.DEFAULT_LOCAL_TMP)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "ANSIBLE_LOCAL_TEMP": str(tmp_path), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout.strip()).parent == tmp_path
    assert list(tmp_path.iterdir()) == [], "Ansible removes it at the end of the run"


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = tmp_path / f"ansible-local-{ended.pid}abcd_123" / FOLDER
    going_on = tmp_path / f"ansible-local-{os.getpid()}abcd_123" / FOLDER
    foreign = tmp_path / f"ansible-local-{ended.pid}abcd_123" / "other"
    for each in (left, going_on, foreign):
        each.mkdir(parents=True)
        (each / "file").touch()
    RunCache(tmp_path / f"ansible-local-{os.getpid()}zzzz_123")
    assert not left.exists()
    assert going_on.exists()
    assert foreign.exists()


def test_one_at_a_time(tmp_path: Path) -> None:
    cache, order = RunCache(tmp_path), []
    inside = threading.Event()

    def second() -> None:
        inside.wait()
        with cache.locked(30, "x"):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with cache.locked(30, "x"):
        inside.set()
        with cache.locked(30, "another"):
            thread.join(0.3)
            order.append("first")
    thread.join(30)
    assert order == ["first", "second"]


def test_who_has_no_patience_left_goes_on(tmp_path: Path) -> None:
    cache = RunCache(tmp_path)
    with cache.locked(30, "x"):
        began = time.monotonic()
        with cache.locked(0.1, "x"):
            assert 0.1 <= time.monotonic() - began < 25


def test_a_directory_that_cannot_be_made_is_an_error() -> None:
    with pytest.raises(OSError, match="cache"):
        RunCache(Path("/proc/cache"))
