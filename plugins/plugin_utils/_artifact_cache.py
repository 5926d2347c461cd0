# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's cache of artifacts: each made once, however many hosts and runs ask for it at the same time.

Private to this collection. Layout below the cache directory: ``layers/`` (what images and hosts are given),
``downloads/`` (archives as fetched), ``locks/``, ``work/`` (being made). Everything may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import typing as t
from pathlib import Path

from ansible_collections.durable.temporal.plugins.plugin_utils._image_archive import Layer, Tree

_CHUNK: t.Final = 1 << 20


class ArtifactError(Exception):
    """Something could not be obtained. The text is for the operator: what was found, expected, and the next step."""


def default_cache() -> Path:
    """``$XDG_CACHE_HOME/durable.temporal``, or the same below ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "durable.temporal"


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as raw:
        while chunk := raw.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


class Cache:
    """Layers and downloads by key.

    :param root: directory; made when missing.
    :param notify: receives a sentence when something takes long, such as waiting for another process.
    """

    def __init__(self, root: Path, notify: t.Callable[[str], None] = lambda _text: None) -> None:
        self.root = root
        self.notify = notify

    @contextlib.contextmanager
    def lock(self, key: str) -> t.Iterator[None]:
        """Hold the lock of a key. The kernel lets go of it when the process dies, so none is ever left behind."""
        with self._open("locks", f"{_name(key)}.lock").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.notify(f"Waiting for {key}, which another process is making")
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def layer(self, key: str, build: t.Callable[[Path], Tree], hashed: t.Collection[str] = ()) -> Layer:
        """The stored layer of a key, made by ``build`` when it is not there yet.

        :param build: given an empty directory for its own use, returns the content. Runs under the key's lock.
        :param hashed: files of the layer whose digest is to be kept.
        """
        stored = self._stored(key)
        if stored:
            return stored
        with self.lock(key):
            stored = self._stored(key)  # the one who held the lock before has made it
            if stored:
                return stored
            with self.work(key) as work:
                inputs = work / "inputs"
                inputs.mkdir()
                made = build(inputs).write(work / "layer", hashed)
                target = self._open("layers", f"{_name(key)}.tar.gz")
                made.path.replace(target)
                # Last, so that a layer without it is one that was interrupted.
                _write_json(self._meta(key), made.as_dict())
        return self._stored(key) or _gone(target)

    def file(self, key: str, fetch: t.Callable[[Path], None]) -> Path:
        """The stored file of a key, written by ``fetch`` to the path that it is given when it is not there yet."""
        target = self._open("downloads", _name(key))
        if target.exists():
            return target
        with self.lock(key):
            if not target.exists():
                with self.work(key) as work:
                    fetch(work / "file")
                    (work / "file").replace(target)
        return target

    @contextlib.contextmanager
    def work(self, key: str) -> t.Iterator[Path]:
        """An empty directory inside the cache, removed afterwards. Only for the holder of the key's lock."""
        path = self._open("work", _name(key))
        shutil.rmtree(path, ignore_errors=True)  # of a run that was killed
        path.mkdir()
        try:
            yield path
        finally:
            # Go marks its module directories read-only; nothing else here needs this.
            for directory in (d for d in path.rglob("*") if d.is_dir() and not d.is_symlink()):
                directory.chmod(0o700)
            shutil.rmtree(path, ignore_errors=True)

    def digest(self, path: Path) -> str:
        """SHA-256 of a user's file, remembered by size and time of change."""
        stat = path.stat()
        key = f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}"
        note = self._open("digests", f"{hashlib.sha256(key.encode()).hexdigest()}.json")
        with contextlib.suppress(OSError, ValueError, KeyError):
            return str(json.loads(note.read_text())["sha256"])
        digest = sha256_of(path)
        _write_json(note, {"sha256": digest, "path": str(path)})
        return digest

    def _stored(self, key: str) -> Layer | None:
        path = self._open("layers", f"{_name(key)}.tar.gz")
        try:
            meta = json.loads(self._meta(key).read_text())
            layer = Layer(path, str(meta["diff_id"]), str(meta["digest"]), int(meta["size"]), dict(meta["files"]))
            complete = path.stat().st_size == layer.size
        except (OSError, ValueError, KeyError):
            return None
        return layer if complete else None

    def _meta(self, key: str) -> Path:
        return self._open("layers", f"{_name(key)}.json")

    def folder(self, folder: str) -> Path:
        """A directory of the cache, made when missing."""
        directory = self.root / folder
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ArtifactError(
                f"The cache {self.root} on this machine cannot be written ({error.strerror}). Set cache to a "
                "directory that can."
            ) from error
        return directory

    def _open(self, folder: str, name: str) -> Path:
        return self.folder(folder) / name


def _name(key: str) -> str:
    """A key as a file name."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", key)


def _gone(path: Path) -> t.NoReturn:
    raise ArtifactError(f"{path} vanished while it was being used. Something else empties the cache; run again.")


def _write_json(path: Path, content: t.Mapping[str, t.Any]) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(content, sort_keys=True))
    temporary.replace(path)
