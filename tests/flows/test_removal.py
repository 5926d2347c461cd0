# SPDX-License-Identifier: GPL-3.0-or-later
"""Applications that nobody declares any more are told of, and go: nothing of others is touched, and nothing is left over."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from load import Load
from play import Run, interrupt, play
from test_bad_days import OnVm, Orders, eventually
from test_systemd_workers import APPROVALS, PACKAGES

# The same program as the orders', as an application of its own: PM2, another port, another task queue.
RETURNS = """{{ local_application | combine({
  'name': 'returns', 'root': '/opt/returns/workflow', 'user': 'returns', 'group': 'returns', 'port': 3200,
  'server_name': 'returns.example', 'task_queues': ['returns'], 'health_url': 'http://127.0.0.1:3200/health',
  'replay_command': [],
  'environment': local_application.environment | combine(
    {'TEMPORAL_TASK_QUEUE': 'returns', 'CASE_STORE_DIR': '/opt/returns/workflow/shared/cases'}),
  'processes': [local_application.processes[0], local_application.processes[1] | combine(
    {'environment': {'HOST': '127.0.0.1', 'PORT': '3200'}})]}) }}"""
ORDERS = "{{ local_application }}"
APPROVALS_WITH_ARTIFACT = {**APPROVALS, "artifact": str(PACKAGES["approvals"])}
QUEUES = {"approvals": "approvals", "returns": "order-processing"}  # task queue → namespace
ALL = {"order-processing": ORDERS, "approvals": APPROVALS_WITH_ARTIFACT, "returns": RETURNS}
DAEMON = "order-processing-pm2.service"


def declared(*applications: Any) -> dict[str, Any]:
    return {
        "topology_applications": list(applications),
        "topology_namespaces": [{"name": name, "retention": "3d"} for name in ("order-processing", "approvals")],
    }


class Vm:
    """What an operator sees on the host and of the server."""

    def __init__(self, on_vm: OnVm) -> None:
        self.on_vm = on_vm

    def served(self, queue: str) -> bool:
        """Whether the server finds a worker for a new task of a queue. It lists pollers for minutes after they are gone."""
        server = f"--namespace {QUEUES[queue]}"
        case = f"is-{queue}-served-{time.time_ns()}"
        self.on_vm(f"temporal workflow start {server} --task-queue {queue} --type nobody --workflow-id {case}")
        answers: list[bool] = []

        def answered() -> bool:
            events = self.on_vm(f"temporal workflow show {server} --workflow-id {case} --output json")
            said = self.on_vm(f"temporal task-queue describe {server} --task-queue {queue} --output json")
            waiting = max(int(row["approximateBacklogCount"]) for row in json.loads(said)["stats"])
            answers.extend([True] if "WORKFLOW_TASK_STARTED" in events else [False] if waiting else [])
            return bool(answers)

        eventually(f"a task of {queue} is taken, or waits", answered, 90)
        self.on_vm(f"temporal workflow terminate {server} --workflow-id {case}", check=False)
        return answers[0]

    def traces(self, application: str) -> list[str]:
        """Every file, unit and process of an application, wherever it is."""
        places = "/etc /opt /usr/local /var/lib /var/log /home /root /srv"
        pruned = r"\( -path /var/lib/docker -o -path /opt/order-processing -o -path /var/log/journal \) -prune -o"
        files = self.on_vm(f"find {places} {pruned} -name '*{application}*' -print").split()
        units = self.on_vm(f"systemctl list-units --all --plain --no-legend '*{application}*' | cut -d' ' -f1").split()
        users = self.on_vm(
            f"getent passwd {application} | cut -d: -f1; pgrep -u {application} -a || :", check=False
        ).split()
        # As the runbook says, nginx keeps its logs. A slice without units is systemd's own affair.
        files = [file for file in files if not file.startswith("/var/log/nginx/")]
        units = [unit for unit in units if not unit.endswith(".slice")]
        return [*files, *(f"unit {unit}" for unit in units), *(f"user {word}" for word in users)]

    def untouched(self) -> str:
        """The daemon and the processes of the application that stays."""
        return self.on_vm(
            f"systemctl show -p MainPID -p NRestarts {DAEMON}; pgrep -u workflow -f 'dist/(worker|api)' | sort"
        )


@pytest.fixture
def vm(on_vm: OnVm) -> Vm:
    return Vm(on_vm)


@pytest.fixture(scope="module")
def three(inventory: Path) -> None:
    """A host with three applications, under both runtimes."""
    for verb in ("site", "deploy"):
        done = play(verb, inventory, extra=declared(*ALL.values()))
        assert done.rc == 0, done.failure


def cautions(run: Run) -> str:
    return "\n".join(line for task in run.tasks for line in task.result.get("cautions", []))


def rows(inventory: Path, path: Path, extra: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Component to its row about what is declared, in the health report."""
    status = play("status", inventory, extra={**extra, "status_report": str(path)})
    assert status.rc == 0, status.failure
    (host,) = json.loads(path.read_text())["hosts"].values()
    return {row["component"]: row for row in host["checks"] if row["name"] == "declaration"}


