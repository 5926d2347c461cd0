#!/usr/bin/python
# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Declares namespaces: one read, one comparison, only what differs is changed."""

from __future__ import annotations

DOCUMENTATION = r"""
module: namespace
short_description: Declare the namespaces of a Temporal cluster
version_added: 0.1.0
description:
  - Creates namespaces, updates them in place, and deletes them when that is asked for twice.
  - All namespaces are read once and compared; only what differs is changed.
  - Every problem in O(namespaces) is reported, all together, before anything is changed.
author:
  - The durable.temporal contributors (@durable-temporal)
extends_documentation_fragment:
  - durable.temporal.attributes
  - durable.temporal.connection
  - durable.temporal.database
  - durable.temporal.health
options:
  namespaces:
    description: The namespaces that are declared. Others are left alone.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - Name of the namespace. It cannot be changed later.
          - Letters, digits, V(.), V(_) and V(-), beginning with a letter or digit, at most 255 characters.
        type: str
        required: true
      state:
        description:
          - V(present) creates or updates the namespace.
          - V(absent) deletes it with all its workflows and their histories, which also needs O(allow_delete). The
            server frees the name at once and removes the data in the background.
        type: str
        choices: [present, absent]
        default: present
      retention:
        description:
          - How long the history of a closed workflow is kept, such as V(7d), V(72h) or V(168h0m0s). Servers accept one
            hour and more.
          - A namespace that is created without it gets V(7d). An existing one keeps what it has.
        type: str
      description:
        description: What the namespace is for. An empty text leaves it as it is, because the server cannot remove it.
        type: str
      owner_email:
        description: Whom to ask. An empty text leaves it as it is, because the server cannot remove it.
        type: str
      data:
        description: Keys and values for your own use. The server merges them; a key can be changed, but never removed.
        type: dict
      history_archival_state:
        description: Whether histories are archived when their retention ends. The server must have archival configured.
        type: str
        choices: [enabled, disabled]
      history_archival_uri:
        description: Where histories are archived. The server does not allow changing it.
        type: str
      visibility_archival_state:
        description: Whether visibility records are archived when their retention ends.
        type: str
        choices: [enabled, disabled]
      visibility_archival_uri:
        description: Where visibility records are archived. The server does not allow changing it.
        type: str
  allow_delete:
    description: Whether namespaces with O(namespaces[].state=absent) may really be deleted. Without it the module fails
      before any change when one of them exists.
    type: bool
    default: false
  wait_seconds:
    description: How long to wait until workflows can be started in new namespaces. The server's roles learn of them
      within some seconds.
    type: int
    default: 20
  wait_for:
    description:
      - What the cluster must be before anything is declared. Without it, nothing is measured and the options V(expected_*)
        and O(database) are not used. See M(durable.temporal.cluster_health).
      - V(usable) waits until nothing is V(failed).
      - V(healthy) waits until everything is V(healthy), and fails only when something is V(failed).
    type: str
    choices: [usable, healthy]
  wait_for_seconds:
    description: How long to wait for what O(wait_for) says.
    type: float
    default: 90
"""

EXAMPLES = r"""
- name: Declare the namespaces of the orders
  durable.temporal.namespace:
    namespaces:
      - name: orders
        retention: 7d
        description: Orders of the shop
        owner_email: orders@example.com
        data:
          tier: gold
      - name: orders-staging
        retention: 72h

- name: Delete a namespace and all its workflows
  durable.temporal.namespace:
    address: temporal.example.com:7233
    tls: true
    namespaces:
      - name: orders-old
        state: absent
    allow_delete: true

- name: Wait until every role of the cluster serves, then declare the namespaces
  durable.temporal.namespace:
    wait_for: usable
    expected_version: 1.32.2
    namespaces:
      - name: orders
"""

RETURN = r"""
changes:
  description: One row for each namespace that was, or in check mode would be, changed.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The namespace.
      type: str
    action:
      description: V(create), V(update) or V(delete).
      type: str
    fields:
      description: What differs.
      type: list
      elements: str
  sample: [{name: orders, action: update, fields: [retention]}]
namespaces:
  description: The declared namespaces as they are afterwards, or in check mode would be, in the order of the option.
  returned: success
  type: list
  elements: dict
  sample: [{name: orders, state: present, retention: 7d, description: Orders of the shop}]
predicted:
  description: Whether the server could not be asked. Only in check mode, before there is an SDK or a server; all
    namespaces are then taken to be missing.
  returned: success
  type: bool
"""

import re
import typing as t

from ansible_collections.durable.temporal.plugins.module_utils._client import SYSTEM_NAMESPACE
from ansible_collections.durable.temporal.plugins.module_utils._duration import format_duration, parse_duration
from ansible_collections.durable.temporal.plugins.module_utils._errors import TemporalError
from ansible_collections.durable.temporal.plugins.module_utils._health import EXPECTED, require
from ansible_collections.durable.temporal.plugins.module_utils._namespaces import NAMESPACE
from ansible_collections.durable.temporal.plugins.module_utils._plan import Change, Item, Plan, compare
from ansible_collections.durable.temporal.plugins.module_utils._temporal import TemporalModule

DEFAULT_RETENTION = "7d"
# Fields that are compared when given; an empty text means the same as none, for the server cannot take a text away.
TEXTS = ("description", "owner_email", "history_archival_uri", "visibility_archival_uri")
STATES = ("history_archival_state", "visibility_archival_state")
NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$", re.ASCII)


class Server(t.Protocol):
    """What is asked of the server. Retention is in seconds here, and text in everything an operator sees."""

    def register_namespace(self, name: str, fields: Item) -> None:
        """Create."""

    def update_namespace(self, name: str, fields: Item) -> None:
        """Change the given fields."""

    def delete_namespace(self, name: str) -> None:
        """Delete."""

    def wait_for_namespaces(self, names: t.Iterable[str], seconds: float) -> list[str]:
        """Wait for new ones; return those that are still unknown."""


