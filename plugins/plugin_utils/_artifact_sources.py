# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where Temporal's binaries come from: Go modules, vendor releases, or a directory that the user fills.

Private to this collection. A source says what it would deliver (``stamp``, which costs nothing) and delivers it
(``fetch``, which may take minutes and is called once per version by the cache).
"""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import shutil
import ssl
import subprocess
import tarfile
import typing as t
import urllib.error
from dataclasses import dataclass
from pathlib import Path

from ansible.module_utils.urls import open_url
from ansible_collections.durable.temporal.plugins.module_utils._versions import GO_TOOLCHAINS, go_toolchain
from ansible_collections.durable.temporal.plugins.plugin_utils._artifact_cache import ArtifactError, Cache, sha256_of

RELEASE_URL: t.Final = "https://github.com/temporalio"
_CHUNK: t.Final = 1 << 20
_TIMEOUT_SECONDS: t.Final = 60
_TRIES: t.Final = 3

ComponentName = t.Literal["server", "sql_tool", "tdbg", "cli", "ui"]


@dataclass(frozen=True)
class Component:
    """A binary: what it is called, where it lies in an image, and how each source names it.

    ``version_variable`` is the Go variable that a build has to set for the program to know its version.

    ``release`` is (project, archive, checksums) with ``{version}`` and ``{architecture}`` to be filled in.
    """

    name: ComponentName
    binary: str
    image_path: str
    package: str
    tags: str
    release: tuple[str, str, str]
    duration: str
    version_variable: str = ""


_SERVER_RELEASE: t.Final = ("temporal", "temporal_{version}_linux_{architecture}.tar.gz", "checksums.txt")
COMPONENTS: t.Final[dict[str, Component]] = {
    c.name: c
    for c in (
        Component(
            "server",
            "temporal-server",
            "usr/local/bin/temporal-server",
            "go.temporal.io/server/cmd/server",
            "disable_grpc_modules",
            _SERVER_RELEASE,
            "3 to 5 minutes",
        ),
        Component(
            "sql_tool",
            "temporal-sql-tool",
            "usr/local/bin/temporal-sql-tool",
            "go.temporal.io/server/cmd/tools/sql",
            "disable_grpc_modules",
            _SERVER_RELEASE,
            "up to a minute",
        ),
        Component(
            "tdbg",
            "tdbg",
            "usr/local/bin/tdbg",
            "go.temporal.io/server/cmd/tools/tdbg",
            "disable_grpc_modules",
            _SERVER_RELEASE,
            "half a minute",
        ),
        Component(
            "cli",
            "temporal",
            "usr/local/bin/temporal",
            "github.com/temporalio/cli/cmd/temporal",
            "",
            ("cli", "temporal_cli_{version}_linux_{architecture}.tar.gz", "checksums.txt"),
            "2 to 3 minutes",
            # Unlike the others, its version is not part of its source.
            "github.com/temporalio/cli/temporalcli.Version",
        ),
        Component(
            "ui",
            "temporal-ui-server",
            "home/ui-server/ui-server",
            "github.com/temporalio/ui-server/v2/cmd/server",
            "",
            ("ui-server", "ui-server_{version}_linux_{architecture}.tar.gz", "ui-server_{version}_checksums.txt"),
            "half a minute",
        ),
    )
}
# Names under which a binary may lie in an archive or a directory, best first.
_ALIASES: t.Final[dict[str, tuple[str, ...]]] = {"ui": ("temporal-ui-server", "ui-server")}


def aliases(component: Component) -> tuple[str, ...]:
    """File names that stand for a component."""
    return _ALIASES.get(component.name, (component.binary,))


class Source(t.Protocol):
    """Where binaries come from."""

    def stamp(self, component: Component, version: str, architecture: str) -> str:
        """What sets this delivery apart from another one of the same version."""

    def fetch(self, component: Component, version: str, architecture: str, work: Path) -> Path:
        """Deliver the binary into ``work``. Called with the cache's lock held."""


