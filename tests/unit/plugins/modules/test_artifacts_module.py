# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of artifacts that runs on the host."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.durable.temporal.plugins.module_utils import _artifacts
from ansible_collections.durable.temporal.plugins.module_utils._artifacts import (
    Docker,
    HostError,
    Record,
    familiar,
    look_at_binary,
    look_at_package,
    parse_images,
    present,
    read_record,
)
from ansible_collections.durable.temporal.plugins.modules.artifacts import install_binary, install_package, write_record
from ansible_collections.durable.temporal.plugins.plugin_utils._image_archive import Tree

ID = f"sha256:{'1' * 64}"
OTHER = f"sha256:{'2' * 64}"


def inspected(*entries: dict[str, t.Any]) -> str:
    return json.dumps(list(entries))


def entry(tag: str, image_id: str = ID, **labels: str) -> dict[str, t.Any]:
    return {"Id": image_id, "RepoTags": [tag], "RepoDigests": None, "Config": {"Labels": labels or None}}


def empty() -> Record:
    return {"binaries": {}, "images": {}, "packages": {}}


def test_images_are_matched_by_name_and_missing_ones_are_none() -> None:
    out = inspected(entry("postgres:17", **{"durable.temporal.artifact": "postgres 17 (debian)"}))
    found = parse_images(["docker.io/library/postgres:17", "local/ui:1"], out, empty())
    assert found == {
        "docker.io/library/postgres:17": {"artifact": "postgres 17 (debian)", "id": ID},
        "local/ui:1": None,
    }


def test_a_record_counts_only_for_the_image_that_it_was_made_for() -> None:
    record = empty()
    record["images"]["x:1"] = {"artifact": "x:1 (image archive)", "id": ID}
    same = parse_images(["x:1"], inspected(entry("x:1")), record)["x:1"]
    assert same == {"artifact": "x:1 (image archive)", "id": ID}
    replaced = parse_images(["x:1"], inspected(entry("x:1", OTHER)), record)["x:1"]
    assert replaced == {"artifact": f"another image, {OTHER}", "id": OTHER}


def test_no_images_at_all() -> None:
    assert parse_images(["x:1"], "[]\n", empty()) == {"x:1": None}
    assert parse_images(["x:1"], "", empty()) == {"x:1": None}


def test_an_answer_that_is_not_json_is_shown() -> None:
    with pytest.raises(HostError, match="not JSON: WARNING"):
        parse_images(["x:1"], "WARNING", empty())


@pytest.mark.parametrize(
    ("reference", "shown"), [("library/postgres", "postgres:latest"), ("host:5000/a/b", "host:5000/a/b:latest")]
)
def test_names_as_docker_shows_them(reference: str, shown: str) -> None:
    assert familiar(reference) == shown


class Engine:
    """Stands for AnsibleModule: a docker program with one answer."""

    def __init__(self, answer: tuple[int, str, str], program: str | None = "/usr/bin/docker") -> None:
        self.answer, self.program = answer, program
        self.calls: list[list[str]] = []

    def get_bin_path(self, _name: str) -> str | None:
        return self.program

    def run_command(self, command: list[str], **_options: t.Any) -> tuple[int, str, str]:
        self.calls.append(command)
        return self.answer


def test_all_images_take_one_call() -> None:
    engine = Engine((1, "[]", "Error response from daemon: No such image: a:1\nError: No such image: b:1"))
    assert Docker(engine).look(["a:1", "b:1"], empty()) == ({"a:1": None, "b:1": None}, "")
    assert engine.calls == [["/usr/bin/docker", "image", "inspect", "a:1", "b:1"]]


@pytest.mark.parametrize(
    ("engine", "trouble"),
    [
        (Engine((0, "", ""), None), "the program docker is not installed"),
        (Engine((1, "[]", "Cannot connect to the Docker daemon")), "Cannot connect to the Docker daemon"),
        (Engine((5, "", "")), "docker image inspect ended with 5"),
    ],
)
def test_a_host_without_docker_has_no_images_and_says_why(engine: Engine, trouble: str) -> None:
    assert Docker(engine).look(["a:1"], empty()) == ({"a:1": None}, trouble)


def test_docker_is_not_asked_when_no_image_is_wanted() -> None:
    engine = Engine((0, "", ""))
    assert Docker(engine).look([], empty()) == ({}, "")
    assert engine.calls == []


