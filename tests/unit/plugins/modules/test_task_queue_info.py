# SPDX-License-Identifier: GPL-3.0-or-later
"""Pollers: which count, and the module against a frontend in memory."""

from __future__ import annotations

import time
import typing as t
from unittest import mock

import pytest
from ansible_collections.durable.temporal.plugins.modules import task_queue_info
from ansible_collections.durable.temporal.tests.unit.plugins.modules.fake_temporal import FakeTemporal, Json, run

ORDERS = ("orders", "orders", "workflow")


def poller(identity: str, seconds_ago: float = 1) -> Json:
    return {"identity": identity, "last_access": time.time() - seconds_ago, "build_id": "", "deployment": ""}


def server(*pollers: Json) -> FakeTemporal:
    fake = FakeTemporal()
    fake.listed[ORDERS] = list(pollers)
    return fake


def look(fake: t.Any, wait: float = 0, check: bool = False, **queue: t.Any) -> Json:
    item = {"name": "orders", "namespace": "orders", "types": ["workflow"], **queue}
    return run(task_queue_info.main, fake, check=check, task_queues=[item], wait_seconds=wait)


def test_pollers_are_reported() -> None:
    result = look(server(poller("1@app1"), poller("2@app1", 30)))
    assert result["ready"]
    assert not result["changed"]
    (row,) = result["task_queues"]
    assert (row["counted"], row["expected"], row["type"]) == (2, 1, "workflow")
    assert [p["identity"] for p in row["pollers"]] == ["1@app1", "2@app1"]
    assert 29 < row["pollers"][1]["age_seconds"] < 40


@pytest.mark.parametrize(
    ("conditions", "counted"),
    [
        ({}, 3),
        ({"identity_pattern": "@app1$"}, 2),
        ({"identity_pattern": "nobody"}, 0),
        ({"newer_than": -10}, 2),
        ({"identity_pattern": "@app1$", "newer_than": -10}, 1),
        ({"newer_than": 10}, 0),
    ],
)
def test_only_pollers_that_fulfil_all_conditions_count(conditions: Json, counted: int) -> None:
    if "newer_than" in conditions:
        conditions = {**conditions, "newer_than": time.time() + conditions["newer_than"]}
    result = look(server(poller("1@app1"), poller("2@app1", 60), poller("3@app2")), min_pollers=0, **conditions)
    assert result["task_queues"][0]["counted"] == counted


def test_pollers_that_must_not_be_end_the_wait() -> None:
    fake = server(poller("17@app1"))
    began = time.monotonic()
    result = look(fake, wait=30, identity_pattern="^(17)@", min_pollers=0, max_pollers=0)
    assert result["failed"]
    assert "its worker 17@app1 polls the task queue orders of the live release" in result["msg"]
    assert time.monotonic() - began < 10
    assert look(fake, identity_pattern="^(18)@", min_pollers=0, max_pollers=0)["ready"]


def test_too_few_fail_with_what_was_found_and_expected() -> None:
    failed = look(server(poller("7@old", 60)), min_pollers=2, identity_pattern="@app1", newer_than=time.time() - 5)
    assert failed["failed"]
    assert "Task queue orders (workflow) in namespace orders: found 0 pollers, expected 2 or more" in failed["msg"]
    assert "whose identity matches '@app1' and that polled since" in failed["msg"]
    assert "7@old (60 s ago, does not count)" in failed["msg"]
    assert failed["task_queues"][0]["counted"] == 0


def test_the_processes_of_an_application_are_named_in_words() -> None:
    text = look(server(poller("7@app1")), identity_pattern="^(17|18)@")["msg"]
    assert "expected 1 or more whose identity begins with the number of one of its processes (17, 18)" in text
    assert "such as 17@HOST" in text
    assert "^(" not in text
    assert "begins with the number of one of its processes, such" in look(server(), identity_pattern="^()@")["msg"]


def test_a_candidate_is_told_as_refused() -> None:
    said = "release r2 of orders was tried beside the live one and refused: "
    text = look(server(), identity_pattern="^(17)@", candidate="release r2 of orders")["msg"]
    assert text.startswith(
        f"{said}Task queue orders (workflow) in namespace orders: found 0 pollers, expected 1 or more"
    )
    both = look(server(), types=["workflow", "activity"], candidate="release r2 of orders")["msg"]
    assert both.count("was tried beside the live one and refused") == 1
    assert both.count("Task queue orders (") == 2
    wanted = {"identity_pattern": "^(17)@", "min_pollers": 0, "max_pollers": 0, "candidate": "release r2 of orders"}
    assert look(server(poller("17@app1")), **wanted)["msg"].startswith(f"{said}its worker 17@app1 polls the task queue")


def test_an_empty_queue_says_so() -> None:
    assert "The server lists none." in look(server())["msg"]


