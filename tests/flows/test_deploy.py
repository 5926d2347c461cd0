# SPDX-License-Identifier: GPL-3.0-or-later
"""Deploying, refusing, going back: the live release serves all the time, and a host never holds two truths."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from load import Load
from play import interrupt, play
from releases import BROKEN, PACKAGE, deploy_with, variant
from test_bad_days import OnVm, Orders, eventually

APPLICATION = "/opt/order-processing/workflow"
# The load shows losses; how long a release is watched is not the question here.
QUICK: dict[str, Any] = {"app_release_watch_seconds": 1, "app_release_wait_seconds": 20}


class Host:
    """The application's releases, as the host shows them."""

    def __init__(self, on_vm: OnVm) -> None:
        self.on_vm = on_vm

    @property
    def live(self) -> str:
        return self.on_vm(f"basename $(readlink -f {APPLICATION}/current)").strip()

    @property
    def running(self) -> set[str]:
        """The releases that processes of the application really run in."""
        pids = self.on_vm("pgrep -u workflow -f 'dist/(worker|api)' || :").split()
        return {Path(self.on_vm(f"readlink /proc/{pid}/cwd", check=False).strip()).name for pid in pids} - {""}

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.on_vm(f"cat {APPLICATION}/shared/deploys.log").splitlines()]

    def leftovers(self) -> str:
        """What only an unfinished run may have: a lock, half a release, a candidate and its secrets."""
        found = self.on_vm(rf"find {APPLICATION} -maxdepth 2 \( -name '*.partial' -o -name '*.new' -o -name .lock \)")
        return found + self.on_vm(
            "find /etc/durable-temporal/order-processing -name 'candidate*'; pgrep -fa -- '[-]candidate' || :"
        )


@pytest.fixture
def host(on_vm: OnVm) -> Host:
    return Host(on_vm)


@pytest.fixture
def orders(outputs: dict[str, str]) -> Orders:
    made = Orders(outputs["api_url"])
    assert made.healthy(), "the platform must be healthy before a deployment"
    return made


def settled(host: Host, orders: Orders) -> None:
    """One release everywhere, and nothing left of any run."""
    eventually("one release runs", lambda: host.running == {host.live})
    assert orders.healthy()
    assert host.leftovers() == ""


def test_a_good_release_takes_over_and_rollbacks_walk_back(
    inventory: Path, outputs: dict[str, str], host: Host, orders: Orders, tmp_path: Path
) -> None:
    first = host.live
    with Load(outputs["api_url"], rate=50, mix="mixed") as load:
        for name in ("second", "third"):
            deploy = deploy_with(inventory, artifact=str(variant(tmp_path / f"{name}.tar.gz", name)), extra=QUICK)
            assert deploy.rc == 0, deploy.failure
        third = host.live
        back = play("rollback", inventory, extra={**QUICK, "rollback_reason": "orders of tenant 7 fail"})
        assert back.rc == 0, back.failure
        second = host.live
        again = play("rollback", inventory, extra=QUICK)
        assert again.rc == 0, again.failure
    assert load.report.lost == 0, load.report
    assert set(load.report.releases) == {first, second, third}
    assert host.live == first
    settled(host, orders)

    entries = host.log()
    assert [e["release"] for e in entries if e["action"] in ("live", "back")][-4:] == [second, third, second, first]
    assert any(e["action"] == "back" and e["reason"] == "orders of tenant 7 fail" and e["by"] for e in entries)
    assert entries[-1]["action"] == "done"

    unknown = play("rollback", inventory, extra={**QUICK, "rollback_release": "20200101000000-00000000"})
    assert unknown.rc != 0
    assert second in unknown.failure
    assert f"{first} (live)" in unknown.failure
    named = play(
        "rollback", inventory, extra={**QUICK, "rollback_release": third, "rollback_application": "order-processing"}
    )
    assert named.rc == 0, named.failure
    assert host.live == third
    assert deploy_with(inventory, extra=QUICK).rc == 0
    settled(host, orders)


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_release_is_refused_before_anything_moves(
    inventory: Path, outputs: dict[str, str], host: Host, orders: Orders, tmp_path: Path, kind: str
) -> None:
    edits, said = BROKEN[kind]
    before = host.live
    with Load(outputs["api_url"], rate=50, mix="mixed", releases=[before]) as load:
        deploy = deploy_with(inventory, artifact=str(variant(tmp_path / "broken.tar.gz", edits=edits)), extra=QUICK)
    assert deploy.rc != 0
    assert re.search(said, deploy.failure), deploy.failure
    assert (
        f"Nothing was switched; the reason is told above. order-processing: release {before} is live." in deploy.failure
    )
    # What went wrong is told by the task that failed, and by no other.
    told = [task.name for task in deploy.having("failed") if re.search(said, task.message)]
    assert len(told) == 1, told
    assert load.report.lost == 0, load.report
    assert host.live == before
    settled(host, orders)


