# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings compare by value, and passwords by verifier."""

from __future__ import annotations

import base64
import re
import typing as t
from dataclasses import replace

import pytest
from ansible_collections.durable.temporal.plugins.module_utils._postgres import (
    Setting,
    canonical,
    check_range,
    compare_settings,
    elements,
    explain,
    in_effect,
    make_verifier,
    needs_reload,
    render,
    spelt,
    verifies,
)
from hypothesis import given
from hypothesis import strategies as st


def setting(name: str = "shared_buffers", **fields: t.Any) -> Setting:
    values: dict[str, t.Any] = {
        "setting": "16384",
        "unit": "8kB",
        "vartype": "integer",
        "context": "postmaster",
        "source": "configuration file",
        "boot": "16384",
        "lowest": "16",
        "highest": "1073741823",
        "pending_restart": False,
        "configured": "128MB",
        **fields,
    }
    return Setting(name=name, **values)


BOOL = setting("jit", setting="on", unit=None, vartype="bool", boot="on", lowest=None, highest=None, configured=None)
TIME = setting("statement_timeout", setting="0", unit="ms", boot="0", lowest="0", configured=None, context="user")
MINUTES = setting("log_rotation_age", setting="1440", unit="min", boot="1440", lowest="0", configured=None)
REAL = setting("random_page_cost", setting="4", unit=None, vartype="real", boot="4", lowest="0", configured=None)
ENUM = setting("wal_level", setting="replica", unit=None, vartype="enum", boot="replica", lowest=None, highest=None)
TEXT = setting("search_path", setting="", unit=None, vartype="string", boot="", lowest=None, highest=None)


@pytest.mark.parametrize(
    ("row", "text", "value"),
    [
        (setting(), "1GB", 131072),
        (setting(), "1024MB", 131072),
        (setting(), "131072", 131072),
        (setting(), " 8 kB ", 1),
        (setting(), "-1", -1),
        (setting(unit="MB"), "1GB", 1024),
        (setting(unit="kB"), "0.5MB", 512),
        (TIME, "2s", 2000),
        (TIME, "1min", 60000),
        (MINUTES, "1d", 1440),
        (MINUTES, "90s", 2),
        (REAL, "1.1", 1.1),
        (REAL, "4", 4.0),
        (BOOL, "ON", True),
        (BOOL, "false", False),
        (BOOL, "0", False),
        (ENUM, "Replica", "replica"),
        (TEXT, "a, b", "a, b"),
    ],
)
def test_spellings_of_one_value(row: Setting, text: str, value: object) -> None:
    assert canonical(text, row) == value


@pytest.mark.parametrize(
    ("row", "text", "words"),
    [
        (setting(), "1 parsec", "units B, kB"),
        (setting(), "10s", "units B, kB"),
        (TIME, "10MB", "units us, ms"),
        (REAL, "1MB", "without a unit"),
        (BOOL, "perhaps", "on or off"),
        (setting(), "", "number"),
    ],
)
def test_what_is_no_value_is_told(row: Setting, text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        canonical(text, row)


@given(st.integers(16, 2**20))
def test_every_unit_of_memory_means_the_same(pages: int) -> None:
    assert canonical(f"{pages * 8}kB", setting()) == canonical(f"{pages * 8192}B", setting()) == pages


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "on"), (False, "off"), (10, "10"), (1.1, "1.1"), ("1GB", "1GB"), (["a", "b"], "a, b"), ([], "")],
)
def test_yaml_becomes_postgresql(value: object, text: str) -> None:
    assert render(value) == text


def names(wanted: dict[str, t.Any], *present: Setting) -> list[str]:
    changes, problems = compare_settings(wanted, {row.name: row for row in present})
    assert problems == []
    return [change.setting.name for change in changes]


@pytest.mark.parametrize("wanted", ["a, b", 'a,"b"', ["a", "b"]])
def test_lists_are_lists_however_they_are_written(wanted: str | list[str]) -> None:
    row = setting("shared_preload_libraries", vartype="string", unit=None, setting="", boot="", configured=None)
    assert elements(row.name, wanted) == ["a", "b"]
    assert compare_settings({row.name: wanted}, {row.name: replace(row, configured='a, "b"')}) == ([], [])
    assert len(compare_settings({row.name: wanted}, {row.name: row})[0]) == 1
    assert elements("application_name", "a, b") == ["a, b"]
    assert elements(row.name, "") == [""]


def test_what_was_in_effect_can_be_written_back() -> None:
    pattern, line = in_effect(setting("shared_buffers", setting="16384"))
    text = "shared_buffers = '400GB'\nshared_buffers_more = '1'\n"
    assert re.sub(pattern, line, text, flags=re.MULTILINE) == "shared_buffers = '16384'\nshared_buffers_more = '1'\n"
    assert in_effect(setting("x", setting="it's\\"))[1] == "x = 'it''s\\\\'"


def test_only_values_that_differ_are_altered() -> None:
    assert names({"shared_buffers": "131072kB", "jit": True, "random_page_cost": 4}, setting(), BOOL, REAL) == []
    assert names({"shared_buffers": "256MB", "jit": False, "random_page_cost": 1.1}, setting(), BOOL, REAL) == [
        "shared_buffers",
        "jit",
        "random_page_cost",
    ]


