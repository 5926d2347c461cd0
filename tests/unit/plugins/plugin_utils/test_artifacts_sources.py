# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases over HTTP, directories and Go modules: what is delivered, and what is said when it cannot be."""

from __future__ import annotations

import hashlib
import http.server
import io
import shutil
import tarfile
import threading
import typing as t
from pathlib import Path

import pytest
from ansible_collections.durable.temporal.plugins.plugin_utils._artifact_cache import ArtifactError, Cache
from ansible_collections.durable.temporal.plugins.plugin_utils._artifact_sources import (
    COMPONENTS,
    Archive,
    GoModule,
    Release,
)

SERVER, CLI, UI = COMPONENTS["server"], COMPONENTS["cli"], COMPONENTS["ui"]
PATH = "/temporal/releases/download/v1.32.2"
ARCHIVE = "temporal_1.32.2_linux_amd64.tar.gz"


def packed(**files: bytes) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name.replace("_", "-"))
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return raw.getvalue()


GOOD = packed(temporal_server=b"server", tdbg=b"tdbg")


class Mirror(http.server.ThreadingHTTPServer):
    """Answers from a dict of path to a list of (status, body), the last of which repeats."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, bytes]]] = {}
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def release(self, body: bytes, digest: str = "", name: str = ARCHIVE) -> None:
        line = f"{digest or hashlib.sha256(body).hexdigest()}  {name}\n"
        self.answers = {f"{PATH}/checksums.txt": [(200, line.encode())], f"{PATH}/{ARCHIVE}": [(200, body)]}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = t.cast("Mirror", self.server)
        server.asked.append(self.path)
        waiting = server.answers.get(self.path, [(404, b"")])
        status, body = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: t.Any) -> None:
        """Quiet."""


@pytest.fixture
def mirror() -> t.Iterator[Mirror]:
    server = Mirror()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def release(mirror: Mirror, tmp_path: Path) -> Release:
    return Release(Cache(tmp_path / "cache"), lambda _text: None, mirror.url)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    path = tmp_path / "work"
    path.mkdir()
    return path


def test_a_release_is_downloaded_once_and_verified(mirror: Mirror, release: Release, work: Path) -> None:
    mirror.release(GOOD)
    assert release.fetch(SERVER, "1.32.2", "amd64", work).read_bytes() == b"server"
    assert release.fetch(COMPONENTS["tdbg"], "1.32.2", "amd64", work).read_bytes() == b"tdbg"
    assert mirror.asked == [f"{PATH}/checksums.txt", f"{PATH}/{ARCHIVE}"]


def test_a_wrong_checksum_stops_and_is_not_kept(mirror: Mirror, release: Release, work: Path) -> None:
    mirror.release(GOOD, digest="0" * 64)
    with pytest.raises(
        ArtifactError, match=r"has SHA-256 [0-9a-f]{64}, and checksums.txt says 0{64}. Nothing was inst"
    ):
        release.fetch(SERVER, "1.32.2", "amd64", work)
    mirror.release(GOOD)
    assert release.fetch(SERVER, "1.32.2", "amd64", work).read_bytes() == b"server"


def test_an_archive_without_a_checksum_stops(mirror: Mirror, release: Release, work: Path) -> None:
    mirror.release(GOOD, name="other.tar.gz")
    with pytest.raises(ArtifactError, match=f"has no line for {ARCHIVE}"):
        release.fetch(SERVER, "1.32.2", "amd64", work)


def test_an_unknown_version_is_named(mirror: Mirror, release: Release, work: Path) -> None:
    with pytest.raises(ArtifactError, match=r"v9.9.9/checksums.txt could not be fetched: the server answered 404"):
        release.fetch(SERVER, "9.9.9", "amd64", work)
    assert len(mirror.asked) == 1  # what is not there is not asked for again


def test_a_passing_failure_is_tried_again(mirror: Mirror, release: Release, work: Path) -> None:
    mirror.release(GOOD)
    mirror.answers[f"{PATH}/{ARCHIVE}"].insert(0, (503, b""))
    assert release.fetch(SERVER, "1.32.2", "amd64", work).read_bytes() == b"server"


def test_nobody_listening_is_said(tmp_path: Path, work: Path) -> None:
    nowhere = Release(Cache(tmp_path / "cache"), lambda _text: None, "http://127.0.0.1:1")
    with pytest.raises(
        ArtifactError, match=r"could not be fetched: .*refused.* topology_artifact_source: archive needs no network"
    ):
        nowhere.fetch(SERVER, "1.32.2", "amd64", work)


def test_an_archive_without_the_binary_is_said(mirror: Mirror, release: Release, work: Path) -> None:
    mirror.release(packed(README=b""))
    with pytest.raises(ArtifactError, match=r"does not contain temporal-server"):
        release.fetch(SERVER, "1.32.2", "amd64", work)


def test_something_else_than_an_archive_is_said(mirror: Mirror, release: Release, work: Path) -> None:
    mirror.release(b"<html>sign in</html>")
    with pytest.raises(ArtifactError, match=r"cannot be read as a .tar.gz file"):
        release.fetch(SERVER, "1.32.2", "amd64", work)


@pytest.mark.parametrize("name", ["temporal", "temporal-1.5.1", "temporal-1.5.1-linux-amd64"])
def test_plain_binaries_are_found_in_a_directory(tmp_path: Path, work: Path, name: str) -> None:
    directory = tmp_path / "files"
    directory.mkdir()
    (directory / name).write_bytes(b"cli")
    archive = Archive(Cache(tmp_path / "cache"), directory)
    assert archive.fetch(CLI, "1.5.1", "amd64", work).read_bytes() == b"cli"
    digest = hashlib.sha256(b"cli").hexdigest()
    assert archive.stamp(CLI, "1.5.1", "amd64") == f"archive sha256:{digest[:16]}"


def test_vendor_archives_are_found_in_a_directory(tmp_path: Path, work: Path) -> None:
    (tmp_path / "ui-server_2.56.0_linux_arm64.tar.gz").write_bytes(packed(ui_server=b"ui"))
    archive = Archive(Cache(tmp_path / "cache"), tmp_path)
    assert archive.fetch(UI, "2.56.0", "arm64", work).read_bytes() == b"ui"


def test_a_directory_without_the_binary_lists_both_sides(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    (tmp_path / "temporal_1.31.2_linux_amd64.tar.gz").touch()
    archive = Archive(Cache(tmp_path / "cache"), tmp_path)
    with pytest.raises(ArtifactError) as caught:
        archive.stamp(SERVER, "1.32.2", "amd64")
    message = str(caught.value)
    assert f"temporal-server 1.32.2 is not in {tmp_path}" in message
    assert (
        f"Looked for {ARCHIVE}, temporal-server-1.32.2-linux-amd64, temporal-server-1.32.2, temporal-server" in message
    )
    assert "found notes.txt, temporal_1.31.2_linux_amd64.tar.gz" in message


def test_a_directory_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="which is no directory on this machine"):
        Archive(Cache(tmp_path), tmp_path / "nowhere")


def test_sums_of_the_directory_are_honoured(tmp_path: Path, work: Path) -> None:
    directory = tmp_path / "files"
    directory.mkdir()
    (directory / "temporal").write_bytes(b"cli")
    archive = Archive(Cache(tmp_path / "cache"), directory)
    sums = directory / "SHA256SUMS"
    sums.write_text(f"{'0' * 64}  temporal\n")
    with pytest.raises(ArtifactError, match=r"and .*SHA256SUMS says 0{64}"):
        archive.fetch(CLI, "1.5.1", "amd64", work)
    sums.write_text(f"{'0' * 64}  other\n")
    with pytest.raises(ArtifactError, match="SHA256SUMS has no line for temporal"):
        archive.fetch(CLI, "1.5.1", "amd64", work)
    sums.write_text(f"{hashlib.sha256(b'cli').hexdigest()} *./temporal\n")
    assert archive.fetch(CLI, "1.5.1", "amd64", work).read_bytes() == b"cli"


GO = """#!/bin/sh
if [ "$1" = env ]; then echo '{"GOMODCACHE": "/modules", "GOCACHE": "/builds"}'; exit; fi
printf '%s\\n' "$@" "CGO=$CGO_ENABLED" "TOOLCHAIN=$GOTOOLCHAIN" "ARCH=$GOARCH" "MODULES=$GOMODCACHE" "BIN=$GOBIN" > "$LOG"
"""


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Callable[[str], Path]:
    """A go program that notes how it was called and then runs a script."""

    def install(script: str) -> Path:
        program = tmp_path / "bin" / "go"
        program.parent.mkdir()
        program.write_text(GO + script)
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
        monkeypatch.setenv("LOG", str(tmp_path / "log"))
        monkeypatch.setenv("GOBIN", "/somewhere/else")
        return tmp_path / "log"

    return install


def test_a_go_module_is_built_static_with_the_known_toolchain(go: t.Callable[[str], Path], work: Path) -> None:
    log = go('mkdir -p "$GOPATH/bin/linux_arm64"; echo built > "$GOPATH/bin/linux_arm64/server"')
    said: list[str] = []
    built = GoModule(said.append).fetch(SERVER, "1.32.2", "arm64", work)
    assert built.read_text() == "built\n"
    assert said == [
        "Building temporal-server 1.32.2 from its Go module (3 to 5 minutes the first time on this machine)"
    ]
    lines = log.read_text().splitlines()
    assert lines[:2] == ["install", "-trimpath"]
    assert "disable_grpc_modules" in lines
    assert "go.temporal.io/server/cmd/server@v1.32.2" in lines
    assert lines[-5:] == ["CGO=0", "TOOLCHAIN=go1.26.10", "ARCH=arm64", "MODULES=/modules", "BIN="]


def test_the_cli_is_told_its_version(go: t.Callable[[str], Path], work: Path) -> None:
    log = go('mkdir -p "$GOPATH/bin"; touch "$GOPATH/bin/temporal"')
    GoModule(lambda _text: None).fetch(CLI, "1.5.1", "amd64", work)
    assert "-ldflags=-s -w -X github.com/temporalio/cli/temporalcli.Version=1.5.1" in log.read_text()


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (
            "go: The go.mod file contains one or more replace directives.",
            "has replace directives.*Seen to build: 1.5.1",
        ),
        ("go: dial tcp: no route to host", "failed: go: dial tcp: no route to host.*Check GOPROXY"),
    ],
)
def test_a_failed_build_is_explained(go: t.Callable[[str], Path], work: Path, output: str, said: str) -> None:
    go(f"echo '{output}' >&2; exit 1")
    with pytest.raises(ArtifactError, match=said):
        GoModule(lambda _text: None).fetch(CLI, "1.6.0", "amd64", work)


def test_a_machine_without_go_is_told(monkeypatch: pytest.MonkeyPatch, work: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(ArtifactError, match=r"no go program in its PATH. Install Go 1.21 or newer"):
        GoModule(lambda _text: None).fetch(SERVER, "1.32.2", "amd64", work)