def test_failures_of_docker_are_sentences() -> None:
    engine = Docker(Engine((1, "", "no space left on device\n")))
    with pytest.raises(HostError, match=r"docker load failed: no space left on device. Check the space"):
        engine.load("/tmp/x.tar")
    with pytest.raises(HostError, match=r"x:1 could not be pulled: no space left on device. Check the name"):
        engine.pull("x:1")


@pytest.fixture
def program(tmp_path: Path) -> dict[str, t.Any]:
    tree = Tree()
    tree.file("usr/local/bin/tool", b"tool", mode=0o755)
    layer = tree.write(tmp_path / "layer.tar.gz")
    return {
        "dest": str(tmp_path / "opt" / "bin" / "tool"),
        "mode": "0755",
        "artifact": "tool 1",
        "archive": str(layer.path),
        "member": "usr/local/bin/tool",
        "sha256": hashlib.sha256(b"tool").hexdigest(),
    }


def test_a_program_is_installed_and_recognised(program: dict[str, t.Any]) -> None:
    record = empty()
    assert look_at_binary(program["dest"], record) is None
    install_binary(program, record)
    dest = Path(program["dest"])
    assert dest.read_bytes() == b"tool"
    assert look_at_binary(program["dest"], record) == {"artifact": "tool 1", "mode": "0755"}
    assert [path.name for path in dest.parent.iterdir()] == ["tool"]
    install_binary({**program, "mode": "0700", "archive": None}, record)
    assert look_at_binary(program["dest"], record) == {"artifact": "tool 1", "mode": "0700"}


def test_a_program_that_someone_changed_is_of_unknown_origin(program: dict[str, t.Any]) -> None:
    record = empty()
    install_binary(program, record)
    Path(program["dest"]).write_bytes(b"evil")
    found = look_at_binary(program["dest"], record)
    assert found
    assert found["artifact"] == "a file of unknown origin"


def test_a_damaged_program_replaces_nothing(program: dict[str, t.Any]) -> None:
    record = empty()
    install_binary(program, record)
    before = json.dumps(record)
    with pytest.raises(HostError, match="arrived damaged"):
        install_binary({**program, "sha256": "0" * 64, "artifact": "tool 2"}, record)
    dest = Path(program["dest"])
    assert dest.read_bytes() == b"tool"
    assert [path.name for path in dest.parent.iterdir()] == ["tool"]
    assert json.dumps(record) == before


