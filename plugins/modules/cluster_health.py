#!/usr/bin/python
# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures the health of a cluster, and waits until it is usable."""

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_health
short_description: Measure the health of a Temporal cluster, and wait for it
version_added: 0.1.0
description:
  - Looks at the cluster from outside and reports one check for each thing that was measured.
  - The frontend must serve. That alone says little, so a namespace is read from the database, the history role is asked
    for a workflow, the matching role for a task queue, and the worker role must poll its own queue.
  - With O(database), the schema levels, the members of the ring and the use of connections are read too.
  - In check mode it measures once, and neither waits nor fails.
author:
  - The durable.temporal contributors (@durable-temporal)
extends_documentation_fragment:
  - durable.temporal.attributes.info
  - durable.temporal.connection
  - durable.temporal.database
  - durable.temporal.health
options:
  wait_seconds:
    description: How long to wait for what O(wait_for) says. With V(0) it measures once.
    type: float
    default: 0
  wait_for:
    description:
      - V(usable) waits until nothing is V(failed).
      - V(healthy) waits until everything is V(healthy).
    type: str
    choices: [usable, healthy]
    default: usable
  fail_on:
    description: When the task fails. V(failed) fails when something is failed, V(degraded) also when something is
      degraded, V(never) only reports.
    type: str
    choices: [failed, degraded, never]
    default: failed
  namespaces:
    description: Names of namespaces that must exist.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Wait until the server can be used
  durable.temporal.cluster_health:
    wait_seconds: 90
    expected_version: 1.32.2
    expected_history_shards: 512

- name: Measure everything and only report
  durable.temporal.cluster_health:
    namespaces: [orders]
    expected_members: {frontend: 1, history: 1, matching: 1, worker: 1}
    database:
      password: "{{ lookup('durable.temporal.secret', 'temporal-database-password') }}"
    fail_on: never
  register: health
"""

RETURN = r"""
status:
  description: The worst of the checks, V(healthy), V(degraded) or V(failed).
  returned: always
  type: str
checks:
  description: One row for each thing that was measured.
  returned: always
  type: list
  elements: dict
  contains:
    component:
      description: V(temporal) or V(postgresql).
      type: str
    name:
      description: What was measured.
      type: str
    status:
      description: V(healthy), V(degraded) or V(failed).
      type: str
    found:
      description: What was found.
      type: str
    expected:
      description: What was expected.
      type: str
    message:
      description: What to do next; empty when healthy.
      type: str
versions:
  description: Versions that run. What could not be read is empty.
  returned: always
  type: dict
  sample: {temporal: 1.32.2, postgresql: "17.6", schema: {default: "1.19", visibility: "1.14"}}
cluster:
  description: What the cluster says about itself; empty when it could not be asked.
  returned: always
  type: dict
  sample: {version: 1.32.2, history_shards: 512, cluster_name: active, persistence: postgres12}
members:
  description: Addresses of the members of each role; empty without O(database).
  returned: always
  type: dict
  sample: {frontend: ["10.0.0.11:6933"], history: ["10.0.0.11:6934"]}
connections:
  description: Connections to PostgreSQL in use, and how many there may be; empty without O(database).
  returned: always
  type: dict
  sample: {used: 46, limit: 97}
waited_seconds:
  description: How long it waited.
  returned: always
  type: float
"""

from ansible_collections.durable.temporal.plugins.module_utils._checks import Status
from ansible_collections.durable.temporal.plugins.module_utils._health import EXPECTED, require
from ansible_collections.durable.temporal.plugins.module_utils._temporal import TemporalModule

INTOLERABLE: dict[str, tuple[Status, ...]] = {"failed": ("failed",), "degraded": ("failed", "degraded"), "never": ()}


def main() -> None:
    """Run the module."""
    module = TemporalModule(
        argument_spec={
            **EXPECTED,
            "wait_seconds": {"type": "float", "default": 0},
            "wait_for": {"type": "str", "choices": ["usable", "healthy"], "default": "usable"},
            "fail_on": {"type": "str", "choices": ["failed", "degraded", "never"], "default": "failed"},
            "namespaces": {"type": "list", "elements": "str", "default": []},
        }
    )
    options = module.params
    found = require(
        module,
        options["wait_for"],
        options["wait_seconds"],
        namespaces=options["namespaces"],
        intolerable=INTOLERABLE[options["fail_on"]],
    )
    module.exit(changed=False, **found)


if __name__ == "__main__":
    main()
