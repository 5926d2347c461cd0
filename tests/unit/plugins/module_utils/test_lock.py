# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may deploy while another run holds the lock of an application."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import subprocess
import threading
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.durable.temporal.plugins.module_utils import _lock
from ansible_collections.durable.temporal.plugins.module_utils._lock import (
    ANY,
    STALE_SECONDS,
    HeldError,
    Holder,
    Lock,
    Run,
    boot_id,
    started,
)

ANNA = Run("anna@build", "build b1 10 5", "build b1", 10)
BEN = Run("ben@laptop", "laptop b2 11 6", "laptop b2", 11)
GONE = 2**22 + 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".lock"


def change(path: Path, **fields: t.Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_a_run_holds_its_lock_over_many_calls(path: Path) -> None:
    first = Lock(path, ANNA)
    first.take("present")
    since = json.loads(path.read_text())["since"]
    first.rest("present")
    assert json.loads(path.read_text())["pid"] == 0
    second = Lock(path, ANNA)
    second.take("live")
    found = json.loads(path.read_text())
    assert (found["step"], found["pid"], found["since"]) == ("live", os.getpid(), since)
    assert not second.warnings
    second.free()
    assert not path.exists()
    Lock(path, BEN).take("present")


def test_a_lock_of_a_call_at_work_names_its_holder_and_step(path: Path) -> None:
    Lock(path, ANNA).take("present")
    with pytest.raises(
        HeldError, match=rf"held by anna@build for 0 s: process {os.getpid()} on this host is at work \(present\)"
    ):
        Lock(path, BEN).take("present")
    with pytest.raises(HeldError):
        Lock(path, BEN, ANY).take("present")


def test_a_lock_between_two_calls_says_how_long_to_wait(path: Path) -> None:
    lock = Lock(path, ANNA)
    lock.take("present")
    lock.rest("present")
    change(path, touched=time.time() - STALE_SECONDS + 300)
    with pytest.raises(HeldError, match=r"10 min ago.*run this again in 5 min, or now with -e deploy_take_over=true"):
        Lock(path, BEN).take("present")
    assert json.loads(path.read_text())["by"] == "anna@build"


@pytest.mark.parametrize(
    ("fields", "take_over"),
    [
        ({}, ANNA.id),
        ({}, ANY),
        ({"touched": time.time() - STALE_SECONDS - 1}, ""),
        ({"boot": "an earlier boot"}, ""),
        ({"run": "", "pid": GONE}, ""),
        ({"pid": os.getpid(), "pid_started": "another process with this number"}, ANNA.id),
    ],
)
def test_a_lock_whose_run_is_gone_is_taken_over_and_explained(
    path: Path, fields: dict[str, t.Any], take_over: str
) -> None:
    left = Lock(path, ANNA)
    left.take("present")
    left.target = "r1"
    left.rest("present")
    change(path, **fields)
    lock = Lock(path, BEN, take_over)
    lock.take("present")
    assert "left by anna@build, whose run is gone" in lock.warnings[0]
    assert (json.loads(path.read_text())["by"], lock.target) == ("ben@laptop", "r1")


def test_what_a_crash_has_cut_off_is_no_lock(path: Path) -> None:
    path.write_text('{"by": "an')
    lock = Lock(path, BEN)
    lock.take("present")
    assert lock.warnings


def test_the_last_call_of_a_run_that_is_gone_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["sleep", "60"]) as orphan:
        Lock(path, ANNA).take("present")
        change(path, pid=orphan.pid, pid_started=started(orphan.pid))
        monkeypatch.setattr(_lock, "ORPHAN_SECONDS", 0)
        with pytest.raises(HeldError, match=f"process {orphan.pid}"):
            Lock(path, BEN, ANNA.id).take("present")
        monkeypatch.setattr(_lock, "ORPHAN_SECONDS", 60)
        taken = threading.Event()

        def take() -> None:
            Lock(path, BEN, ANNA.id).take("present")
            taken.set()

        thread = threading.Thread(target=take)
        thread.start()
        assert not taken.wait(0.5)
        orphan.kill()
        orphan.wait()
        thread.join(20)
        assert taken.is_set()


def test_a_module_that_is_used_alone_holds_the_lock_for_its_call(path: Path) -> None:
    alone = Lock(path, Run("anna@build"))
    alone.take("live")
    alone.free()
    assert not path.exists()
    alone.take("live")
    change(path, pid=GONE)
    Lock(path, Run("ben@laptop")).take("live")


def test_nobody_frees_the_lock_of_another_run(path: Path) -> None:
    Lock(path, ANNA).take("present")
    Lock(path, BEN).free()
    Lock(path, BEN).rest("present")
    assert json.loads(path.read_text())["by"] == "anna@build"


def test_one_of_many_that_come_at_once_gets_the_lock(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Whoever looks waits until all have looked, if they can do so at once, before it goes on to write.
    looked = threading.Barrier(8)
    won: list[str] = []
    look = Lock.read

    def slow_look(lock: Lock) -> Holder | None:
        found = look(lock)
        with contextlib.suppress(threading.BrokenBarrierError):
            looked.wait(0.5)
        return found

    monkeypatch.setattr(Lock, "read", slow_look)

    def take(name: str) -> None:
        try:
            Lock(path, Run(name, f"{name} run")).take("present")
            won.append(name)
        except HeldError:
            pass

    threads = [threading.Thread(target=take, args=(f"run {n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert json.loads(path.read_text())["by"] == won[0]


def test_processes_are_told_apart_by_their_start() -> None:
    assert started(os.getpid()) == started(os.getpid()) != ""
    assert started(GONE) == ""
    assert boot_id()


def test_a_lock_that_cannot_be_written_is_not_left(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    lock = Lock(path, ANNA)
    with monkeypatch.context() as during:
        during.setattr(Path, "replace", full)
        with pytest.raises(OSError, match="No space"):
            lock.take("present")
    assert list(path.parent.iterdir()) == []
    lock.take("present")
    with monkeypatch.context() as during:
        during.setattr(Path, "replace", full)
        lock.rest("present")
    assert [p.name for p in path.parent.iterdir()] == [".lock"]
