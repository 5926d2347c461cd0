#!/usr/bin/python
# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: starter
short_description: Write a directory to start from
version_added: 0.1.0
description:
  - Writes an inventory with commented examples of applications, the playbooks, C(ansible.cfg) and the locked requirements into
    a directory on the controller. The playbook C(init) runs it.
  - A file that is there already with the same content is kept. When one is there with another content, nothing is written
    and all of them are listed.
author:
  - The durable.temporal contributors (@durable-temporal)
extends_documentation_fragment:
  - durable.temporal.attributes
attributes:
  diff_mode:
    support: full
    details: Shows the files that are written.
options:
  directory:
    description: The directory. It is made when it does not exist. A relative path begins in the directory in which Ansible is run.
    type: str
    default: .
  topology:
    description:
      - V(single_vm) has everything on one host, V(vm1).
      - V(production) has the hosts V(db1), V(temporal1), V(app1) and V(edge1).
    type: str
    choices: [single_vm, production]
    default: single_vm
  name:
    description: Name of the project, C(topology_name).
    type: str
    default: order-processing
  hosts:
    description:
      - Host to address, as a mapping, or as text such as V(db1=10.0.0.11,temporal1=10.0.0.21). For V(single_vm) the address alone
        is enough.
      - The address of a host that is left out is to be written into C(hosts.yml) by hand.
    type: raw
    default: {}
  user:
    description: Account that logs in to the hosts and may use sudo. Unset leaves the one in C(hosts.yml).
    type: str
"""

EXAMPLES = r"""
- name: Write a directory for one VM
  durable.temporal.starter:
    directory: orders
    name: orders
    hosts: {vm1: vm1.example.com}
    user: admin
"""

RETURN = r"""
directory:
  description: The directory, as an absolute path.
  returned: success
  type: str
created:
  description: Files that were written, below the directory.
  returned: success
  type: list
  elements: str
unchanged:
  description: Files that were there with the same content.
  returned: success
  type: list
  elements: str
"""
