# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases of other kinds than npm: virtual environments of wheels that they bring, and programs that need nothing."""

from __future__ import annotations

import getpass
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from ansible_collections.durable.temporal.plugins.module_utils._dependencies import Nothing, Wheels
from ansible_collections.durable.temporal.plugins.module_utils._release import (
    Dependencies,
    Release,
    ReleaseError,
    Store,
    check_archive,
)
from ansible_collections.durable.temporal.plugins.module_utils._run_as import Account

WHEEL = "greeting-1.0-py3-none-any.whl"
Files = dict[str, bytes]


def wheel() -> bytes:
    """A package with a command, as pip takes it."""
    files = {
        "greeting.py": "def main():\n    print('hello')\n",
        "greeting-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n",
        "greeting-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "greeting-1.0.dist-info/entry_points.txt": "[console_scripts]\ngreet = greeting:main\n",
    }
    files["greeting-1.0.dist-info/RECORD"] = "".join(f"{name},,\n" for name in files)
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


def python_release(locked: bytes | None = None) -> Files:
    packed = wheel()
    digest = hashlib.sha256(locked or packed).hexdigest()
    return {
        "requirements.lock": f"greeting==1.0 --hash=sha256:{digest}\n".encode(),
        f"wheels/{WHEEL}": packed,
        "app/worker.py": b"import greeting\n",
    }


def archive(path: Path, files: Files) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def store(tmp_path: Path, cache: Path) -> Store:
    made = Store(str(tmp_path / "app"))
    made.prepare(Account.find(getpass.getuser()))
    # Making an environment with pip takes long.
    (made.root / ".cache").symlink_to(cache)
    return made


def install(store: Store, name: str, files: Files, dependencies: Dependencies) -> Path:
    artifact = archive(store.root.parent / f"{name}.tar.gz", files)
    store.install(Release(name, "d"), str(artifact), Account.find(getpass.getuser()), {}, dependencies)
    return store.releases / name


@pytest.mark.parametrize(
    ("kind", "files", "says"),
    [
        ("wheels", {"wheels/x.whl": b""}, r"no requirements\.lock; with dependencies wheels a release is"),
        ("wheels", {"requirements.lock": b""}, "no wheels/"),
        ("wheels", {"app/requirements.lock": b"", "app/wheels/x": b""}, "lie below app/: pack from inside it"),
        ("wheels", {"package.json": b""}, r"no requirements\.lock and no wheels/"),
        ("none", {}, "it holds no file"),
        ("none", {"../program": b""}, "outside the release"),
    ],
)
def test_what_an_archive_holds_depends_on_its_kind(tmp_path: Path, kind: str, files: Files, says: str) -> None:
    with pytest.raises(ReleaseError, match=says):
        check_archive(archive(tmp_path / "a.tar.gz", files), kind)


def test_a_virtual_environment_is_made_of_the_wheels_and_works_at_its_final_place(store: Store) -> None:
    place = install(store, "r1", python_release(), Wheels(sys.executable))
    said = subprocess.run([place / "venv/bin/greet"], check=True, capture_output=True, text=True).stdout
    assert said == "hello\n"
    assert "r1.partial" not in (place / "venv/pyvenv.cfg").read_text()
    revision = json.loads((place / "REVISION").read_text())
    assert revision["dependencies"] == "wheels"
    assert revision["python"].count(".") == 2
    assert revision["lock_digest"] == hashlib.sha256((place / "requirements.lock").read_bytes()).hexdigest()
    assert dict(store.read().releases[0].facts) == {k: revision[k] for k in ("lock_digest", "python")}


def test_a_wheel_that_is_not_the_locked_one_is_refused(store: Store) -> None:
    with pytest.raises(ReleaseError, match=r"pip install failed: .*DO NOT MATCH THE HASHES"):
        install(store, "r1", python_release(locked=b"another"), Wheels(sys.executable))
    assert list(store.releases.iterdir()) == []


def test_a_lock_without_digests_is_refused(store: Store) -> None:
    with pytest.raises(ReleaseError, match=r"pip install failed: .*Hashes are required"):
        install(store, "r1", {**python_release(), "requirements.lock": b"greeting==1.0\n"}, Wheels(sys.executable))


def test_python_that_is_not_there_is_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=r"Python cannot be run: .*Run site\.yml first"):
        install(store, "r1", python_release(), Wheels("/no/python3"))
    without = tmp_path / "python3"
    without.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo Python 3.13.5 && exit 0\n[ "$3" = --without-pip ] && exit 0\necho no ensurepip; exit 1\n'
    )
    without.chmod(0o755)
    with pytest.raises(ReleaseError, match=r"venv failed: no ensurepip Run site\.yml first; it installs python3-venv"):
        install(store, "r1", python_release(), Wheels(str(without)))


def test_a_program_is_installed_as_it_is(store: Store) -> None:
    place = install(store, "r1", {"worker": b"#!/bin/sh\necho hi\n"}, Nothing())
    assert subprocess.run([place / "worker"], check=True, capture_output=True, text=True).stdout == "hi\n"
    assert json.loads((place / "REVISION").read_text()) == {"id": "r1", "digest": "d", "dependencies": "none"}
    second = install(store, "r2", {"worker": b"2"}, Nothing())
    assert (second / "worker").read_text() == "2"
