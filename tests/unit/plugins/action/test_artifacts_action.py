# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller concludes from a host's answer."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible_collections.durable.temporal.plugins.action.artifacts import (
    Identities,
    RemoteFiles,
    compare,
    obtain,
    refuse_without_docker,
    report,
)
from ansible_collections.durable.temporal.plugins.plugin_utils._artifact_cache import ArtifactError
from ansible_collections.durable.temporal.plugins.plugin_utils._artifact_npm import NpmPackage
from ansible_collections.durable.temporal.plugins.plugin_utils._artifacts import Binary, WantedImage
from ansible_collections.durable.temporal.plugins.plugin_utils._image_archive import Image, Tree

CLI = Binary("cli", "1.5.1", "/usr/local/bin/temporal", "755")
IMAGE = WantedImage("server", "1.32.2", "local/server:1.32.2", "1.5.1")
PULLED = WantedImage("postgres", "17", "postgres:17", "")
WANTED: Identities = {CLI: "cli 1.5.1 (release)", IMAGE: "server 1.32.2 (release)", PULLED: None}


def answer(cli: t.Any = None, image: t.Any = None, pulled: t.Any = None, docker: str = "") -> dict[str, t.Any]:
    return {
        "machine": "x86_64",
        "docker": docker,
        "binaries": {CLI.dest: cli},
        "images": {IMAGE.reference: image, PULLED.reference: pulled},
    }


COMPLETE = answer(
    {"artifact": "cli 1.5.1 (release)", "mode": "0755"},
    {"artifact": "server 1.32.2 (release)", "id": "sha256:1"},
    {"artifact": "another image, sha256:2", "id": "sha256:2"},
)


def test_a_complete_host_needs_nothing() -> None:
    plan = compare(WANTED, COMPLETE)
    assert not plan
    result = report(WANTED, COMPLETE, plan)
    assert result["changed"] is False
    assert [item["changed"] for item in (*result["binaries"], *result["images"])] == [False, False, False]
    assert [item["id"] for item in result["images"]] == ["sha256:1", "sha256:2"]


def test_a_bare_host_needs_everything_and_docker_does_not_matter_yet() -> None:
    bare = answer(docker="the program docker is not installed")
    plan = compare(WANTED, bare)
    assert plan.as_diff() == {
        "before": {},
        "after": {
            "/usr/local/bin/temporal": {"artifact": "cli 1.5.1 (release)", "mode": "0755"},
            "local/server:1.32.2": {"artifact": "server 1.32.2 (release)"},
            "postgres:17": {"artifact": "postgres:17 (registry)"},
        },
    }
    assert [item["id"] for item in report(WANTED, bare, plan)["images"]] == ["", ""]


def test_another_version_is_shown_with_what_was_there() -> None:
    found = answer(
        COMPLETE["binaries"][CLI.dest], {"artifact": "server 1.31.2 (release)", "id": "x"}, {"artifact": "y"}
    )
    assert compare(WANTED, found).as_diff() == {
        "before": {"local/server:1.32.2": {"artifact": "server 1.31.2 (release)"}},
        "after": {"local/server:1.32.2": {"artifact": "server 1.32.2 (release)"}},
    }


def test_a_bad_mode_is_named() -> None:
    with pytest.raises(ArtifactError, match="mode is 'rwx'"):
        compare({Binary("cli", "1", "/usr/local/bin/temporal", "rwx"): "x"}, COMPLETE)


def test_images_without_docker_stop_before_anything_is_built() -> None:
    with pytest.raises(ArtifactError, match=r"cannot take local/server:1.32.2: no docker. Run the role"):
        refuse_without_docker({IMAGE: "x", CLI: "y"}, answer(docker="no docker"))
    refuse_without_docker({CLI: "y"}, answer(docker="no docker"))


class FakeStore:
    def scratch(self) -> Path:
        return Path()

    def binary(self, component: str, version: str, architecture: str) -> str:
        return f"layer of {component} {version} {architecture}"

    def package(self, package: NpmPackage, architecture: str) -> str:
        return f"layer of {package.name} {architecture}"

    def image(self, image: WantedImage, architecture: str, identity: str) -> str:
        return f"image {image.reference} {architecture} {identity}"


