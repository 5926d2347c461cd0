#!/usr/bin/python
# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings the two stores of Temporal to the schema level that a release of the server needs."""

from __future__ import annotations

DOCUMENTATION = r"""
module: schema
short_description: Bring Temporal's databases to the schema of a release
version_added: 0.1.0
description:
  - Reads the schema levels of the default and the visibility store, and where they are lower than what the release of
    the server needs, makes or upgrades them with C(temporal-sql-tool).
  - When both are high enough the tool is not run at all.
  - A higher level is left as it is when it is that of the next minor release, which a server may run on after an
    upgrade was taken back. A higher one than that is refused.
  - Only one run at a time works on a database; others wait for it, and then find nothing to do.
  - In check mode a database that does not exist yet, or cannot be reached yet, is taken to be empty.
author:
  - The durable.temporal contributors (@durable-temporal)
extends_documentation_fragment:
  - durable.temporal.attributes
  - durable.temporal.database
options:
  database:
    description:
      - How to reach the PostgreSQL databases of the server, as seen from the managed host. The user must own them.
    required: true
  server_version:
    description: Release of the server that the databases are for, such as V(1.32.2). The tool must be of that release.
    type: str
    required: true
  expected_history_shards:
    description:
      - Number of history shards that the server will be configured with.
      - When the cluster was first started with another one, the module fails before any change. The server itself would
        silently go on with the old number.
    type: int
  tool:
    description:
      - How to run C(temporal-sql-tool), as a list of arguments. The module appends the subcommands and passes all
        connection options, the password too, in the environment as C(SQL_PLUGIN), C(SQL_HOST), C(SQL_PORT),
        C(SQL_USER), C(SQL_PASSWORD), C(SQL_DATABASE), C(SQL_TLS), C(SQL_TLS_CA_FILE) and
        C(SQL_TLS_DISABLE_HOST_VERIFICATION). The password is its standard input, too.
      - A container must be told to take them over by name, such as V(--env=SQL_HOST). Of what it takes over, C(docker inspect)
        shows the values, so a shell in it reads the password from its standard input.
    type: list
    elements: str
    default: [temporal-sql-tool]
  tool_database_host:
    description: Name or address of the database server as the tool sees it, when that differs from the module's view,
      such as the name of a container.
    type: str
  tool_database_port:
    description: Port of the database server as the tool sees it.
    type: int
  tool_ca_file:
    description: Where the tool sees the authorities that the database's certificate is checked against.
    type: path
  driver:
    description: Database driver of the tool. Both use the same schema.
    type: str
    choices: [postgres12, postgres12_pgx]
    default: postgres12_pgx
  timeout_seconds:
    description: Deadline in seconds of each run of the tool. A step may rewrite a large table.
    type: int
    default: 3600
  venv:
    description:
      - Virtual environment on the managed host that holds C(psycopg). It is used when the Python that runs the module
        has neither C(psycopg) nor C(psycopg2) itself.
      - When not given, the environment variable E(DURABLE_TEMPORAL_VENV) of the managed host is used if it is set.
    type: path
    default: /opt/durable-temporal/venv
"""

EXAMPLES = r"""
- name: Bring the schema to the release, with the tool on the host
  durable.temporal.schema:
    server_version: 1.32.2
    database:
      host: db.example.com
      password: "{{ lookup('durable.temporal.secret', 'temporal-database-password') }}"

- name: Bring the schema to the release, with the tool in a container
  durable.temporal.schema:
    server_version: 1.32.2
    tool:
      - docker
      - run
      - --rm
      - --interactive
      - --network=temporal-network
      - --env=SQL_PLUGIN
      - --env=SQL_HOST
      - --env=SQL_PORT
      - --env=SQL_USER
      - --env=SQL_DATABASE
      - --entrypoint=sh
      - temporalio/admin-tools:1.32.2
      - -c
      - SQL_PASSWORD=$(cat); export SQL_PASSWORD; exec temporal-sql-tool "$@"
      - temporal-sql-tool
    tool_database_host: temporal-postgres
    database:
      password: "{{ lookup('durable.temporal.secret', 'temporal-database-password') }}"
"""

