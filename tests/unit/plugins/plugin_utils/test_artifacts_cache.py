# SPDX-License-Identifier: GPL-3.0-or-later
"""Each artifact is made once, whoever asks at the same time, and never left half made."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
from ansible_collections.durable.temporal.plugins.plugin_utils._artifact_cache import (
    ArtifactError,
    Cache,
    default_cache,
)
from ansible_collections.durable.temporal.plugins.plugin_utils._image_archive import Tree


def simple(_work: Path) -> Tree:
    tree = Tree()
    tree.file("a", b"content")
    return tree


def make(root: Path, log: Path, barrier: object) -> None:
    """In a process of its own: wait for the others, then ask for the same layer."""

    def build(work: Path) -> Tree:
        with log.open("a") as out:
            out.write("built\n")
        return simple(work)

    barrier.wait()  # type: ignore[attr-defined]
    layer = Cache(root).layer("server-1.32.2", build)
    assert layer.path.stat().st_size == layer.size


def test_processes_that_ask_together_make_it_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(4)
    log = tmp_path / "log"
    workers = [context.Process(target=make, args=(tmp_path / "cache", log, barrier)) for _worker in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert [worker.exitcode for worker in workers] == [0, 0, 0, 0]
    assert log.read_text() == "built\n"


def test_a_waiting_process_says_so(tmp_path: Path) -> None:
    said: list[str] = []
    cache = Cache(tmp_path, said.append)

    def wait(ready: object) -> None:
        with Cache(tmp_path).lock("key"):
            ready.set()  # type: ignore[attr-defined]
            done.wait(10)

    context = multiprocessing.get_context("fork")
    ready, done = context.Event(), context.Event()
    holder = context.Process(target=wait, args=(ready,))
    holder.start()
    assert ready.wait(10)

    def heard(text: str) -> None:
        said.append(text)
        done.set()

    cache.notify = heard
    with cache.lock("key"):
        assert said == ["Waiting for key, which another process is making"]
    holder.join(10)


def test_what_is_stored_is_not_made_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    first = cache.layer("key", simple, hashed=("a",))
    second = cache.layer("key", lambda _work: pytest.fail("made again"))
    assert first == second
    assert list(second.files) == ["a"]


def test_a_truncated_layer_is_made_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    first = cache.layer("key", simple)
    first.path.write_bytes(b"short")
    assert cache.layer("key", simple).path.stat().st_size == first.size


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    cache = Cache(tmp_path)

    def fail(work: Path) -> Tree:
        (work / "readonly").mkdir()
        (work / "readonly" / "file").touch()
        (work / "readonly").chmod(0o500)  # as Go leaves its modules
        raise ArtifactError("no")

    with pytest.raises(ArtifactError, match="no"):
        cache.layer("key", fail)
    assert not list((tmp_path / "work").iterdir())
    assert cache.layer("key", simple).files == {}


def test_a_file_that_broke_off_is_not_kept(tmp_path: Path) -> None:
    cache = Cache(tmp_path)

    def broken(target: Path) -> None:
        target.write_bytes(b"half")
        raise ArtifactError("broke off")

    with pytest.raises(ArtifactError):
        cache.file("archive.tar.gz", broken)

    def complete(target: Path) -> None:
        target.write_text("whole")

    assert cache.file("archive.tar.gz", complete).read_text() == "whole"


def test_digests_follow_the_file(tmp_path: Path) -> None:
    cache, file = Cache(tmp_path / "cache"), tmp_path / "file"
    file.write_text("one")
    before = cache.digest(file)
    assert cache.digest(file) == before
    file.write_text("three")
    assert cache.digest(file) != before


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ArtifactError, match=r"The cache .*file on this machine cannot be written"):
        Cache(tmp_path / "file").layer("key", simple)


def test_the_default_cache_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "durable.temporal"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/me")
    assert default_cache() == Path("/home/me/.cache/durable.temporal")
