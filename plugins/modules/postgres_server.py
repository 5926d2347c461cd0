#!/usr/bin/python
# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps users, databases and settings of a PostgreSQL server as declared, with one connection."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_server
short_description: Keep users, databases and settings of a PostgreSQL server as declared
version_added: 0.1.0
description:
  - Creates users that log in with a password and databases that belong to them, changes passwords and owners that
    differ, and leaves everything else alone. It never drops anything.
  - A password is compared with the verifier that the server keeps, and a new one is sent as a SCRAM-SHA-256 verifier,
    so that no password is ever in a statement or in the server's log. Users with an old MD5 hash get a verifier.
  - Where the login user may not read verifiers (managed services), a login with the password is tried instead.
  - Settings are compared by value instead of by spelling (V(1GB) is V(1024MB)) and changed by C(ALTER SYSTEM) and a
    reload. RV(restart_required) says whether one waits for a restart; the module never restarts the server.
author:
  - The durable.temporal contributors (@durable-temporal)
extends_documentation_fragment:
  - durable.temporal.attributes
  - durable.temporal.postgres
options:
  former_password_file:
    description:
      - File on the host with the password that O(login_user) had before. Tried where O(login_password) is refused, so that
        O(users) can give the new one to O(login_user) itself.
    type: path
  users:
    description: Users that log in with a password.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the user.
        type: str
        required: true
      password:
        description: Its password.
        type: str
        required: true
  databases:
    description: Databases. Owners must exist, or be listed in O(users).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the database.
        type: str
        required: true
      owner:
        description: The user that it belongs to. Left as it is when unset.
        type: str
  settings:
    description:
      - Name to value. Units as PostgreSQL writes them, lists for settings that take lists. Others are left alone.
      - A value of V(null) removes the setting from C(postgresql.auto.conf).
    type: dict
    default: {}
  must_answer:
    description: Whether it is an error that no server answers. A refused password always is one.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Declare the user and the databases of Temporal, and tune the server
  durable.temporal.postgres_server:
    login_password: "{{ postgres_superuser_password }}"
    users:
      - name: temporal
        password: "{{ postgres_temporal_password }}"
    databases:
      - {name: temporal, owner: temporal}
      - {name: temporal_visibility, owner: temporal}
    settings:
      shared_buffers: 2GB
      random_page_cost: 1.1
  register: server

- name: Say that a restart is due
  ansible.builtin.debug:
    msg: "These wait for a restart: {{ server.pending_restart }}"
  when: server.restart_required
"""

RETURN = r"""
actions:
  description: What was done, or would be done, for which user, database or setting.
  returned: success
  type: list
  elements: dict
  sample:
    - {name: user temporal, action: update, fields: [password]}
    - {name: setting shared_buffers, action: update, fields: [value]}
answered:
  description: Whether a server answered.
  returned: success
  type: bool
restart_required:
  description: Whether a listed setting has its value only after a restart. In check mode, whether it would be so.
  returned: success
  type: bool
pending_restart:
  description: The listed settings that wait for a restart.
  returned: success
  type: list
  elements: str