def test_each_type_is_looked_at() -> None:
    failed = look(server(poller("1@app1")), types=["workflow", "activity"])
    assert [(row["type"], row["ready"]) for row in failed["task_queues"]] == [("workflow", True), ("activity", False)]
    assert "orders (activity)" in failed["msg"]
    assert "orders (workflow)" not in failed["msg"]


def test_the_same_queue_may_be_asked_about_twice() -> None:
    item = {"name": "orders", "namespace": "orders", "types": ["workflow"]}
    failed = run(
        task_queue_info.main,
        server(poller("1@app1")),
        task_queues=[{**item, "identity_pattern": "@app1"}, {**item, "identity_pattern": "@app2"}],
    )
    assert [row["ready"] for row in failed["task_queues"]] == [True, False]
    assert "'@app2'" in failed["msg"]
    assert "'@app1'" not in failed["msg"]


def test_it_waits_until_the_worker_polls() -> None:
    fake = server()

    def arrive(_seconds: float) -> None:
        fake.listed[ORDERS] = [poller("1@app1")]

    with mock.patch("time.sleep", side_effect=arrive):
        result = look(fake, wait=5)
    assert result["ready"]
    assert fake.calls == ["pollers", "pollers"]


def test_it_waits_for_a_server_that_starts() -> None:
    fake = server(poller("1@app1"))
    fake.failing["pollers"] = "unreachable"
    with mock.patch("time.sleep", side_effect=lambda _seconds: fake.failing.clear()):
        assert look(fake, wait=5)["ready"]


def test_it_does_not_wait_for_what_cannot_pass() -> None:
    fake = server()
    fake.failing["pollers"] = "permission_denied"
    failed = look(fake, wait=60)
    assert failed["kind"] == "permission_denied"
    assert fake.calls == ["pollers"]


@pytest.mark.parametrize("reason", ["sdk_missing", "unreachable"])
def test_check_mode_never_fails_and_never_waits(reason: str) -> None:
    result = look(reason, wait=60, check=True)
    assert not result.get("failed")
    assert not result["ready"]
    assert not look(server(), wait=60, check=True)["ready"]


def test_wrong_options_are_reported_together() -> None:
    failed = run(
        task_queue_info.main,
        server(),
        task_queues=[{"name": "a", "identity_pattern": "("}, {"name": "b", "min_pollers": -1}],
    )
    assert len(failed["problems"]) == 2
    assert "no regular expression" in failed["msg"]


@pytest.mark.parametrize(
    ("polls", "processes", "status", "found"),
    [
        ({"17@app1": 1, "18@app1": 1}, {"worker": [17, 18]}, "healthy", "2 pollers of 2 processes"),
        ({"17@app1": 1}, {"worker": [17], "api": [18]}, "healthy", "1 pollers of 2 processes"),
        ({"17@app1": 1}, {"worker": [17, 18]}, "degraded", "1 pollers of 2 processes; not 18 of worker"),
        ({"17@app1": 1, "18@app1": 95}, {"worker": [17, 18]}, "degraded", "1 pollers of 2 processes; not 18 of worker"),
        ({"17@app1": 95}, {"worker": [17]}, "failed", "0 pollers of 1 processes"),
        ({"19@app1": 1}, {"worker": [17]}, "failed", "0 pollers of 1 processes"),
        ({"19@app1": 1}, {"worker": []}, "failed", "0 pollers of 0 processes"),
        ({}, {"worker": [17]}, "failed", "0 pollers of 1 processes"),
    ],
)
def test_processes_that_poll_are_told_from_those_that_do_not(
    polls: dict[str, float], processes: dict[str, list[int]], status: str, found: str
) -> None:
    fake = server(*(poller(identity, ago) for identity, ago in polls.items()))
    wanted = {"processes": processes, "component": "orders", "polled_within_seconds": 90}
    (check,) = look(fake, check=True, **wanted)["checks"]
    assert (check["component"], check["name"]) == ("orders", "polls orders (workflow)")
    assert (check["status"], check["found"]) == (status, found)
    assert bool(check["message"]) == (status != "healthy")


def test_a_name_of_its_own_counts_instead_of_the_processes() -> None:
    wanted = {"processes": {"worker": [17]}, "identity_pattern": "^orders-"}
    (check,) = look(server(poller("orders-1")), check=True, **wanted)["checks"]
    assert (check["status"], check["found"]) == ("healthy", "1 pollers of 1 processes")


def test_a_server_that_cannot_be_asked_is_a_check() -> None:
    fake = server()
    fake.failing["pollers"] = "unreachable"
    (check,) = look(fake, check=True, component="orders")["checks"]
    assert (check["component"], check["status"], check["found"]) == ("orders", "failed", "no answer")
    assert "cannot pollers" in check["message"]
