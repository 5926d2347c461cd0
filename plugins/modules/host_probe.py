#!/usr/bin/python
# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports what a host is and what listens on it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_probe
short_description: Report what a host is and what listens on it
version_added: 0.1.0
description:
  - Reads the release of the operating system, memory, room on file systems, listening TCP ports with the process, unit
    or container behind each, and the containers that exist. It needs no facts and no tools, so it works on a bare host.
  - It also reports the packages that are installed, the certificate authorities that are trusted, and the programs,
    images and packages of npm that M(durable.temporal.artifacts) has installed. Tasks of the same run that want nothing more need not ask again.
  - What may not be seen is left empty. Without privileges that is the owner of other users' sockets.
author:
  - The durable.temporal contributors (@durable-temporal)
extends_documentation_fragment:
  - durable.temporal.attributes.info
options:
  paths:
    description: Paths whose file systems are measured. One that does not exist yet stands for its nearest parent.
    type: list
    elements: path
    default: [/]
  pem_files:
    description:
      - Files to look for. Those that options of the host's roles name, such as a site's certificate, are among them by
        themselves.
    type: list
    elements: path
    default: []
  directories:
    description:
      - Directories to look at, whose owner would change. Those that options of the host's roles name are among them by
        themselves.
    type: list
    elements: path
    default: []
  users:
    description:
      - Accounts to look for, also in a directory of a company. Those that options of the host's roles name are among them by
        themselves.
    type: list
    elements: str
    default: []
  groups:
    description: The same of groups.
    type: list
    elements: str
    default: []
  controller_time:
    description: The controller's clock when the task began, in seconds since 1970, to compare the host's with.
    type: float
seealso:
  - module: durable.temporal.preflight
"""

EXAMPLES = r"""
- name: Look at the host
  durable.temporal.host_probe:
    paths: [/opt, /var/lib/docker]
    controller_time: "{{ now(fmt='%s') }}"
  become: true
  register: __probe
"""

RETURN = r"""
os:
  description: C(id), C(version), C(codename) and C(name) from C(/etc/os-release).
  returned: always
  type: dict
  sample: {id: debian, version: "13", codename: trixie, name: "Debian GNU/Linux 13 (trixie)"}
architecture:
  description: Machine name of the kernel.
  returned: always
  type: str
  sample: x86_64
python:
  description: Version of the Python that ran this module.
  returned: always
  type: str
  sample: 3.13.5
systemd:
  description: Whether systemd runs the host.
  returned: always
  type: bool
addresses:
  description: Addresses and networks that programs of the host can listen on; empty when the kernel does not tell.
  returned: always
  type: list
  elements: str
  sample: [10.0.0.5, 127.0.0.0/8, 127.0.0.1, "::1"]
ipv6:
  description: Whether the kernel has IPv6.
  returned: always
  type: bool
privileged:
  description: Whether the owners of all sockets could be seen.
  returned: always
  type: bool
memory_mb:
  description: Memory in MiB.
  returned: always
  type: int
cpus:
  description: Processors that may be used.
  returned: always
  type: int
clock_ahead_seconds:
  description: How far the host's clock is ahead of O(controller_time), the time that the module took to start included.
  returned: when O(controller_time) is given
  type: float
disks:
  description: >-
    One row for each path, with C(path), C(at) (the existing parent), C(total_mb), C(free_mb), and C(noexec), whether the file
    system is mounted so that no program on it can be run.
  returned: always
  type: list
  elements: dict
listeners:
  description: One row for each listening TCP socket.
  returned: always
  type: list
  elements: dict
  contains:
    address:
      description: The address that it is bound to.
      type: str
    port:
      description: The port.
      type: int
    pid:
      description: Id of the process, or 0.
      type: int
    process:
      description: Name of the process.
      type: str
    unit:
      description: systemd unit of the process.
      type: str
    container:
      description: Container that has the port.
      type: str
containers:
  description: >-
    One row for each container, stopped ones included, with C(id), C(name), C(image), C(state), C(status), C(health),
    C(directory) (of its Compose project) and C(ports).
  returned: always
  type: list
  elements: dict
dpkg:
  description: One line for each package that dpkg knows; empty on a host without dpkg.
  returned: always
  type: str
artifacts:
  description: What the module artifacts has installed and what is still there, by kind.
  returned: always
  type: dict
engine:
  description: >-
    The container engine, as the module docker_engine tells it.
  returned: always
  type: dict
applications:
  description: What was recorded of each application that this collection has put on the host, without secrets.
  returned: always
  type: list
  elements: dict
units:
  description: Application to the runtimes, V(pm2) and V(systemd), that have units for it.
  returned: always
  type: dict
foreign_files:
  description: Units, commands and the like of others, with a name as those of an application would have.
  returned: always
  type: list
  elements: str
lost_data:
  description: >-
    Files of data that was made here and is gone, such as that of a disk that is not mounted, each to the file that is to be
    removed to have other data made.
  returned: always
  type: dict
pem_files:
  description: >-
    Each of O(pem_files) to what it holds, as PEM calls it, such as C(CERTIFICATE); null when there is no such file.
  returned: always
  type: dict
directories:
  description: >-
    Each of O(directories) to its C(owner), what it C(is) (V(directory), V(link) or V(file)), the first C(names) in it, and
    C(ours), whether this collection has written one of its files; null when there is nothing.
  returned: always
  type: dict