def test_what_waits_for_a_restart_is_not_altered_again() -> None:
    row = setting(setting="16384", configured="1GB", pending_restart=True)
    assert names({"shared_buffers": "1GB"}, row) == []
    assert needs_reload({"shared_buffers": "1GB"}, {row.name: row}) == []


def test_null_goes_back_to_the_default() -> None:
    assert names({"shared_buffers": None}, setting(configured="1GB")) == ["shared_buffers"]
    assert names({"shared_buffers": None}, setting(configured="128MB")) == []
    assert names({"shared_buffers": None}, setting(configured=None)) == []


@pytest.mark.parametrize(
    ("wanted", "row", "words"),
    [
        ({"shared_bufers": "1GB"}, setting(), "did you mean shared_buffers"),
        ({"shared_buffers": "1B"}, setting(), "expected 16 to 1073741823"),
        ({"shared_buffers": "much"}, setting(), "expected a number"),
        ({"jit": False}, replace(BOOL, source="command line"), "command line"),
        ({"block_size": 1}, setting("block_size", context="internal", lowest="0"), "fixed"),
    ],
)
def test_what_the_server_would_not_take_is_told_before(wanted: dict[str, t.Any], row: Setting, words: str) -> None:
    changes, problems = compare_settings(wanted, {row.name: row})
    assert changes == []
    assert len(problems) == 1
    assert words in problems[0]


@pytest.mark.parametrize(
    ("wanted", "row", "missed"),
    [
        ("1GB", setting(configured="1GB"), True),
        ("128MB", setting(), False),
        ("-1", setting("wal_buffers", setting="512", configured="-1"), False),
        ("1GB", setting(configured="1GB", source="command line"), False),
        (None, setting(configured=None), True),
        (None, setting(configured=None, source="default"), False),
        (None, setting(configured=None, pending_restart=True), False),
    ],
)
def test_a_missed_reload_is_noticed(wanted: t.Any, row: Setting, missed: bool) -> None:
    assert bool(needs_reload({row.name: wanted}, {row.name: row})) is missed


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(0, 10**6)))
def test_applying_and_comparing_again_changes_nothing(wanted: dict[str, int]) -> None:
    present = {name: setting(name, configured="1", boot="1", lowest="0") for name in "abc"}
    changes, _unknown = compare_settings(wanted, present)
    for change in changes:
        name = change.setting.name
        present[name] = setting(name, configured=render(change.wanted), setting=str(change.wanted), lowest="0")
    assert compare_settings(wanted, present) == ([], [])


def test_range_needs_limits() -> None:
    assert check_range(TEXT, "x") is None
    assert check_range(setting(), 16) is None
    assert "units of 8kB" in (check_range(setting(), 15) or "")


def test_verifier_of_the_rfc() -> None:
    """The example of RFC 7677: user, password ``pencil``, 4096 iterations."""
    verifier = make_verifier("pencil", base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="))
    assert verifier == (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
        ":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )


@given(st.text(min_size=1, max_size=12), st.text(min_size=1, max_size=12))
def test_a_verifier_knows_its_password(password: str, other: str) -> None:
    verifier = make_verifier(password, b"0123456789abcdef", iterations=1)
    assert verifies(password, verifier)
    if password.isascii() and other.isascii():
        assert verifies(other, verifier) is (password == other)


@pytest.mark.parametrize("stored", [None, "", "md5aabbcc", "SCRAM-SHA-256$x"])
def test_anything_else_is_to_be_replaced(stored: str | None) -> None:
    assert not verifies("x", stored)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        ('FATAL:  password authentication failed for user "postgres"', "password", "refused the password"),
        ("fe_sendauth: no password supplied", "password", "refused the password"),
        ('connection to server at "127.0.0.1", port 5432 failed: Connection refused', "absent", "Nothing answers"),
        ("server closed the connection unexpectedly", "absent", "Nothing answers"),
        ("FATAL:  the database system is starting up", "absent", "Nothing answers"),
        ('FATAL:  database "x" does not exist', "other", "does not exist"),
    ],
)
def test_refusals_become_sentences(error: str, kind: str, words: str) -> None:
    refused = explain(error, {"login_host": "127.0.0.1", "login_port": 5432, "login_user": "postgres"})
    assert refused.kind == kind
    assert words in str(refused)
    assert "127.0.0.1:5432" in str(refused)


def test_settings_are_found_by_names_in_other_letters() -> None:
    present = {"TimeZone": setting("TimeZone", vartype="string", unit=None, setting="GMT", configured=None, boot="GMT")}
    wanted = spelt({"timezone": "Europe/Berlin", "nosuch": 1}, present)
    assert wanted == {"TimeZone": "Europe/Berlin", "nosuch": 1}
    changes, problems = compare_settings(wanted, present)
    assert [change.setting.name for change in changes] == ["TimeZone"]
    assert problems[0].startswith("nosuch is not a setting of this server")


def test_a_limit_in_milliseconds_by_mistake_is_not_written() -> None:
    row = setting(
        "statement_timeout", unit="ms", setting="0", configured=None, boot="0", lowest="0", highest="2147483647"
    )
    changes, problems = compare_settings({row.name: 5}, {row.name: row})
    assert changes == []
    assert problems == [
        "statement_timeout is 5, which is milliseconds; expected a time with its unit, such as '5s', or 0 for none"
    ]
    assert compare_settings({row.name: "5s"}, {row.name: row})[1] == []
