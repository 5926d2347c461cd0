# SPDX-License-Identifier: GPL-3.0-or-later
"""What the built collection holds: all that users need, nothing that a build or a test has left behind."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[2]
ANSIBLE = Path(sys.executable).parent
# The first part of every path. A new directory is added here, or left out in galaxy.yml.
ALLOWED = {
    "COPYING",
    "FILES.json",
    "LICENSES",
    "MANIFEST.json",
    "README.md",
    "REUSE.toml",
    "changelogs",
    "docs",
    "examples",
    "inventories",
    "meta",
    "playbooks",
    "plugins",
    "requirements",
    "roles",
}
# Below them: for a checkout only.
CHECKOUT_ONLY = ("inventories/local/", "inventories/runner/", "requirements/dev.")
GENERATED = {"FILES.json", "MANIFEST.json"}


def tracked() -> set[str]:
    """The files that git knows, or would add."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return {name for name in listed.split("\0") if name and (ROOT / name).is_file()}


def wanted() -> set[str]:
    """The files that belong into the tarball."""
    return {name for name in tracked() if name.split("/")[0] in ALLOWED and not name.startswith(CHECKOUT_ONLY)}


def build(source: Path, place: Path) -> tuple[Path, set[str]]:
    """The built collection and the files in it."""
    command = [str(ANSIBLE / "ansible-galaxy"), "collection", "build", "--output-path", str(place), str(source)]
    done = subprocess.run(command, cwd=place, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (tarball,) = place.glob("durable-temporal-*.tar.gz")
    with tarfile.open(tarball) as archive:
        return tarball, {member.name for member in archive if not member.isdir()}


def left_behind(place: Path) -> list[Path]:
    """Files that the .gitignore files of a checkout tell of, made at the place of each and deeper."""
    made = []
    for ignore in sorted(place.rglob(".gitignore")):
        for pattern in ignore.read_text(encoding="utf-8").split():
            name = pattern.strip("/").replace("*", "left-behind")
            folders = [ignore.parent]
            if not pattern.startswith("/") and ignore.parent == place:
                folders += [place / "examples" / "order_processing" / "src", place / "plugins" / "modules"]
            for folder in folders:
                file = folder / name / "left-behind.txt" if pattern.endswith("/") else folder / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text("left behind")
                made.append(file)
    return made


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[str]]:
    return build(ROOT, tmp_path_factory.mktemp("tarball"))


def test_the_tarball_holds_what_users_need_and_nothing_else(built: tuple[Path, set[str]]) -> None:
    files = built[1]
    assert sorted({PurePosixPath(name).parts[0] for name in files} - ALLOWED) == []
    assert sorted(files - GENERATED - wanted()) == []
    assert sorted(wanted() - files) == []


def test_what_lies_about_in_a_checkout_stays_out(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    for name in tracked():
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, checkout / name, follow_symlinks=False)
    made = left_behind(checkout)
    assert len(made) > 20
    # Written by a later step of CI, and by nobody yet.
    (checkout / "findings").mkdir(exist_ok=True)
    (checkout / "findings" / "finding.md").write_text("# A finding\n")
    (tmp_path / "place").mkdir()
    _tarball, files = build(checkout, tmp_path / "place")
    assert sorted(files - GENERATED - wanted()) == []


def test_documents_of_the_tarball_refer_to_what_is_in_it(built: tuple[Path, set[str]], tmp_path: Path) -> None:
    with tarfile.open(built[0]) as archive:
        archive.extractall(tmp_path, filter="data")
    command = [sys.executable, str(ROOT / "scripts" / "links"), str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_programs_stay_programs(built: tuple[Path, set[str]]) -> None:
    programs = {name for name in wanted() if (ROOT / name).stat().st_mode & 0o100}
    with tarfile.open(built[0]) as archive:
        modes = {member.name: member.mode for member in archive if member.isfile()}
        listed = archive.extractfile("FILES.json")
        assert listed
        assert {each["name"] for each in json.load(listed)["files"] if each["ftype"] == "file"} == set(
            built[1]
        ) - GENERATED
    assert sorted(name for name in programs if name in modes and not modes[name] & 0o100) == []
