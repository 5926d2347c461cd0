# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages of npm, installed by the npm client of this machine into a directory that is sent to hosts.

Private to this collection. The client takes its registry, certificates and credentials from its user's own settings, and
verifies each package against the digest that the registry gives for it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.durable.temporal.plugins.plugin_utils._artifact_cache import ArtifactError
from ansible_collections.durable.temporal.plugins.plugin_utils._image_archive import Tree

# Without install scripts there is nothing of this machine in the result; ``--os`` leaves out what is for others (npm 10).
OPTIONS: t.Final = (
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--no-update-notifier",
    "--os=linux",
    "--loglevel=error",
)
# How npm calls architectures.
NPM_PROCESSORS: t.Final = {"amd64": "x64", "arm64": "arm64"}
THEMSELVES: t.Final = (
    "have the hosts install it themselves (pm2_worker_npm_source or pm2_worker_node_source: distribution)"
)
_TIMEOUT_SECONDS: t.Final = 600


@dataclass(frozen=True)
class NpmPackage:
    """A package that is to be in a directory of its own on the host.

    ``links`` are pairs: path of a link on the host, and what it points to below ``dest``. ``published`` are pairs, too:
    an architecture, and the name of the package that is published for it.
    """

    name: str
    version: str
    dest: str
    links: tuple[tuple[str, str], ...] = ()
    published: tuple[tuple[str, str], ...] = ()

    def link_targets(self) -> dict[str, str]:
        """Path of each link to the path that it is to hold."""
        return {link: f"{self.dest}/{target}" for link, target in self.links}

    def published_for(self, architecture: str) -> str:
        """The name under which the registry has it.

        :raises ArtifactError: it is not published for this architecture.
        """
        names = dict(self.published) or {architecture: self.name}
        if architecture not in names:
            raise ArtifactError(
                f"{self.name} is published for {' and '.join(sorted(names))} only, and the host is {architecture}. Name "
                "the package for it in published."
            )
        return names[architecture]


class NpmClient:
    """Installs packages with the ``npm`` of this machine.

    :param notify: receives one sentence before each installation.
    """

    def __init__(self, notify: t.Callable[[str], None]) -> None:
        self._notify = notify

    def install(self, package: NpmPackage, architecture: str, work: Path) -> Tree:
        """A package with all that it depends on: ``lib/node_modules/<name>`` and links to its commands in ``bin``.

        :param architecture: that of the host, which need not be that of this machine.
        :raises ArtifactError: there is no client, or it failed; with the end of what it said.
        """
        name, version = package.name, package.version
        arguments = [f"{name}@{version}"]
        if package.published:
            published = package.published_for(architecture)
            arguments = [f"--cpu={NPM_PROCESSORS[architecture]}", f"{name}@npm:{published}@{version}"]
        npm = shutil.which("npm")
        if not npm:
            raise ArtifactError(
                f"{name} {version} is to be fetched by the npm client of this machine, which has no npm program in its "
                f"PATH. Install npm here, or {THEMSELVES}."
            )
        self._notify(f"Fetching {name} {version} with npm (some seconds the first time on this machine)")
        place = work / "installed"
        # Not where the playbook was started: a project there may have settings of its own.
        done = subprocess.run(
            [npm, "install", "--global", f"--prefix={place}", *OPTIONS, *arguments],
            cwd=work,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=_TIMEOUT_SECONDS,
        )
        if done.returncode != 0 or not (place / "lib/node_modules" / name / "package.json").is_file():
            said = [line.strip() for line in (done.stderr or done.stdout).splitlines() if "complete log" not in line]
            reason = " / ".join(line for line in said if line)[-600:] or "it gave no reason"
            raise ArtifactError(
                f"npm on this machine could not fetch {name} {version}: {reason}. Check the version, the network and "
                f"the client's settings (npm config list), or {THEMSELVES}."
            )
        return tree_of(place)


def tree_of(place: Path) -> Tree:
    """A directory as a layer, owned by root; files keep only whether they can be run."""
    tree = Tree()
    for folder, folders, files in os.walk(place):
        for path in (Path(folder) / name for name in (*folders, *files)):
            name = str(path.relative_to(place))
            if path.is_symlink():
                tree.symlink(name, os.readlink(path))
            elif path.is_dir():
                tree.directory(name)
            else:
                tree.file(name, path, mode=0o755 if path.stat().st_mode & 0o100 else 0o644)
    return tree
