# SPDX-License-Identifier: GPL-3.0-or-later
"""Users, databases and settings against a pretended server that answers from a dict."""

from __future__ import annotations

import contextlib
import io
import json
import re
import typing as t
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.durable.temporal.plugins.module_utils import _postgres
from ansible_collections.durable.temporal.plugins.modules import postgres_server

psycopg2 = pytest.importorskip("psycopg2")

SECRET = "canary-7f3a"
WANTED: dict[str, t.Any] = {
    "users": [{"name": "temporal", "password": SECRET}],
    "databases": [{"name": "temporal", "owner": "temporal"}, {"name": "visibility", "owner": "temporal"}],
}


class Server:
    """Roles (name to verifier) and databases (name to owner); ``statements`` is what its log would show."""

    class NoFile(psycopg2.Error):
        pgcode = "58P01"

    def __init__(self, superuser: bool = True) -> None:
        self.missing = "none of them"
        self.superuser = superuser
        self.roles: dict[str, str] = {}
        self.databases: dict[str, str] = {"postgres": "postgres"}
        self.statements: list[str] = []
        self.refusal: _postgres.Refused | None = None
        self.settings = {
            "work_mem": _postgres.Setting(
                "work_mem", "4096", "kB", "integer", "user", "default", "4096", "64", "2147483647", False
            ),
            "shared_buffers": _postgres.Setting(
                "shared_buffers", "16384", "8kB", "integer", "postmaster", "default", "16384", "16", "1073741823", False
            ),
            "shared_preload_libraries": _postgres.Setting(
                "shared_preload_libraries", "", None, "string", "postmaster", "default", "", None, None, False
            ),
        }

    def reloaded(self) -> None:
        """What is written is in effect, or waits for a restart."""
        for name, row in self.settings.items():
            if row.configured is None:
                continue
            if row.needs_restart:
                self.settings[name] = replace(row, pending_restart=True)
            else:
                self.settings[name] = replace(row, setting=str(row.value), source="configuration file")

    def rows(self, _connection: object, query: t.Any, _arguments: t.Sequence[t.Any] = ()) -> list[tuple[t.Any, ...]]:
        if isinstance(query, str):
            if "is_superuser" in query:
                return [("17.6 (Debian)", self.superuser)]
            if "pg_settings" in query:
                return [tuple(vars(setting).values()) for setting in self.settings.values()]
            if "pg_reload_conf" in query:
                self.reloaded()
                return []
            if "pg_database" in query:
                return list(self.databases.items())
            return [(name, True, verifier if self.superuser else None) for name, verifier in self.roles.items()]
        words = [str(part.wrapped if hasattr(part, "wrapped") else part.string) for part in self.flat(query)]
        text = re.sub(r" +", " ", " ".join(words))
        self.statements.append(text)
        if text.startswith("LOAD") and self.missing in text:
            raise self.NoFile
        if match := re.match(r"ALTER SYSTEM SET (\S+) ?= ?(\S+)", text):
            self.settings[match[1]] = replace(self.settings[match[1]], configured=match[2])
        elif match := re.match(r"(CREATE|ALTER) ROLE (\S+) LOGIN PASSWORD (\S+)", text):
            self.roles[match[2]] = match[3]
        elif match := re.match(r"(CREATE|ALTER) DATABASE (\S+)(?: OWNER (?:TO )?(\S+))?", text):
            self.databases[match[2]] = match[3] or "postgres"
        return []

    def flat(self, query: t.Any) -> t.Iterator[t.Any]:
        for part in query.seq if hasattr(query, "seq") else [query]:
            if hasattr(part, "seq"):
                yield from self.flat(part)
            elif hasattr(part, "strings"):
                yield mock.Mock(spec=["string"], string=" ".join(part.strings))
            else:
                yield part

    def login(self, params: t.Mapping[str, t.Any], **other: str) -> mock.Mock:
        if self.refusal is not None:
            raise self.refusal
        options = {**params, **other}
        user = options["login_user"]
        # Who is not told of here is let in.
        if user in self.roles and not _postgres.verifies(options["login_password"], self.roles[user]):
            raise _postgres.Refused("password", f"refused {user}")
        return mock.Mock()

    def __call__(self, *, check: bool = False, **options: t.Any) -> tuple[dict[str, t.Any], str]:
        out = io.StringIO()
        self.statements.clear()
        with (
            patch_module_args({**WANTED, **options, "_ansible_check_mode": check}),
            contextlib.redirect_stdout(out),
            mock.patch.object(basic.AnsibleModule, "log"),
            mock.patch.multiple(postgres_server, rows=self.rows, login=self.login),
            mock.patch.object(_postgres, "login", self.login),
            pytest.raises(SystemExit),
        ):
            postgres_server.main()
        return json.loads(out.getvalue()), out.getvalue()


