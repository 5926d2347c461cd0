# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moves new workflows to a new build step by step, and back to the old one when a limit is broken.

Private to this collection. Knows no Ansible: it is given the two modules as functions, and says what it does.
"""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass, field

Json = dict[str, t.Any]
# Runs a module with its options and the connection of one rollout, and returns its result.
Run = t.Callable[[str, Json, Json], Json]

DEPLOYMENT = "durable.temporal.worker_deployment"
HEALTH = "durable.temporal.worker_deployment_health"
LIMITS = ("max_failure_percent", "max_schedule_to_start_seconds", "min_workflows")
# Of the modules' errors, those that may pass by themselves.
PASSING = ("unreachable", "deadline", "limit", "not_temporal")
# The way back must not fail because the server is busy, or because a call of ours came through after its deadline.
RETURN_SECONDS = 180.0
PAUSE_SECONDS = 2.0
FIGURES = ("started", "failed", "stuck", "failure_percent", "schedule_to_start_seconds")


class RolloutError(Exception):
    """A rollout that came to a bad end, as a sentence."""


@dataclass
class Rollouts:
    """Carries out rollouts one after the other. ``rows`` is what has become of each."""

    run: Run
    say: t.Callable[[str], None]
    wait_seconds: float
    rows: list[Json] = field(default_factory=list)
    checks: list[Json] = field(default_factory=list)

    def carry_out(self, rollouts: t.Sequence[Json]) -> None:
        """Carry out all. When one fails, those before it go back too: they belong to the same deployment.

        :raises RolloutError: with the reason and what gets new workflows now.
        """
        for rollout in rollouts:
            row: Json = {
                **{key: rollout[key] for key in ("name", "namespace", "build_id")},
                "previous": "",
                "outcome": "unchanged",
                "steps": [],
                "versions": [],
            }
            self.rows.append(row)
            try:
                self._carry_out(rollout, row)
            except RolloutError as error:
                undone = [self._go_back(one, done) for one, done in reversed(list(zip(rollouts, self.rows)))]
                raise RolloutError(" ".join([str(error), *filter(None, undone)])) from None

    def _carry_out(self, rollout: Json, row: Json) -> None:
        build, name = rollout["build_id"], rollout["name"]
        # Builds that are done go here: the one that is current now can only drain after this rollout.
        prunes = rollout.get("prune") and not rollout.get("only_without_current")
        done = {"prune": True, "keep": [build]} if prunes else {}
        before = self._deployment(rollout, done)["deployments"][0]
        row["versions"] = before["versions"]
        row["previous"] = previous = before["current"]
        if (previous == build and not before["ramping"]) or leaves(rollout, before):
            return
        row["outcome"] = "begun"
        # Without a current build there is nothing that could get the rest.
        for step in rollout["steps"] if previous not in ("", build) else []:
            self._step(rollout, row, step)
        row["versions"] = self._deployment(rollout, {"current": build})["deployments"][0]["versions"]
        row["outcome"] = "current"
        self.say(f"{name}: all new workflows go to build {build}")

    def _step(self, rollout: Json, row: Json, step: Json) -> None:
        build, share, watch = rollout["build_id"], step["percentage"], step["watch_seconds"]
        self._deployment(rollout, {"ramping": {"build_id": build, "percentage": share}})
        row["steps"].append({"percentage": share})
        self.say(f"{rollout['name']}: {share:g} % of new workflows go to build {build}; watching for {watch:g} s")
        limits = {limit: rollout[limit] for limit in LIMITS if rollout.get(limit) is not None}
        version = {**{key: rollout[key] for key in ("name", "namespace", "build_id")}, **limits}
        found = self.run(HEALTH, {"versions": [version], "watch_seconds": watch}, rollout)
        self.checks = found.get("checks", [])
        measured = (found.get("versions") or [{}])[0]
        row["steps"][-1].update(
            {key: measured.get(key) for key in FIGURES}, watched_seconds=found.get("watched_seconds", 0)
        )
        if measured:
            self.say(f"{rollout['name']}: {share:g} %: {said(measured)}")
        if found.get("failed"):
            watched = found.get("watched_seconds", 0)
            raise RolloutError(
                f"{rollout['name']}: build {build} had {share:g} % of new workflows for {watched:g} s: {found['msg']}"
            )

    def _deployment(self, rollout: Json, routing: Json, seconds: float | None = None) -> Json:
        """Run the module; what may pass is tried again for some time, and with ``seconds`` everything for as long."""
        item = {"name": rollout["name"], "namespace": rollout["namespace"], **routing}
        end = time.monotonic() + (self.wait_seconds if seconds is None else seconds)
        while True:
            found = self.run(DEPLOYMENT, {"deployments": [item], "wait_seconds": self.wait_seconds}, rollout)
            if not found.get("failed"):
                return found
            passing = seconds is not None or found.get("kind") in PASSING
            if not passing or time.monotonic() >= end:
                raise RolloutError(f"{rollout['name']}: {found['msg']}")
            time.sleep(PAUSE_SECONDS)

    def _go_back(self, rollout: Json, row: Json) -> str:
        """Send all new workflows to the previous build again; gives the sentence about it."""
        name, build, previous = row["name"], row["build_id"], row["previous"]
        if row["outcome"] not in ("begun", "current"):
            return ""
        if not previous:
            return f"{name}: no build was current before, so nothing went back."
        try:
            found = self._deployment(rollout, {"current": previous}, RETURN_SECONDS)
        except RolloutError as error:
            row["outcome"] = "stuck"
            return (
                f"{name}: going back to build {previous} failed as well, and build {build} may still get new workflows. "
                f"{error} Then run: temporal worker deployment set-current-version --namespace {row['namespace']} "
                f"--deployment-name {name} --build-id {previous}"
            )
        row["outcome"] = "returned"
        if not found["changed"]:
            return f"All new workflows of {name} go to build {previous}, as before."
        self.say(f"{name}: all new workflows go to build {previous} again")
        return (
            f"All new workflows of {name} go to build {previous} again; those that build {build} has begun stay there."
        )


def leaves(rollout: Json, deployment: Json) -> bool:
    """Whether a rollout that is for worker deployments without a current build leaves this one as it is."""
    return bool(rollout.get("only_without_current") and (deployment["current"] or deployment["ramping"]))


def said(measured: Json) -> str:
    """The figures of a step in words."""
    return (
        f"{measured['started']} workflows started, {measured['failed']} failed ({measured['failure_percent']:g} %), "
        f"tasks wait {measured['schedule_to_start_seconds']:g} s at most"
    )


def problems(rollouts: t.Sequence[Json]) -> list[str]:
    """Everything that is wrong with the options, as sentences."""
    found: list[str] = []
    for rollout in rollouts:
        shares = [step["percentage"] for step in rollout["steps"]]
        if any(not 0 < share <= 100 for share in shares) or shares != sorted(set(shares)):
            listed = ", ".join(f"{share:g}" for share in shares)
            found.append(f"{rollout['name']}: the steps are {listed} %: expected a growing row above 0 up to 100.")
        if any(step["watch_seconds"] < 0 for step in rollout["steps"]):
            found.append(f"{rollout['name']}: watch_seconds is below 0 in a step: expected 0 or more.")
    return found
