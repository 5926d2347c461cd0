# SPDX-License-Identifier: GPL-3.0-or-later
"""Worker deployments: routing, waiting and pruning, against a server in memory."""

from __future__ import annotations

import typing as t
from unittest import mock

import pytest
from ansible_collections.durable.temporal.plugins.modules import worker_deployment
from ansible_collections.durable.temporal.tests.unit.plugins.modules.fake_deployments import KEY, FakeDeployments
from ansible_collections.durable.temporal.tests.unit.plugins.modules.fake_temporal import Json, run
from hypothesis import given
from hypothesis import strategies as st


def declare(server: t.Any, wait: float = 0, check: bool = False, **item: t.Any) -> Json:
    deployment = {"name": "orders", "namespace": "orders", **item}
    with mock.patch("time.sleep"):
        return run(worker_deployment.main, server, check=check, deployments=[deployment], wait_seconds=wait)


def two(current: str = "b1", ramping: Json | None = None) -> FakeDeployments:
    return FakeDeployments(current, ramping, b1="inactive", b2="inactive")


def ramp(build: str, percentage: float) -> Json:
    return {"build_id": build, "percentage": percentage}


def changes(server: FakeDeployments) -> list[str]:
    return [call for call in server.calls if call.split()[0] in ("current", "ramp", "delete")]


@pytest.mark.parametrize(
    ("server", "item", "made"),
    [
        (two(""), {"current": "b1"}, ["current b1"]),
        (two(), {"current": "b1"}, []),
        (two(), {"ramping": ramp("b2", 20)}, ["ramp b2 20"]),
        (two(ramping=ramp("b2", 20)), {"ramping": ramp("b2", 20)}, []),
        (two(ramping=ramp("b2", 20)), {"ramping": ramp("b2", 50)}, ["ramp b2 50"]),
        # What becomes current ramps no longer; the server sees to that.
        (two(ramping=ramp("b2", 20)), {"current": "b2"}, ["current b2"]),
        # Back: only the ramp ends.
        (two(ramping=ramp("b2", 20)), {"current": "b1"}, ["ramp  0"]),
        (two(ramping=ramp("b2", 20)), {"ramping": ramp("", 0)}, ["ramp  0"]),
        (two(ramping=ramp("b2", 20)), {"ramping": ramp("b2", 0)}, ["ramp  0"]),
        (two(), {"current": "b2", "ramping": ramp("b1", 10)}, ["current b2", "ramp b1 10"]),
        (two(ramping=ramp("b2", 20)), {"current": "b2", "ramping": ramp("b1", 10)}, ["current b2", "ramp b1 10"]),
        (two(ramping=ramp("b2", 20)), {"current": ""}, ["ramp  0", "current"]),
        (two(ramping=ramp("b2", 20)), {}, []),
    ],
)
def test_as_few_calls_as_possible(server: FakeDeployments, item: Json, made: list[str]) -> None:
    predicted = declare(server, check=True, **item)
    assert changes(server) == []
    result = declare(server, **item)
    assert changes(server) == made
    assert result["changed"] == predicted["changed"] == bool(made)
    assert result["changes"] == predicted["changes"]
    server.calls.clear()
    assert not declare(server, **item)["changed"]
    assert changes(server) == []


builds = st.sampled_from(["", "b1", "b2", "b3"])
routings = st.builds(
    lambda current, build, share: (current, ramp(build, share) if build and build != current else None),
    builds,
    builds,
    st.sampled_from([1, 20, 100]),
)


@given(routings, routings)
def test_a_change_leads_where_it_should(before: tuple[str, Json | None], after: tuple[str, Json | None]) -> None:
    server = FakeDeployments(*before, b1="inactive", b2="inactive", b3="inactive")
    result = declare(server, current=after[0], ramping=after[1])
    assert not result.get("failed"), result
    assert (server.current, server.ramping) == after
    assert not declare(server, current=after[0], ramping=after[1])["changed"]
    assert len(changes(server)) <= 3


def test_the_result_tells_what_is() -> None:
    (row,) = declare(two(), ramping=ramp("b2", 20))["deployments"]
    assert (row["exists"], row["current"], row["ramping"]) == (True, "b1", {"build_id": "b2", "percentage": 20})
    assert {v["build_id"]: v["status"] for v in row["versions"]} == {"b1": "current", "b2": "ramping"}


