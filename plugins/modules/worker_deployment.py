#!/usr/bin/python
# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Declares which builds of worker deployments get new workflows, and removes versions that are done."""

from __future__ import annotations

DOCUMENTATION = r"""
module: worker_deployment
short_description: Declare which build of a worker deployment gets new workflows
version_added: 0.1.0
description:
  - Sets the current and the ramping version of worker deployments, and deletes versions that have drained.
  - A worker deployment and its versions are registered by workers that poll with a deployment name and a build id.
    This module waits for them and never makes them up, so that no workflow is sent to a build that nobody runs.
  - It changes only what differs, and only if nobody else has changed the routing since it was read.
  - In check mode it neither waits nor fails because of builds that are not registered yet.
author:
  - The durable.temporal contributors (@durable-temporal)
extends_documentation_fragment:
  - durable.temporal.attributes
  - durable.temporal.connection
options:
  deployments:
    description: The worker deployments. Others are left alone.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the worker deployment, as its workers give it.
        type: str
        required: true
      namespace:
        description: Namespace of the worker deployment.
        type: str
        default: default
      current:
        description:
          - Build id of the version that gets all new workflows but the share of O(deployments[].ramping).
          - The current version stays as it is when not given. An empty text sends new workflows to workers that have no
            build id.
        type: str
      ramping:
        description:
          - The version that gets a share of new workflows.
          - When not given, the ramp stays as it is, unless O(deployments[].current) is given, which then gets all.
        type: dict
        suboptions:
          build_id:
            description: Build id of the version.
            type: str
            default: ""
          percentage:
            description: Share of new workflows, V(0) to V(100). With V(0) no version ramps any more.
            type: float
            required: true
      prune:
        description:
          - Whether to delete versions that are drained, or that never were current or ramping, and that nobody polls for.
          - The server lists workers for five minutes after they are gone, so a version goes with a later run.
        type: bool
        default: false
      keep:
        description: Build ids that are never pruned.
        type: list
        elements: str
        default: []
  wait_seconds:
    description: How long to wait until the builds that are to become current or ramping are registered and polled for, and
      then until all task queues know the change.
    type: float
    default: 60
seealso:
  - module: durable.temporal.worker_deployment_health
  - module: durable.temporal.worker_deployment_rollout
"""

EXAMPLES = r"""
- name: Send a fifth of the new orders to the new build
  durable.temporal.worker_deployment:
    deployments:
      - name: orders
        namespace: orders
        ramping:
          build_id: "2026-11-20.2"
          percentage: 20

- name: Send all new orders to the old build again
  durable.temporal.worker_deployment:
    deployments:
      - name: orders
        namespace: orders
        current: "2026-11-20.1"

- name: Only read, and delete what has drained
  durable.temporal.worker_deployment:
    deployments:
      - name: orders
        namespace: orders
        prune: true
        keep: ["2026-11-20.1"]
  register: orders
"""

RETURN = r"""
changes:
  description: One row for each worker deployment that was, or in check mode would be, changed.
  returned: success
  type: list
  elements: dict
  sample: [{name: orders/orders, action: update, fields: [ramping]}]
deployments:
  description: The worker deployments as they are afterwards, or in check mode as they are, in the order of the option.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The worker deployment.
      type: str
    namespace:
      description: Its namespace.
      type: str
    exists:
      description: Whether a worker has registered it.
      type: bool
    current:
      description: Build id of the current version; empty when new workflows go to workers without one.
      type: str
    ramping:
      description: C(build_id) and C(percentage) of the ramping version; null when there is none.
      type: dict
    versions:
      description: The versions that the server knows, the newest first.
      type: list
      elements: dict
      contains:
        build_id:
          description: The build id.
          type: str
        status:
          description: V(inactive) (never used), V(current), V(ramping), V(draining) (workflows that are pinned to it are
            open) or V(drained).
          type: str
        created:
          description: When it was registered, in seconds since the epoch.
          type: float
        since:
          description: Since when it is ramping or current, in seconds since the epoch; null when it is neither.
          type: float
        drainage_changed:
          description: When it began to drain or had drained, in seconds since the epoch; null when neither.
          type: float
        drainage_checked:
          description: When the server last looked for open workflows, in seconds since the epoch; null when never.
          type: float
        kept:
          description: Why it was not pruned; null when that was not asked for.
          type: str
predicted:
  description: Whether the server could not be asked. Only in check mode, before there is an SDK or a server.
  returned: success
  type: bool
"""

import time
import typing as t

from ansible_collections.durable.temporal.plugins.module_utils._errors import TemporalError
from ansible_collections.durable.temporal.plugins.module_utils._plan import Item, Plan
from ansible_collections.durable.temporal.plugins.module_utils._temporal import TemporalModule

