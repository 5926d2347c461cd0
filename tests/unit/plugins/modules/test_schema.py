# SPDX-License-Identifier: GPL-3.0-or-later
"""Schema levels: the comparison, and the module with databases in memory and a tool that is a script."""

from __future__ import annotations

import json
import sys
import typing as t
from pathlib import Path
from unittest import mock

import pytest
from ansible_collections.durable.temporal.plugins.module_utils._database import DatabaseError, Kind
from ansible_collections.durable.temporal.plugins.module_utils._versions import MINORS, Levels
from ansible_collections.durable.temporal.plugins.modules import schema
from ansible_collections.durable.temporal.tests.unit.plugins.modules.fake_temporal import Json, run
from hypothesis import given
from hypothesis import strategies as st

NAMES = {"temporal": "default", "temporal_visibility": "visibility"}
minors = st.sampled_from(sorted(MINORS))
levels = st.one_of(st.none(), st.sampled_from(["0.0", *(known.levels.default for known in MINORS.values())]))


@given(minors, levels, levels)
def test_applying_a_plan_and_comparing_again_finds_nothing(
    minor: tuple[int, int], default: str | None, visibility: str | None
) -> None:
    needed = MINORS[minor].levels
    present: dict[t.Any, str | None] = {"default": default, "visibility": visibility}
    plan = schema.plan_for(needed, present)
    for change in plan:
        assert change.after is not None
        assert schema.commands(change)[-1][-1] == change.after["level"]
        present[change.key] = change.after["level"]
    assert not schema.plan_for(needed, present)


def test_a_higher_level_is_left_as_it_is() -> None:
    assert not schema.plan_for(Levels("1.18", "1.13"), {"default": "1.19", "visibility": "1.14"})


class FakeDatabases:
    """Stands for :class:`Database`; the levels live in a file that the tool, a script, writes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.failing: dict[str, Kind] = {}
        self.version = "17.6"
        self.shards: int | None = None
        self.on_lock: t.Callable[[], None] = lambda: None
        self.set(default=None, visibility=None)

    def set(self, **found: str | None) -> None:
        self.path.write_text(json.dumps(found))

    def levels(self) -> dict[str, str | None]:
        return t.cast("dict[str, str | None]", json.loads(self.path.read_text()))

    def open(self, _driver: str, _options: t.Any, name: str, _timeout: int = 5) -> t.Any:
        if name in self.failing:
            raise DatabaseError(self.failing[name], f"Database {name}: {self.failing[name]}.")
        database = mock.MagicMock()
        database.__enter__.return_value = database
        database.schema_level.side_effect = lambda store: self.levels()[store]
        database.version.return_value = self.version
        database.history_shards.return_value = self.shards
        database.rows.side_effect = lambda *_query: self.on_lock()
        return database


TOOL = """#!{python} -SE
import json, os, pathlib, sys
path = pathlib.Path({path!r})
with open({log!r}, "a") as log:
    log.write(json.dumps([os.environ["SQL_DATABASE"], sys.argv[1:], os.environ["SQL_PASSWORD"]]) + "\\n")
if {fails}:
    print("2026-11-21T03:40:51Z\\tINFO\\tstarted\\t{{}}")
    print("2026-11-21T03:40:51Z\\tERROR\\tUnable to update\\t{{\\"error\\": \\"no usable connection pw-canary\\"}}")
    sys.exit(1)
if sys.argv[1] == "update-schema" and not {idle}:
    levels = json.loads(path.read_text())
    levels[{{"temporal": "default", "temporal_visibility": "visibility"}}[os.environ["SQL_DATABASE"]]] = sys.argv[-1]
    path.write_text(json.dumps(levels))
