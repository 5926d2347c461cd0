#!/usr/bin/python
# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads who polls task queues, and waits until enough workers do."""

from __future__ import annotations

DOCUMENTATION = r"""
module: task_queue_info
short_description: Read who polls task queues, and wait for workers
version_added: 0.1.0
description:
  - Asks the server which workers poll which task queues. A worker is ready when the server sees it poll, whatever its
    process manager says.
  - Every partition of a queue is asked, so that no worker is missed.
  - In check mode it reads once, and neither waits nor fails.
author:
  - The durable.temporal contributors (@durable-temporal)
extends_documentation_fragment:
  - durable.temporal.attributes.info
  - durable.temporal.connection
options:
  task_queues:
    description: The task queues to look at.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the task queue.
        type: str
        required: true
      namespace:
        description: Namespace of the task queue.
        type: str
        default: default
      types:
        description: Which kinds of tasks must be polled for. Each is looked at on its own.
        type: list
        elements: str
        choices: [workflow, activity]
        default: [workflow, activity]
      identity_pattern:
        description:
          - Regular expression. Only pollers whose identity it is found in count.
          - The identity of a worker is the number of its process and the name of its host, such as V(4711@app1), unless
            the program sets another.
        type: str
      processes:
        description:
          - Name of each program to the process ids of its instances. Without O(task_queues[].identity_pattern) only pollers
            in these processes count, and RV(checks) tells of instances that poll nothing while others of their program do.
        type: dict
      min_pollers:
        description: How many different pollers must count. With V(0) the queue is only reported.
        type: int
        default: 1
      max_pollers:
        description: How many may count at most. More of them end the wait at once, with an error.
        type: int
      newer_than:
        description:
          - Seconds since the epoch. Only pollers that polled at that time or later count.
          - The server still lists workers some minutes after they are gone. A poll is held for up to a minute, so an
            idle worker may have polled last a minute ago.
        type: float
      polled_within_seconds:
        description: Only pollers that polled at most this long ago count. See O(task_queues[].newer_than).
        type: float
      component:
        description: What RV(checks) calls the workers, such as the name of an application.
        type: str
        default: workers
      candidate:
        description: What is tried by these workers, such as V(release r2 of orders). The error says that it was refused.
        type: str
  wait_seconds:
    description: How long to wait until all task queues have their pollers. With V(0) they are read once.
    type: float
    default: 0
"""

EXAMPLES = r"""
- name: Wait for two new workers of the orders on this host
  durable.temporal.task_queue_info:
    task_queues:
      - name: orders
        namespace: orders
        identity_pattern: "@{{ ansible_facts['hostname'] }}$"
        min_pollers: 2
        newer_than: "{{ reload_started }}"
    wait_seconds: 60

- name: Only read who polls
  durable.temporal.task_queue_info:
    task_queues:
      - name: orders
        min_pollers: 0
  register: queues
"""

RETURN = r"""
ready:
  description: Whether every task queue has the pollers that it must have.
  returned: always
  type: bool
task_queues:
  description: One row for each task queue and type.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The task queue.
      type: str
    namespace:
      description: Its namespace.
      type: str
    type:
      description: V(workflow) or V(activity).
      type: str
    ready:
      description: Whether it has the pollers that it must have.
      type: bool
    counted:
      description: How many pollers count.
      type: int
    expected:
      description: How many must count.
      type: int
    pollers:
      description: All pollers that the server lists.
      type: list
      elements: dict
      contains:
        identity:
          description: What the worker calls itself.
          type: str
        last_access:
          description: When it polled last, in seconds since the epoch.
          type: float
        age_seconds:
          description: How long ago that was.
          type: float
        build_id:
          description: Build id of the worker; empty when it has none.
          type: str
        deployment:
          description: Worker deployment that it belongs to; empty when to none.
          type: str
        counts:
          description: Whether it counts.
          type: bool
checks:
  description: What was found as checks, for O(durable.temporal.report#module:registered) of M(durable.temporal.report).
  returned: always
  type: list
  elements: dict
  contains:
    component:
      description: The workers, as O(task_queues[].component).
      type: str
    name:
      description: The task queue and the type of its tasks.
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
waited_seconds:
  description: How long it waited.
  returned: always
  type: float
"""

