#!/usr/bin/python
# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: worker_deployment_rollout
short_description: Move new workflows to a new build step by step
version_added: 0.1.0
description:
  - Gives a build a growing share of the new workflows, watches it at each step, and makes it current in the end.
  - When a limit is broken, all new workflows go to the build that was current before, at once, and the task fails with the
    figures. Workflows that the new build has begun stay there, unless their first workflow task was never completed.
  - A build that is current already changes nothing. Without a current build, the new one becomes current at once.
  - A rollout that was cut off begins again with the first step.
  - Each step is shown as it happens.
author:
  - The durable.temporal contributors (@durable-temporal)
extends_documentation_fragment:
  - durable.temporal.attributes
  - durable.temporal.connection
options:
  rollouts:
    description: The rollouts, carried out one after the other. When one fails, those before it go back too.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the worker deployment.
        type: str
        required: true
      namespace:
        description: Namespace of the worker deployment.
        type: str
        default: default
      build_id:
        description: Build id that is to become current. Its workers, and those of the current build, must run.
        type: str
        required: true
      steps:
        description: The steps. Without any, the build becomes current at once.
        type: list
        elements: dict
        default: []
        suboptions:
          percentage:
            description: Share of new workflows, above V(0) and up to V(100). Each step has more than the one before.
            type: float
            required: true
          watch_seconds:
            description: How long to watch before the next step.
            type: float
            default: 60
      max_failure_percent:
        description: As in M(durable.temporal.worker_deployment_health).
        type: float
        default: 5
      max_schedule_to_start_seconds:
        description: As in M(durable.temporal.worker_deployment_health).
        type: float
        default: 30
      min_workflows:
        description: As in M(durable.temporal.worker_deployment_health), for the workflows of all steps so far.
        type: int
        default: 0
      only_without_current:
        description: Whether to leave a worker deployment as it is when another build is current or has a share.
        type: bool
        default: false
      prune:
        description:
          - Whether to begin with deleting versions that are done, as in M(durable.temporal.worker_deployment).
          - With O(rollouts[].only_without_current) nothing is deleted.
        type: bool
        default: false
      connection:
        description: Options of the connection that differ for this worker deployment, such as C(address) and C(api_key).
        type: dict
        default: {}
  wait_seconds:
    description: As in M(durable.temporal.worker_deployment), for each step.
    type: float
    default: 60
attributes:
  action:
    description: The controller's part runs the modules M(durable.temporal.worker_deployment) and
      M(durable.temporal.worker_deployment_health) on the host.
    support: full
seealso:
  - module: durable.temporal.worker_deployment
  - module: durable.temporal.worker_deployment_health
"""

EXAMPLES = r"""
- name: Roll out the new build of the orders
  durable.temporal.worker_deployment_rollout:
    rollouts:
      - name: orders
        namespace: orders
        build_id: "2026-11-20.2"
        steps:
          - {percentage: 5, watch_seconds: 120}
          - {percentage: 25, watch_seconds: 120}
          - {percentage: 100, watch_seconds: 60}
        max_failure_percent: 2
"""

RETURN = r"""
rollouts:
  description: What became of each rollout, in the order of the option, up to the one that failed.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The worker deployment.
      type: str
    namespace:
      description: Its namespace.
      type: str
    build_id:
      description: The build id.
      type: str
    previous:
      description: Build id that was current before; empty when there was none.
      type: str
    outcome:
      description: V(unchanged), V(current), V(returned) (the previous build gets all new workflows again), V(begun) (there was
        no previous build to return to) or V(stuck) (returning failed too).
      type: str
    steps:
      description: The steps that were made, with C(percentage), C(watched_seconds), C(started), C(failed), C(stuck),
        C(failure_percent) and C(schedule_to_start_seconds).
      type: list
      elements: dict
    versions:
      description: The versions afterwards, as M(durable.temporal.worker_deployment) returns them. Workers of versions that
        are V(drained) may be stopped.
      type: list
      elements: dict
checks:
  description: The checks of the last step, as M(durable.temporal.worker_deployment_health) returns them.
  returned: always
  type: list
  elements: dict
"""
