#!/usr/bin/python
# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges versions of worker deployments by the workflows that they run and the tasks that wait for them."""

from __future__ import annotations

DOCUMENTATION = r"""
module: worker_deployment_health
short_description: Judge a version of a worker deployment while it gets new workflows
version_added: 0.1.0
description:
  - Counts the workflows that were started on a version and how many of them came to a bad end, looks how long tasks wait
    for its workers, and compares both with limits.
  - A workflow counts as failed when it failed, timed out or was terminated, and also when it is open but makes no
    progress because its workflow tasks fail. A bug in a workflow's own code shows only as the latter.
  - It watches for some time, and ends at once when a limit is broken.
  - In check mode it measures once, and neither waits nor fails.
author:
  - The durable.temporal contributors (@durable-temporal)
extends_documentation_fragment:
  - durable.temporal.attributes.info
  - durable.temporal.connection
options:
  versions:
    description: The versions that are judged.
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
        description: Build id of the version.
        type: str
        required: true
      since:
        description:
          - Seconds since the epoch. Only workflows that were started at that time or later count.
          - When not given, the time since which the version is ramping or current, by the server's clock.
        type: float
      max_failure_percent:
        description: How many of the workflows may have failed, in percent of those that were started.
        type: float
        default: 5
      max_schedule_to_start_seconds:
        description:
          - How long a task may wait for a worker of the version.
          - A workflow whose first workflow task has not been completed for that long counts as failed. As such a workflow
            belongs to no version yet, all of them on the version's task queues count.
        type: float
        default: 30
      min_workflows:
        description:
          - How many workflows must have been started for a verdict. With fewer at the end of the watch the version is
            failed.
          - Until there are as many, failures break the limit only if they would also do so among as many.
        type: int
        default: 0
  watch_seconds:
    description: How long to watch. With V(0) it measures once.
    type: float
    default: 0
  fail_on:
    description: When the task fails. V(failed) fails when a version is failed, V(never) only reports.
    type: str
    choices: [failed, never]
    default: failed
seealso:
  - module: durable.temporal.worker_deployment
  - module: durable.temporal.worker_deployment_rollout
"""

EXAMPLES = r"""
- name: Watch the new build for five minutes
  durable.temporal.worker_deployment_health:
    versions:
      - name: orders
        namespace: orders
        build_id: "2026-11-20.2"
        max_failure_percent: 2
        min_workflows: 50
    watch_seconds: 300
"""

RETURN = r"""
status:
  description: The worst of the checks, V(healthy) or V(failed).
  returned: always
  type: str
checks:
  description: One row for each thing that was measured.
  returned: always
  type: list
  elements: dict
  contains:
    component:
      description: The version, such as V(orders, build 2026-11-20.2).
      type: str
    name:
      description: What was measured.
      type: str
    status:
      description: V(healthy) or V(failed).
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
  description: The figures of each version, in the order of the option.
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
    since:
      description: Workflows that were started since then count, in seconds since the epoch; null when the version gets
        none.
      type: float
    started:
      description: How many workflows were started, stuck ones included.
      type: int
    failed:
      description: How many of them failed, timed out, were terminated or are stuck.
      type: int
    stuck:
      description: How many of them are open and make no progress.
      type: int
    failure_percent:
      description: The failed ones in percent of the started ones.
      type: float
    statuses:
      description: How many there are by status.
      type: dict
      sample: {Running: 3, Completed: 97}
    schedule_to_start_seconds:
      description: How long the oldest task in its task queues waits.
      type: float
    task_queues:
      description: Its task queues, with C(name), C(type), C(backlog) and C(backlog_age_seconds).
      type: list
      elements: dict
watched_seconds:
  description: How long it watched.
  returned: always
  type: float
"""

import time
import typing as t

from ansible_collections.durable.temporal.plugins.module_utils._checks import Check, complaints, worst
from ansible_collections.durable.temporal.plugins.module_utils._client import Temporal
from ansible_collections.durable.temporal.plugins.module_utils._client_deployments import timestamp
from ansible_collections.durable.temporal.plugins.module_utils._errors import TemporalError
from ansible_collections.durable.temporal.plugins.module_utils._temporal import TemporalModule

POLL_SECONDS = 2.0
GRACE_SECONDS = 15.0  # that a server may be out of reach when the watch ends
# What may pass by itself during a watch.
PASSING = ("unreachable", "deadline", "limit")
BAD = ("Failed", "TimedOut", "Terminated")

Json = dict[str, t.Any]
Item = t.Mapping[str, t.Any]