def test_only_what_differs_is_obtained() -> None:
    store: t.Any = FakeStore()
    content = obtain(store, WANTED, answer(), "amd64")
    assert {**content.programs} == {CLI: t.cast("t.Any", "layer of cli 1.5.1 amd64")}
    assert [str(image) for image in content.images] == ["image local/server:1.32.2 amd64 server 1.32.2 (release)"]
    assert content.pull == ["postgres:17"]
    only_mode = obtain(store, {CLI: WANTED[CLI]}, answer({"artifact": WANTED[CLI], "mode": "0700"}), "amd64")
    assert only_mode.programs == {CLI: None}


NPM = NpmPackage("npm", "10.9.9", "/opt/npm", (("/usr/local/bin/npm", "bin/npm"),))
LINKS = {"/usr/local/bin/npm": "/opt/npm/bin/npm"}
NPM_WANTED: Identities = {NPM: "npm 10.9.9 (npm)"}


@pytest.mark.parametrize(
    ("present", "sent"),
    [
        (None, "layer of npm arm64"),
        ({"artifact": "npm 10.9.8 (npm)", "links": LINKS}, "layer of npm arm64"),
        ({"artifact": "npm 10.9.9 (npm)", "links": {}}, None),
    ],
)
def test_a_package_is_sent_where_it_is_missing_and_links_are_made_alone(present: t.Any, sent: t.Any) -> None:
    found = {"packages": {NPM.dest: present}}
    plan = compare(NPM_WANTED, found)
    assert list(plan.as_diff()["after"]) == ["/opt/npm"]
    store: t.Any = FakeStore()
    assert obtain(store, NPM_WANTED, found, "arm64").packages == {NPM: sent}
    (row,) = report(NPM_WANTED, found, plan)["npm_packages"]
    expected = {"name": "npm", "version": "10.9.9", "dest": "/opt/npm", "artifact": "npm 10.9.9 (npm)", "changed": True}
    assert row == expected


def test_a_package_that_is_there_needs_nothing() -> None:
    assert not compare(NPM_WANTED, {"packages": {NPM.dest: {"artifact": "npm 10.9.9 (npm)", "links": LINKS}}})


class FakeAction:
    """The parts of an action plugin that send files."""

    class Shell:
        tmpdir: str | None = None

        def join_path(self, *parts: str) -> str:
            return "/".join(parts)

    class Connection:
        def __init__(self) -> None:
            self._shell = FakeAction.Shell()

    def __init__(self) -> None:
        self._connection = FakeAction.Connection()
        self.sent: list[tuple[str, str]] = []

    def _make_tmp_path(self) -> None:
        self._connection._shell.tmpdir = "/tmp/ansible"

    def _transfer_file(self, local: str, remote: str) -> None:
        assert Path(local).stat().st_size > 0
        self.sent.append((Path(local).name, remote))

    def _fixup_perms2(self, paths: tuple[str, ...], execute: bool) -> None:
        assert paths[0] == "/tmp/ansible"
        assert not execute


def test_each_file_is_sent_once_and_all_images_in_one(tmp_path: Path) -> None:
    tree = Tree()
    tree.file("a", b"a")
    layer = tree.write(tmp_path / "layer.tar.gz")
    (tmp_path / "saved.tar").write_bytes(b"x")
    action: t.Any = FakeAction()
    remote = RemoteFiles(action, tmp_path)
    assert remote.send(layer.path) == remote.send(layer.path)
    made = [Image("a:1", "amd64", {}, (layer,)), Image("b:1", "amd64", {}, (layer,))]
    assert remote.send_images([made[0], tmp_path / "saved.tar", made[1], tmp_path / "saved.tar"]) == [
        "/tmp/ansible/1-saved.tar",
        "/tmp/ansible/2-images.tar",
    ]
    assert [name for name, _remote in action.sent] == ["layer.tar.gz", "saved.tar", "images.tar"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["layer.tar.gz", "saved.tar"]