def remove(inventory: Path, name: str, extra: Mapping[str, Any], **more: Any) -> Run:
    return play("remove", inventory, extra={**extra, "remove_application": name, **more})


@pytest.mark.usefixtures("three")
def test_what_is_no_longer_declared_is_told_and_goes_on(inventory: Path, vm: Vm, tmp_path: Path) -> None:
    assert rows(inventory, tmp_path / "all.json", declared(*ALL.values())) == {}
    site = play("site", inventory, extra=declared(ORDERS))
    assert site.rc == 0, site.failure
    for name in ("approvals", "returns"):
        assert f"the application {name} is on this host and not declared for it" in cautions(site)
        assert f"remove_application={name}" in cautions(site)
    found = rows(inventory, tmp_path / "orders.json", declared(ORDERS))
    assert {name: row["status"] for name, row in found.items()} == {"approvals": "degraded", "returns": "degraded"}
    assert [vm.served(queue) for queue in QUEUES] == [True, True]


@pytest.mark.usefixtures("three")
def test_a_process_that_is_no_longer_declared_ends(inventory: Path, on_vm: OnVm, vm: Vm) -> None:
    def running() -> list[str]:
        units = on_vm("systemctl list-units --plain --no-legend 'approvals-*.service' | cut -d@ -f1").split()
        names = on_vm("returns-pm2 jlist --silent")
        return sorted({*units, *(row["name"] for row in json.loads(names[names.index("[") :]))})

    before = vm.untouched()
    assert running() == ["approvals-api", "approvals-worker", "workflow-api", "workflow-worker"]
    api = [process for process in APPROVALS["processes"] if process["name"] == "api"]
    fewer = (
        ORDERS,
        {**APPROVALS_WITH_ARTIFACT, "processes": api},
        RETURNS.replace("local_application.processes[0], ", ""),
    )
    site = play("site", inventory, extra=declared(*fewer))
    assert site.rc == 0, site.failure
    assert running() == ["approvals-api", "workflow-api"]
    site = play("site", inventory, extra=declared(*ALL.values()))
    assert site.rc == 0, site.failure
    assert running() == ["approvals-api", "approvals-worker", "workflow-api", "workflow-worker"]
    assert vm.untouched() == before


@pytest.mark.usefixtures("three")
def test_what_would_run_beside_it_is_refused(inventory: Path, vm: Vm) -> None:
    before = vm.untouched()
    renamed = {**APPROVALS_WITH_ARTIFACT, "name": "signoffs", "user": "signoffs", "group": "signoffs"}
    moved = {**APPROVALS_WITH_ARTIFACT, "runtime": "pm2", "dependencies": "npm", "processes": []}
    nginx = {**APPROVALS_WITH_ARTIFACT, "name": "nginx", "root": "/opt/nginx/workflow", "port": 3300}
    for application, said in (
        (
            renamed,
            "has the root /opt/approvals of approvals, which is on this host. That looks like a rename of approvals",
        ),
        (moved, "approvals is to run under pm2, and has units of systemd on this host"),
        (nginx, "'nginx', which the system or this collection uses"),
        ({**renamed, "root": "/opt/s", "port": 3300, "user": "deploy"}, "deploy is that of host_deploy_user"),
        ({**renamed, "root": "/opt/s", "port": 3300, "user": "www-data"}, "www-data is an account of the system"),
    ):
        site = play("site", inventory, extra=declared(ORDERS, RETURNS, application))
        assert site.rc != 0
        assert said in site.failure
        assert site.changed == []
    # Without preflight, too: the host has not been prepared for it.
    deploy = play("deploy", inventory, extra=declared(ORDERS, RETURNS, renamed))
    assert deploy.rc != 0
    assert "signoffs was not prepared on" in deploy.failure
    assert "Run site.yml first" in deploy.failure
    assert vm.untouched() == before


