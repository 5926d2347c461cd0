# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict on a version: failures, waiting tasks, and when it is certain."""

from __future__ import annotations

import typing as t
from unittest import mock

import pytest
from ansible_collections.durable.temporal.plugins.modules import worker_deployment_health
from ansible_collections.durable.temporal.tests.unit.plugins.modules.fake_deployments import FakeDeployments
from ansible_collections.durable.temporal.tests.unit.plugins.modules.fake_temporal import Json, run

ENOUGH = {"Completed": 90, "Running": 10}


def server(*counts: dict[str, int], current: str = "b1", backlog_age: float = 0) -> FakeDeployments:
    fake = FakeDeployments(current, {"build_id": "b2", "percentage": 20}, b1="current", b2="ramping", b3="inactive")
    fake.counts, fake.backlog_age = list(counts), backlog_age
    return fake


def look(fake: t.Any, watch: float = 0, check: bool = False, fail_on: str = "failed", **item: t.Any) -> Json:
    version = {"name": "orders", "namespace": "orders", "build_id": "b2", **item}
    return run(
        worker_deployment_health.main, fake, check=check, versions=[version], watch_seconds=watch, fail_on=fail_on
    )


def statuses(result: Json) -> dict[str, str]:
    return {check["name"]: check["status"] for check in result["checks"]}


@pytest.mark.parametrize(
    ("counts", "options", "broken"),
    [
        ([ENOUGH], {}, False),
        ([{}], {}, False),
        ([{"Completed": 95, "Failed": 5}], {}, False),
        ([{"Completed": 94, "Failed": 6}], {}, True),
        ([{"Completed": 94, "TimedOut": 3, "Terminated": 3}], {}, True),
        ([{"Completed": 90, "Canceled": 5, "ContinuedAsNew": 5}], {}, False),
        ([{"Failed": 1}], {}, True),
        # Among twenty, one is five percent: not certain yet. Two are.
        ([{"Failed": 1}], {"min_workflows": 20}, False),
        ([{"Failed": 2}], {"min_workflows": 20}, True),
        ([{"Failed": 1}], {"max_failure_percent": 100}, False),
        # Workflows whose tasks fail are open for ever: with a version, and before they have one.
        ([{"Running": 50}, {"Running": 6}], {}, True),
        ([{"Completed": 10}, {}, {"Running": 10}], {}, True),
    ],
)
def test_failures(counts: list[dict[str, int]], options: Json, broken: bool) -> None:
    result = look(server(*counts), fail_on="never", **options)
    assert statuses(result)["failed workflows"] == ("failed" if broken else "healthy"), result["checks"]


def test_a_failure_comes_with_figures_and_a_next_step() -> None:
    failed = look(server({"Completed": 8, "Failed": 1, "TimedOut": 1}, {}, {"Running": 2}))
    assert failed["failed"]
    assert "orders, build b2, failed workflows: found 4 of 12 (33.3 %): 1 failed, 1 timed out, 2 stuck" in failed["msg"]
    assert "expected at most 5 %." in failed["msg"]
    assert "temporal workflow list --query \"TemporalWorkerDeploymentVersion='orders:b2'\"" in failed["msg"]
    (row,) = failed["versions"]
    assert (row["started"], row["failed"], row["stuck"], row["since"]) == (12, 4, 2, 100.0)


def test_tasks_that_wait() -> None:
    failed = look(server(ENOUGH, backlog_age=31))
    assert "schedule-to-start latency: found 31 s with 3 in orders (workflow), expected at most 30 s" in failed["msg"]
    assert not look(server(ENOUGH, backlog_age=31), max_schedule_to_start_seconds=60).get("failed")


def test_too_few_count_only_at_the_end() -> None:
    failed = look(server({"Completed": 3}), min_workflows=10)
    assert "number of workflows: found 3, expected 10 or more" in failed["msg"]
    fake = server({"Completed": 3})

    def more(_seconds: float) -> None:
        fake.counts = [{"Completed": 30}]

    with (
        mock.patch("time.sleep", side_effect=more),
        mock.patch("time.monotonic", side_effect=iter([float(n) for n in range(100)])),
    ):
        assert look(fake, watch=8, min_workflows=10)["status"] == "healthy"


def test_it_ends_as_soon_as_a_limit_is_broken() -> None:
    fake = server(ENOUGH)

    def fail(_seconds: float) -> None:
        fake.counts = [{"Failed": 50, "Completed": 50}]

    with mock.patch("time.sleep", side_effect=fail):
        result = look(fake, watch=3600)
    assert result["failed"]
    assert result["watched_seconds"] < 10
    assert fake.calls.count("counts") == 2


def test_a_server_out_of_reach_for_a_moment_is_no_verdict() -> None:
    fake = server(ENOUGH)
    fake.failing["counts"] = "unreachable"
    with mock.patch("time.sleep", side_effect=lambda _s: fake.failing.clear()):
        assert not look(fake, watch=0.01).get("failed")
    fake.failing["counts"] = "permission_denied"
    assert look(fake, watch=3600)["kind"] == "permission_denied"


def test_only_workflows_of_this_version_and_time_count() -> None:
    fake = server(ENOUGH)
    look(fake, since=0)
    own, reported, waiting = (query for _namespace, query in fake.queries)
    assert own == "TemporalWorkerDeploymentVersion = 'orders:b2' AND StartTime >= '1970-01-01T00:00:00.000000Z'"
    assert reported.startswith(own)
    assert "TaskQueue IN ('orders') AND TemporalWorkerDeploymentVersion IS NULL" in waiting
    # Workers without a build id leave no version on the workflows that they run well.
    unversioned = server(ENOUGH, current="")
    look(unversioned)
    assert len(unversioned.queries) == 2


def test_a_build_that_gets_nothing_is_said_to() -> None:
    failed = look(server(ENOUGH), build_id="b3")
    assert "orders, build b3, routing: found no new workflows, expected current or ramping" in failed["msg"]


@pytest.mark.parametrize("reason", ["sdk_missing", "unreachable"])
def test_check_mode_never_fails_and_never_waits(reason: str) -> None:
    unknown = look(reason, watch=60, check=True)
    assert not unknown.get("failed")
    assert statuses(unknown) == {"server": "failed"}
    assert unknown["checks"][0]["message"]
    assert not look(server({"Failed": 9}), watch=60, check=True).get("failed")


def test_wrong_options_are_reported_together() -> None:
    failed = look(server(), max_failure_percent=101, max_schedule_to_start_seconds=0, min_workflows=-1)
    assert len(failed["problems"]) == 3


def test_a_quote_in_a_build_id_stays_in_the_text() -> None:
    assert worker_deployment_health.quoted("a'b") == "'a\\'b'"
