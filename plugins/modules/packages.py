#!/usr/bin/python
# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells which packages are missing. The controller's part (plugins/action/packages.py) has them installed."""

from __future__ import annotations

DOCUMENTATION = r"""
module: packages
short_description: Have packages of Debian or Ubuntu installed
version_added: 0.1.0
description:
  - Asks dpkg once for what is installed, and runs M(ansible.builtin.apt) only for what is missing. A run with nothing
    to install loads no package lists, which makes it several times faster than M(ansible.builtin.apt).
  - In check mode what is missing is predicted, so that it also works on a host without package lists.
author:
  - The durable.temporal contributors (@durable-temporal)
extends_documentation_fragment:
  - durable.temporal.attributes
options:
  name:
    description:
      - Packages, by name, V(name:architecture) or V(name=version). A virtual package counts as installed with any
        package that provides it. Files, patterns of names and target releases are always left to
        M(ansible.builtin.apt).
    type: list
    elements: str
    default: []
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
    description: Age in seconds up to which the package lists are good enough. V(0) reads them before an installation.
    type: int
    default: 3600
  lock_timeout:
    description: How long to wait in seconds for somebody else who installs.
    type: int
    default: 300
attributes:
  action:
    description: The controller's part runs M(ansible.builtin.apt) for what is missing.
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

import re
import typing as t
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.durable.temporal.plugins.module_utils._probe import parse_os_release, read

FORMAT = "${Package}\t${Architecture}\t${db:Status-Status}\t${Version}\t${Provides}\n"
PLAIN = re.compile(r"(?P<name>[a-z0-9][a-z0-9+.-]+)(:(?P<architecture>[a-z0-9-]+))?(=(?P<version>[^=\s]+))?")


@dataclass
class Installed:
    """What is installed: name to its (architecture, version), and the names that are provided."""

    packages: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    provided: set[str] = field(default_factory=set)

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
            and fnmatchcase(version, match["version"] or "*")
            for architecture, version in there
        )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "list", "elements": "str", "default": []},
            "by_release": {"type": "dict", "default": {}},
            "install_recommends": {"type": "bool", "default": False},
            "cache_valid_time": {"type": "int", "default": 3600},
            "lock_timeout": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    tool = module.get_bin_path("dpkg-query")
    if tool is None:
        module.fail_json(msg="dpkg-query was not found; expected a host with Debian or Ubuntu.")
    code, out, err = module.run_command([tool, "--show", f"--showformat={FORMAT}"], environ_update={"LC_ALL": "C"})
    if code != 0:
        module.fail_json(msg=f"dpkg-query failed: {err.strip() or out.strip()}")
    release = parse_os_release(read("/etc/os-release"))
    release["name"] = f"{release['id']}-{release['version']}"
    wanted: list[t.Any] = [*module.params["name"], *module.params["by_release"].get(release["name"], [])]
    installed = Installed.parse(out)
    missing = [name for name in dict.fromkeys(map(str, wanted)) if not installed.has(name)]
    module.exit_json(
        changed=bool(missing),
        missing=missing,
        # Only apt can tell whether it would do something for these.
        unpredictable=[name for name in missing if not PLAIN.fullmatch(name)],
        release=release,
        diff={"before": dict.fromkeys(missing, "missing"), "after": dict.fromkeys(missing, "installed")},
    )


if __name__ == "__main__":
    main()
