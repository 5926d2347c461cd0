# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian packages as raw material for images: fetched and verified by Debian's tools, unpacked, never installed.

Private to this collection. No maintainer script runs and nothing needs root, a chroot, or the target's architecture.
"""

from __future__ import annotations

import contextlib
import fnmatch
import io
import re
import shutil
import subprocess
import tarfile
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.durable.temporal.plugins.plugin_utils._artifact_cache import ArtifactError
from ansible_collections.durable.temporal.plugins.plugin_utils._image_archive import Tree

_AR_MAGIC: t.Final = b"!<arch>\n"
_AR_HEADER: t.Final = 60
_DEBOOTSTRAP: t.Final = Path("/usr/sbin/debootstrap")  # not in the PATH of ordinary users
_MERGED: t.Final = ("bin", "sbin", "lib", "lib64")


@dataclass(frozen=True)
class Package:
    """A ``.deb`` file and what its control file says."""

    path: Path
    name: str
    version: str
    depends: tuple[tuple[str, ...], ...]
    provides: tuple[str, ...]
    control: str


def apt_download(names: t.Sequence[str], architecture: str, work: Path) -> list[Path]:
    """Fetch packages by apt from the sources of this machine, without installing them and without root.

    :param architecture: Debian's name, which is also Go's: ``amd64``, ``arm64``.
    """
    if not shutil.which("apt-get"):
        raise ArtifactError(
            f"{' and '.join(names)} come from Debian packages, and there is no apt-get on this machine. Run "
            "Ansible from "
            "Debian or Ubuntu, or set topology_artifact_source to registry, or to archive with saved images "
            "(docker save) in topology_artifact_directory."
        )
    native = _run(["dpkg", "--print-architecture"], work).stdout.strip()
    plain = ["apt-get", "-q", "-o", "APT::Sandbox::User=root"]
    lists = work / "lists"
    own = [*plain, "-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={work / 'apt'}"]
    own += ["-o", f"APT::Architecture={architecture}", "-o", f"APT::Architectures::={architecture}"]
    if native == architecture and _run([*plain, "download", *names], work).returncode == 0:
        return _debs(work)
    # Lists that are absent or outdated, or another architecture: own lists, so that the machine's stay as they are.
    for directory in (lists / "partial", work / "apt" / "archives" / "partial"):
        directory.mkdir(parents=True)
    for arguments in (["update"], ["download", *names]):
        done = _run([*own, *arguments], work)
        if done.returncode != 0:
            raise ArtifactError(
                f"apt could not download {' and '.join(names)} for {architecture}: {_last(done.stderr)} "
                "Check the package sources of this machine with: apt-get update"
            )
    return _debs(work)


def debootstrap_download(suite: str, package: str, architecture: str, work: Path) -> list[Path]:
    """Fetch a package of a Debian release with all it depends on, by debootstrap from its default mirror, "
    "without root."""
    program = shutil.which("debootstrap") or (str(_DEBOOTSTRAP) if _DEBOOTSTRAP.exists() else None)
    if not program:
        raise ArtifactError(
            "debootstrap is missing on this machine; it fetches the Debian packages of the PostgreSQL image. "
            "Install it "
            "(apt-get install debootstrap), or set postgres_image_source to registry or archive."
        )
    root = work / "root"
    done = _run(
        [
            program,
            "--download-only",
            "--variant=minbase",
            f"--arch={architecture}",
            f"--include={package}",
            suite,
            str(root),
        ],
        work,
    )
    if done.returncode != 0:
        raise ArtifactError(
            f"debootstrap could not download {package} of Debian {suite}: {_last(done.stdout + done.stderr)} "
            "Check that this "
            "machine reaches a Debian mirror and has the package debian-archive-keyring."
        )
    return _debs(root / "var" / "cache" / "apt" / "archives")


def read_package(path: Path) -> Package:
    """Read the control file of a package."""
    with _member(path, "control.tar") as tar:
        for info in tar:
            if info.name.removeprefix("./") == "control":
                source = tar.extractfile(info)
                return parse_control(path, source.read().decode() if source else "")
    raise ArtifactError(f"{path} is no Debian package: it has no control file. Delete it and run again.")


