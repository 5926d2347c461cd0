# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian packages are read and chosen without being installed."""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path

import pytest
from ansible_collections.durable.temporal.plugins.plugin_utils import _debian_packages as debian
from ansible_collections.durable.temporal.plugins.plugin_utils._artifact_cache import ArtifactError
from ansible_collections.durable.temporal.plugins.plugin_utils._debian_packages import (
    Package,
    apt_download,
    closure,
    debootstrap_download,
    parse_control,
    read_package,
    unpack,
)
from ansible_collections.durable.temporal.plugins.plugin_utils._image_archive import Tree

CONTROL = """\
Package: postgresql-17
Version: 17.11-0
Pre-Depends: base
Depends: libc6 (>= 2.38), debconf (>= 0.5) | debconf-2.0, perl:any, libpq5
Description: database
 Depends: not this one
"""


def member(name: str, data: bytes) -> bytes:
    header = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode()
    return header + data + b"\n" * (len(data) % 2)


def tar_of(entries: list[tarfile.TarInfo], contents: dict[str, bytes]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:xz") as tar:
        for info in entries:
            data = contents.get(info.name, b"")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return raw.getvalue()


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    return info


@pytest.fixture
def deb(tmp_path: Path) -> Path:
    data = tar_of(
        [
            entry("./", tarfile.DIRTYPE),
            entry("./bin/", tarfile.DIRTYPE),
            entry("./bin/tool", mode=0o755),
            entry("./bin/again", tarfile.LNKTYPE, "./bin/tool", 0o755),
            entry("./lib64", tarfile.SYMTYPE, "usr/lib64"),
            entry("./usr/share/doc/tool/README"),
            entry("./usr/share/doc/tool/copyright"),
        ],
        {"./bin/tool": b"odd", "./usr/share/doc/tool/copyright": b"ours"},
    )
    control = tar_of([entry("./control")], {"./control": CONTROL.encode()})
    path = tmp_path / "tool.deb"
    path.write_bytes(
        b"!<arch>\n"
        + member("debian-binary", b"2.0\n")
        + member("control.tar.xz", control)
        + member("data.tar.xz", data)
    )
    return path


def test_the_control_file_is_read(deb: Path) -> None:
    package = read_package(deb)
    assert (package.name, package.version) == ("postgresql-17", "17.11-0")
    assert package.depends == (("base",), ("libc6",), ("debconf", "debconf-2.0"), ("perl",), ("libpq5",))


def test_files_land_below_usr(deb: Path, tmp_path: Path) -> None:
    tree = Tree()
    unpack(read_package(deb), tree, dropped=("usr/share/doc/*/[!c]*",))
    layer = tree.write(tmp_path / "layer")
    with tarfile.open(layer.path) as tar:
        found = {info.name: info for info in tar}
        content = (tar.extractfile("usr/bin/again") or pytest.fail("no file")).read()
    assert content == b"odd"
    assert found["usr/bin/again"].mode == 0o755
    assert found["lib64"].linkname == "usr/lib64"
    assert "bin" not in found
    assert "usr/share/doc/tool/copyright" in found
    assert "usr/share/doc/tool/README" not in found


def test_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.deb").write_bytes(b"<html>")
    with pytest.raises(ArtifactError, match="is no Debian package"):
        read_package(tmp_path / "x.deb")


def package(name: str, *depends: str, provides: str = "") -> Package:
    text = f"Package: {name}\nDepends: {', '.join(depends)}\nProvides: {provides}\n"
    return parse_control(Path(name), text)


def test_only_what_is_needed_is_taken() -> None:
    packages = [
        package("db", "libc", "awk", "helper"),
        package("libc", "gcc"),
        package("gcc", "libc"),  # a circle, as in Debian
        package("mawk", provides="awk (= 1)"),
        package("helper", "perl"),
        package("perl"),
        package("unrelated"),
    ]
    assert [p.name for p in closure(packages, ["db", "absent"], ["helper"])] == ["db", "gcc", "libc", "mawk"]


def test_a_machine_without_apt_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(ArtifactError, match=r"no apt-get on this machine.*topology_artifact_source to registry"):
        apt_download(["busybox-static"], "amd64", tmp_path)


def test_a_machine_without_debootstrap_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    monkeypatch.setattr(debian, "_DEBOOTSTRAP", Path("/nowhere"))
    with pytest.raises(ArtifactError, match="debootstrap is missing on this machine"):
        debootstrap_download("trixie", "postgresql-17", "amd64", tmp_path)