RETURN = r"""
before:
  description: Level of each store before. Empty when it had no schema.
  returned: success
  type: dict
  sample: {default: "1.18", visibility: "1.13"}
after:
  description: Level of each store afterwards, or in check mode the one that would be reached.
  returned: success
  type: dict
  sample: {default: "1.19", visibility: "1.14"}
changes:
  description: One row for each store that was, or in check mode would be, changed.
  returned: success
  type: list
  elements: dict
  sample: [{name: visibility, action: update, fields: [level]}]
history_shards:
  description: Number of history shards that the cluster was first started with. V(0) before it was, or when
    O(expected_history_shards) was not given.
  returned: success
  type: int
predicted:
  description: Whether the databases could not be read. Only in check mode, before they exist.
  returned: success
  type: bool
"""

import os
import re
import subprocess
import typing as t

from ansible.module_utils.basic import env_fallback
from ansible_collections.durable.temporal.plugins.module_utils._database import (
    DATABASE,
    DRIVERS,
    Database,
    DatabaseError,
)
from ansible_collections.durable.temporal.plugins.module_utils._module import Module
from ansible_collections.durable.temporal.plugins.module_utils._plan import Change, Plan, compare
from ansible_collections.durable.temporal.plugins.module_utils._venv import DEFAULT_VENV, provide
from ansible_collections.durable.temporal.plugins.module_utils._versions import (
    STORES,
    Levels,
    Store,
    check_pair,
    expected_schema,
    is_bad,
    parse_level,
    schema_too_new,
)

Level = t.Optional[str]
# Missing in check mode is what a bare host looks like; the other troubles would not go away by themselves.
NOT_YET = ("unreachable", "no_database")
# Any number, as long as everybody who works on the schema of a database takes the same.
LOCK = 7233_6933
SCHEMAS: dict[Store, str] = {"default": "postgresql/v12/temporal", "visibility": "postgresql/v12/visibility"}
ERROR_LINES = 5
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class SchemaError(Exception):
    """A sentence for the operator."""


def refusals(server_version: str, present: t.Mapping[Store, Level], postgres: str) -> list[str]:
    """Why this release must not be given these databases, as sentences.

    :param postgres: version of PostgreSQL, empty when it is not known.
    """
    found = [schema_too_new(server_version, store, level) for store, level in present.items() if level]
    if postgres:
        found.append(check_pair(server_version, postgres))
    return [reason for reason in found if reason]


def plan_for(needed: Levels, present: t.Mapping[Store, Level]) -> Plan:
    """Compare: a store whose level is lower than needed, or that has none, is to change."""
    wanted: dict[str, t.Mapping[str, t.Any] | None] = {}
    have: dict[str, t.Mapping[str, t.Any]] = {}
    for store in STORES:
        level = present[store]
        high_enough = level is not None and parse_level(level) >= parse_level(needed.of(store))
        wanted[store] = {"level": level if high_enough else needed.of(store)}
        if level is not None:
            have[store] = {"level": level}
    return compare(wanted, have)


def commands(change: Change) -> list[list[str]]:
    """Arguments of the runs of the tool that make a change true."""
    store = t.cast("Store", change.key)
    level = str((change.after or {})["level"])
    upgrade = ["update-schema", "--schema-name", SCHEMAS[store], "--version", level]
    return [upgrade] if change.before else [["setup-schema", "--version", "0.0"], upgrade]


def environment(options: t.Mapping[str, t.Any], store: Store) -> dict[str, str]:
    """What the tool gets to know about the database. The password goes this way or by stdin, never as an argument."""
    database = options["database"]
    found = {
        "SQL_PLUGIN": options["driver"],
        "SQL_HOST": options["tool_database_host"] or database["host"],
        "SQL_PORT": str(options["tool_database_port"] or database["port"]),
        "SQL_USER": database["user"],
        "SQL_PASSWORD": database["password"] or "",
        "SQL_DATABASE": database["name"] if store == "default" else database["visibility_name"],
    }
    if database["sslmode"] in ("require", "verify-ca", "verify-full"):
        found["SQL_TLS"] = "true"
        if database["sslmode"] != "verify-full":
            found["SQL_TLS_DISABLE_HOST_VERIFICATION"] = "true"
        authorities = options["tool_ca_file"] or database["sslrootcert"]
        if authorities:
            found["SQL_TLS_CA_FILE"] = authorities
    return found