POLL_SECONDS = 0.5
Json = dict[str, t.Any]
Key = tuple[str, str]  # namespace, name
Routing = dict[str, t.Any]  # current, ramping

RAMPING: dict[str, Json] = {
    "build_id": {"type": "str", "default": ""},
    "percentage": {"type": "float", "required": True},
}
DEPLOYMENT: dict[str, Json] = {
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str", "default": "default"},
    "current": {"type": "str"},
    "ramping": {"type": "dict", "options": RAMPING},
    "prune": {"type": "bool", "default": False},
    "keep": {"type": "list", "elements": "str", "default": []},
}


class Server(t.Protocol):
    """What is asked of the server; see ``_client_deployments.Deployments``."""

    def worker_deployments(self, wanted: t.Sequence[Key]) -> list[Json | None]:
        """Read."""

    def version_task_queues(self, wanted: t.Sequence[tuple[str, str, str]]) -> list[list[Json]]:
        """Task queues of versions."""

    def pollers(self, wanted: t.Sequence[tuple[str, str, str]]) -> list[list[Json]]:
        """Who polls task queues."""

    def set_current_version(self, namespace: str, name: str, build_id: str, token: bytes) -> bytes:
        """Change."""

    def set_ramping_version(self, namespace: str, name: str, build_id: str, percentage: float, token: bytes) -> bytes:
        """Change."""

    def delete_version(self, namespace: str, name: str, build_id: str) -> None:
        """Delete."""


def key_of(item: Item) -> Key:
    """What names a deployment."""
    return item["namespace"], item["name"]


def title(key: Key) -> str:
    """How messages begin."""
    return f"worker deployment {key[1]} in namespace {key[0]}"


def problems(declared: t.Sequence[Item]) -> list[str]:
    """Everything that is wrong with the declaration, as sentences; empty when it is fine."""
    found: list[str] = []
    seen: set[Key] = set()
    for item in declared:
        key = key_of(item)
        if key in seen:
            found.append(f"{title(key)}: declared more than once. Keep one of them.")
        seen.add(key)
        if not item["name"] or set(".:") & set(item["name"]):
            found.append(
                f"{title(key)}: expected a name without '.' and ':', which the server separates build ids with."
            )
        ramping = item.get("ramping")
        if ramping is None:
            continue
        if not 0 <= ramping["percentage"] <= 100:
            found.append(f"{title(key)}: ramping.percentage is {ramping['percentage']:g}: expected 0 to 100.")
        elif ramping["percentage"] and not ramping["build_id"]:
            found.append(f"{title(key)}: ramping.build_id is missing. Name the build that gets the share.")
        elif ramping["percentage"] and ramping["build_id"] == item.get("current"):
            found.append(
                f"{title(key)}: build {item['current']} is declared as current and as ramping. Drop one of them."
            )
    return found


def routing_of(present: Json | None) -> Routing:
    """The routing of a deployment as it was read."""
    if present is None:
        return {"current": "", "ramping": None}
    return {"current": present["current"], "ramping": present["ramping"]}


def wanted_routing(item: Item, present: Json | None) -> Routing:
    """The routing that is asked for; what is not named stays as it is."""
    routing = routing_of(present)
    if item.get("current") is not None:
        routing = {"current": item["current"], "ramping": None}
    ramping = item.get("ramping")
    if ramping is not None:
        routing["ramping"] = dict(ramping) if ramping["percentage"] else None
    return routing


def builds_to_wait_for(item: Item, present: Json | None) -> list[str]:
    """Builds that are to get workflows that they do not get yet."""
    wanted, have = wanted_routing(item, present), routing_of(present)
    builds = [wanted["current"]] if wanted["current"] != have["current"] else []
    if wanted["ramping"] and wanted["ramping"] != have["ramping"]:
        builds.append(wanted["ramping"]["build_id"])
    return [build for build in builds if build]


def polled(server: Server, versions: t.Sequence[tuple[str, str, str]]) -> dict[tuple[str, str, str], dict[str, int]]:
    """How many workers poll for versions.

    :param versions: (namespace, deployment, build id).
    :returns: for each, ``{"orders (workflow)": 2, ...}``; without task queues for a version that is not registered.
    """
    queues = server.version_task_queues(versions)
    asked = [
        (version, row["name"], row["type"])
        for version, rows in zip(versions, queues, strict=True)
        for row in rows
        if row["type"] in ("workflow", "activity")
    ]
    found: dict[tuple[str, str, str], dict[str, int]] = {version: {} for version in versions}
    listed = server.pollers([(version[0], queue, kind) for version, queue, kind in asked]) if asked else []
    for (version, queue, kind), pollers in zip(asked, listed, strict=True):
        own = [p for p in pollers if (p["deployment"], p["build_id"]) == version[1:]]
        found[version][f"{queue} ({kind})"] = len(own)
    return found


