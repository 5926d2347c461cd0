# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages of npm: how the client of this machine is called, what becomes of its work, and what is refused."""

from __future__ import annotations

import stat
import tarfile
import typing as t
from pathlib import Path

import pytest
from ansible_collections.durable.temporal.plugins.plugin_utils._artifact_cache import ArtifactError, Cache
from ansible_collections.durable.temporal.plugins.plugin_utils._artifact_npm import NpmClient, NpmPackage, tree_of
from ansible_collections.durable.temporal.plugins.plugin_utils._artifacts import Binary, Store

NPM = NpmPackage("npm", "10.9.9", "/opt/npm", (("/usr/local/bin/npm", "bin/npm"),))
# Does what npm install --global does, and writes down how it was called.
CLIENT = """#!/bin/sh
echo "$PWD $*" >>"$CALLS"
for argument; do case $argument in --prefix=*) prefix=${argument#--prefix=} ;; esac; done
mkdir -p "$prefix/lib/node_modules/npm/bin" "$prefix/bin"
echo '{}' >"$prefix/lib/node_modules/npm/package.json"
echo 'run me' >"$prefix/lib/node_modules/npm/bin/npm-cli.js"
chmod 700 "$prefix/lib/node_modules/npm/bin/npm-cli.js"
ln -s ../lib/node_modules/npm/bin/npm-cli.js "$prefix/bin/npm"
"""
FAILS = """#!/bin/sh
echo 'npm error code E404' >&2
echo 'npm error A complete log of this run can be found in: /somewhere' >&2
exit 1
"""


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Callable[[str], Path]:
    """Puts a program in the place of npm; returns the file of its calls."""

    def put(script: str) -> Path:
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "npm").write_text(script)
        (tmp_path / "bin" / "npm").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
        monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
        return tmp_path / "calls"

    return put


def store(tmp_path: Path, source: str = "npm") -> Store:
    return Store(source, Cache(tmp_path / "cache"), None, "http://127.0.0.1:9", lambda _text: None)


def test_a_package_is_fetched_once_for_each_version(tmp_path: Path, client: t.Callable[[str], Path]) -> None:
    calls = client(CLIENT)
    layer = store(tmp_path).package(NPM, "amd64")
    assert store(tmp_path).package(NPM, "arm64") == layer
    (line,) = calls.read_text().splitlines()
    directory, *arguments = line.split()
    assert arguments[:2] == ["install", "--global"]
    assert arguments[-1] == "npm@10.9.9"
    assert "--ignore-scripts" in arguments
    # A project's settings do not count, only the user's.
    assert Path(directory).is_relative_to(tmp_path / "cache")
    with tarfile.open(layer.path) as tar:
        members = {m.name: m for m in tar}
    script = members["lib/node_modules/npm/bin/npm-cli.js"]
    assert (stat.S_IMODE(script.mode), script.uid, script.gid) == (0o755, 0, 0)
    assert stat.S_IMODE(members["lib/node_modules/npm/package.json"].mode) == 0o644
    assert members["bin/npm"].linkname == "../lib/node_modules/npm/bin/npm-cli.js"


def test_a_package_of_each_architecture_is_fetched_by_its_name(tmp_path: Path, client: t.Callable[[str], Path]) -> None:
    calls = client(CLIENT)
    builds = (("amd64", "npm-x64"), ("arm64", "npm-arm64"))
    package = NpmPackage("npm", "10.9.9", "/opt/npm", published=builds)
    for architecture in ("amd64", "arm64", "amd64"):
        store(tmp_path).package(package, architecture)
    assert [line.split()[-2:] for line in calls.read_text().splitlines()] == [
        ["--cpu=x64", "npm@npm:npm-x64@10.9.9"],
        ["--cpu=arm64", "npm@npm:npm-arm64@10.9.9"],
    ]
    only = NpmPackage("npm", "10.9.9", "/opt/npm", published=builds[:1])
    with pytest.raises(ArtifactError, match="npm is published for amd64 only, and the host is arm64"):
        store(tmp_path).package(only, "arm64")


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    digests = []
    for name in ("one", "two"):
        (tmp_path / name / "lib").mkdir(parents=True)
        (tmp_path / name / "lib" / "file").write_text("x")
        digests.append(tree_of(tmp_path / name).write(tmp_path / f"{name}.tar.gz").digest)
    assert digests[0] == digests[1]


def test_a_machine_without_a_client_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        ArtifactError,
        match=r"npm 10.9.9 .* no npm program .*pm2_worker_npm_source or pm2_worker_node_source: distribution",
    ):
        NpmClient(lambda _text: None).install(NPM, "amd64", tmp_path)


def test_a_client_that_fails_is_quoted(tmp_path: Path, client: t.Callable[[str], Path]) -> None:
    client(FAILS)
    with pytest.raises(ArtifactError, match=r"could not fetch npm 10.9.9: npm error code E404\. Check the version"):
        store(tmp_path).package(NPM, "amd64")


def test_a_client_that_leaves_nothing_has_failed(tmp_path: Path, client: t.Callable[[str], Path]) -> None:
    client("#!/bin/sh\nexit 0\n")
    with pytest.raises(ArtifactError, match="it gave no reason"):
        store(tmp_path).package(NPM, "amd64")


@pytest.mark.parametrize(
    ("package", "expected"),
    [
        (NpmPackage("npm", "latest", "/opt/npm"), "npm: 'latest' is not a version"),
        (NpmPackage("--registry", "1.0.0", "/opt/npm"), "'--registry' is no name of an npm package"),
        (NpmPackage("a b", "1.0.0", "/opt/npm"), "'a b' is no name"),
        (NpmPackage("a", "1.0.0", "/opt/a", published=(("amd64", "--x"),)), "'--x' is no name"),
        (NpmPackage("a", "1.0.0", "/opt/a", published=(("x64", "a"),)), "published has 'x64'; expected amd64 or arm64"),
    ],
)
def test_what_is_no_package_is_refused(tmp_path: Path, package: NpmPackage, expected: str) -> None:
    with pytest.raises(ArtifactError, match=expected):
        store(tmp_path).check([], [], [package])


def test_packages_need_their_own_source(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="source is release, which has no npm packages"):
        store(tmp_path, "release").check([], [], [NPM])
    with pytest.raises(ArtifactError, match="source is npm, which has neither"):
        store(tmp_path).check([Binary("cli", "1.5.1", "/usr/local/bin/temporal", "0755")], [])
    store(tmp_path).check([], [], [NPM, NpmPackage("@scope/name", "1.0.0", "/opt/x")])


def test_what_hosts_remember_and_links_hold() -> None:
    assert Store.package_identity(NPM) == "npm 10.9.9 (npm)"
    assert NPM.link_targets() == {"/usr/local/bin/npm": "/opt/npm/bin/npm"}
