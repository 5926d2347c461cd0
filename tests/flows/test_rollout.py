# SPDX-License-Identifier: GPL-3.0-or-later
"""Workers of a Worker Deployment, deployed by playbooks: a share of new approvals goes to the new build, and back."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from play import ROOT, Run, play
from releases import variant
from test_bad_days import OnVm, eventually
from test_systemd_workers import APPROVALS, PACKAGES, Vm

# A growing share, each step long enough for a few dozen approvals.
STEPS = [{"percentage": 30, "watch_seconds": 10}, {"percentage": 60, "watch_seconds": 10}]
RUNBOOK = ROOT / "docs" / "runbooks" / "deploy.md"
RUN = b"    async def run(self, request: Request) -> State:\n"
LEDGER = (
    "import json, sqlite3;"
    "database = sqlite3.connect('/opt/approvals/shared/approvals.sqlite3');"
    "print(json.dumps(database.execute('SELECT workflow_id, step, release FROM workflow_history').fetchall()))"
)


def refusing(program: bytes) -> bytes:
    """Workflow code that ends each new approval as failed."""
    assert program.count(RUN) > 1, "the workflow code has changed: say here how its run begins"
    failing = b"        raise __import__('temporalio').exceptions.ApplicationError('no approvals today')\n"
    return program.replace(RUN, RUN + failing)


VERSIONED = {"versioning": "worker_deployment", "rollout_steps": STEPS}


def declared(artifact: Path, versioning: Mapping[str, Any] = VERSIONED) -> dict[str, Any]:
    approvals = {**APPROVALS, **versioning, "artifact": str(artifact)}
    return {
        "topology_applications": ["{{ local_application }}", approvals],
        "topology_namespaces": [{"name": name, "retention": "3d"} for name in ("order-processing", "approvals")],
    }


class Approvals(Vm):
    """Approvals that are asked for, and the release that each began in."""

    def __init__(self, on_vm: OnVm) -> None:
        super().__init__(on_vm)
        self.mark = str(time.time_ns())
        self.asked: list[str] = []

    def ask_one(self) -> str:
        identity = f"{self.mark}-{len(self.asked)}"
        self.asked.append(identity)
        self.start(identity)
        return identity

    @contextmanager
    def meanwhile(self) -> Iterator[list[str]]:
        """New approvals all the time."""
        begun: list[str] = []
        done = Event()

        def work() -> None:
            while not done.is_set():
                begun.append(self.ask_one())

        with ThreadPoolExecutor(1) as pool:
            asking = pool.submit(work)
            try:
                yield begun
            finally:
                done.set()
                asking.result()

    def steps(self) -> Mapping[tuple[str, str], str]:
        """Approval and step to the release that has carried it out."""
        rows = json.loads(self.on_vm(f'python3 -c "{LEDGER}"'))
        return {(workflow.removeprefix("approval-"), step): release for workflow, step, release in rows}

    def began(self, identities: list[str]) -> dict[str, str]:
        """Approval to the release that it began in; once all have."""
        eventually("all have begun", lambda: {(i, "requested") for i in identities} <= set(self.steps()))
        steps = self.steps()
        return {identity: steps[identity, "requested"] for identity in identities}


@pytest.fixture(scope="module")
def approvals(on_vm: OnVm) -> Approvals:
    return Approvals(on_vm)


def rollout_of(run: Run) -> Mapping[str, Any]:
    (task,) = [task for task in run.tasks if task.name.endswith("Roll the new builds out step by step")]
    (row,) = task.result["rollouts"]
    return row  # type: ignore[no-any-return]


def routing(inventory: Path, extra: Mapping[str, Any], path: Path) -> dict[str, str]:
    """What status.yml says of live builds that get no new workflows; of the others it shows how they fare."""
    run = play("status", inventory, extra={**extra, "status_report": str(path)})
    (host,) = json.loads(path.read_text())["hosts"].values()
    builds = [check for check in host["checks"] if ", build " in check["component"]]
    assert builds
    # What other flows have left on the host is degraded.
    assert run.rc == (2 if any(check["status"] == "failed" for check in host["checks"]) else 0), run.failure
    return {check["component"]: check["status"] for check in builds if check["name"] == "routing"}


@pytest.mark.parametrize("flow", ["site", "deploy"])
def test_a_live_build_that_is_not_current_becomes_current(
    inventory: Path, on_vm: OnVm, approvals: Approvals, tmp_path: Path, flow: str
) -> None:
    """As when versioning is turned on for workers that run: before a build is current, they poll and get nothing."""
    extra = declared(PACKAGES["approvals"])
    for play_of in ("site", "deploy"):
        run = play(play_of, inventory, extra=extra)
        assert run.rc == 0, run.failure
    live = approvals.live("approvals")
    nobody = "--namespace approvals --deployment-name approvals --unversioned --allow-no-pollers"
    on_vm(f"bash -lc 'temporal worker deployment set-current-version {nobody} --ignore-missing-task-queues --yes'")
    waiting = approvals.ask_one()
    report = tmp_path / "status.json"
    assert routing(inventory, extra, report) == {f"approvals, build {live}": "failed"}

    run = play(flow, inventory, extra=extra)
    assert run.rc == 0, run.failure
    assert approvals.began([waiting]) == {waiting: live}
    assert routing(inventory, extra, report) == {}
    again = play(flow, inventory, extra=extra)
    assert (again.rc, again.changed) == (0, []), again.failure or again.changed


def test_a_growing_share_of_new_workflows_goes_to_the_new_build_and_open_ones_stay(
    inventory: Path, approvals: Approvals, tmp_path: Path
) -> None:
    site = play("site", inventory, extra=declared(PACKAGES["approvals"]))
    assert site.rc == 0, site.failure
    deploy = play("deploy", inventory, extra=declared(PACKAGES["approvals"]))
    assert deploy.rc == 0, deploy.failure
    first = approvals.live("approvals")
    early = [approvals.ask_one() for _ in range(3)]
    assert set(approvals.began(early).values()) == {first}

    artifact = variant(tmp_path / "second.tar.gz", "second", package=PACKAGES["approvals"])
    with approvals.meanwhile() as begun:
        deploy = play("deploy", inventory, extra=declared(artifact))
    assert deploy.rc == 0, deploy.failure
    second = approvals.live("approvals")
    assert second != first

    row = rollout_of(deploy)
    assert (row["outcome"], row["previous"], row["build_id"]) == ("current", first, second)
    assert [step["percentage"] for step in row["steps"]] == [step["percentage"] for step in STEPS]
    assert {*approvals.began(begun).values()} == {first, second}
    late = [approvals.ask_one() for _ in range(5)]
    assert set(approvals.began(late).values()) == {second}

    # What had begun is finished by the build that it began in, whose instances are still there.
    for identity in early:
        approvals.decide(identity)
    assert {approvals.steps()[identity, "approved"] for identity in early} == {first}


def test_a_rollback_sends_all_new_workflows_back_at_once(inventory: Path, approvals: Approvals) -> None:
    left = approvals.live("approvals")
    back = play("rollback", inventory, extra={**declared(PACKAGES["approvals"]), "rollback_application": "approvals"})
    assert back.rc == 0, back.failure
    row = rollout_of(back)
    assert (row["outcome"], row["previous"], row["steps"]) == ("current", left, [])
    assert approvals.live("approvals") == row["build_id"]
    late = [approvals.ask_one() for _ in range(5)]
    assert set(approvals.began(late).values()) == {row["build_id"]}


def test_a_build_whose_workflows_fail_goes_back_by_itself(
    inventory: Path, approvals: Approvals, tmp_path: Path
) -> None:
    good = approvals.live("approvals")
    artifact = variant(
        tmp_path / "third.tar.gz", "third", {"approvals/workflows.py": refusing}, package=PACKAGES["approvals"]
    )
    # The replay would refuse it before anything is started.
    extra = {**declared(artifact), "app_release_replay": False}
    with approvals.meanwhile():
        deploy = play("deploy", inventory, extra=extra)
    assert deploy.rc != 0
    row = rollout_of(deploy)
    assert (row["outcome"], row["previous"], len(row["steps"])) == ("returned", good, 1), deploy.failure
    assert row["steps"][0]["failure_percent"] > 0
    assert good in deploy.failure, deploy.failure
    assert approvals.live("approvals") == good
    late = [approvals.ask_one() for _ in range(10)]
    assert set(approvals.began(late).values()) == {good}


def test_turning_versioning_off_leaves_no_workflow_behind(inventory: Path, on_vm: OnVm, approvals: Approvals) -> None:
    """With the commands of the runbook, as they stand there."""
    pinned = approvals.ask_one()
    approvals.began([pinned])
    deploy = play("deploy", inventory, extra=declared(PACKAGES["approvals"], versioning={}))
    assert deploy.rc == 0, deploy.failure
    late = approvals.ask_one()
    (block,) = re.findall(r"^```bash\n(.*?)^```$", RUNBOOK.read_text(), re.MULTILINE | re.DOTALL)
    for command in block.splitlines():
        on_vm(f"bash -lc {shlex.quote(command)}")
    live = approvals.live("approvals")
    assert approvals.began([late]) == {late: live}

    def decided() -> bool:
        try:
            approvals.decide(pinned)
        except AssertionError:
            return False
        return True

    eventually("the workflow that was pinned takes a decision", decided)
    assert approvals.steps()[pinned, "approved"] == live
