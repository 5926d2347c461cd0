# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds of real workers: a ramp and its share, the way back without a person, and a build that drains and goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ansible_collections.durable.temporal.tests.integration_server.host import Host, Json, needed
from ansible_collections.durable.temporal.tests.integration_server.versions import Orders

# The server looks every three minutes whether a build has drained, and lists workers for five minutes after their end.
QUICK = {
    "matching.wv.VersionDrainageStatusVisibilityGracePeriod": "2s",
    "matching.wv.VersionDrainageStatusRefreshInterval": "2s",
    "matching.PollerHistoryTTL": "20s",
}


def declare(host: Host, namespace: str, check: bool = False, wait: float = 90, **item: object) -> Json:
    deployment = {"name": "orders", "namespace": namespace, **item}
    return host.module("worker_deployment", check=check, deployments=[deployment], wait_seconds=wait)


def roll_out(host: Host, namespace: str, build: str, *steps: tuple[float, float], **limits: float) -> Json:
    rollout = {
        "name": "orders",
        "namespace": namespace,
        "build_id": build,
        "steps": [{"percentage": share, "watch_seconds": watch} for share, watch in steps],
        **limits,
    }
    return host.module("worker_deployment_rollout", rollouts=[rollout], wait_seconds=90)


def statuses(result: Json) -> dict[str, str]:
    return {version["build_id"]: version["status"] for version in result["deployments"][0]["versions"]}


def routing(orders: Orders) -> tuple[str, str, float]:
    """Current build, ramping build and its share, as Temporal's own command sees them."""
    found = orders.describe()["routingConfig"]
    return found["currentVersionBuildID"], found["rampingVersionBuildID"], found["rampingVersionPercentage"]


def test_what_is_declared_is_waited_for_and_kept(host: Host, namespace: str) -> None:
    orders = Orders(host, namespace)
    assert declare(host, namespace, check=True, current="b1")["changed"]
    nobody = declare(host, namespace, wait=1, current="b1")
    assert "found no build b1; the server knows none" in nobody["msg"], nobody["output"]
    with orders.worker("b1"), orders.worker("b2"):
        made = declare(host, namespace, current="b1")
        assert made["changed"], made["output"]
        assert routing(orders) == ("b1", "", 0)
        assert not declare(host, namespace, current="b1")["changed"]
        unknown = declare(host, namespace, wait=1, ramping={"build_id": "b9", "percentage": 5})
        assert "found no build b9; the server knows b1 (current), b2 (inactive)" in unknown["msg"]
        assert routing(orders) == ("b1", "", 0)
        assert declare(host, namespace, check=True, current="b2")["changed"]
        assert routing(orders) == ("b1", "", 0)


def test_a_ramp_moves_its_share_and_ends(
    host: Host, namespace: str, record_property: Callable[[str, object], None]
) -> None:
    orders = Orders(host, namespace)
    with orders.worker("b1"), orders.worker("b2"):
        assert roll_out(host, namespace, "b1")["changed"]
        orders.start(1, "held", hold=True, wait=False)
        ramped = declare(host, namespace, ramping={"build_id": "b2", "percentage": 20})
        assert ramped["changed"], ramped["output"]
        assert routing(orders) == ("b1", "b2", 20)
        assert not declare(host, namespace, ramping={"build_id": "b2", "percentage": 20})["changed"]
        ran = orders.start(300, "ramp")
        record_property("of 300 workflows at 20 %", ran)
        assert ran["b1"] + ran["b2"] == 300
        assert 0.12 <= ran["b2"] / 300 <= 0.28, ran
        done = roll_out(host, namespace, "b2", (50, 2), (100, 2), min_workflows=10)
        assert not done["failed"], done["output"]
        assert done["rollouts"][0]["outcome"] == "current"
        assert routing(orders) == ("b2", "", 0)
        assert orders.start(10, "after") == {"b2": 10}
        orders.release("held-0")
        assert host.run("temporal", "workflow", "result", "-n", namespace, "-w", "held-0").count("b1") == 1, "pinned"
        assert not roll_out(host, namespace, "b2", (50, 2))["changed"]


