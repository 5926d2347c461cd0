#!/usr/bin/python
# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells whether the container engine of a host will do, and whether it is to be left as it is."""

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_engine
short_description: Look at the container engine of a host
version_added: 0.1.0
description:
  - Looks which engine is there, from which package, and which Compose; changes nothing.
  - Fails with a sentence when it is too old, has no Compose v2, or would have to be replaced although it is somebody
    else's.
author:
  - The durable.temporal contributors (@durable-temporal)
extends_documentation_fragment:
  - durable.temporal.attributes.info
options:
  source:
    description:
      - Where the engine is to come from. V(none) takes what is there.
      - V(auto) takes what is there, too, unless it is ours or of the distribution where that has Compose v2; V(vendor)
        takes an engine of the vendor that is there.
    type: str
    choices: [auto, distribution, vendor, none]
    default: auto
  options:
    description:
      - Options of the role docker by name, C(docker_bind_address), C(docker_log_max_size), C(docker_log_max_files) and
        C(docker_daemon_options), which decide what the engine is to be told.
    type: dict
    required: true
seealso:
  - module: durable.temporal.host_probe
"""

EXAMPLES = r"""
- name: Look at the engine of the host, and refuse one that will not do
  durable.temporal.docker_engine:
    source: none
    options: {docker_bind_address: 127.0.0.1, docker_log_max_size: 10m, docker_log_max_files: 3, docker_daemon_options: {}}
"""

RETURN = r"""
as_it_is:
  description: Whether the engine is to be used as it is, and neither installed nor configured.
  returned: success
  type: bool
daemon:
  description: What C(/etc/docker/daemon.json) is to be when we configure the engine.
  returned: success
  type: dict
engine:
  description:
    - Whether there is a C(program), its C(version), that of C(compose), its C(package), whether it is our C(own).
    - Its C(settings), whether they were C(edited) since we wrote them, the C(containers) that run, whether it is part of a
      C(swarm).
  returned: success
  type: dict
"""

from ansible_collections.durable.temporal.plugins.module_utils import _engine, _packages
from ansible_collections.durable.temporal.plugins.module_utils._module import Module
from ansible_collections.durable.temporal.plugins.module_utils._probe import parse_os_release, read


def main() -> None:
    module = Module(
        argument_spec={
            "source": {"type": "str", "choices": ["auto", "distribution", "vendor", "none"], "default": "auto"},
            "options": {"type": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    tool = module.get_bin_path("dpkg-query")
    try:
        dpkg = _packages.listed(module.run_command, tool) if tool else ""
    except ValueError as error:
        module.fail_json(msg=str(error))
    engine = _engine.look(module.run_command, module.get_bin_path("docker"), dpkg)
    release = _packages.named(parse_os_release(read("/etc/os-release")))
    daemon = _engine.daemon(module.params["options"])
    as_it_is, reason = _engine.judge(module.params["source"], engine, release["name"], daemon)
    if reason:
        module.fail_json(msg=reason, engine=engine)
    module.exit_json(changed=False, as_it_is=as_it_is, daemon=daemon, engine=engine)


if __name__ == "__main__":
    main()