VERSION: dict[str, Json] = {
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str", "default": "default"},
    "build_id": {"type": "str", "required": True},
    "since": {"type": "float"},
    "max_failure_percent": {"type": "float", "default": 5},
    "max_schedule_to_start_seconds": {"type": "float", "default": 30},
    "min_workflows": {"type": "int", "default": 0},
}


class Server(t.Protocol):
    """What is asked of the server; see ``_client_deployments.Deployments``."""

    def worker_deployments(self, wanted: t.Sequence[tuple[str, str]]) -> list[Json | None]:
        """Read."""

    def version_task_queues(self, wanted: t.Sequence[tuple[str, str, str]]) -> list[list[Json]]:
        """Task queues of versions."""

    def workflow_counts(self, wanted: t.Sequence[tuple[str, str]]) -> list[dict[str, int]]:
        """Count workflows by status."""


def problems(declared: t.Sequence[Item]) -> list[str]:
    """Everything that is wrong with the options, as sentences."""
    found: list[str] = []
    for item in declared:
        where = f"{item['name']}, build {item['build_id']}"
        if not 0 <= item["max_failure_percent"] <= 100:
            found.append(f"{where}: max_failure_percent is {item['max_failure_percent']:g}: expected 0 to 100.")
        if item["max_schedule_to_start_seconds"] <= 0:
            found.append(f"{where}: max_schedule_to_start_seconds is 0 or less: expected more than 0.")
        if item["min_workflows"] < 0:
            found.append(f"{where}: min_workflows is {item['min_workflows']}: expected 0 or more.")
    return found


def queries(item: Item, since: float, queues: t.Iterable[str], routed: bool, now: float) -> list[tuple[str, str]]:
    """The visibility queries for the workflows of a version, of its stuck ones, and of those without a version.

    :param routed: whether all new workflows go to some version, so that one without a version has not begun.
    """
    version = f"TemporalWorkerDeploymentVersion = {quoted(item['name'] + ':' + item['build_id'])}"
    started = f"StartTime >= '{timestamp(since)}'"
    asked = [
        f"{version} AND {started}",
        f"{version} AND {started} AND ExecutionStatus = 'Running' AND TemporalReportedProblems IS NOT NULL",
    ]
    names = ", ".join(quoted(name) for name in sorted(queues))
    if routed and names:
        late = timestamp(now - item["max_schedule_to_start_seconds"])
        asked.append(
            f"TaskQueue IN ({names}) AND TemporalWorkerDeploymentVersion IS NULL AND ExecutionStatus = 'Running' "
            f"AND {started} AND ExecutionTime < '{late}'"
        )
    return [(item["namespace"], query) for query in asked]