def missing_builds(declared: t.Sequence[Item], present: t.Mapping[Key, Json | None], server: Server) -> list[str]:
    """A sentence for each build that is to get workflows, and that nobody runs."""
    found: list[str] = []
    needed: list[tuple[str, str, str]] = []
    for item in declared:
        key = key_of(item)
        have = present[key]
        known = have["versions"] if have else {}
        for build in builds_to_wait_for(item, have):
            if build in known:
                needed.append((*key, build))
                continue
            listed = ", ".join(f"{name} ({row['status']})" for name, row in sorted(known.items()))
            found.append(
                f"{title(key)}: found no build {build}; the server knows {listed or 'none'}. Start workers with this "
                "deployment name and build id, or correct the build id."
            )
    for version, counts in (polled(server, needed) if needed else {}).items():
        idle = [queue for queue, count in sorted(counts.items()) if not count]
        if idle or not counts:
            found.append(
                f"{title(version[:2])}: found nobody who polls {', '.join(idle) or 'a task queue'} for build "
                f"{version[2]}. Start its workers, and look at their logs."
            )
    return found


def prunable(item: Item, present: Json | None, server: Server) -> dict[str, str | None]:
    """Build id to why it stays, or ``None`` if it is to go."""
    if present is None or not item["prune"]:
        return {}
    key = key_of(item)
    wanted = wanted_routing(item, present)
    routed = [wanted["current"], (wanted["ramping"] or {}).get("build_id")]
    reasons: dict[str, str | None] = {}
    for build, row in present["versions"].items():
        if build in item["keep"]:
            reasons[build] = "it is listed in keep"
        elif build in routed or row["status"] in ("current", "ramping"):
            reasons[build] = "it gets new workflows"
        elif row["status"] == "draining":
            reasons[build] = "it is draining: workflows that are pinned to it are still open, or were a moment ago"
        else:
            reasons[build] = None
    candidates = [(*key, build) for build, reason in reasons.items() if reason is None]
    for version, counts in (polled(server, candidates) if candidates else {}).items():
        if any(counts.values()):
            reasons[version[2]] = "its workers still poll, or did in the last minutes"
    return reasons


def plan_for(
    declared: t.Sequence[Item],
    present: t.Mapping[Key, Json | None],
    stay: t.Mapping[Key, t.Mapping[str, str | None]],
) -> Plan:
    """Compare.

    :param stay: for each deployment that is pruned, build id to why it stays.
    """
    plan = Plan()
    for item in declared:
        key = key_of(item)
        have = present[key]
        versions = sorted(have["versions"]) if have else []
        before: Json = {**routing_of(have), "versions": versions}
        left = [build for build in versions if stay.get(key, {}).get(build, "stays") is not None]
        plan.add("/".join(key), before, {**wanted_routing(item, have), "versions": left})
    return plan


def route(server: Server, key: Key, have: Routing, wanted: Routing, token: bytes) -> None:
    """Change the routing of a deployment with as few calls as possible, so that no build gets what it should not."""
    current, ramping = have["current"], have["ramping"]
    if ramping and not wanted["ramping"] and ramping["build_id"] != wanted["current"]:
        token = server.set_ramping_version(*key, "", 0, token)
        ramping = None
    if current != wanted["current"]:
        token = server.set_current_version(*key, wanted["current"], token)
        if ramping and ramping["build_id"] == wanted["current"]:
            ramping = None  # the server ends the ramp of what becomes current
    if wanted["ramping"] and ramping != wanted["ramping"]:
        server.set_ramping_version(*key, wanted["ramping"]["build_id"], wanted["ramping"]["percentage"], token)


def apply(
    plan: Plan,
    present: t.Mapping[Key, Json | None],
    stay: dict[Key, dict[str, str | None]],
    server: Server,
    wait_seconds: float,
) -> None:
    """Make the plan true. A version that the server does not let go stays, with its reason in ``stay``.

    :raises TemporalError: with what had been done before.
    """
    done: list[str] = []
    for change in plan:
        key = t.cast("Key", tuple(change.key.split("/", 1)))
        have, after = present[key], dict(change.after or {})
        try:
            route(server, key, routing_of(have), after, have["token"] if have else b"")
            for build, reason in stay.get(key, {}).items():
                if reason is None:
                    stay[key][build] = _delete(server, key, build)
        except TemporalError as error:
            told = _explained(error, server, key)
            before = f" Changed before that: {', '.join(done)}." if done else ""
            raise TemporalError(told.kind, told.message + before) from error
        done.append(change.key)
    _settle(server, [t.cast("Key", tuple(change.key.split("/", 1))) for change in plan], wait_seconds)