def test_an_unknown_build_lists_the_known_ones() -> None:
    server = two()
    failed = declare(server, wait=0, current="b9")
    assert "found no build b9; the server knows b1 (current), b2 (inactive)" in failed["msg"]
    assert changes(server) == []
    assert declare(two(), check=True, current="b9")["changed"], "its workers may be started by then"


def test_a_deployment_that_nobody_registered() -> None:
    server = two()
    server.exists = False
    assert "the server knows none" in declare(server, current="b1")["msg"]
    assert declare(server)["deployments"][0]["exists"] is False


def test_a_build_without_workers_gets_nothing() -> None:
    server = two()
    server.polling = {"b1"}
    failed = declare(server, ramping=ramp("b2", 5))
    assert "found nobody who polls orders (workflow) for build b2" in failed["msg"]
    assert changes(server) == []
    # Going back to the current one does not ask for anybody.
    server.ramping, server.polling = ramp("b2", 5), set()
    assert declare(server, current="b1")["changed"]


def test_it_waits_for_workers() -> None:
    server = two()
    server.polling = set()
    with mock.patch("time.sleep", side_effect=lambda _s: server.polling.add("b2")):
        item = {"name": "orders", "namespace": "orders", "current": "b2"}
        assert run(worker_deployment.main, server, deployments=[item], wait_seconds=30)["changed"]


def test_it_waits_until_task_queues_know() -> None:
    server = two()
    server.unsettled = 4
    assert declare(server, wait=30, current="b2")["changed"]
    server.unsettled = 1000
    late = declare(server, wait=0, current="b1")
    assert "changed, but not known to all task queues within 0 s" in late["msg"]


def test_somebody_elses_change_is_not_overwritten() -> None:
    server = two()
    server.modifier = "alice"

    def alice() -> None:
        server.token += 1
        server.ramping = ramp("b2", 7)

    with mock.patch.object(worker_deployment, "prunable", side_effect=lambda *_a: alice() or {}):
        failed = declare(server, ramping=ramp("b2", 50))
    assert "changed by alice while this ran; now build b1 is current and build b2 gets" in failed["msg"]


def old(**statuses: str) -> FakeDeployments:
    return FakeDeployments("b9", None, b9="current", **statuses)


def test_only_what_is_done_is_pruned() -> None:
    server = old(b1="drained", b2="draining", b3="inactive", b4="drained", b5="drained")
    server.polling = {"b9", "b4"}
    result = declare(server, prune=True, keep=["b5"])
    assert sorted(changes(server)) == ["delete b1", "delete b3"]
    kept = {v["build_id"]: v["kept"] for v in result["deployments"][0]["versions"]}
    assert kept["b2"].startswith("it is draining")
    assert kept["b4"].startswith("its workers still poll")
    assert kept["b5"] == "it is listed in keep"
    assert kept["b9"] == "it gets new workflows"
    assert not declare(server, prune=True, keep=["b5"])["changed"]


def test_nothing_is_pruned_unasked_or_in_check_mode() -> None:
    server = old(b1="drained")
    server.polling = {"b9"}
    assert not declare(server)["changed"]
    assert declare(server, check=True, prune=True)["changed"]
    assert changes(server) == []


def test_what_is_to_be_current_is_not_pruned() -> None:
    server = old(b1="drained")
    assert declare(server, prune=True, current="b1")["changed"]
    assert "b1" in server.statuses


def test_a_version_that_the_server_keeps_is_no_failure() -> None:
    server = old(b1="drained")
    server.polling = {"b9"}
    server.failing["delete b1"] = "invalid"
    result = declare(server, prune=True)
    assert not result["changed"]
    assert "the server does not let it go" in next(
        v["kept"] for v in result["deployments"][0]["versions"] if v["build_id"] == "b1"
    )


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ({"ramping": ramp("b2", 101)}, "expected 0 to 100"),
        ({"ramping": ramp("", 5)}, "ramping.build_id is missing"),
        ({"current": "b1", "ramping": ramp("b1", 5)}, "as current and as ramping"),
        ({"name": "a.b"}, "without '.' and ':'"),
    ],
)
def test_wrong_options(item: Json, text: str) -> None:
    assert text in declare(two(), **item)["msg"]


def test_what_was_changed_before_an_error_is_said() -> None:
    server = two(ramping=ramp("b2", 20))
    server.failing["current b2"] = "deadline"
    failed = declare(server, current="b2")
    assert failed["kind"] == "deadline"


def test_no_server_in_check_mode() -> None:
    result = declare("unreachable", check=True, current="b1")
    assert result["predicted"]
    assert result["changed"]
    assert KEY == ("orders", "orders")
