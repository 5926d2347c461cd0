#!/usr/bin/python
# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight_report
short_description: Tell of everything that is wrong on any host, at once
version_added: 0.1.0
description:
  - Collects what M(durable.temporal.preflight) registered on the hosts of the play, compares the hosts with each other,
    and fails with all problems in one message. Otherwise it shows what will be deployed as a table.
  - A host that was not judged, because it did not answer, is a problem like any other.
  - Runs on the controller; use it with C(run_once).
author:
  - The durable.temporal contributors (@durable-temporal)
extends_documentation_fragment:
  - durable.temporal.attributes.info
options:
  registered:
    description: The variable in which the hosts registered the result of M(durable.temporal.preflight).
    type: str
    required: true
seealso:
  - module: durable.temporal.preflight
"""

EXAMPLES = r"""
- name: Report everything that is wrong on any host
  durable.temporal.preflight_report:
    registered: __judged
  run_once: true
"""

RETURN = r"""
msg:
  description: One line for each problem, with its hosts.
  returned: failure
  type: str
cautions:
  description: One line for each thing that is worth knowing and stops nothing. Shown as warnings.
  returned: success
  type: list
  elements: str
summary:
  description: What will be deployed, one row for each component of each host.
  returned: success
  type: list
  elements: dict
"""
