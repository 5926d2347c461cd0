#!/usr/bin/python
# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; it runs on the controller only."""

from __future__ import annotations

DOCUMENTATION = r"""
module: removal_report
short_description: Say why an application is not removed, or what became of it
version_added: 0.1.0
description:
  - Before the removal, it fails when a host could not be asked, when no host has the application, when it is declared on
    every host that has it, and when data are to go and nobody has said so twice. The message lists the applications that are known.
  - Afterwards, with O(removed), it shows a sentence for each host.
  - Runs on the controller; use it with C(run_once).
author:
  - The durable.temporal contributors (@durable-temporal)
extends_documentation_fragment:
  - durable.temporal.attributes.info
options:
  name:
    description: Name of the application.
    type: str
    required: true
  found:
    description: The variable in which the hosts registered what M(durable.temporal.application_removal) found.
    type: str
    required: true
  removed:
    description: The variable in which they registered what it did; empty before it has.
    type: str
    default: ""
  declared:
    description: Names of the applications that are declared anywhere.
    type: list
    elements: str
    default: []
  hosts:
    description: Hosts that must have answered. Of others that could not be reached it warns.
    type: list
    elements: str
    default: []
  data:
    description: Whether releases, shared data and logs are to go.
    type: bool
    default: false
  confirm:
    description: O(name) once more; needed with O(data).
    type: str
    default: ""
seealso:
  - module: durable.temporal.application_removal
"""

EXAMPLES = r"""
- name: Say why it is not removed
  durable.temporal.removal_report:
    name: orders
    found: __found
    declared: "{{ topology_applications | map(attribute='name') }}"
  run_once: true
"""

RETURN = r"""
msg:
  description: What is wrong, what is expected, and the next step.
  returned: failure
  type: str
outcome:
  description: One sentence for each host that has, or had, the application.
  returned: with O(removed)
  type: list
  elements: str
"""