def test_an_api_gets_to_another_address_on_which_it_listens(
    inventory: Path, host: Host, orders: Orders, on_vm: OnVm
) -> None:
    def address() -> list[str]:
        return [line.split()[3] for line in on_vm("ss -Hltn 'sport = :3000'").splitlines()]

    before = address()
    for extra in ({"topology_application_bind_address": "0.0.0.0"}, {}):
        site = play("site", inventory, extra=extra)
        assert site.rc == 0, site.failure
        assert address() == (["0.0.0.0:3000"] if extra else before)
        settled(host, orders)
        assert play("site", inventory, extra=extra).changed == []


def test_of_two_deployments_at_once_one_is_told_who_is_first(
    inventory: Path, host: Host, orders: Orders, tmp_path: Path
) -> None:
    artifacts = [str(variant(tmp_path / f"{name}.tar.gz", name)) for name in ("one", "other")]
    with ThreadPoolExecutor() as pool:
        runs = list(pool.map(lambda artifact: deploy_with(inventory, artifact=artifact, extra=QUICK), artifacts))
    lost = [run for run in runs if run.rc != 0]
    assert len(lost) == 1, [run.failure for run in runs]
    assert re.search(r"\.lock is held by \S+@\S+ for ", lost[0].failure), lost[0].failure
    settled(host, orders)


def test_a_deployment_cut_off_anywhere_is_finished_by_the_next(
    inventory: Path, outputs: dict[str, str], host: Host, orders: Orders, tmp_path: Path
) -> None:
    counted = str(variant(tmp_path / "counted.tar.gz", "counted"))
    names = [task.name for task in deploy_with(inventory, "--check", artifact=counted).tasks]
    with Load(outputs["api_url"], rate=20, mix="mixed") as load:
        for number in range(10):
            artifact = str(variant(tmp_path / f"cut-{number}.tar.gz", f"cut {number}"))
            override = {"local_application_overrides": {"artifact": artifact}, **QUICK}
            point = 1 + (len(names) - 2) * number // 9
            interrupt("deploy", inventory, point, 0.2 + 0.8 * (number % 3), extra=override)
            assert orders.healthy(), f"not served after a cut at task {point}"
            finished = play("deploy", inventory, extra=override)
            assert finished.rc == 0, f"after a cut at task {point}: {finished.failure}"
            settled(host, orders)
    assert load.report.lost == 0, load.report
    assert deploy_with(inventory, artifact=str(PACKAGE), extra=QUICK).rc == 0


@pytest.mark.parametrize(
    ("task", "delay"),
    [
        ("Lock, and install or go back to the releases of order-processing", 0.2),
        ("Run the processes, and watch whether they run, answer and poll", 0.5),
        ("Run the processes, and watch whether they run, answer and poll", 2.5),
    ],
)
def test_a_rollback_that_is_cut_off_is_finished_by_the_next_and_goes_back_once(
    inventory: Path, outputs: dict[str, str], host: Host, orders: Orders, tmp_path: Path, task: str, delay: float
) -> None:
    first = host.live
    artifact = variant(tmp_path / "later.tar.gz", f"later {task} {delay}")
    with Load(outputs["api_url"], rate=20, mix="mixed") as load:
        later = deploy_with(inventory, artifact=str(artifact), extra=QUICK)
        assert later.rc == 0, later.failure
        assert interrupt("rollback", inventory, 0, delay, at_task=task, extra=QUICK)
        finished = play("rollback", inventory, extra=QUICK)
        assert finished.rc == 0, finished.failure
        assert host.live == first
        settled(host, orders)
    assert load.report.lost == 0, load.report