def parse_control(path: Path, control: str) -> Package:
    """A package from the text of its control file."""
    fields: dict[str, str] = {}
    key = ""
    for line in control.splitlines():
        if line[:1].isspace():
            fields[key] += "\n" + line
        elif ":" in line:
            key, _colon, value = line.partition(":")
            fields[key] = value.strip()
    wanted = [fields.get("Pre-Depends", ""), fields.get("Depends", "")]
    depends = tuple(
        tuple(_bare(choice) for choice in group.split("|"))
        for text in wanted
        for group in text.split(",")
        if group.strip()
    )
    provides = tuple(_bare(name) for name in fields.get("Provides", "").split(",") if name.strip())
    return Package(path, fields.get("Package", ""), fields.get("Version", ""), depends, provides, control)


def closure(packages: t.Iterable[Package], roots: t.Iterable[str], denied: t.Sequence[str]) -> list[Package]:
    """The packages that ``roots`` need, sorted by name.

    :param denied: shell patterns of names that are left out, with all that only they need.
    """
    by_name: dict[str, Package] = {}
    for package in packages:
        by_name[package.name] = package
        for name in package.provides:
            by_name.setdefault(name, package)
    found: dict[str, Package] = {}
    waiting = list(roots)
    while waiting:
        present = by_name.get(waiting.pop())
        if present is None or present.name in found or any(fnmatch.fnmatch(present.name, p) for p in denied):
            continue
        found[present.name] = present
        for choices in present.depends:
            waiting.extend(choice for choice in choices if choice in by_name and choice not in found)
    return [found[name] for name in sorted(found)]


def unpack(package: Package, tree: Tree, dropped: t.Sequence[str] = (), only: t.Sequence[str] = ("*",)) -> None:
    """Add the files of a package to a layer, with ``/bin``, ``/lib`` and their like below ``/usr``, where they are now.

    :param dropped: shell patterns of paths (without a leading slash) that are left out.
    :param only: shell patterns of which a path must match one.
    """
    links: list[tuple[str, str, int]] = []
    with _member(package.path, "data.tar") as tar:
        for info in tar:
            name = _merged(info.name)
            if not name or any(fnmatch.fnmatch(name, p) for p in dropped):
                continue
            if not any(fnmatch.fnmatch(name, p) for p in only):
                continue
            if info.isdir():
                if name not in tree and name not in _MERGED:
                    tree.directory(name, info.mode, (info.uid, info.gid))
            elif info.issym():
                tree.symlink(name, info.linkname)
            elif info.islnk():
                links.append((name, _merged(info.linkname), info.mode))
            elif info.isreg():
                source = tar.extractfile(info)
                tree.file(name, source.read() if source else b"", info.mode, (info.uid, info.gid))
    for name, target, mode in links:
        tree.copy(name, target, mode)


def _merged(name: str) -> str:
    clean = name.removeprefix("./").strip("/")
    return f"usr/{clean}" if clean.partition("/")[0] in _MERGED and "/" in clean else clean


@contextlib.contextmanager
def _member(deb: Path, prefix: str) -> t.Iterator[tarfile.TarFile]:
    """The ``control.tar`` or ``data.tar`` inside a package, which is an ``ar`` archive."""
    with deb.open("rb") as raw:
        if raw.read(len(_AR_MAGIC)) != _AR_MAGIC:
            raise ArtifactError(f"{deb} is no Debian package. Delete it and run again.")
        while header := raw.read(_AR_HEADER):
            name, size = header[:16].decode().strip().rstrip("/"), int(header[48:58])
            if not name.startswith(prefix):
                raw.seek(size + size % 2, 1)
                continue
            data = raw.read(size)
            if name.endswith(".zst"):  # Ubuntu; Python reads it from 3.14 on
                data = _through(["zstd", "-dc"], data, deb)
            with tarfile.open(fileobj=io.BytesIO(data), mode="r:*") as tar:
                yield tar
            return
    raise ArtifactError(f"{deb} is no Debian package: it has no {prefix}. Delete it and run again.")


def _through(command: list[str], data: bytes, deb: Path) -> bytes:
    if not shutil.which(command[0]):
        raise ArtifactError(f"{deb.name} is packed with {command[0]}, which this machine lacks. Install {command[0]}.")
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


def _bare(dependency: str) -> str:
    """``libc6 (>= 2.38)`` and ``perl:any`` as a name."""
    return re.split(r"[\s(:\[]", dependency.strip(), maxsplit=1)[0]


def _debs(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.deb"))


def _run(command: list[str], work: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=work, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def _last(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip() and not line.startswith("W:")]
    return f"{lines[-1] if lines else 'no reason given'!s}".rstrip(".") + "."