@pytest.mark.parametrize("superuser", [True, False])
def test_create_again_change_again(superuser: bool) -> None:
    server = Server(superuser)
    predicted, _made = server(check=True)
    assert predicted["changed"]
    assert server.statements == []
    first, text = server()
    assert first["diff"] == predicted["diff"]
    assert SECRET not in text
    assert not any(SECRET in statement for statement in server.statements)
    assert server.databases["visibility"] == "temporal"
    assert not server()[0]["changed"]
    other = {"users": [{"name": "temporal", "password": "another"}]}
    assert server(**other)[0]["actions"] == [{"name": "user temporal", "action": "update", "fields": ["password"]}]
    assert not server(**other)[0]["changed"]


def test_an_md5_hash_is_replaced() -> None:
    server = Server()
    server()
    server.roles["temporal"] = "md5abc"
    assert server()[0]["changed"]
    assert server.roles["temporal"].startswith("SCRAM-SHA-256$")


def test_a_database_of_another_owner_is_given() -> None:
    server = Server()
    server.databases["temporal"] = "somebody"
    server()
    assert server.databases["temporal"] == "temporal"


def test_a_server_to_come_is_predicted_and_a_wrong_password_is_not() -> None:
    server = Server()
    server.refusal = _postgres.Refused("absent", "nobody there")
    assert server(check=True)[0]["changed"]
    assert server()[0]["msg"] == "nobody there"
    for check in (True, False):
        later = server(check=check, must_answer=False)[0]
        assert (later["changed"], later["answered"], later["restart_required"]) == (False, False, False)
    server.refusal = _postgres.Refused("password", "refused the password")
    assert server(must_answer=False)[0]["msg"] == "refused the password"
    assert server(check=True)[0]["msg"] == "refused the password"


def test_a_refused_login_gets_in_with_the_former_password_and_sets_the_new_one(tmp_path: Path) -> None:
    server = Server()
    server.roles["postgres"] = _postgres.make_verifier("the-one-before")
    file = tmp_path / "superuser-password"
    options: dict[str, t.Any] = {
        "login_password": "the-new-one",
        "former_password_file": str(file),
        "users": [*WANTED["users"], {"name": "postgres", "password": "the-new-one"}],
    }
    assert server(**options)[0]["msg"] == "refused postgres", "without the file there is no way in"
    file.write_text("somebody else's")
    assert server(**options)[0]["msg"] == "refused postgres"
    file.write_text("the-one-before")
    assert {"name": "user postgres", "action": "update", "fields": ["password"]} in server(**options)[0]["actions"]
    assert _postgres.verifies("the-new-one", server.roles["postgres"])
    again, text = server(**options)
    assert not again["changed"]
    assert "the-new-one" not in text
    assert "the-one-before" not in text


def test_settings_are_changed_and_what_waits_for_a_restart_is_told() -> None:
    server = Server()
    tuned = {"settings": {"work_mem": "8MB", "shared_buffers": "256MB"}}
    predicted = server(check=True, **tuned)[0]
    assert server.statements == []
    first = server(**tuned)[0]
    assert first["diff"] == predicted["diff"]
    assert first["diff"]["after"]["setting work_mem"] == {"value": "8MB"}
    for answer in (predicted, first, server(**tuned)[0]):
        assert (answer["restart_required"], answer["pending_restart"]) == (True, ["shared_buffers"])
    assert not server(**tuned)[0]["changed"]
    assert server()[0]["pending_restart"] == [], "not asked about"


def test_what_was_in_effect_is_handed_on_for_a_server_that_does_not_start() -> None:
    server = Server()
    tuned = {"settings": {"work_mem": "8MB", "shared_buffers": "400GB"}}
    assert server(check=True, **tuned)[0]["put_back"] == {}
    back = {"^()shared_buffers *=.*$": "shared_buffers = '16384'"}
    # Also of a run before, which was cut off.
    assert [server(**tuned)[0]["put_back"] for _time in range(2)] == [back, back]


def test_a_library_that_is_not_there_is_told_before_anything_changes() -> None:
    server = Server()
    server.missing = "pg_nosuch"
    tuned = {"settings": {"shared_preload_libraries": "auto_explain, pg_nosuch"}}
    failed = server(**tuned)[0]
    assert "shared_preload_libraries has 'pg_nosuch', which is not installed there" in failed["msg"]
    assert [s for s in server.statements if not s.startswith("LOAD")] == []
    server.missing = "none of them"
    assert server(**tuned)[0]["changed"]
    assert "ALTER SYSTEM SET shared_preload_libraries = auto_explain , pg_nosuch" in server.statements


@pytest.mark.parametrize(("superuser", "settings"), [(False, {"work_mem": "8MB"}), (True, {"work_men": "8MB"})])
def test_settings_that_cannot_be_changed_are_told_before_anything_is(superuser: bool, settings: dict[str, str]) -> None:
    server = Server(superuser)
    assert server(settings=settings)[0]["failed"]
    assert server.statements == []
