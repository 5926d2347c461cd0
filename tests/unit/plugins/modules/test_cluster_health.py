# SPDX-License-Identifier: GPL-3.0-or-later
"""Health: what is made of measurements, and the module against a frontend in memory."""

from __future__ import annotations

import time
import typing as t
from unittest import mock

import pytest
from ansible_collections.durable.temporal.plugins.module_utils import _health
from ansible_collections.durable.temporal.plugins.module_utils._checks import Check, worst
from ansible_collections.durable.temporal.plugins.module_utils._database import DatabaseError, Member
from ansible_collections.durable.temporal.plugins.module_utils._errors import TemporalError
from ansible_collections.durable.temporal.plugins.module_utils._health import Expected, Observation, Stores, assess
from ansible_collections.durable.temporal.plugins.modules import cluster_health
from ansible_collections.durable.temporal.tests.unit.plugins.modules.fake_temporal import FakeTemporal, Json, run

SYSTEM = ("temporal-system", "default-worker-tq", "workflow")
MEMBERS = [Member(role, f"10.0.0.1:{port}", 2) for port, role in enumerate(_health.ROLES, 6933)]


def stores(**changes: t.Any) -> Stores:
    good: Json = {
        "version": "17.6",
        "levels": {"default": "1.19", "visibility": "1.14"},
        "members": list(MEMBERS),
        "connections": (34, 97),
    }
    return Stores(**{**good, **changes})


def observation(**changes: t.Any) -> Observation:
    good: Json = {
        "serving": True,
        "system_pollers": 1,
        "cluster": {"version": "1.32.2", "history_shards": 512},
        "namespaces": {"orders"},
        "stores": stores(),
    }
    return Observation(**{**good, **changes})


def by_name(checks: list[Check], name: str) -> Check:
    (found,) = [check for check in checks if check.name == name]
    return found


def test_a_namespace_that_nobody_declares_is_told_and_no_fault() -> None:
    seen = observation(namespaces={"orders", "old", "default", "temporal-system"})
    row = by_name(assess(seen, Expected(namespaces=["orders"])), "namespaces")
    assert (row.status, row.found, row.message) == ("healthy", "1 of 1; not declared: old", "")


def test_a_good_cluster_is_healthy() -> None:
    expected = Expected("1.32.2", 512, {"frontend": 1}, ["orders"])
    checks = assess(observation(), expected)
    assert worst(checks) == "healthy"
    assert not [check for check in checks if check.message]


NO = TemporalError("deadline", "no answer")
FORBIDDEN = TemporalError("permission_denied", "not allowed")