def last_words(output: str, secrets: t.Iterable[str | None]) -> str:
    """The lines of the tool that say what went wrong, short, on one line and without secrets."""
    lines = [line.strip() for line in _COLOUR.sub("", output).splitlines() if line.strip()]
    # Its own lines look like: time, level, text and a JSON object, by tabs.
    telling = [line for line in lines if "\tERROR\t" in line or "\tFATAL\t" in line] or lines
    short = [re.sub(r', ?"logging-call-at": "[^"]*"', "", line.split("\t", 2)[-1]) for line in telling]
    text = " | ".join(part.replace("\t", " ") for part in short[-ERROR_LINES:])
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return text or "it said nothing"


def run_tool(options: t.Mapping[str, t.Any], change: Change) -> None:
    """Make one change true.

    :raises SchemaError: when the tool fails.
    """
    store = t.cast("Store", change.key)
    surroundings = {**os.environ, **environment(options, store)}
    tool, password = options["tool"], options["database"]["password"]
    for arguments in commands(change):
        doing = f"{tool[0]} ... {' '.join(arguments)} for the {store} store"
        try:
            done = subprocess.run(
                [*tool, *arguments],
                env=surroundings,
                input=password or "",
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                timeout=options["timeout_seconds"],
                check=False,
            )
        except FileNotFoundError as error:
            raise SchemaError(
                f"Cannot run {tool[0]}: it does not exist on this host. Install it, or set tool."
            ) from error
        except OSError as error:
            raise SchemaError(f"Cannot run {tool[0]}: {error.strerror}.") from error
        except subprocess.TimeoutExpired as error:
            raise SchemaError(
                f"{doing} did not end within {options['timeout_seconds']} s. It may still be at work in the database: "
                "look at pg_stat_activity before you run this again with a higher timeout_seconds."
            ) from error
        if done.returncode != 0:
            words = last_words(done.stdout, [password])
            raise SchemaError(f"{doing} failed with code {done.returncode}: {words}. Running this again is safe.")


class Stores:
    """Both databases, opened when they are first needed."""

    def __init__(self, driver: str, options: t.Mapping[str, t.Any]) -> None:
        self._driver, self._options = driver, options

    def _name(self, store: Store) -> str:
        return str(self._options["name"] if store == "default" else self._options["visibility_name"])

    def open(self, store: Store) -> Database:
        """Connect to the database of a store."""
        return Database(self._driver, self._options, self._name(store))

    def level(self, store: Store) -> Level:
        """Level of a store.

        :raises DatabaseError: when it cannot be read.
        """
        with self.open(store) as database:
            return database.schema_level(store)

    def levels(self) -> dict[Store, Level]:
        """Levels of both."""
        return {store: self.level(store) for store in STORES}


def read(stores: Stores, check_mode: bool) -> tuple[dict[Store, Level], str, bool]:
    """Levels, version of PostgreSQL, and whether something had to be taken as empty because it is not there yet."""
    levels: dict[Store, Level] = {}
    version, predicted = "", False
    for store in STORES:
        try:
            with stores.open(store) as database:
                levels[store] = database.schema_level(store)
                version = database.version()
        except DatabaseError as error:
            if not (check_mode and error.kind in NOT_YET):
                raise
            levels[store], predicted = None, True
    return levels, version, predicted


def check_shards(stores: Stores, expected: int) -> int:
    """Number of history shards that the cluster was first started with; 0 before that.

    :raises SchemaError: when it is not the expected one.
    """
    with stores.open("default") as database:
        found = database.history_shards()
    if found is not None and found != expected:
        raise SchemaError(
            f"The cluster was first started with {found} history shards; expected {expected}. The number can never "
            f"change: set temporal_history_shards back to {found}. Another number needs a new cluster. Nothing was "
            "changed."
        )
    return found or 0


