# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Container images written as files, without a Docker engine: layers, configuration, and ``docker load`` archives.

Private to this collection. The same content always gives the same bytes and so the same image id: names are sorted,
times are zero, owners are numbers. A layer is stored compressed; an image's id depends on the uncompressed bytes only,
so the compression may change without any image changing.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
import typing as t
import zlib
from dataclasses import dataclass, field
from pathlib import Path

# Measured on a 200 MB Go binary: level 1 takes 1.8 s and 57 MB, level 6 3.7 s and 47 MB. gzip, because engines before
# 23.0 read nothing better.
COMPRESSION_LEVEL: t.Final = 1
_CHUNK: t.Final = 1 << 20
_EPOCH: t.Final = "1970-01-01T00:00:00Z"


@dataclass(frozen=True)
class Entry:
    """One name in a layer: a file (``content`` is bytes or a path to copy from), a directory, or a symbolic link."""

    kind: t.Literal["file", "directory", "symlink"]
    mode: int
    owner: tuple[int, int] = (0, 0)
    content: bytes | Path = b""
    target: str = ""


@dataclass(frozen=True)
class Layer:
    """A stored layer. ``diff_id`` is the SHA-256 of the uncompressed tar, ``digest`` of the stored file.

    ``files`` maps the files whose digest was asked for to their SHA-256.
    """

    path: Path
    diff_id: str
    digest: str
    size: int
    files: t.Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, t.Any]:
        """What is kept beside the stored file."""
        return {"diff_id": self.diff_id, "digest": self.digest, "size": self.size, "files": dict(self.files)}


class _Compressor:
    """A file object that hashes what is written, compresses it, and hashes that too."""

    def __init__(self, raw: t.BinaryIO) -> None:
        self._raw = raw
        # 31: a gzip header. zlib writes it without a name and with time 0, which gzip.GzipFile would have to be told.
        self._zip = zlib.compressobj(COMPRESSION_LEVEL, zlib.DEFLATED, 31)
        self.plain = hashlib.sha256()
        self.packed = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self.plain.update(data)
        self._out(self._zip.compress(data))
        return len(data)

    def close(self) -> None:
        self._out(self._zip.flush())

    def _out(self, data: bytes) -> None:
        self.packed.update(data)
        self.size += len(data)
        self._raw.write(data)


class _HashedFile:
    """Reads a file for ``tarfile`` and hashes it on the way."""

    def __init__(self, raw: t.BinaryIO) -> None:
        self._raw = raw
        self.sha256 = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._raw.read(size)
        self.sha256.update(data)
        return data


