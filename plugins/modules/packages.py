#!/usr/bin/python
# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Installs packages that are missing. What only apt's own module can tell is left to the controller's part."""

from __future__ import annotations

DOCUMENTATION = r"""
module: packages
short_description: Have packages of Debian or Ubuntu installed
version_added: 0.1.0
description:
  - Asks dpkg once for what is installed, and runs C(apt-get) only for what is missing. A run with nothing to install
    loads no package lists, and one with something loads them once, which is several times faster than
    M(ansible.builtin.apt).
  - In check mode what is missing is predicted, so that it also works on a host without package lists.
author:
  - The durable.temporal contributors (@durable-temporal)
extends_documentation_fragment:
  - durable.temporal.attributes
options:
  name:
    description:
      - Packages, by name, V(name:architecture), V(name=version) or V(name>=version). A virtual package counts as
        installed with any package that provides it. Files, patterns of names and target releases are always left to
        M(ansible.builtin.apt).
      - When the package sources of the host have nothing as new as V(name>=version), nothing at all is installed.
    type: list
    elements: str
    default: []
  too_old:
    description: What to tell the operator to do when a package is only there in a version that is too old.
    type: str
    default: Add a package source that has it.
  by_release:
    description:
      - Release of the host to further packages for it, for packages that are named differently in each.
      - A release is C(ID) and C(VERSION_ID) of C(/etc/os-release), joined by a hyphen. Others get nothing more.
    type: dict
    default: {}
  install_recommends:
    description: Whether to install what the packages recommend as well.
    type: bool
    default: false
  cache_valid_time:
    description:
      - Age in seconds up to which the package lists are good enough. V(0) reads them before an installation.
      - They are read anyway when a package is not found or cannot be fetched with those that are there.
    type: int
    default: 3600
  lock_timeout:
    description: How long to wait in seconds for somebody else who installs.
    type: int
    default: 300
attributes:
  action:
    description: The controller's part runs M(ansible.builtin.apt) for files, patterns and target releases.
    support: full
seealso:
  - module: ansible.builtin.apt
"""

EXAMPLES = r"""
- name: Install nginx
  durable.temporal.packages:
    name: [nginx]

- name: Install the engine under the name that each release has for it
  durable.temporal.packages:
    by_release:
      debian-13: [docker.io, docker-cli]
      ubuntu-24.04: [docker.io]

- name: Install Node.js, unless it is too old for the application
  durable.temporal.packages:
    name: [nodejs>=20]
    too_old: Use the packages of NodeSource.
"""

RETURN = r"""
missing:
  description: Packages that were, or in check mode would be, installed.
  returned: success
  type: list
  elements: str
  sample: [nginx]
release:
  description: C(id), C(version) and C(codename) of the host, and C(name), by which O(by_release) knows it.
  returned: success
  type: dict
  sample: {id: debian, version: "13", codename: trixie, name: debian-13}
"""

import contextlib
import math
import os
import re
import time
import typing as t

from ansible_collections.durable.temporal.plugins.module_utils import _accounts, _packages
from ansible_collections.durable.temporal.plugins.module_utils._module import Module
from ansible_collections.durable.temporal.plugins.module_utils._packages import PLAIN, Installed
from ansible_collections.durable.temporal.plugins.module_utils._probe import parse_os_release, read

QUIET = {"LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive", "DEBIAN_PRIORITY": "critical"}
# An administrator's configuration files stay.
KEEP_CONFIGURATION = ("--force-confdef", "--force-confold")
CONFIGURATION_STAYS = tuple(part for option in KEEP_CONFIGURATION for part in ("-o", f"Dpkg::Options::={option}"))
HALF_UNPACKED = ["dpkg-query", "--show", "--showformat=${db:Status-Abbrev}\t${binary:Package}\n"]
# What apt says of a dpkg that was killed, or whose host lost power.
INTERRUPTED = "dpkg was interrupted"
CANDIDATE = re.compile(r"^  Candidate: (?P<version>\S+)$", re.MULTILINE)


class AptError(Exception):
    """Why packages cannot be installed. The text is for the operator."""


def candidate(policy: str) -> str:
    """The version that apt would install, from what ``apt-cache policy`` says; empty when it knows of none."""
    match = CANDIDATE.search(policy)
    return "" if match is None or match["version"] == "(none)" else match["version"]


def half_unpacked(listing: str) -> list[str]:
    """Packages that dpkg wants unpacked again, as it was ended while it did; from what :data:`HALF_UNPACKED` prints."""
    rows = (line.partition("\t") for line in listing.splitlines())
    return [name for status, _tab, name in rows if status[2:3] == "R"]


def reasons(output: str) -> list[str]:
    """Lines of apt that say what is wrong, and those of dpkg with the line that says why."""
    lines = output.splitlines()
    told = [line.startswith(("E:", "W:", "dpkg: error")) for line in lines]
    why = [line.startswith(" ") and before.startswith("dpkg: error") for before, line in zip(["", *lines], lines)]
    return [line.strip() for line, *wanted in zip(lines, told, why) if any(wanted)]