def needed_levels(server_version: str) -> Levels:
    """Levels that the release needs.

    :raises SchemaError: when it is a bad release or not known.
    """
    try:
        reason = is_bad(server_version)
        needed = expected_schema(server_version)
    except ValueError as error:
        raise SchemaError(f"server_version: {error}") from error
    if reason:
        raise SchemaError(f"server_version: {reason}")
    if needed is None:
        raise SchemaError(
            f"server_version is {server_version}: this release of the collection does not know its schema."
        )
    return needed


def migrate(
    stores: Stores, needed: Levels, options: t.Mapping[str, t.Any]
) -> tuple[dict[Store, Level], dict[Store, Level], Plan]:
    """Read again under the lock, change what is to change, and read what came of it.

    :returns: levels before and after, and the plan that was made true.
    :raises SchemaError: when the tool fails or does not do its work.
    """
    with stores.open("default") as lock:
        lock.rows("SELECT pg_advisory_lock(%s)", [LOCK])  # given back when the connection ends
        before = stores.levels()
        plan = plan_for(needed, before)
        for change in plan:
            run_tool(options, change)
        after = stores.levels() if plan else before
    low = plan_for(needed, after)
    if low:
        found = ", ".join(f"{change.key} {after[t.cast('Store', change.key)]}" for change in low)
        raise SchemaError(
            f"The tool ended well, but left the schema too low: found {found}, expected {needed.default} and "
            f"{needed.visibility}. Check that the tool is of release {options['server_version']} and uses this server."
        )
    return before, after, plan


def main() -> None:
    """Run the module."""
    module = Module(
        argument_spec={
            "database": {"type": "dict", "required": True, "options": DATABASE},
            "server_version": {"type": "str", "required": True},
            "expected_history_shards": {"type": "int"},
            "tool": {"type": "list", "elements": "str", "default": ["temporal-sql-tool"]},
            "tool_database_host": {"type": "str"},
            "tool_database_port": {"type": "int"},
            "tool_ca_file": {"type": "path"},
            "driver": {"type": "str", "choices": ["postgres12", "postgres12_pgx"], "default": "postgres12_pgx"},
            "timeout_seconds": {"type": "int", "default": 3600},
            "venv": {"type": "path", "default": DEFAULT_VENV, "fallback": (env_fallback, ["DURABLE_TEMPORAL_VENV"])},
        },
        supports_check_mode=True,
    )
    options = module.params
    try:
        needed = needed_levels(options["server_version"])
        driver = provide(DRIVERS, options["venv"])
        if driver is None and not module.check_mode:
            raise SchemaError(
                f"Neither psycopg nor psycopg2 was found by Python or in venv {options['venv']}. Run the role "
                "durable.temporal.temporal_client on this host first, or set venv."
            )
        if driver is None:
            before: dict[Store, Level] = dict.fromkeys(STORES)
            version, predicted = "", True
        else:
            before, version, predicted = read(Stores(driver, options["database"]), module.check_mode)
        reasons = refusals(options["server_version"], before, version)
        if reasons:
            raise SchemaError(" ".join(reasons))
        shards = 0
        if driver and before["default"] and options["expected_history_shards"]:
            shards = check_shards(Stores(driver, options["database"]), options["expected_history_shards"])
        plan = plan_for(needed, before)
        after = {**before, **{t.cast("Store", change.key): str((change.after or {})["level"]) for change in plan}}
        if plan and driver and not module.check_mode:
            before, after, plan = migrate(Stores(driver, options["database"]), needed, options)
    except (SchemaError, DatabaseError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=bool(plan),
        diff=plan.as_diff(),
        changes=plan.summary(),
        before={store: level or "" for store, level in before.items()},
        after={store: level or "" for store, level in after.items()},
        history_shards=shards,
        predicted=predicted,
    )


if __name__ == "__main__":
    main()
