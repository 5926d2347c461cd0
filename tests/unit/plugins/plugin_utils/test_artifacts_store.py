# SPDX-License-Identifier: GPL-3.0-or-later
"""Identities, and images put together from a cache."""

from __future__ import annotations

import io
import json
import tarfile
import typing as t
from pathlib import Path

import pytest
from ansible_collections.durable.temporal.plugins.plugin_utils import _artifacts
from ansible_collections.durable.temporal.plugins.plugin_utils._artifact_cache import ArtifactError, Cache
from ansible_collections.durable.temporal.plugins.plugin_utils._artifacts import (
    Binary,
    Store,
    WantedImage,
    architecture_of,
    image_tags,
    normal,
)
from ansible_collections.durable.temporal.plugins.plugin_utils._image_archive import Image, Tree

ADMIN = WantedImage("admin_tools", "1.32.2", "local/admin:1.32.2", "1.5.1")
SERVER = WantedImage("server", "1.32.2", "local/server:1.32.2", "1.5.1")
POSTGRES = WantedImage("postgres", "17", "local/postgres:17", "")


def store(source: str, cache: Path, directory: Path | None = None) -> Store:
    return Store(source, Cache(cache), directory, "http://127.0.0.1:1", lambda _text: None)


def saved(path: Path, tags: list[str], mode: t.Literal["w", "w:gz"] = "w") -> None:
    """What docker save writes, as far as it matters."""
    content = json.dumps([{"Config": "c.json", "RepoTags": tags, "Layers": []}]).encode()
    with tarfile.open(path, mode) as tar:
        info = tarfile.TarInfo("manifest.json")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))


def test_identities_say_what_makes_a_difference(tmp_path: Path) -> None:
    go, release = store("go_module", tmp_path), store("release", tmp_path)
    cli = Binary("cli", "1.5.1", "/usr/local/bin/temporal", "0755")
    assert go.binary_identity(cli, "amd64") == "cli 1.5.1 (go_module go1.26.10)"
    assert release.binary_identity(cli, "amd64") == "cli 1.5.1 (release)"
    admin = go.image_identity(ADMIN, "amd64")
    assert admin
    assert admin.startswith("admin_tools 1.32.2 with cli 1.5.1 (go_module go1.26.10, recipe ")
    assert (store("debian", tmp_path).image_identity(POSTGRES, "amd64") or "").startswith(
        "postgres 17 (debian trixie, rec"
    )
    assert store("registry", tmp_path).image_identity(SERVER, "amd64") is None


@pytest.mark.parametrize(
    ("source", "image", "said"),
    [
        ("go_module", POSTGRES, "PostgreSQL image does not come from go_module"),
        ("release", POSTGRES, "PostgreSQL image does not come from release"),
        ("debian", SERVER, "Debian has no packages of Temporal"),
        (
            "debian",
            WantedImage("postgres", "16", "local/postgres:16", ""),
            "Debian has no PostgreSQL 16.*it has 15 and 17",
        ),
        ("go_module", WantedImage("server", "v1.32.2", "x:1", ""), "'v1.32.2' is not a version.*without a leading v"),
        ("go_module", WantedImage("server", "../x", "x:1", ""), "is not a version"),
    ],
)
def test_what_cannot_work_is_refused_at_once(tmp_path: Path, source: str, image: WantedImage, said: str) -> None:
    with pytest.raises(ArtifactError, match=said):
        store(source, tmp_path).check([], [image])


def test_debian_has_no_binaries(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="has no Temporal binaries"):
        store("debian", tmp_path).check([Binary("cli", "1.5.1", "/x", "0755")], [])


def test_archive_needs_a_directory(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="directory is not set"):
        store("archive", tmp_path)


def test_images_are_put_together_from_base_extras_and_binaries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def base(_architecture: str, _work: Path) -> Tree:
        tree = Tree()
        tree.file("usr/bin/busybox", b"busybox", mode=0o755)
        return tree

    monkeypatch.setattr(_artifacts, "base_tree", base)
    files = tmp_path / "files"
    files.mkdir()
    for name in ("temporal-server", "temporal-sql-tool", "tdbg", "temporal"):
        (files / name).write_text(name)
    archive = store("archive", tmp_path / "cache", files)
    server = archive.image(SERVER, "amd64", "identity")
    admin = archive.image(ADMIN, "amd64", "identity")
    assert isinstance(server, Image)
    assert isinstance(admin, Image)
    assert server.layers[0] == admin.layers[0]
    assert [list(layer.files) for layer in admin.layers[1:]] == [
        ["usr/local/bin/temporal-sql-tool"],
        ["usr/local/bin/tdbg"],
        ["usr/local/bin/temporal"],
    ]
    again = store("archive", tmp_path / "another-cache", files).image(SERVER, "amd64", "identity")
    assert isinstance(again, Image)
    assert again.image_id == server.image_id


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_an_image_archive_goes_before_binaries(tmp_path: Path, mode: t.Literal["w", "w:gz"]) -> None:
    files = tmp_path / "files"
    files.mkdir()
    path = files / ("images.tar" if mode == "w" else "images.tar.gz")
    saved(path, ["other:1", "docker.io/library/postgres:17"], mode)
    archive = store("archive", tmp_path / "cache", files)
    postgres = WantedImage("postgres", "17", "postgres:17", "")
    identity = archive.image_identity(postgres, "amd64")
    assert identity
    assert identity.startswith("postgres:17 (image archive sha256:")
    assert archive.image(postgres, "amd64", identity) == path


def test_a_missing_image_lists_what_would_do_and_what_is_there(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    saved(files / "other.tar", ["other:1"])
    archive = store("archive", tmp_path / "cache", files)
    with pytest.raises(ArtifactError) as caught:
        archive.image_identity(ADMIN, "amd64")
    message = str(caught.value)
    assert f"The image local/admin:1.32.2 is not in {files}" in message
    assert "an image archive with local/admin:1.32.2 (docker save)" in message
    assert "temporal_cli_1.5.1_linux_amd64.tar.gz" in message
    assert "Found other.tar" in message
    with pytest.raises(
        ArtifactError, match=r"Looked for an image archive with local/postgres:17 \(docker save\)\. Found"
    ):
        archive.image_identity(POSTGRES, "amd64")


def test_files_that_are_no_image_archives_have_no_tags(tmp_path: Path) -> None:
    (tmp_path / "text.tar").write_text("no archive")
    saved(tmp_path / "null.tar", None)  # type: ignore[arg-type]
    assert image_tags(tmp_path / "text.tar") == []
    assert image_tags(tmp_path / "null.tar") == []


@pytest.mark.parametrize(
    ("reference", "shown"),
    [
        ("postgres", "postgres:latest"),
        ("docker.io/library/postgres:17", "postgres:17"),
        ("registry:5000/x", "registry:5000/x:latest"),
        ("x@sha256:abc", "x@sha256:abc"),
    ],
)
def test_references_are_compared_as_docker_shows_them(reference: str, shown: str) -> None:
    assert normal(reference) == shown


def test_unknown_machines_are_named() -> None:
    assert architecture_of("aarch64") == "arm64"
    with pytest.raises(ArtifactError, match="riscv64"):
        architecture_of("riscv64")
