# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what Temporal keeps in PostgreSQL about itself: schema levels, members, connections.

Private to this collection. Works with psycopg 3 and psycopg2, whichever the host has. Never writes.
"""

from __future__ import annotations

import importlib
import re
import typing as t
from dataclasses import dataclass

from ansible_collections.durable.temporal.plugins.module_utils._versions import Store

DRIVERS: t.Final = ("psycopg", "psycopg2")
HEARTBEAT_SECONDS: t.Final = 20  # the server itself ignores members whose last heartbeat is older
_ROLES: t.Final = {1: "frontend", 2: "history", 3: "matching", 4: "worker", 5: "internal-frontend"}

Kind = t.Literal["unreachable", "no_database", "refused", "tls", "full", "foreign", "other"]

DATABASE: t.Final[dict[str, dict[str, t.Any]]] = {
    "host": {"type": "str", "default": "127.0.0.1"},
    "port": {"type": "int", "default": 5432},
    "user": {"type": "str", "default": "temporal"},
    "password": {"type": "str", "no_log": True},
    "name": {"type": "str", "default": "temporal"},
    "visibility_name": {"type": "str", "default": "temporal_visibility"},
    "sslmode": {
        "type": "str",
        "choices": ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"],
        "default": "prefer",
    },
    "sslrootcert": {"type": "path"},
}


class DatabaseError(Exception):
    """Something the operator must know, as a sentence. ``kind`` is for programs."""

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind: Kind = kind
        self.message = message


# First match wins; matched against PostgreSQL's and libpq's English texts.
_CAUSES: t.Final[tuple[tuple[str, Kind, str], ...]] = (
    ("password authentication failed", "refused", "the password of user {user} is wrong. Check where it comes from."),
    ("no password supplied", "refused", "user {user} needs a password. Set database.password."),
    ("no pg_hba.conf entry", "refused", "it does not let user {user} in from this host. Check its pg_hba.conf."),
    ("permission denied", "refused", "user {user} may not read it. Make that user the owner of the database."),
    (r'role ".*" does not exist', "refused", "user {user} does not exist. Create it, or correct database.user."),
    (r'database ".*" does not exist', "no_database", "it does not exist. Create it, or correct the name."),
    ("not permitted to log in", "refused", "user {user} may not log in. In psql there: ALTER ROLE {user} LOGIN."),
    ("does not support ssl", "tls", "the server has no TLS. Set database.sslmode to prefer, or switch TLS on there."),
    ("certificate", "tls", "the server's certificate is not accepted. Check database.sslrootcert and the host name."),
    ("too many clients", "full", "all connections are in use. Lower the server's pools, or raise max_connections."),
    ("remaining connection slots", "full", "all connections are in use. Lower the pools, or raise max_connections."),
    ("starting up|in recovery mode|not yet accepting", "unreachable", "it is starting. Run again."),
    ("shutting down", "unreachable", "it is shutting down. Start it, and run again."),
    ("connection refused", "unreachable", "nothing listens there. Check host, port and that PostgreSQL runs."),
    ("could not translate host|resolve host|name or service not known", "unreachable",
     "the name cannot be resolved on this host. Check database.host."),
    ("timeout expired|timed out", "unreachable", "no answer. Check database.host and the firewalls between the hosts."),
    ("closed the connection|terminating connection", "unreachable",
     "it closed the connection. Look at its log, then run again."),
    ("connection to server|connection failed", "unreachable", "no connection. Check host, port and that it runs."),
)  # fmt: skip


def explain(error: BaseException, options: t.Mapping[str, t.Any], name: str) -> DatabaseError:
    """The sentence for an error of the database driver; the password never shows."""
    text = " ".join(str(error).split())
    if options.get("password"):
        text = text.replace(str(options["password"]), "***")
    where = f"PostgreSQL at {options['host']}:{options['port']}, database {name}"
    # What libpq says before a sentence of the server is that it was asked.
    sentence = re.search(r"FATAL:\s+(.+)", text)
    for part, kind, advice in _CAUSES[:-1] if sentence else _CAUSES:
        if re.search(part, text, re.IGNORECASE):
            return DatabaseError(kind, f"{where}: {advice.format(user=options['user'])}")
    if sentence:
        return DatabaseError("refused", f"{where}: it refuses user {options['user']}: {sentence[1]}")
    return DatabaseError("other", f"{where}: {text or type(error).__name__}")


@dataclass(frozen=True)
class Member:
    """A role of a server that is in the ring now."""

    role: str
    address: str
    seconds: float


def shards_of(metadata: bytes) -> int | None:
    """The history shard count in the server's own record of a cluster, a protobuf message with it in field 2.

    Fields before it may be numbers or texts; ``None`` when it is not found.
    """
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = metadata[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    try:
        while at < len(metadata):
            tag = number()
            field, kind = tag >> 3, tag & 7
            if field == 2 and kind == 0:
                return number()
            if kind == 0:
                number()
            elif kind == 2:
                length = number()
                at += length
            else:
                return None
    except IndexError:
        pass
    return None


class Database:
    """A connection to one database. Every method raises :class:`DatabaseError`."""

    def __init__(self, driver: str, options: t.Mapping[str, t.Any], name: str, timeout_seconds: int = 5) -> None:
        """Connect.

        :param driver: ``psycopg`` or ``psycopg2``, importable.
        :param options: of the shape :data:`DATABASE`.
        """
        self._options = options
        self.name = name
        self._module: t.Any = importlib.import_module(driver)
        arguments = {key: options.get(key) for key in ("host", "port", "user", "password", "sslmode", "sslrootcert")}
        try:
            self._connection = self._module.connect(
                dbname=name,
                connect_timeout=timeout_seconds,
                application_name="durable.temporal",
                **{key: value for key, value in arguments.items() if value is not None},
            )
            self._connection.autocommit = True
        except self._module.Error as error:
            raise explain(error, options, name) from error

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()

    def rows(self, query: str, arguments: t.Sequence[t.Any] = ()) -> list[tuple[t.Any, ...]]:
        """The rows of a query."""
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(query, tuple(arguments))
                return [tuple(row) for row in cursor.fetchall()]
        except self._module.Error as error:
            raise explain(error, self._options, self.name) from error

    def value(self, query: str, arguments: t.Sequence[t.Any] = ()) -> t.Any:
        """The first column of the first row, or ``None``."""
        rows = self.rows(query, arguments)
        return rows[0][0] if rows else None

    def has_table(self, name: str) -> bool:
        """Whether a table of this name is on the search path."""
        return bool(self.value("SELECT to_regclass(%s) IS NOT NULL", [name]))

    def version(self) -> str:
        """Such as ``17.6``."""
        return str(self.value("SHOW server_version")).split(" ", maxsplit=1)[0]

    def schema_level(self, store: Store) -> str | None:
        """Schema level of the store in this database, or ``None`` while it has none.

        :raises DatabaseError: ``foreign`` when the tables are there, but were made under another database name or for
            the other store.
        """
        if not self.has_table("schema_version"):
            return None
        levels = dict(self.rows("SELECT db_name, curr_version FROM schema_version WHERE version_partition = 0"))
        if levels and self.name not in levels:
            raise DatabaseError(
                "foreign",
                f"Database {self.name}: its schema was recorded for a database named {', '.join(sorted(levels))}, so "
                "the server would not find it. It was renamed, or restored under another name: give it back its name.",
            )
        other = "executions_visibility" if store == "default" else "cluster_membership"
        if self.has_table(other):
            raise DatabaseError(
                "foreign",
                f"Database {self.name}: expected the {store} store, but it holds the tables of the other one. "
                "Check that the two database names are not swapped or equal.",
            )
        return levels.get(self.name)

    def members(self) -> list[Member]:
        """Roles with a heartbeat in the last 20 seconds, one row for each role and address."""
        rows = self.rows(
            "SELECT role, rpc_address || ':' || rpc_port, "
            "min(extract(epoch FROM (now() AT TIME ZONE 'utc') - last_heartbeat)) "
            "FROM cluster_membership WHERE last_heartbeat > (now() AT TIME ZONE 'utc') - %s * interval '1 second' "
            "GROUP BY 1, 2 ORDER BY 1, 2",
            [HEARTBEAT_SECONDS],
        )
        return [Member(_ROLES.get(role, f"role {role}"), str(address), float(age)) for role, address, age in rows]

    def history_shards(self, cluster: str = "active") -> int | None:
        """Number of history shards that a cluster was first started with, or ``None`` while it has not been started."""
        if not self.has_table("cluster_metadata_info"):
            return None
        data = self.value("SELECT data FROM cluster_metadata_info WHERE cluster_name = %s", [cluster])
        return None if data is None else shards_of(bytes(data))

    def read_only(self) -> bool:
        """Whether nothing can be written: it is a standby, or told so by its settings or those of the user or database."""
        found = self.value("SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool")
        return bool(found)

    def connections(self) -> tuple[int, int]:
        """Connections of clients in use, and how many there may be for users who are not superusers."""
        used, limit = self.rows(
            "SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'), "
            "current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
        )[0]
        return int(used), int(limit)