class GoModule:
    """Builds with the Go toolchain of this machine, from the module proxy that it is set up for.

    :param notify: receives one sentence before each build.
    """

    def __init__(self, notify: t.Callable[[str], None]) -> None:
        self._notify = notify

    def stamp(self, component: Component, version: str, architecture: str) -> str:
        return f"go_module {go_toolchain(component.name, version) or 'auto'}"

    def fetch(self, component: Component, version: str, architecture: str, work: Path) -> Path:
        go = shutil.which("go")
        if not go:
            raise ArtifactError(
                f"{component.binary} {version} is to be built from its Go module, and this machine has no go "
                "program in its "
                "PATH. Install Go 1.21 or newer, or set topology_artifact_source to release or archive."
            )
        self._notify(
            f"Building {component.binary} {version} from its Go module ({component.duration} the first time on "
            "this machine)"
        )
        environment = self._environment(go, architecture, work)
        environment["GOTOOLCHAIN"] = go_toolchain(component.name, version) or "auto"
        flags = "-s -w"
        if component.version_variable:
            flags += f" -X {component.version_variable}={version}"
        command = [go, "install", "-trimpath", f"-ldflags={flags}"]
        if component.tags:
            command += ["-tags", component.tags]
        command.append(f"{component.package}@v{version}")
        done = subprocess.run(
            command, cwd=work, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
        if done.returncode != 0:
            raise ArtifactError(_go_failure(component, version, done.stderr))
        # A native build lands in bin, one for another architecture in bin/linux_<architecture>.
        built = [path for path in (work / "bin").rglob("*") if path.is_file()]
        if len(built) != 1:
            raise ArtifactError(
                f"go install of {component.package}@v{version} left {len(built)} files; one was expected."
            )
        return built[0]

    @staticmethod
    def _environment(go: str, architecture: str, work: Path) -> dict[str, str]:
        """Builds for Linux, static, into ``work``, with the module and build caches that the user's Go has."""
        asked = subprocess.run(
            [go, "env", "-json", "GOMODCACHE", "GOCACHE"], capture_output=True, text=True, check=False, cwd=work
        )
        if asked.returncode != 0:
            raise ArtifactError(f"The Go toolchain of this machine does not work: {_tail(asked.stderr)}")
        environment = {key: value for key, value in os.environ.items() if key != "GOBIN"}
        return {
            **environment,
            **t.cast("dict[str, str]", json.loads(asked.stdout)),
            "GOPATH": str(work),
            "GOOS": "linux",
            "GOARCH": architecture,
            "CGO_ENABLED": "0",
        }


class Release:
    """Downloads the vendor's archives and verifies them against the checksums beside them.

    :param base_url: the vendor's, or a mirror with the same layout.
    """

    def __init__(self, cache: Cache, notify: t.Callable[[str], None], base_url: str = RELEASE_URL) -> None:
        self._cache = cache
        self._notify = notify
        self._base = base_url.rstrip("/")

    def stamp(self, component: Component, version: str, architecture: str) -> str:
        return "release"

    def fetch(self, component: Component, version: str, architecture: str, work: Path) -> Path:
        project, archive, checksums = (
            part.format(version=version, architecture=architecture) for part in component.release
        )
        folder = f"{self._base}/{project}/releases/download/v{version}"

        def download(target: Path) -> None:
            self._notify(f"Downloading {archive}")
            lines = _get(f"{folder}/{checksums}").decode(errors="replace").splitlines()
            expected = digest_from(lines, archive)
            if not expected:
                raise ArtifactError(f"{folder}/{checksums} has no line for {archive}. Check the version ({version}).")
            _download(f"{folder}/{archive}", target)
            found = sha256_of(target)
            if found != expected:
                raise ArtifactError(
                    f"{folder}/{archive} has SHA-256 {found}, and {checksums} says {expected}. Nothing was "
                    "installed. Run "
                    "again; if it stays, the mirror or the network changes files."
                )

        packed = self._cache.file(f"{project}-{archive}", download)
        return unpack_binary(packed, component, work)


class Archive:
    """Takes binaries from a directory on this machine: plain files or the vendor's archives."""

    def __init__(self, cache: Cache, directory: Path) -> None:
        if not directory.is_dir():
            raise ArtifactError(
                f"topology_artifact_directory is {directory}, which is no directory on this machine. Create it and put "
                "programs, the vendor's archives or saved images (docker save) there, or set topology_artifact_source "
                "to registry, release or go_module."
            )
        self._cache = cache
        self.directory = directory

    def stamp(self, component: Component, version: str, architecture: str) -> str:
        return f"archive sha256:{self._cache.digest(self._find(component, version, architecture))[:16]}"

    def fetch(self, component: Component, version: str, architecture: str, work: Path) -> Path:
        found = self._find(component, version, architecture)
        self.verify(found)
        return unpack_binary(found, component, work) if found.name.endswith(".tar.gz") else found

    def candidates(self, component: Component, version: str, architecture: str) -> list[str]:
        """File names that would do, best first."""
        _project, archive, _checksums = component.release
        names = [archive.format(version=version, architecture=architecture)]
        for alias in aliases(component):
            names += [f"{alias}-{version}-linux-{architecture}", f"{alias}-{version}", alias]
        return names

    def verify(self, path: Path) -> None:
        """Compare with ``SHA256SUMS`` in the directory, where there is one."""
        sums = self.directory / "SHA256SUMS"
        if not sums.is_file():
            return
        expected = digest_from(sums.read_text().splitlines(), path.name)
        if not expected:
            raise ArtifactError(
                f"{sums} has no line for {path.name}. Add it (sha256sum {path.name}) or remove SHA256SUMS."
            )
        found = self._cache.digest(path)
        if found != expected:
            raise ArtifactError(f"{path} has SHA-256 {found}, and {sums} says {expected}. Copy the file again.")

    def listing(self) -> str:
        """What lies in the directory, for messages."""
        names = sorted(path.name for path in self.directory.iterdir())
        return ", ".join(names) if names else "nothing"

    def has(self, component: Component, version: str, architecture: str) -> bool:
        """Whether one of the candidates is there."""
        return any((self.directory / name).is_file() for name in self.candidates(component, version, architecture))

    def _find(self, component: Component, version: str, architecture: str) -> Path:
        names = self.candidates(component, version, architecture)
        for name in names:
            if (self.directory / name).is_file():
                return self.directory / name
        raise ArtifactError(
            f"{component.binary} {version} is not in {self.directory}. Looked for {', '.join(names)}; found "
            f"{self.listing()}. "
            "Put one of them there."
        )


def unpack_binary(packed: Path, component: Component, work: Path) -> Path:
    """Take a component's binary out of a vendor archive."""
    names = aliases(component)
    target = work / component.binary
    try:
        with tarfile.open(packed, mode="r:gz") as tar:
            for info in tar:
                if info.isfile() and Path(info.name).name in names:
                    source = tar.extractfile(info)
                    if source is not None:
                        with target.open("wb") as out:
                            shutil.copyfileobj(source, out, _CHUNK)
                        return target
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ArtifactError(f"{packed} cannot be read as a .tar.gz file: {error}. Delete it and run again.") from error
    raise ArtifactError(
        f"{packed} does not contain {' or '.join(names)}. Check that it is the archive for this component."
    )


def digest_from(lines: t.Iterable[str], name: str) -> str | None:
    """The SHA-256 of a file from lines as ``sha256sum`` writes them."""
    for line in lines:
        parts = line.split()
        if len(parts) == 2 and parts[1].removeprefix("*").removeprefix("./") == name:
            return parts[0].lower()
    return None


def _go_failure(component: Component, version: str, output: str) -> str:
    proved = ", ".join(sorted(GO_TOOLCHAINS[component.name]))
    if "replace directives" in output or "exclude directives" in output:
        return (
            f"{component.binary} {version} cannot be built from its Go module: its go.mod has replace "
            "directives, which go "
            f"install refuses. Seen to build: {proved}. Choose one of them, or set topology_artifact_source to release or archive."
        )
    return (
        f"Building {component.binary} {version} from {component.package} failed: {_tail(output)} Seen to build: "
        f"{proved}. "
        "Check GOPROXY and the network, or set topology_artifact_source to release or archive."
    )


def _tail(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip() and not line.startswith("go: downloading")]
    return " / ".join(lines[-4:]) or "no reason given."


@dataclasses.dataclass(frozen=True)
class _Failure:
    """Why a request failed, and whether the same request may work a moment later."""

    reason: str
    passing: bool


def _failure(error: Exception) -> _Failure:
    if isinstance(error, urllib.error.HTTPError):
        return _Failure(f"the server answered {error.code} {error.reason}", error.code >= 500 or error.code == 429)
    reason = getattr(error, "reason", None) or error
    return _Failure(str(reason), not isinstance(reason, ssl.SSLCertVerificationError))


def _open(url: str) -> t.Any:
    """Open a URL; proxies and certificates as everywhere in Ansible."""
    reason = ""
    for _attempt in range(_TRIES):
        try:
            return open_url(url, timeout=_TIMEOUT_SECONDS, follow_redirects="all", http_agent="durable.temporal")
        except Exception as error:  # open_url documents no complete list
            failure = _failure(error)
            reason = failure.reason
            if not failure.passing:
                break
    raise ArtifactError(
        f"{url} could not be fetched: {reason}. Check the version, and the network and proxy of this machine; "
        "topology_artifact_source: archive needs no network."
    )


def _get(url: str) -> bytes:
    return t.cast("bytes", _open(url).read())


def _download(url: str, target: Path) -> None:
    response = _open(url)
    try:
        with target.open("wb") as out:
            shutil.copyfileobj(response, out, _CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise ArtifactError(f"{url} broke off while it was being fetched: {error}. Run again.") from error
