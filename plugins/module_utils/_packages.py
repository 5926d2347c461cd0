# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What dpkg says is installed, and whether that is what is wanted. On the host by dpkg itself, elsewhere without.

Private to this collection.
"""

from __future__ import annotations

import re
import subprocess
import typing as t
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

FORMAT = "${Package}\t${Architecture}\t${db:Status-Status}\t${Version}\t${Provides}\n"
PLAIN = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9+.-]+)(:(?P<architecture>[a-z0-9-]+))?((?P<relation>>?=)(?P<version>[^=\s]+))?"
)


@dataclass
class Installed:
    """What is installed: name to its (architecture, version), and the names that are provided."""

    packages: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    provided: set[str] = field(default_factory=set)
    # Whether a version is another one or later. A machine without dpkg gives one that says no when it cannot tell.
    newer: t.Callable[[str, str], bool] | None = None

    @classmethod
    def parse(cls, text: str) -> Installed:
        """Read lines of ``dpkg-query --showformat`` with :data:`FORMAT`. What is half installed does not count."""
        found = cls()
        for line in text.splitlines():
            name, architecture, status, version, provides = line.split("\t")
            if status == "installed":
                found.packages.setdefault(name, []).append((architecture, version))
                found.provided.update(part.split()[0].partition(":")[0] for part in provides.split(",") if part.strip())
        return found

    def has(self, wanted: str) -> bool:
        """Whether what is wanted is there; never for what only apt can tell."""
        match = PLAIN.fullmatch(wanted)
        if match is None:
            return False
        there = self.packages.get(match["name"], [])
        if not there and match["version"] is None:
            return match["name"] in self.provided
        return any(
            match["architecture"] in (None, "any", "native", "all", architecture)
            and self._fits(version, match["relation"], match["version"])
            for architecture, version in there
        )

    def _fits(self, version: str, relation: str | None, wanted: str | None) -> bool:
        if relation == ">=":
            return (self.newer or at_least)(version, str(wanted))
        return fnmatchcase(version, wanted or "*")


def at_least(version: str, wanted: str) -> bool:
    """Whether a version is that one or a later one, by dpkg's rules."""
    return subprocess.run(["dpkg", "--compare-versions", version, "ge", wanted], check=False).returncode == 0


def surely_at_least(version: str, wanted: str) -> bool:
    """The same without dpkg, for the simplest case: a whole number is wanted. False also when that cannot tell."""
    major = re.match(r"(\d+)(?![\d~:])", version)
    return major is not None and wanted.isdecimal() and int(major[1]) >= int(wanted)


def listed(run: t.Callable[[list[str]], tuple[int, str, str]], tool: str) -> str:
    """What ``dpkg-query`` says is there, in :data:`FORMAT`.

    :param run: runs a command; returns code, output, error.
    :raises ValueError: what dpkg said.
    """
    code, out, err = run([tool, "--show", f"--showformat={FORMAT}"])
    if code != 0:
        raise ValueError(f"dpkg-query failed: {err.strip() or out.strip()}")
    return out


def named(os_release: t.Mapping[str, str]) -> dict[str, str]:
    """A host's release, with the ``name`` by which packages are declared for it, such as ``debian-13``."""
    return {**os_release, "name": f"{os_release['id']}-{os_release['version']}"}


def wanted_names(options: t.Mapping[str, t.Any], release: t.Mapping[str, str]) -> list[str]:
    """What is wanted on a release, each once.

    :param options: those of the module packages, ``name`` and ``by_release``.
    """
    names = [*(options.get("name") or []), *(options.get("by_release") or {}).get(release["name"], [])]
    return list(dict.fromkeys(map(str, names)))