@pytest.mark.parametrize(
    ("seen", "expected", "name", "status"),
    [
        ({"reached": NO}, Expected(), "frontend serving", "failed"),
        ({"serving": False}, Expected(), "frontend serving", "failed"),
        ({"serving": NO}, Expected(), "frontend serving", "failed"),
        ({"database": NO}, Expected(), "database answers", "failed"),
        ({"history": NO}, Expected(), "history answers", "failed"),
        ({"history": FORBIDDEN}, Expected(), "history answers", "degraded"),
        ({"matching": NO}, Expected(), "matching answers", "failed"),
        ({"system_pollers": 0}, Expected(), "worker polls", "degraded"),
        ({}, Expected(version="1.31.2"), "version", "failed"),
        ({"cluster": {"version": "1.30.1", "history_shards": 4}, "stores": None}, Expected(), "version", "degraded"),
        ({"cluster": {"version": "1.32.2-rc.1", "history_shards": 4}}, Expected(), "version", "healthy"),
        ({}, Expected(history_shards=4), "history shards", "failed"),
        ({}, Expected(namespaces=["orders", "billing"]), "namespaces", "failed"),
        ({"namespaces": NO}, Expected(namespaces=["orders"]), "namespaces", "failed"),
        ({}, Expected(members={"history": 2}), "history members", "degraded"),
        ({"stores": stores(members=[])}, Expected(), "history members", "failed"),
        ({"stores": stores(members=MEMBERS * 2)}, Expected(members={"history": 1}), "history members", "degraded"),
        ({"stores": stores(members=MEMBERS * 2)}, Expected(), "history members", "healthy"),
        ({}, Expected(members={"internal-frontend": 1}), "internal-frontend members", "failed"),
        ({"stores": stores(levels={"default": "1.18", "visibility": "1.14"})}, Expected(), "default schema", "failed"),
        ({"stores": stores(levels={"default": "1.19"})}, Expected(), "visibility schema", "failed"),
        ({"stores": stores(levels={"default": "1.99", "visibility": "1.14"})}, Expected(), "default schema", "degraded"),
        ({"stores": stores(levels={"default": DatabaseError("foreign", "x"), "visibility": "1.14"})}, Expected(),
         "default schema", "failed"),
        ({"stores": stores(read_only=True)}, Expected(), "takes writes", "failed"),
        ({"stores": stores(connections=(95, 97))}, Expected(), "connections", "degraded"),
        ({"stores": stores(version="13.1")}, Expected(), "version", "degraded"),
        ({"stores": Stores(error=DatabaseError("refused", "wrong password"))}, Expected(), "answers", "failed"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_found(seen: Json, expected: Expected, name: str, status: str) -> None:
    checks = assess(observation(**seen), expected)
    statuses = {check.status for check in checks if check.name == name}
    assert status in statuses
    others = [check for check in checks if check.name != name and check.status == "failed"]
    assert not [check for check in others if "members" not in check.name]
    assert all(check.message for check in checks if check.status != "healthy")


def test_an_old_server_on_its_own_schema_is_healthy() -> None:
    old = observation(
        cluster={"version": "1.30.6", "history_shards": 512},
        stores=stores(levels={"default": "1.18", "visibility": "1.13"}),
    )
    assert worst(assess(old, Expected())) == "healthy"


def server() -> FakeTemporal:
    fake = FakeTemporal(orders={"retention": 1})
    fake.listed[SYSTEM] = [{"identity": "temporal-system@h", "last_access": time.time()}]
    return fake


def test_the_module_reports() -> None:
    result = run(cluster_health.main, server(), expected_version="1.32.2", namespaces=["orders"])
    assert result["status"] == "healthy"
    assert not result["changed"]
    assert result["versions"]["temporal"] == "1.32.2"
    assert result["cluster"]["history_shards"] == 512
    assert {check["status"] for check in result["checks"]} == {"healthy"}


def test_a_poller_of_long_ago_is_none() -> None:
    fake = server()
    fake.listed[SYSTEM][0]["last_access"] -= 1000
    assert run(cluster_health.main, fake)["status"] == "degraded"
    assert run(cluster_health.main, fake, fail_on="degraded")["failed"]


def test_it_fails_with_sentences() -> None:
    failed = run(cluster_health.main, server(), expected_version="1.31.2")
    assert "is failed. temporal, version: found 1.32.2, expected 1.31.2." in failed["msg"]
    assert failed["status"] == "failed"
    assert failed["checks"]


def test_only_reporting_never_fails() -> None:
    result = run(cluster_health.main, "unreachable", fail_on="never")
    assert not result.get("failed")
    assert result["status"] == "failed"


def test_it_waits_until_usable() -> None:
    fake = server()
    fake.failing["history"] = "unreachable"
    with mock.patch("time.sleep", side_effect=lambda _seconds: fake.failing.clear()):
        result = run(cluster_health.main, fake, wait_seconds=30)
    assert result["status"] == "healthy"


def test_usable_is_enough_unless_healthy_is_waited_for() -> None:
    fake = server()
    fake.listed.clear()
    assert run(cluster_health.main, fake, wait_seconds=30)["status"] == "degraded"
    with mock.patch("time.sleep", side_effect=lambda _seconds: fake.listed.update(server().listed)):
        assert run(cluster_health.main, fake, wait_seconds=30, wait_for="healthy")["status"] == "healthy"


def test_it_does_not_wait_for_another_number_of_shards() -> None:
    with mock.patch("time.sleep", side_effect=AssertionError):
        failed = run(cluster_health.main, server(), expected_history_shards=4, wait_seconds=60)
    assert "Set temporal_history_shards to 512" in failed["msg"]


def test_it_does_not_wait_for_an_sdk() -> None:
    with mock.patch("time.sleep", side_effect=AssertionError):
        assert run(cluster_health.main, "sdk_missing", wait_seconds=60)["failed"]


@pytest.mark.parametrize("reason", ["sdk_missing", "unreachable"])
def test_check_mode_never_fails_and_never_waits(reason: t.Literal["sdk_missing", "unreachable"]) -> None:
    with mock.patch("time.sleep", side_effect=AssertionError):
        result = run(cluster_health.main, reason, check=True, wait_seconds=60)
    assert not result.get("failed")


def test_wrong_options_are_named() -> None:
    failed = run(cluster_health.main, server(), expected_members={"history": "many"})
    assert "expected_members.history is 'many'" in failed["msg"]
    failed = run(cluster_health.main, server(), expected_members={"history": 1})
    assert "Set database" in failed["msg"]


def test_the_database_is_read() -> None:
    with (
        mock.patch.object(_health, "provide", return_value="psycopg"),
        mock.patch.object(_health, "observe_stores", return_value=stores()),
    ):
        result = run(cluster_health.main, server(), database={"password": "pw-canary"}, expected_members={"history": 1})
    assert result["versions"] == {
        "temporal": "1.32.2",
        "postgresql": "17.6",
        "schema": {"default": "1.19", "visibility": "1.14"},
    }
    assert result["members"]["history"] == ["10.0.0.1:6934"]
    assert result["connections"] == {"used": 34, "limit": 97}


def test_a_missing_database_driver_is_named() -> None:
    with mock.patch.object(_health, "provide", return_value=None):
        failed = run(cluster_health.main, server(), database={"password": "pw-canary"})
    assert "Neither psycopg nor psycopg2" in failed["msg"]