def problems(declared: t.Sequence[Item]) -> list[str]:
    """Everything that is wrong with the declaration, as sentences; empty when it is fine."""
    found: list[str] = []
    seen: set[str] = set()
    for item in declared:
        name = str(item["name"])
        if name in seen:
            found.append(f"namespace {name}: declared more than once. Keep one of them.")
        seen.add(name)
        if name == SYSTEM_NAMESPACE:
            found.append(f"namespace {name}: belongs to the server itself. Leave it out.")
        elif not NAME.match(name):
            found.append(
                f"namespace '{name}': expected letters, digits, '.', '_' and '-', beginning with a letter or digit, "
                "at most 255 characters."
            )
        if item.get("retention"):
            try:
                if parse_duration(item["retention"]) == 0:
                    found.append(f"namespace {name}: retention is 0: expected at least 1h.")
            except ValueError as error:
                found.append(f"namespace {name}: retention {error}.")
    return found


def deletions_to_allow(declared: t.Sequence[Item], present: t.Container[str]) -> list[str]:
    """A sentence for each namespace that is there and would be deleted."""
    return [
        f"namespace {item['name']}: state is absent, and deleting it would delete all its workflows. Set allow_delete "
        "to true if that is meant, or remove it from the list."
        for item in declared
        if item["state"] == "absent" and item["name"] in present
    ]


def plan_for(declared: t.Sequence[Item], present: t.Mapping[str, Item]) -> Plan:
    """Compare.

    :param declared: items of the option; fields that are ``None`` do not count.
    :param present: name to fields as the server has them, retention in seconds.
    """
    have = {name: {**fields, "retention": format_duration(fields["retention"])} for name, fields in present.items()}
    wanted: dict[str, Item | None] = {}
    for item in declared:
        name = item["name"]
        wanted[name] = None if item["state"] == "absent" else _wanted(item, have.get(name))
    return compare(wanted, have)


def _wanted(item: Item, have: Item | None) -> Item:
    fields: dict[str, t.Any] = {name: item[name] for name in (*TEXTS, *STATES) if item.get(name)}
    retention = item.get("retention") or (None if have else DEFAULT_RETENTION)
    if retention:
        fields["retention"] = format_duration(parse_duration(retention))
    if item.get("data"):
        fields["data"] = {**(have or {}).get("data", {}), **{str(k): _text(v) for k, v in item["data"].items()}}
    return fields


def _text(value: t.Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def apply(plan: Plan, server: Server, wait_seconds: float) -> None:
    """Make the plan true.

    :raises TemporalError: with what had been done before.
    """
    done: list[str] = []
    for change in plan:
        try:
            _apply_one(change, server)
        except TemporalError as error:
            before = f" Done before that: {', '.join(done)}." if done else " Nothing was changed before that."
            raise TemporalError(error.kind, error.message + before) from error
        done.append(f"{change.action} {change.key}")
    late = server.wait_for_namespaces([c.key for c in plan if c.action == "create"], wait_seconds)
    if late:
        raise TemporalError(
            "deadline",
            f"Created, but not usable within {wait_seconds:g} s: {', '.join(late)}. Check that the history role of the "
            "server runs, or raise wait_seconds.",
        )


def _apply_one(change: Change, server: Server) -> None:
    if change.after is None:
        server.delete_namespace(change.key)
        return
    fields = {name: change.after[name] for name in change.fields}
    if "retention" in fields:
        fields["retention"] = parse_duration(fields["retention"])
    if change.before is None:
        server.register_namespace(change.key, fields)
    else:
        server.update_namespace(change.key, fields)


def outcome(declared: t.Sequence[Item], present: t.Mapping[str, Item], plan: Plan) -> list[dict[str, t.Any]]:
    """The declared namespaces as they are once the plan is true."""
    after: dict[str, Item | None] = {
        name: {**fields, "retention": format_duration(fields["retention"])} for name, fields in present.items()
    }
    after.update({change.key: change.after for change in plan})
    rows: list[dict[str, t.Any]] = []
    for item in declared:
        fields = after.get(item["name"])
        rows.append({"name": item["name"], "state": "present" if fields is not None else "absent", **(fields or {})})
    return rows


def main() -> None:
    """Run the module."""
    module = TemporalModule(
        argument_spec={
            "namespaces": {"type": "list", "elements": "dict", "required": True, "options": NAMESPACE},
            "allow_delete": {"type": "bool", "default": False},
            "wait_seconds": {"type": "int", "default": 20},
            "wait_for": {"type": "str", "choices": ["usable", "healthy"]},
            "wait_for_seconds": {"type": "float", "default": 90},
            **EXPECTED,
        }
    )
    declared: list[Item] = module.params["namespaces"]
    wrong = problems(declared)
    if wrong:
        module.fail(" ".join(wrong), problems=wrong)
    if module.params["wait_for"]:
        require(module, module.params["wait_for"], module.params["wait_for_seconds"])
    with module.connection_or_none() as temporal:
        present = temporal.namespaces() if temporal else {}
        wrong = [] if module.params["allow_delete"] else deletions_to_allow(declared, present)
        if wrong:
            module.fail(" ".join(wrong), problems=wrong)
        plan = plan_for(declared, present)
        if plan and temporal and not module.check_mode:
            apply(plan, temporal, module.params["wait_seconds"])
    module.exit(
        changed=bool(plan),
        diff=plan.as_diff(),
        changes=plan.summary(),
        namespaces=outcome(declared, present, plan),
        predicted=temporal is None,
    )


if __name__ == "__main__":
    main()