@pytest.mark.usefixtures("three")
def test_what_is_declared_unknown_or_not_confirmed_is_not_removed(inventory: Path) -> None:
    for name, more, said in (
        ("approvals", {}, "which is declared for"),
        ("aprovals", {}, "expected one of approvals, order-processing, returns. Did you mean approvals?"),
        ("", {}, "remove_application is empty"),
    ):
        refused = remove(inventory, name, declared(*ALL.values()), **more)
        assert refused.rc != 0
        assert said in refused.failure
        assert refused.changed == []
    refused = remove(inventory, "returns", declared(ORDERS, APPROVALS_WITH_ARTIFACT), remove_data=True)
    assert refused.rc != 0
    assert "remove_confirm is empty; expected 'returns'" in refused.failure
    assert "/opt/returns/workflow/shared" in refused.failure


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize("name", ["approvals", "returns"])
def test_it_goes_without_a_trace_while_the_others_serve(
    inventory: Path, outputs: dict[str, str], vm: Vm, tmp_path: Path, name: str
) -> None:
    # The one that is removed first leaves two.
    others = [other for other in ALL if other != name and (name, other) != ("returns", "approvals")]
    left = declared(*(ALL[other] for other in others))
    before = vm.untouched()
    check = play("remove", inventory, "--check", extra={**left, "remove_application": name})
    assert check.rc == 0, check.failure
    assert vm.served(name)
    with Load(outputs["api_url"], rate=5, mix="mixed") as load:
        # Cut off when its site is gone and its processes run: the next one finishes it.
        begun = interrupt(
            "remove",
            inventory,
            0,
            0,
            at_task="End its processes, and remove what was written for it",
            extra={**left, "remove_application": name},
        )
        assert begun is not None
        done = remove(inventory, name, left)
        assert done.rc == 0, done.failure
    assert load.report.lost == 0, load.report
    assert vm.untouched() == before
    assert not vm.served(name)

    root = "/opt/approvals" if name == "approvals" else "/opt/returns"
    record = f"/var/lib/durable-temporal/applications/{name}.json"
    documented = {root, record, f"user {name}", *([f"/var/log/pm2/{name}"] if name == "returns" else [])}
    below = tuple(f"{path}/" for path in documented)
    assert [trace for trace in vm.traces(name) if trace not in documented and not trace.startswith(below)] == []

    again = remove(inventory, name, left)
    assert (again.rc, again.changed) == (0, []), again.failure
    assert f"{name} was removed earlier. These stay: " in again.output
    # The edge's record is of all sites together, so that nginx reads them once more.
    first, site = (play("site", inventory, extra=left) for _ in range(2))
    assert (first.rc, [task for task in first.changed if "nginx" not in task]) == (0, []), (
        first.failure or first.changed
    )
    assert (site.rc, site.changed) == (0, []), site.failure or site.changed
    assert name not in cautions(first)
    assert name not in rows(inventory, tmp_path / "after.json", left)

    data = remove(inventory, name, left, remove_data=True, remove_confirm=name)
    assert data.rc == 0, data.failure
    assert vm.traces(name) == []
    assert vm.untouched() == before
    unknown = remove(inventory, name, left)
    assert unknown.rc != 0
    assert f"remove_application is '{name}'; expected one of" in unknown.failure


@pytest.mark.usefixtures("three")
def test_it_can_come_back(inventory: Path, outputs: dict[str, str], vm: Vm) -> None:
    """After the removal the same declaration is a new application; and so the host is as it was before these tests."""
    assert Orders(outputs["api_url"]).healthy()
    both = declared(ORDERS, APPROVALS_WITH_ARTIFACT)
    for verb in ("site", "deploy"):
        done = play(verb, inventory, extra=both)
        assert done.rc == 0, done.failure
    assert vm.served("approvals")
    gone = remove(inventory, "approvals", declared(ORDERS), remove_data=True, remove_confirm="approvals")
    assert gone.rc == 0, gone.failure
    assert vm.traces("approvals") == []
