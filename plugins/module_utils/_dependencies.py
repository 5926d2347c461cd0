# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the dependencies of a release get onto a host: one strategy a kind.

Private to this collection. What an archive of each kind must hold is in ``_release.NEEDED``, because the controller
checks that too.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.durable.temporal.plugins.module_utils._environment import digest
from ansible_collections.durable.temporal.plugins.module_utils._release import ReleaseError, advice, file_digest
from ansible_collections.durable.temporal.plugins.module_utils._run_as import Account, run_as

NPM_OPTIONS = ("ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund")
# What npm compares with the lock file, or installs by.
MANIFEST = (
    *("dependencies", "devDependencies", "optionalDependencies", "peerDependencies", "peerDependenciesMeta"),
    *("bundleDependencies", "bundledDependencies", "overrides", "workspaces", "engines"),
)
# Before each line, by version; and where the explanation of the command begins.
NPM_MARK = re.compile(r"^npm (error|ERR!) ?")
NPM_USAGE = ("Clean install a project", "Usage:")
# What npm warns of when engines of a package are others than the host's, over several lines.
_UNFIT = re.compile(
    r"EBADENGINE\s+package: '([^']*)',\n.*EBADENGINE\s+required: \{ (.*) \},\n.*EBADENGINE\s+current: \{ (.*) \}"
)
# What npm puts a variable of its environment in for. With ? or a fallback, it may be missing.
_IN_NPMRC = re.compile(r"(?<!\\)\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
# What node-gyp and make say of programs that are not there.
_MISSING = re.compile(
    r"not found: (\S+)|(\S+): (?:No such file or directory|command not found|not found)$", re.MULTILINE
)
# What install scripts of packages with native code call.
_BUILDS = re.compile(r"node-gyp|node-pre-gyp|prebuild-install|cmake-js")
# The index of packages is not asked, and a wheel that is not exactly the locked one is refused.
PIP_OPTIONS = ("--no-index", "--no-deps", "--require-hashes", "--find-links", "wheels", "-r", "requirements.lock")


def _said(result: subprocess.CompletedProcess[str]) -> str:
    """The end of what a program that failed said, in one line."""
    lines = [line.strip() for line in (result.stderr or result.stdout).splitlines()]
    return " | ".join(line for line in lines[-12:] if line)


def manifest_digest(path: Path) -> str:
    """Digest of what npm reads of a ``package.json``: dependencies that do not fit the lock file are for npm to refuse.

    Its version, which each release may have another of, is no part of it.
    """
    try:
        manifest = json.loads(path.read_text())
        wanted = {key: manifest[key] for key in MANIFEST if key in manifest}
    except (ValueError, TypeError):
        return file_digest(path)
    return digest([wanted], 32)


def _told(result: subprocess.CompletedProcess[str]) -> str:
    """The end of why npm has failed, in one line, without the explanation of its command that comes after it."""
    lines = [NPM_MARK.sub("", line).strip() for line in (result.stderr or result.stdout).splitlines()]
    reason = itertools.takewhile(lambda line: line not in NPM_USAGE, lines)
    return " | ".join([line for line in reason if line and "A complete log of this run" not in line][-12:])


def _compiler(said: str) -> str:
    """The next step after what node-gyp said, with what it misses; nothing when it was not at work."""
    if "gyp ERR!" not in said:
        return ""
    missing = dict.fromkeys(first or second for first, second in _MISSING.findall(said))
    names = f": it misses {', '.join(missing)}" if missing else ""
    return (
        f". Native code is compiled on the host{names}. Set host_extra_packages: [make, g++, python3], and run site.yml"
    )


def _unfit(said: str, place: Path) -> str:
    """A sentence when the release itself wants other programs than the host has; what packages want is npm's matter."""
    try:
        name = json.loads((place / "package.json").read_text(encoding="utf-8")).get("name")
    except (OSError, ValueError, AttributeError):
        return ""
    for package, required, current in _UNFIT.findall(said):
        if package.rpartition("@")[0] == name:
            return (
                f"package.json of the release wants {required} (engines), and the host has {current}. npm installs it all the "
                "same. Set pm2_worker_node_source: controller and pm2_worker_node_version, or correct engines."
            )
    return ""


@dataclass(frozen=True)
class Npm:
    """npm on this host, with what it needs to reach a registry.

    ``own`` are variables of the application, which may be secrets. ``scripts`` names packages whose install scripts are run;
    with ``None``, a package that needs its script is an error. ``warn`` is told what npm installs all the same.
    """

    executable: str = "npm"
    environment: t.Mapping[str, str] = field(default_factory=dict)
    own: t.Mapping[str, str] = field(default_factory=dict, repr=False)
    scripts: tuple[str, ...] | None = None
    warn: t.Callable[[str], object] = str
    kind: str = "npm"
    # The dependencies of a Temporal worker unpack to about 270 MB, and npm's cache takes 120 MB the first time; with less
    # free space npm fails half-way.
    spare_mb: int = 450
    shared: str = "node_modules"

    def facts(self, account: Account, place: Path) -> dict[str, str]:
        facts = {
            "lock_digest": file_digest(place / "package-lock.json"),
            "manifest_digest": manifest_digest(place / "package.json"),
            "node": self.node_version(account),
        }
        # What was built is a part of what is lent.
        return {**facts, "scripts": " ".join(sorted(self.scripts))} if self.scripts else facts

    def node_version(self, account: Account) -> str:
        """:raises ReleaseError: there is no Node.js."""
        try:
            result = run_as(account, ["node", "--version"], {}, timeout_seconds=30)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ReleaseError(f"Node.js cannot be run: {error}. Run site.yml first; it installs Node.js.") from None
        if result.returncode != 0:
            raise ReleaseError(f"Node.js cannot be run: {result.stderr.strip()}.")
        return result.stdout.strip()

    def install(self, account: Account, place: Path, final: Path, cache: Path) -> None:
        """Install the dependencies of the lock file as the application's user.

        :raises ReleaseError: npm failed, with the end of what it said; or a package is not complete without its script.
        """
        self._check_npmrc(place)
        for directory in (cache, cache / "npm"):
            directory.mkdir(exist_ok=True)
            os.chown(directory, account.uid, account.gid)
        if wanted := _unfit(self._npm(account, NPM_OPTIONS, place, cache), place):
            self.warn(wanted)
        native = unbuilt(place)
        if self.scripts is None and native:
            raise ReleaseError(
                f"{', '.join(native)} {'needs' if len(native) == 1 else 'need'} native code that an install script makes, and "
                f"those are not run; expected install_scripts of the application to name what is to be built. Set "
                f"install_scripts: {json.dumps(native)}, or [] when the application does without."
            )
        if self.scripts:
            packages = _packages(place)
            if unknown := sorted(set(self.scripts) - {name for name, _path, _entry in packages}):
                raise ReleaseError(
                    f"install_scripts of the application names {', '.join(unknown)}; expected packages of "
                    "package-lock.json. Correct it."
                )
            self._npm(
                account, ("rebuild", "--ignore-scripts=false", "--foreground-scripts", *self.scripts), place, cache
            )
            if left := sorted(set(self.scripts) & set(unbuilt(place))):
                raise ReleaseError(
                    f"npm rebuild has made no native code of {', '.join(left)}. Look at their install scripts."
                )

    def _check_npmrc(self, place: Path) -> None:
        """:raises ReleaseError: the release's ``.npmrc`` reads variables that npm does not have."""
        try:
            lines = (place / ".npmrc").read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return
        read = {name for line in lines if line.strip()[:1] not in ("#", ";") for name in _IN_NPMRC.findall(line)}
        if missing := sorted(read - {*self.environment, *self.own}):
            raise ReleaseError(
                f".npmrc of the release reads {', '.join(missing)}, which npm does not have here; expected npm_environment of "
                f"the application to have it. Set npm_environment: {{{missing[0]}: '@keyvault/Name'}}, or a value."
            )

    def _npm(self, account: Account, words: t.Sequence[str], place: Path, cache: Path) -> str:
        """What npm has warned of.

        :raises ReleaseError: npm failed; with the end of what it said.
        """
        command = f"npm {words[0]}"
        argv = [self.executable, *words, "--cache", str(cache / "npm"), "--loglevel", "warn"]
        environment = {"HOME": str(cache), "NODE_ENV": "production", **self.environment, **self.own}
        try:
            result = run_as(account, argv, environment, directory=str(place), timeout_seconds=900)
        except subprocess.TimeoutExpired:
            raise ReleaseError(
                f"{command} did not end within 15 minutes in {place}. Is the package registry reachable?"
            ) from None
        except OSError as error:
            raise ReleaseError(f"npm cannot be run: {error}. Run site.yml first; it installs npm.") from None
        if result.returncode != 0:
            raise ReleaseError(
                f"{command} failed: {self._masked(_told(result))}{_compiler(result.stderr)}{advice(result.stderr)}"
            )
        return result.stderr

    def _masked(self, said: str) -> str:
        """Without the application's own values, which install scripts may print."""
        for value in sorted(self.own.values(), key=len, reverse=True):
            said = said.replace(value, "********") if value else said
        return said


def _packages(place: Path) -> list[tuple[str, Path, dict[str, t.Any]]]:
    """Name, directory and entry of each package of the lock file. None of a lock file of another form."""
    try:
        entries = json.loads((place / "package-lock.json").read_text(encoding="utf-8")).get("packages")
    except (OSError, ValueError, AttributeError):
        return []
    found = []
    for path, entry in entries.items() if isinstance(entries, dict) else ():
        if isinstance(entry, dict) and "node_modules/" in path:
            found.append((path.rpartition("node_modules/")[2], place / path, entry))
    return found


def unbuilt(place: Path) -> list[str]:
    """Packages of a release that need native code, made by their install scripts, and have none.

    What may be left out (``optional``) is no matter.
    """
    found = set()
    for name, directory, entry in _packages(place):
        if not entry.get("hasInstallScript") or entry.get("optional") or not directory.is_dir():
            continue
        try:
            scripts = json.loads((directory / "package.json").read_text(encoding="utf-8")).get("scripts") or {}
        except (OSError, ValueError, AttributeError):
            scripts = {}
        native = (directory / "binding.gyp").exists() or _BUILDS.search(str(scripts.get("install", "")))
        if native and next(directory.rglob("*.node"), None) is None:
            found.add(name)
    return sorted(found)


@dataclass(frozen=True)
class Wheels:
    """A virtual environment in the release, made of wheels that the release brings. Nothing is fetched."""

    python: str = "python3"
    kind: str = "wheels"
    # Wheels with native code unpack to about four times their size; those of a Temporal worker are 15 MB.
    spare_mb: int = 150
    # Virtual environments hold absolute paths, and making one takes seconds: each release has its own.
    shared: str = ""

    def facts(self, account: Account, place: Path) -> dict[str, str]:
        return {"lock_digest": file_digest(place / "requirements.lock"), "python": self._version(account)}

    def _version(self, account: Account) -> str:
        """:raises ReleaseError: there is no Python."""
        return self._run(account, [self.python, "--version"], "/", "Python cannot be run").removeprefix("Python ")

    def install(self, account: Account, place: Path, final: Path, cache: Path) -> None:
        """Make the virtual environment as the application's user.

        :raises ReleaseError: it cannot be made, or a wheel is missing or is not the locked one.
        """
        self._run(account, [self.python, "-m", "venv", "--without-pip", "venv"], str(place), "python3 -m venv failed")
        pip = [str(self._pip(account, cache)), "-m", "pip", "--python", "venv/bin/python", "install"]
        quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
        self._run(account, [*pip, *quiet, *PIP_OPTIONS], str(place), "pip install failed")
        # It is made at the place where the release is prepared; its scripts name the interpreter by its full path.
        for path in (place / "venv/pyvenv.cfg", *(place / "venv/bin").iterdir()):
            if path.is_file() and not path.is_symlink() and (content := path.read_bytes()).count(bytes(place)):
                path.write_bytes(content.replace(bytes(place), bytes(final)))

    def _pip(self, account: Account, cache: Path) -> Path:
        """The Python of an environment that has pip. Made once, because that takes longer than all the rest."""
        place = cache / f"pip-{self._version(account)}"
        if not place.is_dir():
            cache.mkdir(exist_ok=True)
            os.chown(cache, account.uid, account.gid)
            fresh = place.with_name(f"{place.name}.new")
            shutil.rmtree(fresh, ignore_errors=True)
            self._run(account, [self.python, "-m", "venv", str(fresh)], str(cache), "python3 -m venv failed")
            fresh.rename(place)
        return place / "bin/python"

    @staticmethod
    def _run(account: Account, argv: list[str], directory: str, failed: str) -> str:
        environment = {"HOME": directory, "PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1"}
        try:
            result = run_as(account, argv, environment, directory=directory, timeout_seconds=600)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ReleaseError(f"{failed}: {error}. Run site.yml first; it installs Python.") from None
        if result.returncode != 0:
            hint = " Run site.yml first; it installs python3-venv." if "ensurepip" in result.stdout else ""
            raise ReleaseError(f"{failed}: {_said(result)}{hint}{advice(result.stdout + result.stderr)}")
        return result.stdout.strip()


@dataclass(frozen=True)
class Nothing:
    """A release that runs as it is, such as a Go program."""

    kind: str = "none"
    spare_mb: int = 50
    shared: str = ""

    def facts(self, account: Account, place: Path) -> dict[str, str]:
        return {}

    def install(self, account: Account, place: Path, final: Path, cache: Path) -> None:
        pass
