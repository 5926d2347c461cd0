# SPDX-License-Identifier: GPL-3.0-or-later
"""The facts about releases, and the judgements made from them."""

from __future__ import annotations

import pytest
from ansible_collections.durable.temporal.plugins.module_utils import _versions as versions
from hypothesis import given
from hypothesis import strategies as st

MINORS = sorted(versions.MINORS)
minors = st.sampled_from(MINORS)


def text(minor: tuple[int, int], patch: int = 9) -> str:
    return f"{minor[0]}.{minor[1]}.{patch}"


@pytest.mark.parametrize(
    ("given_text", "parsed"),
    [("1.32.2", (1, 32, 2)), ("v1.5.1", (1, 5, 1)), (" 1.30 ", (1, 30, 0)), ("2.56.0", (2, 56, 0))],
)
def test_versions_are_parsed(given_text: str, parsed: versions.Version) -> None:
    assert versions.parse_version(given_text) == parsed


@pytest.mark.parametrize("wrong", ["", "latest", "1", "1.32.2-rc.1", "1.32.x", "1.32.2.1"])
def test_what_is_no_version_is_named(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"is not a version: expected three numbers such as 1\.32\.2"):
        versions.parse_version(wrong)


@pytest.mark.parametrize(
    "bad",
    [
        "1.21.0",
        "1.23.1",
        "1.24.0",
        "1.26.0",
        "1.26.1",
        "1.27.0",
        "1.30.0",
        "1.30.1",
        "1.30.2",
        "1.30.3",
        "1.30.4",
        "1.31.0",
    ],
)
def test_bad_releases_are_refused_with_a_way_out(bad: str) -> None:
    reason = versions.is_bad(bad)
    assert reason is not None
    assert bad in reason
    assert "Use 1." in reason


@pytest.mark.parametrize(
    "good", ["1.24.3", "1.26.2", "1.27.1", "1.29.7", "1.30.5", "1.30.6", "1.31.1", "1.31.2", "1.32.2", "1.33.0"]
)
def test_good_releases_pass(good: str) -> None:
    assert versions.is_bad(good) is None


def test_the_newest_patch_of_each_minor_is_good() -> None:
    for minor, known in versions.MINORS.items():
        assert versions.parse_version(known.newest)[:2] == minor
        assert versions.is_bad(known.newest) is None


def test_each_way_out_is_itself_good() -> None:
    for bad in versions._SUPERSEDED:
        reason = versions.is_bad(text(bad[:2], bad[2])) or ""
        assert versions.is_bad(reason.rsplit("Use ", 1)[1].rstrip(".")) is None


@pytest.mark.parametrize(
    ("version", "default", "visibility"),
    [("1.24.0", "1.12", "1.5"), ("1.24.3", "1.12", "1.6"), ("1.27.0", "1.15", "1.9"), ("1.27.4", "1.16", "1.9"),
     ("1.30.6", "1.18", "1.13"), ("1.31.2", "1.19", "1.14"), ("1.32.2", "1.19", "1.14")],
)  # fmt: skip
def test_schema_levels(version: str, default: str, visibility: str) -> None:
    levels = versions.expected_schema(version)
    assert levels is not None
    assert levels.as_dict() == {"default": default, "visibility": visibility}


def test_an_unknown_minor_has_no_expected_schema() -> None:
    assert versions.expected_schema("1.99.0") is None
    assert not versions.is_known("1.99.0")
    assert versions.schema_too_new("1.99.0", "default", "7.0") is None


def test_levels_compare_by_number() -> None:
    assert versions.parse_level("1.9") < versions.parse_level("1.13")
    with pytest.raises(ValueError, match="is not a schema level"):
        versions.parse_level("1.x")


def test_levels_never_fall_from_minor_to_minor() -> None:
    for store in versions.STORES:
        levels = [versions.parse_level(versions.MINORS[minor].levels.of(store)) for minor in MINORS]
        assert levels == sorted(levels)