import re
import time
import typing as t

from ansible_collections.durable.temporal.plugins.module_utils._client import Temporal
from ansible_collections.durable.temporal.plugins.module_utils._errors import TemporalError
from ansible_collections.durable.temporal.plugins.module_utils._pollers import (
    PASSING,
    Row,
    check,
    complaints,
    excess,
    own_identity,
    read,
    unasked,
)
from ansible_collections.durable.temporal.plugins.module_utils._temporal import TemporalModule

POLL_SECONDS = 0.5
TASK_QUEUE: dict[str, dict[str, t.Any]] = {
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str", "default": "default"},
    "types": {
        "type": "list",
        "elements": "str",
        "choices": ["workflow", "activity"],
        "default": ["workflow", "activity"],
    },
    "identity_pattern": {"type": "str"},
    "min_pollers": {"type": "int", "default": 1},
    "max_pollers": {"type": "int"},
    "newer_than": {"type": "float"},
    "polled_within_seconds": {"type": "float"},
    "component": {"type": "str", "default": "workers"},
    "processes": {"type": "dict"},
    "candidate": {"type": "str"},
}


def problems(queues: t.Sequence[t.Mapping[str, t.Any]]) -> list[str]:
    """Everything that is wrong with the options, as sentences."""
    found: list[str] = []
    for queue in queues:
        try:
            re.compile(queue["identity_pattern"] or "")
        except re.error as error:
            found.append(
                f"task queue {queue['name']}: identity_pattern '{queue['identity_pattern']}' is no regular expression: "
                f"{error}."
            )
        if queue["min_pollers"] < 0:
            found.append(f"task queue {queue['name']}: min_pollers is {queue['min_pollers']}: expected 0 or more.")
    return found


def filled(queue: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """A task queue with the moment since which pollers count, and with the pattern of its own processes, if it has these
    and no other pattern.
    """
    own = {name: [int(pid) for pid in pids] for name, pids in (queue["processes"] or {}).items()}
    pattern = queue["identity_pattern"]
    if not pattern and queue["processes"] is not None:
        pattern = own_identity(pid for pids in own.values() for pid in pids)
    since, within = queue["newer_than"], queue["polled_within_seconds"]
    since = since if within is None else max(since or 0.0, time.time() - within)
    return {**queue, "processes": own, "identity_pattern": pattern, "newer_than": since}


def main() -> None:
    """Run the module."""
    module = TemporalModule(
        argument_spec={
            "task_queues": {"type": "list", "elements": "dict", "required": True, "options": TASK_QUEUE},
            "wait_seconds": {"type": "float", "default": 0},
        }
    )
    queues = [filled(queue) for queue in module.params["task_queues"]]
    wrong = problems(queues)
    if wrong:
        module.fail(" ".join(wrong), problems=wrong)
    start = time.monotonic()
    end = start + (0 if module.check_mode else module.params["wait_seconds"])
    temporal: Temporal | None = None
    while True:
        rows: list[tuple[t.Mapping[str, t.Any], Row]] = []
        failure: TemporalError | None = None
        try:
            temporal = temporal or module.connect()
            rows = read(temporal, queues)
        except TemporalError as error:
            failure = error
        ready = failure is None and all(row["ready"] for _queue, row in rows)
        lasting = failure is not None and failure.kind not in PASSING
        lasting = lasting or any(excess(queue, row["counted"]) for queue, row in rows)
        if ready or lasting or time.monotonic() >= end:
            break
        time.sleep(POLL_SECONDS)
    waited = round(time.monotonic() - start, 1)
    checks = unasked(queues, failure) if failure else [check(queue, row) for queue, row in rows]
    result = {
        "ready": ready,
        "task_queues": [row for _queue, row in rows],
        "checks": [one.as_dict() for one in checks],
        "waited_seconds": waited,
    }
    if not ready and not module.check_mode:
        if failure:
            module.fail(failure.message, kind=failure.kind, **result)
        text = complaints(rows)
        advice = "Check that the workers run, and that they connect to this server, namespace and task queue."
        module.fail(f"{text} Waited {waited:g} s. {advice}", **result)
    module.exit(changed=False, **result)


if __name__ == "__main__":
    main()
