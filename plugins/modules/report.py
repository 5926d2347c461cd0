#!/usr/bin/python
# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: report
short_description: Show and write the health report of a platform
version_added: 0.1.0
description:
  - Collects the checks that earlier tasks of the play have registered on its hosts, shows them as a table,
    writes them as JSON, and fails when one of them failed.
  - Runs on the controller.
author:
  - The durable.temporal contributors (@durable-temporal)
extends_documentation_fragment:
  - durable.temporal.attributes
attributes:
  diff_mode:
    support: none
    details: Nothing is ever changed on a host.
options:
  registered:
    description: Names of registered results that have C(checks), themselves or in each round of their loop.
    type: list
    elements: str
    required: true
  checks:
    description: Further checks by host, each with the keys of those of a registered result.
    type: dict
    default: {}
  path:
    description: File on the controller that the report is written to as JSON. Empty writes none.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Show the health of the platform
  durable.temporal.report:
    registered: [__status_host, __status_cluster]
    path: status.json
  run_once: true
"""

RETURN = r"""
report:
  description: The report - C(report.status), C(report.counts) and, by host, C(report.hosts).
  returned: success, so that a failed task shows it once
  type: dict
"""
