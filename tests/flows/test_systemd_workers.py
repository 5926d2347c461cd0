# SPDX-License-Identifier: GPL-3.0-or-later
"""A Python and a Go application under systemd: deployed, rolled back and rebooted with work under way."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from play import ROOT, play
from releases import variant
from test_bad_days import OnVm, Orders, eventually

EXAMPLES = ROOT / "examples"
PACKAGES = {
    "approvals": EXAMPLES / "approvals" / "approvals.tar.gz",
    "onboarding": EXAMPLES / "onboarding" / "onboarding.tar.gz",
}
UNITS = {"approvals": {"approvals-worker": 1, "approvals-api": 1}, "onboarding": {"onboarding-worker": 2}}
MOST_EXPOSED = 2.0
TEMPORAL = {"TEMPORAL_ADDRESS": "{{ topology_temporal_address }}"}
APPROVALS: dict[str, Any] = {
    "name": "approvals",
    "root": "/opt/approvals",
    "user": "approvals",
    "group": "approvals",
    "runtime": "systemd",
    "dependencies": "wheels",
    "namespace": "approvals",
    "task_queues": ["approvals"],
    "port": 3100,
    "server_name": "approvals.example",
    "health_url": "http://127.0.0.1:3100/health",
    "environment": {**TEMPORAL, "TEMPORAL_NAMESPACE": "approvals", "TEMPORAL_TASK_QUEUE": "approvals"},
    "replay_command": ["venv/bin/python", "-m", "approvals.replay"],
    "processes": [
        {"name": "worker", "command": ["venv/bin/python", "-m", "approvals.worker"], "notify": True},
        {"name": "api", "command": ["venv/bin/python", "-m", "approvals.api"], "notify": True, "socket": True},
    ],
}


def secret(name: str) -> str:
    return f"{{{{ lookup('durable.temporal.secret', '{name}-database-password') }}}}"


def database(name: str) -> str:
    password = secret(name).replace(" }}", " | urlencode }}")
    return f"postgres://{name}:{password}@{{{{ topology_database_admin_host }}}}:5432/{name}"


ONBOARDING: dict[str, Any] = {
    "name": "onboarding",
    "root": "/opt/onboarding",
    "user": "onboarding",
    "group": "onboarding",
    "runtime": "systemd",
    "dependencies": "none",
    "namespace": "onboarding",
    "task_queues": ["onboarding"],
    "environment": {
        **TEMPORAL,
        "TEMPORAL_NAMESPACE": "onboarding",
        "TEMPORAL_TASK_QUEUE": "onboarding",
        "ACCOUNTS_DATABASE_URL": database("accounts"),
        "PROFILES_DATABASE_URL": database("profiles"),
    },
    "replay_command": ["bin/onboarding", "replay"],
    "processes": [{"name": "worker", "command": ["bin/onboarding", "worker"], "instances": 2, "notify": True}],
}


def declared(artifacts: Mapping[str, Path], approvals: Mapping[str, Any] = APPROVALS) -> dict[str, Any]:
    """All that the two applications need, besides what the platform has."""
    own = ("accounts", "profiles")
    return {
        "topology_applications": [
            "{{ local_application }}",
            *(
                {**application, "artifact": str(artifacts[application["name"]])}
                for application in (approvals, ONBOARDING)
            ),
        ],
        "topology_namespaces": [{"name": name, "retention": "3d"} for name in ("order-processing", *PACKAGES)],
        "postgres_users": [
            {"name": "temporal", "password": "{{ topology_database_password }}"},
            *({"name": name, "password": secret(name)} for name in own),
        ],
        "postgres_databases": [
            {"name": "temporal", "owner": "temporal"},
            {"name": "temporal_visibility", "owner": "temporal"},
            *({"name": name, "owner": name} for name in own),
        ],
    }


class Vm:
    """The two applications, as the host shows them."""

    def __init__(self, on_vm: OnVm) -> None:
        self.on_vm = on_vm

    def releases(self, application: str) -> set[str]:
        """The releases of the instances that run, of which there are as many as declared."""
        patterns = " ".join(f"'{unit}@*.service'" for unit in UNITS[application])
        listed = self.on_vm(
            f"systemctl list-units --plain --no-legend --state=active,activating,deactivating {patterns}"
        )
        units = [line.split()[0] for line in listed.splitlines()]
        if len(units) != sum(UNITS[application].values()):
            return set()
        return {re.sub(r".*@(\d{14}-[0-9a-f]{8})\..*", r"\1", unit) for unit in units}

    def live(self, application: str) -> str:
        return self.on_vm(f"basename $(readlink -f /opt/{application}/current)").strip()

    def settled(self) -> dict[str, str]:
        for application in UNITS:
            eventually(
                f"{application} runs its live release only",
                lambda application=application: self.releases(application) == {self.live(application)},  # type: ignore[misc]
                90,
            )
        return {application: self.live(application) for application in UNITS}

    def approvals(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        data = f"-d '{json.dumps(body)}'" if body is not None else ""
        address = f"http://127.0.0.1:3100{path}"
        answer = self.on_vm(f"curl -fsS -X {method} -H 'content-type: application/json' {data} {address}")
        value: dict[str, Any] = json.loads(answer)
        return value

    def start(self, identity: str) -> None:
        """The request that existing clients send."""
        request = {
            "requestId": identity,
            "approverId": "ben",
            "module": "purchasing",
            "entityType": "order",
            "entityId": "4711",
            "priority": "HIGH",
        }
        answer = self.approvals("POST", "/api/approvals", request)
        assert answer["data"]["workflowId"] == f"approval-{identity}", answer

    def status(self, identity: str) -> dict[str, Any]:
        data: dict[str, Any] = self.approvals("GET", f"/api/approvals/approval-{identity}/status")["data"]
        return data

    def ask(self, identity: str) -> None:
        """An approval that waits for ben."""
        self.start(identity)
        eventually("ben is asked", lambda: "ben" in json.dumps(self.status(identity)["state"]))

    def decide(self, identity: str) -> None:
        self.approvals("POST", f"/api/approvals/approval-{identity}/decision", {"by": "ben", "approved": True})
        eventually("it ends", lambda: self.status(identity)["status"] == "COMPLETED")

    def onboarding(self, arguments: str) -> str:
        place = "cd /opt/onboarding/current && TEMPORAL_NAMESPACE=onboarding TEMPORAL_TASK_QUEUE=onboarding"
        return self.on_vm(f"{place} bin/onboarding {arguments}", check=False)

    def rows(self, table: str, workflow: str) -> list[str]:
        name = "accounts" if table == "accounts" else "profiles"
        query = f"SELECT state FROM {table} WHERE workflow_id LIKE '%{workflow}'"
        return self.on_vm(f'docker exec temporal-postgres psql -U postgres -Atc "{query}" {name}').split()


@pytest.fixture
def vm(on_vm: OnVm) -> Vm:
    return Vm(on_vm)


def test_python_and_go_applications_deploy_roll_back_and_survive_a_reboot(
    inventory: Path, outputs: dict[str, str], vm: Vm, on_vm: OnVm, tmp_path: Path
) -> None:
    site = play("site", inventory, extra=declared(PACKAGES))
    assert site.rc == 0, site.failure
    deploy = play("deploy", inventory, extra=declared(PACKAGES))
    assert deploy.rc == 0, deploy.failure
    first = vm.settled()

    mark = str(time.time_ns())
    vm.ask(f"over-releases-{mark}")
    vm.onboarding(f"start --user early-{mark} --email early-{mark}@example.com --name Early --slow grantQuota=20")
    second_artifacts = {
        name: variant(tmp_path / f"{name}.tar.gz", "second", package=package) for name, package in PACKAGES.items()
    }
    deploy = play("deploy", inventory, extra=declared(second_artifacts))
    assert deploy.rc == 0, deploy.failure
    second = vm.settled()
    assert {*second.values()}.isdisjoint(first.values())
    vm.decide(f"over-releases-{mark}")
    eventually("the early user is onboarded", lambda: "onboarded" in vm.onboarding(f"status early-{mark}"), 90)

    vm.ask(f"over-rollback-{mark}")
    for application in UNITS:
        back = play("rollback", inventory, extra={**declared(second_artifacts), "rollback_application": application})
        assert back.rc == 0, back.failure
    assert vm.settled() == first
    vm.decide(f"over-rollback-{mark}")

    vm.ask(f"over-reboot-{mark}")
    subprocess.run(["docker", "restart", "--time", "30", outputs["vm"]], check=True, capture_output=True)
    eventually("the orders' API is healthy again", Orders(outputs["api_url"]).healthy, 120)
    assert vm.settled() == first
    vm.decide(f"over-reboot-{mark}")

    # The saga over two databases: what stands, and what a refusal at the end takes back.
    said = vm.onboarding(f"start --user ada-{mark} --email ada-{mark}@example.com --name Ada --wait")
    assert "onboarded" in said, said
    vm.onboarding(f"start --user eve-{mark} --email eve-{mark}@example.com --name Eve --fail sendWelcome=-1 --wait")
    tables = ("accounts", "profiles", "quotas")
    assert [vm.rows(table, f"ada-{mark}") for table in tables] == [["active"]] * len(tables)
    assert [vm.rows(table, f"eve-{mark}") for table in tables] == [["removed"]] * len(tables)

    shown = on_vm("systemctl list-units --plain --no-legend 'approvals-*.service' 'onboarding-*.service'")
    for unit in (line.split()[0] for line in shown.splitlines()):
        analysed = on_vm(f"systemd-analyze security --no-pager {unit} | tail -n 1")
        exposure = float(re.findall(r"(\d+\.\d)", analysed)[-1])
        assert exposure <= MOST_EXPOSED, analysed

    again = play("deploy", inventory, extra=declared(PACKAGES))
    assert (again.rc, again.changed) == (0, []), again.failure or again.changed


def test_an_api_that_opens_its_port_itself_is_deployed_again(
    inventory: Path, vm: Vm, on_vm: OnVm, tmp_path: Path
) -> None:
    worker, api = APPROVALS["processes"]
    own = {**APPROVALS, "processes": [worker, {**api, "socket": False}]}
    before = vm.live("approvals")
    for build in ("its own port", "and again"):
        artifacts = {**PACKAGES, "approvals": variant(tmp_path / build, build, package=PACKAGES["approvals"])}
        deploy = play("deploy", inventory, extra=declared(artifacts, own))
        assert deploy.rc == 0, deploy.failure
        vm.settled()
        assert vm.live("approvals") != before
        before = vm.live("approvals")
        assert "healthy" in on_vm("curl -fsS http://127.0.0.1:3100/health")
    # What its environment says takes effect, too.
    other = {**own, "environment": {**own["environment"], "NEW": "value"}}
    site = play("site", inventory, extra=declared(artifacts, other))
    assert site.rc == 0, site.failure
    assert vm.settled()["approvals"] == before
    back = play("deploy", inventory, extra=declared(PACKAGES))
    assert back.rc == 0, back.failure
    vm.settled()