"""


class Bench:
    """Databases, a tool, and the module."""

    def __init__(self, directory: Path) -> None:
        self.databases = FakeDatabases(directory / "levels.json")
        self.tool = directory / "temporal-sql-tool"
        self.log = directory / "log"
        self.make_tool()

    def make_tool(self, *, fails: bool = False, idle: bool = False) -> None:
        text = TOOL.format(
            python=sys.executable, path=str(self.databases.path), log=str(self.log), fails=fails, idle=idle
        )
        self.tool.write_text(text)
        self.tool.chmod(0o755)

    def runs(self) -> list[list[t.Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def call(
        self, version: str = "1.32.2", check: bool = False, driver: str | None = "psycopg", **options: t.Any
    ) -> Json:
        with (
            mock.patch.object(schema, "provide", return_value=driver),
            mock.patch.object(schema, "Database", self.databases.open),
        ):
            return run(
                schema.main,
                check=check,
                server_version=version,
                database={"password": "pw-canary"},
                **{"tool": [str(self.tool)], **options},
            )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_create_again_upgrade_again(bench: Bench) -> None:
    created = bench.call("1.30.6")
    assert created["changed"]
    assert created["before"] == {"default": "", "visibility": ""}
    assert created["after"] == {"default": "1.18", "visibility": "1.13"}
    assert [(name, arguments[0]) for name, arguments, _password in bench.runs()] == [
        ("temporal", "setup-schema"),
        ("temporal", "update-schema"),
        ("temporal_visibility", "setup-schema"),
        ("temporal_visibility", "update-schema"),
    ]
    assert not bench.call("1.30.6")["changed"]
    assert len(bench.runs()) == 4

    upgraded = bench.call("1.31.2")
    assert upgraded["diff"]["before"] == {"default": {"level": "1.18"}, "visibility": {"level": "1.13"}}
    assert upgraded["diff"]["after"] == {"default": {"level": "1.19"}, "visibility": {"level": "1.14"}}
    assert [arguments[0] for _name, arguments, _password in bench.runs()[4:]] == ["update-schema", "update-schema"]
    assert not bench.call("1.32.2")["changed"]


def test_the_password_reaches_the_tool_and_nothing_else(bench: Bench) -> None:
    result = bench.call()
    assert all(password == "pw-canary" for _name, _arguments, password in bench.runs())
    assert "pw-canary" not in json.dumps([arguments for _name, arguments, _password in bench.runs()])
    assert "pw-canary" not in json.dumps({key: value for key, value in result.items() if key != "invocation"})


def test_a_container_without_the_password_in_its_environment_reads_it(bench: Bench) -> None:
    script = 'SQL_PASSWORD=$(cat); export SQL_PASSWORD; exec "$@"'
    bench.call(tool=["env", "-u", "SQL_PASSWORD", "sh", "-c", script, "sh", str(bench.tool)])
    assert [password for _name, _arguments, password in bench.runs()] == ["pw-canary"] * 4


def test_check_mode_predicts_what_then_happens(bench: Bench) -> None:
    predicted = bench.call(check=True)
    assert bench.runs() == []
    done = bench.call()
    for part in ("changed", "diff", "changes", "before", "after"):
        assert predicted[part] == done[part]


@pytest.mark.parametrize("reason", ["unreachable", "no_database"])
def test_check_mode_predicts_on_a_bare_host(bench: Bench, reason: Kind) -> None:
    bench.databases.failing = dict.fromkeys(NAMES, reason)
    predicted = bench.call(check=True)
    assert predicted["changed"]
    assert predicted["predicted"]
    assert predicted["after"] == {"default": "1.19", "visibility": "1.14"}
    assert bench.call()["failed"]


def test_check_mode_predicts_without_a_database_driver(bench: Bench) -> None:
    assert bench.call(check=True, driver=None)["predicted"]
    assert "Neither psycopg nor psycopg2" in bench.call(driver=None)["msg"]


def test_check_mode_does_not_hide_a_wrong_password(bench: Bench) -> None:
    bench.databases.failing = {"temporal": "refused"}
    assert bench.call(check=True)["failed"]


def test_a_schema_of_the_next_minor_is_kept_and_one_beyond_refused(bench: Bench) -> None:
    bench.databases.set(default="1.19", visibility="1.14")
    assert not bench.call("1.30.6")["changed"]
    failed = bench.call("1.29.7")
    assert "may run on the schema of the next minor at most" in failed["msg"]
    assert bench.call("1.29.7", check=True)["failed"]
    assert bench.runs() == []


@pytest.mark.parametrize(
    ("version", "part"),
    [("1.31.0", "must not be used"), ("1.99.0", "does not know its schema"), ("latest", "is not a version")],
)
def test_releases_that_cannot_be_are_refused(bench: Bench, version: str, part: str) -> None:
    failed = bench.call(version)
    assert part in failed["msg"]
    assert failed["msg"].startswith("server_version")


def test_an_unsupported_database_is_refused(bench: Bench) -> None:
    bench.databases.version = "13.4"
    assert "PostgreSQL 13 is too old" in bench.call()["msg"]


def test_the_last_words_of_the_tool_are_reported_without_secrets(bench: Bench) -> None:
    bench.make_tool(fails=True)
    failed = bench.call()
    assert "setup-schema --version 0.0 for the default store failed with code 1: Unable to update" in failed["msg"]
    assert "no usable connection ***" in failed["msg"]
    assert "pw-canary" not in failed["msg"]
    assert "started" not in failed["msg"]
    # Ansible would mask it in the result as well; the module does not count on that.
    assert schema.last_words("FATAL: pw-canary is wrong", ["pw-canary", None]) == "FATAL: *** is wrong"


def test_a_tool_that_does_nothing_is_found_out(bench: Bench) -> None:
    bench.make_tool(idle=True)
    failed = bench.call()
    assert "left the schema too low: found default None, visibility None, expected 1.19 and 1.14" in failed["msg"]


def test_a_missing_tool_is_named(bench: Bench) -> None:
    assert "Cannot run /nonexistent: it does not exist on this host" in bench.call(tool=["/nonexistent"])["msg"]


def test_a_tool_that_hangs_is_stopped(bench: Bench) -> None:
    bench.tool.write_text("#!/bin/sh\nexec sleep 60\n")
    assert "did not end within 1 s" in bench.call(timeout_seconds=1)["msg"]


def test_whoever_waited_for_another_run_finds_nothing_to_do(bench: Bench) -> None:
    bench.databases.on_lock = lambda: bench.databases.set(default="1.19", visibility="1.14")
    assert not bench.call()["changed"]
    assert bench.runs() == []


def test_another_number_of_history_shards_is_refused_before_any_change(bench: Bench) -> None:
    assert bench.call("1.30.6", expected_history_shards=512)["history_shards"] == 0, "the cluster was never started"
    bench.databases.shards = 512
    assert bench.call("1.30.6", expected_history_shards=512)["history_shards"] == 512
    runs = len(bench.runs())
    for check in (True, False):
        failed = bench.call("1.31.2", check=check, expected_history_shards=4)
        assert "started with 512 history shards; expected 4" in failed["msg"]
    assert len(bench.runs()) == runs


@pytest.mark.parametrize(
    ("sslmode", "tls"),
    [
        ("disable", {}),
        ("prefer", {}),
        ("require", {"SQL_TLS": "true", "SQL_TLS_DISABLE_HOST_VERIFICATION": "true"}),
        ("verify-ca", {"SQL_TLS": "true", "SQL_TLS_DISABLE_HOST_VERIFICATION": "true", "SQL_TLS_CA_FILE": "/ca.pem"}),
        ("verify-full", {"SQL_TLS": "true", "SQL_TLS_CA_FILE": "/ca.pem"}),
    ],
)
def test_the_tool_connects_as_the_module_does(sslmode: str, tls: dict[str, str]) -> None:
    database = {"host": "db1", "port": 5432, "user": "temporal", "password": None, "name": "a", "visibility_name": "b"}
    authorities = "/ca.pem" if sslmode.startswith("verify") else None
    options: Json = {
        "database": {**database, "sslmode": sslmode, "sslrootcert": authorities},
        "driver": "postgres12",
        "tool_database_host": "temporal-postgres",
        "tool_database_port": None,
        "tool_ca_file": None,
    }
    found = schema.environment(options, "visibility")
    assert {key: value for key, value in found.items() if key.startswith("SQL_TLS")} == tls
    assert (found["SQL_HOST"], found["SQL_PORT"], found["SQL_DATABASE"]) == ("temporal-postgres", "5432", "b")