put_back:
  description:
    - What C(postgresql.auto.conf) had for them, as O(durable.temporal.directory_contents#module:directories[].edits) takes it,
      for a server that does not start with them.
  returned: success
  type: dict
server_version:
  description: Version of the server, empty when none answered.
  returned: success
  type: str
  sample: "17.6"
"""

import time
import typing as t

from ansible_collections.durable.temporal.plugins.module_utils._module import Module
from ansible_collections.durable.temporal.plugins.module_utils._plan import Item, Plan, compare
from ansible_collections.durable.temporal.plugins.module_utils._postgres import (
    LOGIN_OPTIONS,
    PRELOADED,
    READ_SETTINGS,
    Alteration,
    Refused,
    Setting,
    compare_settings,
    connect,
    elements,
    in_effect,
    login,
    make_verifier,
    needs_reload,
    render,
    rows,
    spelt,
    verifies,
)

try:
    import psycopg2
    from psycopg2 import sql
except ImportError:
    pass  # connect() reports it

GOOD = "as declared"
OTHER = "another one"
RELOAD_SECONDS = 5.0
# SQLSTATE of a file that is not there.
NO_FILE = "58P01"


def wanted_items(params: t.Mapping[str, t.Any]) -> dict[str, Item]:
    """What must be there, keyed ``user NAME`` and ``database NAME``, users first."""
    items: dict[str, Item] = {f"user {u['name']}": {"login": True, "password": GOOD} for u in params["users"]}
    for database in params["databases"]:
        items[f"database {database['name']}"] = {"owner": database["owner"]} if database["owner"] else {}
    return items


def read(connection: t.Any, params: t.Mapping[str, t.Any], superuser: bool) -> dict[str, Item]:
    """What is there, in the same shape."""
    items: dict[str, Item] = {}
    names = [user["name"] for user in params["users"]]
    query = "select rolname, rolcanlogin, null from pg_roles where rolname = any(%s)"
    if superuser:
        query = "select rolname, rolcanlogin, rolpassword from pg_authid where rolname = any(%s)"
    present = {name: (can_login, verifier) for name, can_login, verifier in rows(connection, query, (names,))}
    for user in params["users"]:
        if user["name"] in present:
            can_login, verifier = present[user["name"]]
            good = verifies(user["password"], verifier) if superuser else logs_in(params, user)
            items[f"user {user['name']}"] = {"login": can_login, "password": GOOD if good else OTHER}
    for name, owner in rows(connection, "select datname, pg_get_userbyid(datdba) from pg_database"):
        items[f"database {name}"] = {"owner": owner}
    return items


def logs_in(params: t.Mapping[str, t.Any], user: t.Mapping[str, str]) -> bool:
    """Whether the server accepts the password. Any other refusal is left to whoever logs in next."""
    try:
        login(params, login_user=user["name"], login_password=user["password"]).close()
    except Refused as refused:
        return refused.kind != "password"
    return True


def apply(connection: t.Any, plan: Plan, params: t.Mapping[str, t.Any], superuser: bool) -> None:
    passwords = {f"user {user['name']}": user["password"] for user in params["users"]}
    for change in plan:
        kind, _blank, name = change.key.partition(" ")
        verb = "CREATE" if change.action == "create" else "ALTER"
        if kind == "user":
            statement = sql.SQL(verb + " ROLE {} LOGIN PASSWORD {}").format(
                sql.Identifier(name), sql.Literal(make_verifier(passwords[change.key]))
            )
            rows(connection, statement)
            continue
        owner = (change.after or {}).get("owner")
        if owner and not superuser:
            # Only a member may give something to a role.
            rows(connection, sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(owner)))
        clause = " OWNER TO {}" if verb == "ALTER" else " OWNER {}"
        parts = [sql.SQL(verb + " DATABASE {}").format(sql.Identifier(name))]
        if owner:
            parts.append(sql.SQL(clause).format(sql.Identifier(owner)))
        rows(connection, sql.Composed(parts))


def read_settings(connection: t.Any) -> dict[str, Setting]:
    """All settings by name."""
    return {row[0]: Setting(*row) for row in rows(connection, READ_SETTINGS)}


def alter(connection: t.Any, change: Alteration) -> None:
    """Change one setting in ``postgresql.auto.conf``."""
    name = sql.Identifier(change.setting.name)
    if change.wanted is None:
        statement = sql.SQL("ALTER SYSTEM RESET {}").format(name)
    else:
        parts = elements(change.setting.name, change.wanted)
        values = sql.SQL(", ").join(sql.Literal(render(part)) for part in parts)
        statement = sql.SQL("ALTER SYSTEM SET {} = {}").format(name, values)
    rows(connection, statement)


def reload(connection: t.Any, wanted: t.Mapping[str, t.Any]) -> dict[str, Setting]:
    """Reload, and wait until this session sees the new values or that they wait for a restart."""
    rows(connection, "select pg_reload_conf()")
    deadline = time.monotonic() + RELOAD_SECONDS
    while True:
        present = read_settings(connection)
        if not needs_reload(wanted, present) or time.monotonic() > deadline:
            return present
        time.sleep(0.02)


def missing_libraries(connection: t.Any, changes: t.Iterable[Alteration]) -> list[str]:
    """Sentences about libraries that are to be preloaded and that the server does not have: it would not start."""
    problems = []
    for change in changes:
        name = change.setting.name
        for library in filter(None, elements(name, change.wanted) if name in PRELOADED else ()):
            try:
                rows(connection, sql.SQL("LOAD {}").format(sql.Literal(library)))
            except psycopg2.Error as error:
                # Others are of libraries that want to be preloaded.
                if error.pgcode == NO_FILE:
                    problems.append(f"{name} has {library!r}, which is not installed there")
    return problems


class Settings:
    """The settings that are wanted, compared with those of the server."""

    def __init__(self, module: Module, connection: t.Any, superuser: bool) -> None:
        self.wanted: dict[str, t.Any] = module.params["settings"]
        self.changes: list[Alteration] = []
        self.present: dict[str, Setting] = {}
        if not self.wanted:
            return
        if not superuser:
            module.fail_json(
                msg=f"{module.params['login_user']} is not a superuser, so it may not change settings of the server. "
                "On a managed service, set them there and leave postgres_custom_config empty."
            )
        self.present = read_settings(connection)
        self.wanted = spelt(self.wanted, self.present)
        self.changes, problems = compare_settings(self.wanted, self.present)
        problems += missing_libraries(connection, self.changes)
        if problems:
            module.fail_json(msg="Settings that this server does not take: " + "; ".join(problems))

    def compare(self, plan: Plan) -> None:
        """Add what differs to the plan."""
        for change in self.changes:
            wanted = "(default)" if change.wanted is None else render(change.wanted)
            plan.add(f"setting {change.setting.name}", {"value": change.setting.shown()}, {"value": wanted})
        # After an interrupted run the files may say what the server does not know yet.
        for name in [] if self.changes else needs_reload(self.wanted, self.present):
            shown = self.present[name].shown()
            plan.add(f"setting {name}", {"value": shown, "in_effect": False}, {"value": shown, "in_effect": True})

    def apply(self, connection: t.Any) -> None:
        for change in self.changes:
            alter(connection, change)
        self.present = reload(connection, self.wanted)

    def waiting(self, check_mode: bool) -> list[str]:
        """The wanted settings that have, or in check mode would have, their value only after a restart."""
        names = {name for name in self.wanted if self.present[name].pending_restart}
        if check_mode:
            names |= {change.setting.name for change in self.changes if change.setting.needs_restart}
        return sorted(names)

    def put_back(self) -> dict[str, str]:
        """What those have that wait for a restart, as long as the server has not started with them."""
        return dict(in_effect(s) for name, s in self.present.items() if name in self.wanted and s.pending_restart)


def run(module: Module, connection: t.Any) -> dict[str, t.Any]:
    """Compare and, outside check mode, change."""
    version, superuser = rows(
        connection, "select current_setting('server_version'), current_setting('is_superuser') = 'on'"
    )[0]
    settings = Settings(module, connection, superuser)
    objects = compare(wanted_items(module.params), read(connection, module.params, superuser))
    plan = Plan(list(objects))
    settings.compare(plan)
    if not module.check_mode:
        apply(connection, objects, module.params, superuser)
        if len(plan) > len(objects):
            settings.apply(connection)
    return {
        "answered": True,
        "server_version": str(version).split(" ", 1)[0],
        "put_back": settings.put_back(),
        **report(plan, settings.waiting(module.check_mode)),
    }


def predict(module: Module) -> dict[str, t.Any]:
    """What a server that does not answer yet will get, once it does."""
    plan = Plan()
    if module.params["must_answer"]:
        plan = compare(wanted_items(module.params), {})
        for name, value in module.params["settings"].items():
            plan.add(f"setting {name}", None, {"value": render(value)})
    return {"answered": False, "server_version": "", "put_back": {}, **report(plan, [])}


def report(plan: Plan, waiting: list[str]) -> dict[str, t.Any]:
    return {
        "changed": bool(plan),
        "diff": plan.as_diff(),
        "actions": plan.summary(),
        "restart_required": bool(waiting),
        "pending_restart": waiting,
    }


def main() -> None:
    module = Module(
        argument_spec={
            **LOGIN_OPTIONS,
            "former_password_file": {"type": "path", "no_log": False},
            "users": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "password": {"type": "str", "required": True, "no_log": True},
                },
            },
            "databases": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {"name": {"type": "str", "required": True}, "owner": {"type": "str"}},
            },
            "settings": {"type": "dict", "default": {}},
            "must_answer": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    connection = connect(module)
    if connection is None:
        module.exit_json(**predict(module))
    try:
        result = run(module, connection)
    except psycopg2.Error as error:
        module.fail_json(msg=f"PostgreSQL refused: {str(error).strip()}")
    finally:
        connection.close()
    module.exit_json(**result)


if __name__ == "__main__":
    main()