def quoted(text: str) -> str:
    """A value in a visibility query."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def figures(item: Item, since: float | None, counts: t.Sequence[t.Mapping[str, int]], queues: t.Sequence[Json]) -> Json:
    """What was measured of one version.

    :param counts: answers to :func:`queries`.
    """
    statuses = dict(counts[0]) if counts else {}
    waiting = sum(counts[2].values()) if len(counts) > 2 else 0
    stuck = waiting + (sum(counts[1].values()) if counts else 0)
    started = sum(statuses.values()) + waiting
    failed = sum(statuses.get(status, 0) for status in BAD) + stuck
    return {
        "name": item["name"],
        "namespace": item["namespace"],
        "build_id": item["build_id"],
        "since": since,
        "started": started,
        "failed": failed,
        "stuck": stuck,
        "failure_percent": round(100 * failed / started, 1) if started else 0.0,
        "statuses": statuses,
        "schedule_to_start_seconds": max((row["backlog_age_seconds"] for row in queues), default=0.0),
        "task_queues": list(queues),
    }


def judge(item: Item, found: Json, final: bool) -> list[Check]:
    """The checks of one version.

    :param final: whether the watch is over, so that too few workflows count as well.
    """
    component = _component(item)
    if found["since"] is None:
        message = (
            "Make it current or ramping with durable.temporal.worker_deployment, or set since. "
            "Of a live release deploy.yml does it."
        )
        return [Check(component, "routing", "failed", "no new workflows", "current or ramping", message)]
    checks = [_failures(component, item, found), _waiting(component, item, found)]
    if item["min_workflows"]:
        enough = found["started"] >= item["min_workflows"]
        checks.append(
            Check(
                component,
                "number of workflows",
                "healthy" if enough or not final else "failed",
                str(found["started"]),
                f"{item['min_workflows']} or more",
                "" if enough or not final else "Watch longer, send more to the build, or lower min_workflows.",
            )
        )
    return checks


def _component(item: Item) -> str:
    return f"{item['name']}, build {item['build_id']}"


def _failures(component: str, item: Item, found: Json) -> Check:
    # Those that may still come could all be good: the limit is broken for certain only if it would be even then.
    among = max(found["started"], item["min_workflows"])
    broken = among > 0 and 100 * found["failed"] > item["max_failure_percent"] * among
    bad = {status: found["statuses"][status] for status in BAD if found["statuses"].get(status)}
    kinds = [f"{count} {_word(status)}" for status, count in bad.items()]
    kinds += [f"{found['stuck']} stuck in workflow tasks that fail or wait"] if found["stuck"] else []
    return Check(
        component,
        "failed workflows",
        "failed" if broken else "healthy",
        f"{found['failed']} of {found['started']} ({found['failure_percent']:g} %){': ' if kinds else ''}"
        f"{', '.join(kinds)}",
        f"at most {item['max_failure_percent']:g} %",
        "Look at them with: temporal workflow list --query "
        f"\"TemporalWorkerDeploymentVersion='{item['name']}:{item['build_id']}'\""
        if broken
        else "",
    )


def _word(status: str) -> str:
    return {"TimedOut": "timed out"}.get(status, status.lower())


def _waiting(component: str, item: Item, found: Json) -> Check:
    limit = item["max_schedule_to_start_seconds"]
    late = [
        f"{row['backlog']} in {row['name']} ({row['type']})"
        for row in found["task_queues"]
        if row["backlog_age_seconds"] > limit
    ]
    return Check(
        component,
        "schedule-to-start latency",
        "failed" if late else "healthy",
        f"{found['schedule_to_start_seconds']:g} s{' with ' if late else ''}{', '.join(late)}",
        f"at most {limit:g} s",
        "Check that its workers run, and that there are enough of them." if late else "",
    )


def measure(server: Server, declared: t.Sequence[Item]) -> list[Json]:
    """The figures of all versions, with a handful of calls."""
    deployments = server.worker_deployments([(item["namespace"], item["name"]) for item in declared])
    queues = server.version_task_queues([(item["namespace"], item["name"], item["build_id"]) for item in declared])
    now = time.time()
    sinces: list[float | None] = []
    asked: list[list[tuple[str, str]]] = []
    for item, deployment, rows in zip(declared, deployments, queues, strict=True):
        version = (deployment or {}).get("versions", {}).get(item["build_id"], {})
        since = item["since"] if item["since"] is not None else version.get("since")
        sinces.append(since)
        names = {row["name"] for row in rows if row["type"] == "workflow"}
        routed = bool(deployment and deployment["current"])
        asked.append(queries(item, since, names, routed, now) if since is not None else [])
    answers = iter(server.workflow_counts([query for group in asked for query in group]))
    counts = [[next(answers) for _query in group] for group in asked]
    return [
        figures(item, since, own, rows) for item, since, own, rows in zip(declared, sinces, counts, queues, strict=True)
    ]


def main() -> None:
    """Run the module."""
    module = TemporalModule(
        argument_spec={
            "versions": {"type": "list", "elements": "dict", "required": True, "options": VERSION},
            "watch_seconds": {"type": "float", "default": 0},
            "fail_on": {"type": "str", "choices": ["failed", "never"], "default": "failed"},
        }
    )
    declared: list[Item] = module.params["versions"]
    wrong = problems(declared)
    if wrong:
        module.fail(" ".join(wrong), problems=wrong)
    start = time.monotonic()
    end = start + (0 if module.check_mode else module.params["watch_seconds"])
    temporal: Temporal | None = None
    while True:
        final = time.monotonic() >= end
        measured: list[Json] = []
        checks: list[Check] = []
        failure: TemporalError | None = None
        try:
            temporal = temporal or module.connect()
            measured = measure(temporal, declared)
            for item, found in zip(declared, measured, strict=True):
                checks += judge(item, found, final)
        except TemporalError as error:
            failure = error
            checks = [
                Check(_component(item), "server", "failed", "no answer", "answers", error.message) for item in declared
            ]
        lasting = failure is not None and failure.kind not in PASSING
        late = time.monotonic() >= end + (GRACE_SECONDS if end > start else 0)
        broken = failure is None and worst(checks) == "failed"
        if lasting or late or broken or (final and failure is None):
            break
        left = end - time.monotonic()
        time.sleep(min(POLL_SECONDS, left) if left > 0 else POLL_SECONDS)
    result = {
        "status": "failed" if failure else worst(checks),
        "checks": [check.as_dict() for check in checks],
        "versions": measured,
        "watched_seconds": round(time.monotonic() - start, 1),
    }
    if failure and not module.check_mode:
        module.fail(failure.message, kind=failure.kind, **result)
    if result["status"] == "failed" and module.params["fail_on"] == "failed" and not module.check_mode:
        module.fail(complaints(checks, "failed"), **result)
    module.exit(changed=False, **result)


if __name__ == "__main__":
    main()
