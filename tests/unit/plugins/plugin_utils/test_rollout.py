# SPDX-License-Identifier: GPL-3.0-or-later
"""Rollouts step by step, and back, with the real modules against a server in memory."""

from __future__ import annotations

import typing as t
from unittest import mock

import pytest
from ansible_collections.durable.temporal.plugins.modules import worker_deployment, worker_deployment_health
from ansible_collections.durable.temporal.plugins.plugin_utils import _rollout
from ansible_collections.durable.temporal.plugins.plugin_utils._rollout import RolloutError, Rollouts, problems
from ansible_collections.durable.temporal.tests.unit.plugins.modules.fake_deployments import FakeDeployments
from ansible_collections.durable.temporal.tests.unit.plugins.modules.fake_temporal import Json, run

MAINS = {_rollout.DEPLOYMENT: worker_deployment.main, _rollout.HEALTH: worker_deployment_health.main}
STEPS = [{"percentage": 5, "watch_seconds": 0}, {"percentage": 50, "watch_seconds": 0}]


class Play:
    """A rollout of ``b2``, and what was shown."""

    def __init__(self, current: str = "b1", **versions: str) -> None:
        self.server = FakeDeployments(current, None, **(versions or {"b1": "inactive", "b2": "inactive"}))
        self.said: list[str] = []
        self.rollouts = Rollouts(self.call, self.said.append, 0)
        self.before: t.Callable[[str, Json], None] = lambda _module, _options: None

    def call(self, module: str, options: Json, _rollout_item: Json) -> Json:
        self.before(module, options)
        return run(MAINS[module], self.server, **options)

    def go(self, *builds: str, steps: list[Json] | None = None, **more: t.Any) -> list[Json]:
        items = [
            {"name": "orders", "namespace": "orders", "build_id": b, "steps": STEPS if steps is None else steps, **more}
            for b in builds or ("b2",)
        ]
        with mock.patch("time.sleep"):
            self.rollouts.carry_out(items)
        return self.rollouts.rows

    def routed(self) -> list[str]:
        return [call for call in self.server.calls if call.split()[0] in ("current", "ramp", "delete")]


def test_step_by_step() -> None:
    play = Play()
    play.server.counts = [{"Completed": 7}]
    (row,) = play.go()
    assert play.routed() == ["ramp b2 5", "ramp b2 50", "current b2"]
    assert (row["outcome"], row["previous"]) == ("current", "b1")
    assert [(s["percentage"], s["started"], s["failed"]) for s in row["steps"]] == [(5, 7, 0), (50, 7, 0)]
    assert play.said[0] == "orders: 5 % of new workflows go to build b2; watching for 0 s"
    assert play.said[-1] == "orders: all new workflows go to build b2"


def test_again_changes_nothing() -> None:
    play = Play("b2")
    (row,) = play.go()
    assert play.routed() == []
    assert row["outcome"] == "unchanged"


def test_the_first_build_gets_all_at_once() -> None:
    play = Play("")
    assert play.go()[0]["outcome"] == "current"
    assert play.routed() == ["current b2"]


@pytest.mark.parametrize(
    ("current", "ramping", "calls"),
    [("", None, ["current b2"]), ("b1", None, []), ("", {"build_id": "b1", "percentage": 5}, [])],
)
def test_only_where_no_build_is_current(current: str, ramping: Json | None, calls: list[str]) -> None:
    play = Play(current, b0="drained", b1="inactive", b2="inactive")
    play.server.ramping, play.server.polling = ramping, {"b1", "b2"}
    (row,) = play.go(only_without_current=True, prune=True)
    assert row["outcome"] == ("current" if calls else "unchanged")
    assert play.routed() == calls


def test_a_broken_limit_goes_back_at_once() -> None:
    play = Play()
    play.server.counts = [{"Completed": 1, "Failed": 3}]
    with pytest.raises(RolloutError) as error:
        play.go()
    assert play.routed() == ["ramp b2 5", "ramp  0"]
    assert (play.server.current, play.server.ramping) == ("b1", None)
    text = str(error.value)
    assert text.startswith(
        "orders: build b2 had 5 % of new workflows for 0 s: orders, build b2, failed workflows: found 3"
    )
    assert "All new workflows of orders go to build b1 again" in text
    assert play.rollouts.rows[0]["outcome"] == "returned"
    assert {check["status"] for check in play.rollouts.checks} == {"failed", "healthy"}


def test_a_build_without_workers_leaves_all_as_it_was() -> None:
    play = Play()
    play.server.polling = {"b1"}
    with pytest.raises(RolloutError, match=r"nobody who polls .* go to build b1, as before"):
        play.go()
    assert play.routed() == []


def test_those_before_go_back_too() -> None:
    play = Play(b1="inactive", b2="inactive", b3="inactive")

    def fail(module: str, options: Json) -> None:
        if module == _rollout.HEALTH and options["versions"][0]["build_id"] == "b3":
            play.server.counts = [{"Failed": 1}]

    play.before = fail
    with pytest.raises(RolloutError):
        play.go("b2", "b3")
    assert play.server.current == "b1"
    assert [row["outcome"] for row in play.rollouts.rows] == ["returned", "returned"]


def test_the_way_back_is_tried_until_it_works() -> None:
    play = Play()
    play.server.counts = [{"Failed": 1}]
    tries: list[str] = []

    def busy(module: str, options: Json) -> None:
        back = module == _rollout.DEPLOYMENT and options["deployments"][0].get("current") == "b1"
        if back:
            tries.append("back")
        play.server.failing = {"deployments": "deadline"} if back and len(tries) < 4 else {}

    play.before = busy
    with pytest.raises(RolloutError, match="go to build b1 again"):
        play.go()
    assert len(tries) == 4
    assert play.server.ramping is None


def test_a_way_back_that_does_not_work_says_what_to_run() -> None:
    play = Play()
    play.server.counts = [{"Failed": 1}]
    play.server.failing["ramp  0"] = "permission_denied"
    with (
        mock.patch.object(_rollout, "RETURN_SECONDS", 0),
        pytest.raises(
            RolloutError, match="set-current-version --namespace orders --deployment-name orders --build-id b1"
        ),
    ):
        play.go()
    assert play.rollouts.rows[0]["outcome"] == "stuck"


def test_what_is_done_is_pruned_first() -> None:
    play = Play("b1", b0="drained", b1="inactive", b2="inactive")
    play.server.polling = {"b1", "b2"}
    (row,) = play.go(steps=[], prune=True)
    assert play.routed() == ["delete b0", "current b2"]
    assert {v["build_id"]: v["status"] for v in row["versions"]} == {"b1": "draining", "b2": "current"}


@pytest.mark.parametrize(
    ("shares", "wrong"), [([], 0), ([5, 25, 100], 0), ([25, 5], 1), ([5, 5], 1), ([0, 5], 1), ([50, 101], 1)]
)
def test_steps_must_grow(shares: list[float], wrong: int) -> None:
    steps = [{"percentage": share, "watch_seconds": 1} for share in shares]
    assert len(problems([{"name": "orders", "steps": steps}])) == wrong
