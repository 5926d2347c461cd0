#!/usr/bin/python
# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: verb
short_description: Check what a playbook of this collection is asked for
version_added: 0.1.0
description:
  - Fails, with all problems in one message, when a variable of C(-e) is read by nothing, when an option has a value that
    it cannot take, when an application or a secret is named that is not there, when an application has no artifact, when
    a secret that is needed is missing, when
    the groups of the inventory make no platform, when C(--limit) leaves out what is needed, when C(--tags) or
    C(--skip-tags) name what nothing has or leave nothing to do, or when a variable of this collection is set in two files
    of one group.
  - The options of each playbook are described in the role P(durable.temporal.verb#role). They count only when they are
    given with C(-e), or by a playbook that imports this one; the same names in an inventory are an error, and names
    without their prefix, such as C(application), are the inventory's own.
  - Runs on the controller, needs no host to answer, and changes nothing; use it with C(run_once).
author:
  - The durable.temporal contributors (@durable-temporal)
extends_documentation_fragment:
  - durable.temporal.attributes.info
options:
  name:
    description: Name of the playbook.
    type: str
    choices: [site, deploy, rollback, rotate, status, remove]
    required: true
seealso:
  - module: durable.temporal.preflight
"""

EXAMPLES = r"""
- name: Check what is asked for
  durable.temporal.verb:
    name: deploy
  run_once: true
  register: asked
"""

RETURN = r"""
msg:
  description: One line for each problem.
  returned: failure
  type: str
options:
  description: The options of the playbook without their prefix, with their defaults.
  returned: success
  type: dict
  sample: {application: orders, reason: second build, take_over: false}
checks:
  description:
    - Of C(status), by host, what cannot be looked at because a secret is missing, as checks for M(durable.temporal.report).
  returned: success
  type: dict
environment:
  description: Empty. The later plays ask for it, so that they end at once where this task was left out.
  returned: success
  type: dict
cautions:
  description: One line for each thing that is worth knowing and stops nothing. Shown as warnings.
  returned: success
  type: list
  elements: str
"""