accounts:
  description: Name to why this account of C(/etc/passwd) must not run applications; empty when it may.
  returned: always
  type: dict
login:
  description: The account that logged in, when it became another by sudo.
  returned: always
  type: str
certificates:
  description: C(files) to fingerprints of certificates, fingerprints of the whole C(bundle), and our lines of C(environment).
  returned: always
  type: dict
unknown:
  description: Those of O(users) and O(groups) that the host does not have, by C(users) and C(groups).
  returned: always
  type: dict
engine_users:
  description: Accounts in the group C(docker).
  returned: always
  type: list
  elements: str
firewall:
  description: >-
    C(name), the firewall V(ufw) or V(firewalld) that is active and lets in only what its rules name, else empty; and
    C(allowed), the first and last of each range of TCP ports that they let in from somewhere, null when they were not read.
  returned: always
  type: dict
temporal_command:
  description: The path of a command temporal that this collection has not written, where it is to be called; else empty.
  returned: always
  type: str
pm2:
  description: >-
    C(command), the path of a command pm2 that this collection has not written, C(logs), the names of plain files where it
    puts links to the logs of processes, and C(foreign), what others have in C(/opt/pm2) where it has its PM2.
  returned: always
  type: dict
"""

import os
import platform
import shutil
import time
import typing as t

from ansible_collections.durable.temporal.plugins.module_utils import (
    _artifacts,
    _certificates,
    _engine,
    _packages,
    _probe,
    _registry,
)
from ansible_collections.durable.temporal.plugins.module_utils._module import Module

TEMPORAL_COMMAND = "/usr/local/bin/temporal"
PM2_COMMAND = "/usr/local/bin/pm2"
PM2_LOGS = "/var/log/pm2"
PM2_DIRECTORY = "/opt/pm2"


def containers(module: Module) -> list[dict[str, t.Any]]:
    """The host's containers; none when there is no Docker, or it does not answer."""
    docker = shutil.which("docker")
    if docker is None or not os.path.exists("/run/docker.sock"):
        return []
    command = [docker, "ps", "--all", "--no-trunc", "--format", _probe.CONTAINER_FORMAT]
    returned, output, _error = module.run_command(command, environ_update={"LC_ALL": "C"})
    return _probe.parse_containers(output) if returned == 0 else []


def packages(module: Module) -> str:
    """What dpkg knows; nothing when there is no dpkg, or it is broken, which a task that installs will tell of."""
    tool = shutil.which("dpkg-query")
    try:
        return _packages.listed(module.run_command, tool) if tool else ""
    except ValueError:
        return ""


def artifacts(module: Module) -> dict[str, t.Any]:
    """What was installed and is there; nothing when Docker answers something strange."""
    try:
        return _artifacts.present(_artifacts.Docker(module))
    except _artifacts.HostError:
        return {}


def pm2() -> dict[str, t.Any]:
    """What lies where PM2 is called and logs, and is not ours."""
    return {
        "command": _probe.foreign_command(PM2_COMMAND),
        "logs": _probe.plain_files(PM2_LOGS),
        "foreign": _probe.foreign_pm2(PM2_DIRECTORY),
    }


def main() -> None:
    module = Module(
        argument_spec={
            "paths": {"type": "list", "elements": "path", "default": ["/"]},
            "pem_files": {"type": "list", "elements": "path", "default": []},
            "directories": {"type": "list", "elements": "path", "default": []},
            "users": {"type": "list", "elements": "str", "default": []},
            "groups": {"type": "list", "elements": "str", "default": []},
            "controller_time": {"type": "float"},
        },
        supports_check_mode=True,
    )
    reference = module.params["controller_time"]
    present, dpkg = containers(module), packages(module)
    module.exit_json(
        changed=False,
        os=_probe.parse_os_release(_probe.read("/etc/os-release")),
        architecture=platform.machine(),
        python=platform.python_version(),
        systemd=os.path.isdir("/run/systemd/system"),
        addresses=_probe.addresses(),
        ipv6=os.path.exists("/proc/net/if_inet6"),
        privileged=os.geteuid() == 0,
        memory_mb=_probe.parse_memory_mb(_probe.read("/proc/meminfo")),
        cpus=len(os.sched_getaffinity(0)),
        clock_ahead_seconds=time.time() - reference if reference else None,
        disks=[_probe.room(path) for path in module.params["paths"]],
        listeners=_probe.listeners(present),
        containers=present,
        dpkg=dpkg,
        engine=_engine.look(module.run_command, shutil.which("docker"), dpkg),
        artifacts=artifacts(module),
        certificates=_certificates.present(),
        applications=_registry.records(),
        units=_registry.runtimes(),
        foreign_files=_registry.foreign_files(),
        lost_data=_registry.lost_data(),
        pem_files={path: _probe.pem_labels(path) for path in module.params["pem_files"]},
        directories={path: _probe.directory(path) for path in module.params["directories"]},
        accounts=_probe.parse_accounts(_probe.read("/etc/passwd")),
        login=os.environ.get("SUDO_USER", ""),
        pm2=pm2(),
        unknown=_probe.unknown(module.params["users"], module.params["groups"]),
        engine_users=_probe.members_of("docker", _probe.read("/etc/group")),
        firewall=_probe.firewall(),
        temporal_command=_probe.foreign_command(TEMPORAL_COMMAND),
    )


if __name__ == "__main__":
    main()