class Tree:
    """The content of a layer, put together in any order. Missing parent directories are added, owned by root, 0755."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def __contains__(self, path: str) -> bool:
        return _clean(path) in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def directory(self, path: str, mode: int = 0o755, owner: tuple[int, int] = (0, 0)) -> None:
        """Add a directory, or set the mode and owner of one."""
        self._put(path, Entry("directory", mode, owner))

    def file(self, path: str, content: bytes | str | Path, mode: int = 0o644, owner: tuple[int, int] = (0, 0)) -> None:
        """Add a file. ``content`` is text, bytes, or the path of a file to read when the layer is written."""
        data = content.encode() if isinstance(content, str) else content
        self._put(path, Entry("file", mode, owner, content=data))

    def symlink(self, path: str, target: str) -> None:
        """Add a symbolic link; ``target`` is stored as it is."""
        self._put(path, Entry("symlink", 0o777, target=target))

    def content(self, path: str) -> bytes | Path:
        """Content of a file that was added."""
        return self._entries[_clean(path)].content

    def copy(self, path: str, original: str, mode: int) -> None:
        """Add a file with the content of one that is there already (a hard link; nothing happens without it)."""
        entry = self._entries.get(_clean(original))
        if entry is not None:
            self._put(path, Entry(entry.kind, mode, entry.owner, entry.content, entry.target))

    def fingerprint(self) -> str:
        """SHA-256 of the content, for trees whose files are all in memory."""
        lines = [f"{name} {self._entries[name]!r}" for name in sorted(self._entries)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def write(self, destination: Path, hashed: t.Collection[str] = ()) -> Layer:
        """Write the layer to ``destination`` (gzip) and return what identifies it.

        :param hashed: files whose SHA-256 is to be part of the result.
        """
        files: dict[str, str] = {}
        entries = self._with_parents()
        with destination.open("wb") as raw:
            sink = _Compressor(raw)
            with tarfile.open(fileobj=t.cast("t.Any", sink), mode="w|", format=tarfile.GNU_FORMAT) as tar:
                for name in sorted(entries):
                    digest = _add(tar, name, entries[name])
                    if digest and name in hashed:
                        files[name] = digest
            sink.close()
        return Layer(destination, sink.plain.hexdigest(), sink.packed.hexdigest(), sink.size, files)

    def _put(self, path: str, entry: Entry) -> None:
        self._entries[_clean(path)] = entry

    def _with_parents(self) -> dict[str, Entry]:
        entries = dict(self._entries)
        for name in self._entries:
            parts = name.split("/")
            for depth in range(1, len(parts)):
                entries.setdefault("/".join(parts[:depth]), Entry("directory", 0o755))
        return entries


@dataclass(frozen=True)
class Image:
    """An image to be written. ``config`` is Docker's container configuration: Env, Cmd, User, WorkingDir, Labels …

    :param architecture: Go's name, such as ``amd64``.
    """

    reference: str
    architecture: str
    config: t.Mapping[str, t.Any]
    layers: tuple[Layer, ...]

    def configuration(self) -> bytes:
        """The configuration file; its SHA-256 is the image id of an engine with the classic image store."""
        content = {
            "architecture": self.architecture,
            "os": "linux",
            "created": _EPOCH,
            "config": dict(self.config),
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer.diff_id}" for layer in self.layers]},
            "history": [{"created": _EPOCH, "created_by": "durable.temporal"} for _layer in self.layers],
        }
        return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()

    @property
    def image_id(self) -> str:
        """``sha256:…`` of :meth:`configuration`."""
        return f"sha256:{hashlib.sha256(self.configuration()).hexdigest()}"


def write_archive(images: t.Sequence[Image], destination: Path) -> None:
    """Write one archive that ``docker load`` reads, with every layer that the images share only once.

    The layers inside stay compressed: engines uncompress each by itself, so nothing is compressed twice.
    """
    manifest = []
    written: set[str] = set()
    with tarfile.open(destination, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for image in images:
            name = f"{image.image_id.removeprefix('sha256:')}.json"
            if name not in written:
                written.add(name)
                _add(tar, name, Entry("file", 0o644, content=image.configuration()))
            paths = [f"{layer.diff_id}/layer.tar" for layer in image.layers]
            for layer, path in zip(image.layers, paths, strict=True):
                if path not in written:
                    written.add(path)
                    _add(tar, path, Entry("file", 0o644, content=layer.path))
            manifest.append({"Config": name, "RepoTags": [image.reference], "Layers": paths})
        _add(tar, "manifest.json", Entry("file", 0o644, content=json.dumps(manifest, sort_keys=True).encode()))


def extract_member(archive: Path, member: str, destination: Path) -> None:
    """Write one file of a stored layer to ``destination``.

    :raises KeyError: when the layer has no such file.
    """
    with tarfile.open(archive, mode="r:gz") as tar:
        source = tar.extractfile(member)
        if source is None:
            raise KeyError(member)
        with destination.open("wb") as out:
            shutil.copyfileobj(source, out, _CHUNK)


def _clean(path: str) -> str:
    name = path.strip("/")
    if not name or name.startswith("./") or ".." in name.split("/"):
        raise ValueError(f"'{path}' is no path inside an image")
    return name


def _add(tar: tarfile.TarFile, name: str, entry: Entry) -> str | None:
    """Add one entry; for a file return its SHA-256."""
    info = tarfile.TarInfo(name)
    info.mode = entry.mode
    info.uid, info.gid = entry.owner
    if entry.kind == "directory":
        info.type = tarfile.DIRTYPE
        tar.addfile(info)
        return None
    if entry.kind == "symlink":
        info.type, info.linkname = tarfile.SYMTYPE, entry.target
        tar.addfile(info)
        return None
    if isinstance(entry.content, Path):
        info.size = entry.content.stat().st_size
        with entry.content.open("rb") as raw:
            source = _HashedFile(raw)
            tar.addfile(info, t.cast("t.Any", source))
        return source.sha256.hexdigest()
    info.size = len(entry.content)
    tar.addfile(info, io.BytesIO(entry.content))
    return hashlib.sha256(entry.content).hexdigest()