def test_a_full_disk_is_named_and_leaves_nothing(program: dict[str, t.Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(HostError, match="tool could not be written: No space left on device"):
        install_binary(program, empty())
    assert not list(Path(program["dest"]).parent.iterdir())


def test_a_directory_in_the_way_is_named(program: dict[str, t.Any]) -> None:
    Path(program["dest"]).mkdir(parents=True)
    with pytest.raises(HostError, match="is a directory"):
        install_binary(program, empty())


@pytest.mark.parametrize("content", ["", "{", "[]", '{"binaries": 1}', '"x"'])
def test_a_broken_record_counts_as_empty(tmp_path: Path, content: str) -> None:
    path = tmp_path / "record.json"
    path.write_text(content)
    assert read_record(str(path)) == empty()


def test_a_record_survives_writing(tmp_path: Path) -> None:
    path = str(tmp_path / "a" / "record.json")
    record = empty()
    record["images"]["x:1"] = {"artifact": "x", "id": ID}
    write_record(record, path)
    assert read_record(path) == record
    assert Path(path).stat().st_mode & 0o777 == 0o644


def npm_package(tmp_path: Path, version: str) -> dict[str, t.Any]:
    """A package as the controller sends it."""
    tree = Tree()
    tree.file("lib/node_modules/npm/package.json", version)
    tree.file("lib/node_modules/npm/cli.js", b"run me", mode=0o755)
    tree.symlink("bin/npm", "../lib/node_modules/npm/cli.js")
    layer = tree.write(tmp_path / f"{version}.tar.gz")
    dest = tmp_path / "opt" / "npm"
    return {
        "name": "npm",
        "dest": str(dest),
        "artifact": f"npm {version} (npm)",
        "archive": str(layer.path),
        "sha256": layer.digest,
        "links": {str(tmp_path / "usr" / "bin" / "npm"): f"{dest}/bin/npm"},
    }


def test_a_package_is_installed_linked_and_recognised(tmp_path: Path) -> None:
    record, package = empty(), npm_package(tmp_path, "10.9.9")
    assert look_at_package(package, record) is None
    install_package(package, record)
    assert look_at_package(package, record) == {"artifact": "npm 10.9.9 (npm)", "links": package["links"]}
    (link,) = package["links"]
    assert Path(link).read_bytes() == b"run me"
    assert os.access(link, os.X_OK)
    for path in (tmp_path / "opt", tmp_path / "opt" / "npm", tmp_path / "opt" / "npm" / "bin"):
        assert path.stat().st_mode & 0o777 == 0o755
    assert [path.name for path in (tmp_path / "opt").iterdir()] == ["npm"]


def test_another_version_takes_the_place_of_a_package(tmp_path: Path) -> None:
    record = empty()
    install_package(npm_package(tmp_path, "10.9.8"), record)
    (tmp_path / "opt" / "npm" / "left").touch()
    package = npm_package(tmp_path, "10.9.9")
    install_package(package, record)
    assert look_at_package(package, record) == {"artifact": "npm 10.9.9 (npm)", "links": package["links"]}
    assert not (tmp_path / "opt" / "npm" / "left").exists()
    assert [path.name for path in (tmp_path / "opt").iterdir()] == ["npm"]


def test_only_links_are_made_when_only_they_differ(tmp_path: Path) -> None:
    record, package = empty(), npm_package(tmp_path, "10.9.9")
    install_package(package, record)
    (link,) = package["links"]
    Path(link).unlink()
    found = look_at_package(package, record)
    assert found == {"artifact": "npm 10.9.9 (npm)", "links": {}}
    install_package({key: value for key, value in package.items() if key != "archive"}, record)
    assert look_at_package(package, record) == {**found, "links": package["links"]}


def test_a_package_that_somebody_changed_is_of_unknown_origin(tmp_path: Path) -> None:
    record, package = empty(), npm_package(tmp_path, "10.9.9")
    install_package(package, record)
    (tmp_path / "opt" / "npm" / "lib" / "node_modules" / "npm" / "package.json").write_text("other")
    found = look_at_package(package, record)
    assert found is not None
    assert found["artifact"] == "a file of unknown origin"


def test_a_damaged_package_is_refused_and_the_earlier_one_stays(tmp_path: Path) -> None:
    record, earlier = empty(), npm_package(tmp_path, "10.9.8")
    install_package(earlier, record)
    with pytest.raises(HostError, match="arrived damaged"):
        install_package({**npm_package(tmp_path, "10.9.9"), "sha256": "0" * 64}, record)
    assert look_at_package(earlier, record) == {"artifact": "npm 10.9.8 (npm)", "links": earlier["links"]}


def test_what_is_not_ours_is_not_replaced(tmp_path: Path) -> None:
    package = npm_package(tmp_path, "10.9.9")
    (link,) = package["links"]
    Path(link).parent.mkdir(parents=True)
    Path(link).write_text("somebody's npm")
    with pytest.raises(HostError, match="is not a link; a link to"):
        install_package(package, empty())
    Path(package["dest"]).parent.mkdir(exist_ok=True)
    (tmp_path / "file").write_text("x")
    with pytest.raises(HostError, match="is no directory"):
        install_package({**package, "dest": str(tmp_path / "file")}, empty())


def test_all_that_was_installed_and_is_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "temporal"
    program.write_text("program")
    stat = program.stat()
    record = empty()
    record["binaries"][str(program)] = {"artifact": "cli 1", "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    record["binaries"][str(tmp_path / "gone")] = {"artifact": "cli 0", "size": 1, "mtime_ns": 1}
    record["images"]["x:1"] = {"artifact": "x 1", "id": ID}
    record["images"]["x:0"] = {"artifact": "x 0", "id": OTHER}
    record["packages"]["/opt/of-before"] = {"artifact": "a record without its name and links"}
    monkeypatch.setattr(_artifacts, "read_record", lambda: record)
    engine: t.Any = Engine((1, inspected(entry("x:1")), "Error: No such image: x:0"))
    found = present(Docker(engine))
    mode = f"{stat.st_mode & 0o7777:04o}"
    assert found["binaries"] == {str(program): {"artifact": "cli 1", "mode": mode}}
    assert found["images"] == {"x:1": {"artifact": "x 1", "id": ID}}
    assert found["packages"] == {}
