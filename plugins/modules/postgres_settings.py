#!/usr/bin/python
# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares settings of a PostgreSQL server with what is wanted and changes what differs."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_settings
short_description: Keep settings of a PostgreSQL server as declared
version_added: 0.1.0
description:
  - Reads all settings with one connection, compares values instead of spellings (V(1GB) is V(1024MB)), changes what
    differs by C(ALTER SYSTEM), and reloads the configuration.
  - Says in RV(restart_required) whether a changed setting waits for a restart. It never restarts the server.
  - Settings that are not listed are left alone.
author:
  - The durable.temporal contributors (@durable-temporal)
extends_documentation_fragment:
  - durable.temporal.attributes
  - durable.temporal.postgres
options:
  settings:
    description:
      - Name to value. Units as PostgreSQL writes them, lists for settings that take lists.
      - A value of V(null) removes the setting from C(postgresql.auto.conf).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Tune PostgreSQL
  durable.temporal.postgres_settings:
    login_password: "{{ postgres_superuser_password }}"
    settings:
      shared_buffers: 2GB
      random_page_cost: 1.1
  register: tuned

- name: Say that a restart is due
  ansible.builtin.debug:
    msg: "These wait for a restart: {{ tuned.pending_restart }}"
  when: tuned.restart_required
"""

RETURN = r"""
actions:
  description: Settings that were changed, or would be.
  returned: success
  type: list
  elements: dict
  sample:
    - {name: shared_buffers, action: update, fields: [value]}
restart_required:
  description: Whether a listed setting has its value only after a restart. In check mode, whether it would be so.
  returned: success
  type: bool
pending_restart:
  description: The listed settings that wait for a restart.
  returned: success
  type: list
  elements: str
server_version:
  description: Version of the server, empty when check mode found none.
  returned: success
  type: str
  sample: "17.6"
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.durable.temporal.plugins.module_utils._plan import Plan
from ansible_collections.durable.temporal.plugins.module_utils._postgres import (
    LOGIN_OPTIONS,
    READ_SETTINGS,
    Alteration,
    Setting,
    compare_settings,
    connect,
    needs_reload,
    render,
    rows,
)

try:
    import psycopg2
    from psycopg2 import sql
except ImportError:
    pass  # connect() reports it

RELOAD_SECONDS = 5.0


def read(connection: t.Any) -> dict[str, Setting]:
    """All settings by name."""
    return {row[0]: Setting(*row) for row in rows(connection, READ_SETTINGS)}


def alter(connection: t.Any, change: Alteration) -> None:
    """Change one setting in ``postgresql.auto.conf``."""
    name = sql.Identifier(change.setting.name)
    if change.wanted is None:
        statement = sql.SQL("ALTER SYSTEM RESET {}").format(name)
    else:
        elements = change.wanted if isinstance(change.wanted, list) else [change.wanted]
        values = sql.SQL(", ").join(sql.Literal(render(element)) for element in elements)
        statement = sql.SQL("ALTER SYSTEM SET {} = {}").format(name, values)
    rows(connection, statement)


def reload(connection: t.Any, wanted: t.Mapping[str, t.Any]) -> dict[str, Setting]:
    """Reload, and wait until this session sees the new values or that they wait for a restart."""
    rows(connection, "select pg_reload_conf()")
    deadline = time.monotonic() + RELOAD_SECONDS
    while True:
        present = read(connection)
        if not needs_reload(wanted, present) or time.monotonic() > deadline:
            return present
        time.sleep(0.02)


def as_plan(changes: t.Iterable[Alteration]) -> Plan:
    plan = Plan()
    for change in changes:
        wanted = "(default)" if change.wanted is None else render(change.wanted)
        plan.add(change.setting.name, {"value": change.setting.shown()}, {"value": wanted})
    return plan


def run(module: AnsibleModule, connection: t.Any) -> dict[str, t.Any]:
    """Compare and, outside check mode, change."""
    wanted = module.params["settings"]
    (version, superuser) = rows(
        connection, "select current_setting('server_version'), current_setting('is_superuser') = 'on'"
    )[0]
    if not superuser:
        module.fail_json(
            msg=f"{module.params['login_user']} is not a superuser, so it may not change settings of the server. On a "
            "managed service, set them there and leave postgres_custom_config empty."
        )
    present = read(connection)
    changes, problems = compare_settings(wanted, present)
    if problems:
        module.fail_json(msg="Settings that this server does not take: " + "; ".join(problems))
    plan = as_plan(changes)
    missed = [] if plan else needs_reload(wanted, present)
    for name in missed:
        shown = present[name].shown()
        plan.add(name, {"value": shown, "in_effect": False}, {"value": shown, "in_effect": True})
    waiting = {name for name in wanted if name in present and present[name].pending_restart}
    if plan and not module.check_mode:
        for change in changes:
            alter(connection, change)
        after = reload(connection, wanted)
        waiting = {name for name in wanted if after[name].pending_restart}
    elif module.check_mode:
        waiting |= {change.setting.name for change in changes if change.setting.needs_restart}
    return {
        "changed": bool(plan),
        "diff": plan.as_diff(),
        "actions": plan.summary(),
        "restart_required": bool(waiting),
        "pending_restart": sorted(waiting),
        "server_version": str(version).split(" ", 1)[0],
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={**LOGIN_OPTIONS, "settings": {"type": "dict", "required": True}}, supports_check_mode=True
    )
    connection = connect(module)
    if connection is None:
        # A first check run: the server is to come, and will be started before its settings are changed.
        plan = Plan()
        for name, value in module.params["settings"].items():
            plan.add(name, None, {"value": render(value)})
        module.exit_json(
            changed=bool(plan),
            diff=plan.as_diff(),
            actions=plan.summary(),
            restart_required=False,
            pending_restart=[],
            server_version="",
        )
    try:
        result = run(module, connection)
    except psycopg2.Error as error:
        module.fail_json(msg=f"PostgreSQL refused the settings: {str(error).strip()}")
    finally:
        connection.close()
    module.exit_json(**result)


if __name__ == "__main__":
    main()
