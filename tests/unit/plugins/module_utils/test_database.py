# SPDX-License-Identifier: GPL-3.0-or-later
"""What PostgreSQL says, as sentences and plain data. The driver is a fake; tests/integration_server has a real one."""

from __future__ import annotations

import typing as t
from types import SimpleNamespace
from unittest import mock

import pytest
from ansible_collections.durable.temporal.plugins.module_utils._database import Database, DatabaseError, Kind, explain

OPTIONS = {"host": "db1", "port": 5432, "user": "temporal", "password": "pw-canary", "sslmode": "prefer"}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('connection to server at "db1", port 5432 failed: FATAL:  password authentication failed for user "temporal"',
         "refused"),
        ('connection failed: connection to server at "127.0.0.1", port 1 failed: Connection refused', "unreachable"),
        ('could not translate host name "db9" to address: Name or service not known', "unreachable"),
        ('connection to server at "db1" failed: FATAL:  database "temporal" does not exist', "no_database"),
        ('connection to server at "db1" failed: FATAL:  role "temporal" does not exist', "refused"),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.9", user "temporal", database "temporal", no encryption',
         "refused"),
        ('connection to server failed: FATAL:  role "temporal" is not permitted to log in', "refused"),
        ('connection to server failed: FATAL:  database "temporal" is not currently accepting connections', "refused"),
        ("connection to server failed: FATAL:  the database system is in recovery mode", "unreachable"),
        ("connection to server failed: FATAL:  sorry, too many clients already", "full"),
        ("connection to server failed: FATAL:  the database system is starting up", "unreachable"),
        ("connection to server failed: timeout expired", "unreachable"),
        ("SSL error: certificate verify failed", "tls"),
        ("server does not support SSL, but SSL was required", "tls"),
        ("fe_sendauth: no password supplied", "refused"),
        ("permission denied for table schema_version", "refused"),
        ("something new with pw-canary in it", "other"),
    ],
)  # fmt: skip
def test_errors_name_the_database_and_the_next_step(text: str, kind: Kind) -> None:
    error = explain(RuntimeError(text), OPTIONS, "temporal")
    assert error.kind == kind
    assert error.message.startswith("PostgreSQL at db1:5432, database temporal: ")
    assert "pw-canary" not in error.message


class FakeDriver:
    """A database driver whose queries are answered by the first key that is part of them."""

    Error = RuntimeError

    def __init__(self, answers: dict[str, list[tuple[t.Any, ...]]]) -> None:
        self.answers = answers
        self.arguments: dict[str, t.Any] = {}

    def connect(self, **arguments: t.Any) -> t.Any:
        self.arguments = arguments
        return SimpleNamespace(cursor=lambda: _Cursor(self.answers), close=lambda: None, autocommit=False)


class _Cursor:
    def __init__(self, answers: dict[str, list[tuple[t.Any, ...]]]) -> None:
        self._answers = answers
        self._rows: list[tuple[t.Any, ...]] = []

    def __enter__(self) -> _Cursor:
        return self

    def __exit__(self, *_exc: object) -> None:
        return None

    def execute(self, query: str, arguments: tuple[t.Any, ...]) -> None:
        if "to_regclass" in query:
            self._rows = [(arguments[0] in self._answers["tables"][0],)]
            return
        self._rows = next(rows for part, rows in self._answers.items() if part in query)

    def fetchall(self) -> list[tuple[t.Any, ...]]:
        return self._rows


def database(**answers: list[tuple[t.Any, ...]]) -> Database:
    with mock.patch("importlib.import_module", return_value=FakeDriver(answers)):
        return Database("psycopg", OPTIONS, "temporal")


def test_no_schema_table_is_no_level() -> None:
    assert database(tables=[()]).schema_level("default") is None


def test_an_empty_schema_table_is_no_level() -> None:
    assert database(tables=[("schema_version",)], schema_version=[]).schema_level("default") is None


def test_the_level_is_that_of_this_database() -> None:
    rows = [("temporal", "1.19")]
    assert database(tables=[("schema_version",)], schema_version=rows).schema_level("default") == "1.19"


def test_a_renamed_database_is_refused() -> None:
    with pytest.raises(DatabaseError, match="recorded for a database named orders") as error:
        database(tables=[("schema_version",)], schema_version=[("orders", "1.19")]).schema_level("default")
    assert error.value.kind == "foreign"


@pytest.mark.parametrize(
    ("store", "table"), [("default", "executions_visibility"), ("visibility", "cluster_membership")]
)
def test_swapped_databases_are_refused(store: t.Literal["default", "visibility"], table: str) -> None:
    with pytest.raises(DatabaseError, match="tables of the other one"):
        database(tables=[("schema_version", table)], schema_version=[("temporal", "1.14")]).schema_level(store)


def test_members_and_connections() -> None:
    found = database(
        cluster_membership=[(1, "10.0.0.1:6933", 2), (2, "10.0.0.1:6934", 3), (9, "10.0.0.1:1", 1)],
        pg_stat_activity=[(34, 97)],
        server_version=[("17.6 (Debian 17.6-1)",)],
    )
    assert [member.role for member in found.members()] == ["frontend", "history", "role 9"]
    assert found.connections() == (34, 97)
    assert found.version() == "17.6"


def test_options_that_are_not_set_are_left_to_the_driver() -> None:
    driver = FakeDriver({})
    with mock.patch("importlib.import_module", return_value=driver):
        Database("psycopg2", {**OPTIONS, "sslrootcert": None}, "temporal")
    assert "sslrootcert" not in driver.arguments
    assert driver.arguments["dbname"] == "temporal"