def test_a_build_that_fails_goes_back_without_a_person(
    host: Host, namespace: str, record_property: Callable[[str, object], None]
) -> None:
    orders = Orders(host, namespace)
    with orders.worker("b1"), orders.worker("bad", "activity-fails"), orders.worker("bug", "workflow-breaks"):
        roll_out(host, namespace, "b1")
        with orders.traffic("day", 4):
            failed = roll_out(host, namespace, "bad", (20, 60), (100, 60))
        record_property("failing activity", failed["msg"])
        assert failed["failed"]
        assert "orders: build bad had 20 % of new workflows for " in failed["msg"]
        assert "failed workflows: found" in failed["msg"]
        assert "All new workflows of orders go to build b1 again" in failed["msg"]
        assert failed["rollouts"][0]["outcome"] == "returned"
        assert failed["rollouts"][0]["steps"][0]["watched_seconds"] < 60
        assert routing(orders) == ("b1", "", 0)
        assert orders.start(20, "bad-after") == {"b1": 20}

        # A bug in the workflow's own code fails no workflow: none of its workflow tasks ever completes.
        with orders.traffic("night", 4):
            stuck = roll_out(host, namespace, "bug", (50, 60), max_schedule_to_start_seconds=4, max_failure_percent=0)
        record_property("broken workflow", stuck["msg"])
        assert "stuck in workflow tasks that fail or wait" in stuck["msg"], stuck["output"]
        assert routing(orders) == ("b1", "", 0)
        # They have begun nowhere, so the old build runs them: none is lost.
        until(lambda: open_workflows(host, namespace) == 0, 60)


def open_workflows(host: Host, namespace: str) -> int:
    query = "ExecutionStatus = 'Running'"
    return int(host.temporal("workflow", "count", "-n", namespace, "--query", query).get("count", 0))


def until(happens: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, f"not within {seconds:g} s"
        time.sleep(0.5)


@contextmanager
def quick_drainage(host: Host, namespace: str) -> Iterator[None]:
    """The server's patience, shortened for one namespace."""
    path = needed("TEMPORAL_TEST_DYNAMIC_CONFIG")
    before = host.run("cat", path)
    added = "".join(
        f'\n"{key}": [{{value: {value}, constraints: {{namespace: {namespace}}}}}]' for key, value in QUICK.items()
    )
    # Into the file itself: the server's container holds on to it.
    host.run("tee", path, stdin=before + added + "\n")
    try:
        # It reads the file every ten seconds, and says nothing about it to clients.
        time.sleep(12)
        yield
    finally:
        host.run("tee", path, stdin=before)


def test_an_old_build_drains_and_is_forgotten(host: Host, unique: str) -> None:
    with quick_drainage(host, unique):
        host.module("namespace", namespaces=[{"name": unique}])
        orders = Orders(host, unique)
        with orders.worker("b2"):
            with orders.worker("b1"):
                declare(host, unique, current="b1")
                orders.start(1, "held", hold=True, wait=False)
                assert statuses(declare(host, unique, current="b2")) == {"b1": "draining", "b2": "current"}
                kept = declare(host, unique, prune=True)
                assert not kept["changed"]
                assert "draining" in next(
                    v["kept"] for v in kept["deployments"][0]["versions"] if v["build_id"] == "b1"
                )
                orders.release("held-0")
                until(lambda: statuses(declare(host, unique))["b1"] == "drained", 60)
            until(lambda: declare(host, unique, prune=True)["changed"], 60)
            assert [v["BuildID"] for v in orders.describe()["versionSummaries"]] == ["b2"]
            assert not declare(host, unique, prune=True)["changed"]
    host.module("namespace", namespaces=[{"name": unique, "state": "absent"}], allow_delete=True)