@given(minors, minors)
def test_a_server_runs_on_older_schemas_and_on_that_of_the_next_minor(
    server: tuple[int, int], schema: tuple[int, int]
) -> None:
    for store in versions.STORES:
        message = versions.schema_too_new(text(server), store, versions.MINORS[schema].levels.of(store))
        if schema <= (server[0], server[1] + 1):
            assert message is None
        if message:
            assert "restore a backup" in message
            assert schema > (server[0], server[1] + 1)


def test_a_schema_two_minors_ahead_is_refused() -> None:
    message = versions.schema_too_new("1.29.7", "visibility", "1.14")
    assert message is not None
    assert "has schema 1.14, the level of Temporal 1.31" in message
    assert "newer than any release" in (versions.schema_too_new("1.32.2", "default", "1.99") or "")


@pytest.mark.parametrize("postgres", [15, "16", "17", "17.6", 18, "18.1 (Debian 18.1-1)"])
def test_supported_databases_pass(postgres: str | int) -> None:
    assert versions.check_pair("1.32.2", postgres) is None


@pytest.mark.parametrize(
    ("postgres", "part"),
    [
        ("9.6", "cannot hold"),
        (11, "cannot hold"),
        ("13", "too old"),
        (14, "too old"),
        (19, "not proved"),
        ("latest", "is not a PostgreSQL"),
    ],
)
def test_other_databases_are_refused(postgres: str | int, part: str) -> None:
    message = versions.check_pair("1.32.2", postgres)
    assert message is not None
    assert part in message
    assert "15 to 18" in message


@pytest.mark.parametrize(
    ("running", "wanted"),
    [
        ("1.31.2", "1.31.2"),
        ("1.31.2", "1.32.2"),
        ("1.30.5", "1.30.6"),
        ("1.32.2", "1.31.2"),
        ("1.30.2", "1.30.6"),
        ("1.32.2", "1.33.0"),
    ],
)
def test_one_minor_at_a_time_is_allowed(running: str, wanted: str) -> None:
    assert versions.next_minor_allowed(running, wanted) is None


@pytest.mark.parametrize(
    ("running", "wanted", "part"),
    [
        ("1.29.7", "1.31.2", "Upgrade to 1.30.6 first"),
        ("1.35.0", "1.38.0", "Upgrade to 1.36, newest patch first"),
        ("1.32.2", "1.30.6", "Go back to 1.31 at most"),
        ("1.30.6", "1.31.0", "must not be used"),
        ("1.32.2", "2.0.0", "another major"),
    ],
)
def test_other_steps_are_refused(running: str, wanted: str, part: str) -> None:
    assert part in (versions.next_minor_allowed(running, wanted) or "")


@given(minors, minors)
def test_walking_the_advised_steps_arrives(start: tuple[int, int], goal: tuple[int, int]) -> None:
    here, target = versions.MINORS[start].newest, versions.MINORS[max(start, goal)].newest
    for _step in range(len(MINORS)):
        message = versions.next_minor_allowed(here, target)
        if message is None:
            return
        here = message.split("Upgrade to ")[1].split(" first")[0]
    pytest.fail(f"never arrived at {target}, stopped at {here}")


def test_go_toolchains() -> None:
    assert versions.go_toolchain("server", "1.30.6") == "go1.25.11"
    assert versions.go_toolchain("server", "v1.32.2") == "go1.26.10"
    assert versions.go_toolchain("sql_tool", "1.32.1") == "go1.26.10"
    assert versions.go_toolchain("cli", "1.5.1") == "go1.26.10"
    assert versions.go_toolchain("cli", "1.8.2") is None
    assert versions.go_toolchain("ui", "2.58.0") is None
    assert versions.go_toolchain("server", "1.29.7") is None
    assert versions.is_proved_go_module("tdbg", "1.31.2")
    assert not versions.is_proved_go_module("server", "1.31.3")


def test_the_defaults_are_proved_and_supported() -> None:
    assert versions.is_proved_go_module("server", versions.DEFAULT_TEMPORAL)
    assert versions.is_proved_go_module("cli", versions.DEFAULT_CLI)
    assert versions.is_proved_go_module("ui", versions.DEFAULT_UI)
    assert versions.check_pair(versions.DEFAULT_TEMPORAL, versions.DEFAULT_POSTGRES) is None
