#!/usr/bin/python
# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps users and databases of a PostgreSQL server as declared, with one connection."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_databases
short_description: Keep users and databases of a PostgreSQL server as declared
version_added: 0.1.0
description:
  - Creates users that log in with a password and databases that belong to them, changes passwords and owners that
    differ, and leaves everything else alone. It never drops anything.
  - A password is compared with the verifier that the server keeps, and a new one is sent as a SCRAM-SHA-256 verifier,
    so that no password is ever in a statement or in the server's log. Users with an old MD5 hash get a verifier.
  - Where the login user may not read verifiers (managed services), a login with the password is tried instead.
author:
  - The durable.temporal contributors (@durable-temporal)
extends_documentation_fragment:
  - durable.temporal.attributes
  - durable.temporal.postgres
options:
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
"""

EXAMPLES = r"""
- name: Declare the user and the databases of Temporal
  durable.temporal.postgres_databases:
    login_password: "{{ postgres_superuser_password }}"
    users:
      - name: temporal
        password: "{{ postgres_temporal_password }}"
    databases:
      - {name: temporal, owner: temporal}
      - {name: temporal_visibility, owner: temporal}
"""

RETURN = r"""
actions:
  description: What was done, or would be done, for which user or database.
  returned: success
  type: list
  elements: dict
  sample:
    - {name: user temporal, action: update, fields: [password]}
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.durable.temporal.plugins.module_utils._plan import Item, Plan, compare
from ansible_collections.durable.temporal.plugins.module_utils._postgres import (
    LOGIN_OPTIONS,
    Refused,
    connect,
    login,
    make_verifier,
    rows,
    verifies,
)

try:
    import psycopg2
    from psycopg2 import sql
except ImportError:
    pass  # connect() reports it

GOOD = "as declared"
OTHER = "another one"


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


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **LOGIN_OPTIONS,
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
        },
        supports_check_mode=True,
    )
    wanted = wanted_items(module.params)
    connection = connect(module)
    if connection is None:
        plan = compare(wanted, {})  # a first check run: the server is to come
    else:
        try:
            superuser = bool(rows(connection, "select current_setting('is_superuser') = 'on'")[0][0])
            plan = compare(wanted, read(connection, module.params, superuser))
            if not module.check_mode:
                apply(connection, plan, module.params, superuser)
        except psycopg2.Error as error:
            module.fail_json(msg=f"PostgreSQL refused: {str(error).strip()}")
        finally:
            connection.close()
    module.exit_json(changed=bool(plan), diff=plan.as_diff(), actions=plan.summary())


if __name__ == "__main__":
    main()