def _delete(server: Server, key: Key, build: str) -> str | None:
    try:
        server.delete_version(*key, build)
    except TemporalError as error:
        if error.kind == "not_found":
            return None
        if error.kind == "invalid":
            return "the server does not let it go: " + error.message.rpartition("The server says: ")[2]
        raise
    return None


def _explained(error: TemporalError, server: Server, key: Key) -> TemporalError:
    """The sentence for somebody else's change."""
    if "conflict token" not in error.message:
        return error
    now = server.worker_deployments([key])[0]
    who = f" by {now['modifier']}" if now and now["modifier"] else ""
    return TemporalError(
        "invalid",
        f"{title(key)}: changed{who} while this ran; now {said(routing_of(now))}. Nothing of it was overwritten. Look at "
        "it, then run again.",
    )


def said(routing: Routing) -> str:
    """A routing in words."""
    current = f"build {routing['current']} is current" if routing["current"] else "no build is current"
    ramping = routing["ramping"]
    share = f"build {ramping['build_id']} gets {ramping['percentage']:g} %" if ramping else "none ramps"
    return f"{current} and {share}"


def _settle(server: Server, keys: t.Sequence[Key], seconds: float) -> None:
    """Wait until every task queue knows its routing."""
    deadline = time.monotonic() + seconds
    while keys:
        now = server.worker_deployments(keys)
        late = [key for key, read in zip(keys, now, strict=True) if read and not read["settled"]]
        if not late:
            return
        if time.monotonic() >= deadline:
            names = ", ".join(title(key) for key in late)
            raise TemporalError(
                "deadline",
                f"{names}: changed, but not known to all task queues within {seconds:g} s. Check that the matching and "
                "worker roles of the server run, or raise wait_seconds.",
            )
        time.sleep(POLL_SECONDS)


def outcome(
    declared: t.Sequence[Item],
    present: t.Mapping[Key, Json | None],
    stay: t.Mapping[Key, t.Mapping[str, str | None]],
) -> list[Json]:
    """Deployments for the result."""
    rows: list[Json] = []
    for item in declared:
        key = key_of(item)
        have = present[key]
        versions = (have or {}).get("versions", {})
        rows.append(
            {
                "name": item["name"],
                "namespace": item["namespace"],
                "exists": have is not None,
                **routing_of(have),
                "versions": [
                    {"build_id": build, **row, "kept": stay.get(key, {}).get(build)}
                    for build, row in sorted(versions.items(), key=lambda one: one[1]["created"] or 0, reverse=True)
                ],
            }
        )
    return rows


def read(server: Server | None, declared: t.Sequence[Item]) -> dict[Key, Json | None]:
    """All declared deployments."""
    keys = [key_of(item) for item in declared]
    return dict(zip(keys, server.worker_deployments(keys), strict=True)) if server else dict.fromkeys(keys)


def main() -> None:
    """Run the module."""
    module = TemporalModule(
        argument_spec={
            "deployments": {"type": "list", "elements": "dict", "required": True, "options": DEPLOYMENT},
            "wait_seconds": {"type": "float", "default": 60},
        }
    )
    declared: list[Item] = module.params["deployments"]
    wrong = problems(declared)
    if wrong:
        module.fail(" ".join(wrong), problems=wrong)
    wait = module.params["wait_seconds"]
    with module.connection_or_none() as temporal:
        present = read(temporal, declared)
        end = time.monotonic() + wait
        while temporal and not module.check_mode:
            wrong = missing_builds(declared, present, temporal)
            if not wrong:
                break
            if time.monotonic() >= end:
                module.fail(" ".join([*wrong, f"Waited {wait:g} s."]), problems=wrong, kind="not_found")
            time.sleep(POLL_SECONDS)
            present = read(temporal, declared)
        stay = {key_of(item): prunable(item, present[key_of(item)], temporal) for item in declared} if temporal else {}
        plan = plan_for(declared, present, stay)
        after = present
        if plan and temporal and not module.check_mode:
            apply(plan, present, stay, temporal, wait)
            after = read(temporal, declared)
            plan = plan_for(declared, present, stay)  # without what the server did not let go
    module.exit(
        changed=bool(plan),
        diff=plan.as_diff(),
        changes=plan.summary(),
        deployments=outcome(declared, after, stay),
        predicted=temporal is None,
    )


if __name__ == "__main__":
    main()