class Apt:
    """apt on this host.

    :param run: runs a command; returns code, output, error.
    :param lists: where apt keeps its package lists.
    """

    LISTS = "/var/lib/apt/lists"

    def __init__(
        self, run: t.Callable[[list[str]], tuple[int, str, str]], options: t.Mapping[str, t.Any], lists: str = LISTS
    ) -> None:
        self._run, self._options, self._lists = run, options, lists
        self._fresh = False

    def offers(self, wanted: t.Iterable[str]) -> dict[str, str]:
        """Each package that must be new enough, to the version that apt would install; empty when it knows of none."""
        found = {}
        for item in wanted:
            match = PLAIN.fullmatch(item)
            if match is not None and match["relation"] == ">=":
                found[item] = candidate(self._run(["apt-cache", "policy", match["name"]])[1])
        return found

    def prepare(self) -> None:
        """Read the package lists, unless those that are there are good enough."""
        if self._age() > self._options["cache_valid_time"]:
            self.update()

    def update(self) -> None:
        """:raises AptError: a package source cannot be read."""
        if not self._fresh:
            self._apt("update", "--error-on=any")
            # apt leaves the time as it is when nothing was new; the next task would read them again.
            with contextlib.suppress(OSError):
                os.utime(self._lists)
            self._fresh = True

    def install(self, wanted: t.Sequence[str]) -> None:
        """:raises AptError: what apt said, after a second try with lists that have just been read."""
        names = [item.partition(">=")[0] for item in wanted]
        recommends = "yes" if self._options["install_recommends"] else "no"
        command = [
            "install",
            *("-o", f"APT::Install-Recommends={recommends}"),
            *CONFIGURATION_STAYS,
            *names,
        ]
        try:
            self._apt(*command)
        except AptError:
            # The lists may be older than what the mirror has now.
            if self._fresh:
                raise
            self.update()
            self._apt(*command)

    def _apt(self, *arguments: str) -> None:
        lock = f"DPkg::Lock::Timeout={self._options['lock_timeout']}"
        apt = ["apt-get", "-y", "-q", "-o", lock, "-o", "Acquire::Retries=3"]
        command = [*apt, *arguments]
        code, out, err = self._run(command)
        if INTERRUPTED in err:
            # Whether it can finish what it had begun is told by the second try.
            self._run(["dpkg", *KEEP_CONFIGURATION, "--configure", "-a"])
            code, out, err = self._run(command)
        # apt unpacks such packages again only as long as their files are not all there.
        if code and (half := half_unpacked(self._run(HALF_UNPACKED)[1])):
            self._run([*apt, "install", "--reinstall", *CONFIGURATION_STAYS, *half])
            code, out, err = self._run(command)
        if code != 0:
            said = reasons(err or out) or [err or out]
            raise AptError(f"apt-get {arguments[0]} failed: {' '.join(said)[-1500:].strip()}{self._held(said)}")

    def _held(self, said: t.Iterable[str]) -> str:
        """Which packages are on hold, when that is what apt minds, and what to do."""
        if not any("held packages" in line.lower() for line in said):
            return ""
        names = " ".join(self._run(["apt-mark", "showhold"])[1].split())
        return f" On hold: {names}. Release what is needed (apt-mark unhold), or install it yourself." if names else ""

    def _age(self) -> float:
        """Seconds since the lists were read; infinite when there are none."""
        try:
            if not any(name.endswith(("Packages", "Packages.lz4", "Packages.gz")) for name in os.listdir(self._lists)):
                return math.inf
            return time.time() - os.stat(self._lists).st_mtime
        except OSError:
            return math.inf


def too_old(offered: t.Mapping[str, str], release: t.Mapping[str, str], advice: str) -> str:
    """A sentence for each package that is offered and too old; empty when there is none."""
    sentences = []
    for wanted, version in offered.items():
        name, _relation, least = wanted.partition(">=")
        if version and not _packages.at_least(version, least):
            sentences.append(
                f"{name}: the package sources of this host ({release['name']}) have {version}; expected {least} or newer. "
                f"Nothing was installed. {advice}"
            )
    return " ".join(sentences)


def bring(apt: Apt, missing: t.Sequence[str], release: t.Mapping[str, str], advice: str) -> None:
    """Install what is missing, all of it or nothing.

    :raises AptError: apt failed, or a package is only there in a version that is too old.
    """
    apt.prepare()
    if refusal := too_old(apt.offers(missing), release, advice):
        raise AptError(refusal)
    apt.install(missing)


def main() -> None:
    module = Module(
        argument_spec={
            "name": {"type": "list", "elements": "str", "default": []},
            "by_release": {"type": "dict", "default": {}},
            "too_old": {"type": "str", "default": "Add a package source that has it."},
            "install_recommends": {"type": "bool", "default": False},
            "cache_valid_time": {"type": "int", "default": 3600},
            "lock_timeout": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    tool = module.get_bin_path("dpkg-query")
    if tool is None:
        module.fail_json(msg="dpkg-query was not found; expected a host with Debian or Ubuntu.")
    try:
        installed = Installed.parse(_packages.listed(module.run_command, tool))
    except ValueError as error:
        module.fail_json(msg=str(error))
    release = _packages.named(parse_os_release(read("/etc/os-release")))
    missing = [name for name in _packages.wanted_names(module.params, release) if not installed.has(name)]
    # Only apt can tell whether it would do something for these.
    unpredictable = [name for name in missing if not PLAIN.fullmatch(name)]
    plain = [name for name in missing if name not in unpredictable]
    apt = Apt(lambda command: module.run_command(command, environ_update=QUIET), module.params)
    try:
        if plain and not module.check_mode:
            # Packages make accounts, also those that dpkg has not finished.
            _accounts.remove_left_locks(module.warn)
            bring(apt, plain, release, module.params["too_old"])
        elif refusal := too_old(apt.offers(plain), release, module.params["too_old"]):
            raise AptError(refusal)
    except AptError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=bool(missing),
        missing=missing,
        unpredictable=unpredictable,
        release=release,
        diff={"before": dict.fromkeys(missing, "missing"), "after": dict.fromkeys(missing, "installed")},
    )


if __name__ == "__main__":
    main()
