# SPDX-License-Identifier: GPL-3.0-or-later
"""A platform with another name, root and size, other names of containers, databases and users, and other ports.

On a host of its own, beside a host of the inventory that is none of ours and does not even answer.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from play import ROOT, Run, play
from test_bad_days import Orders, eventually

VM = os.environ.get("DURABLE_VM", "durable-renamed")
API_PORT = int(os.environ.get("DURABLE_API_PORT", "8022"))
PACKAGES = {
    "acme-billing": (ROOT / "examples" / "order_processing" / "order-processing.tar.gz", "app-package"),
    "approvals": (ROOT / "examples" / "approvals" / "approvals.tar.gz", "approvals-package"),
}
# Address and port of everything that is published on the host, besides nginx and the applications.
PUBLISHED = {"127.0.0.2:5433", "127.0.0.3:7333", "127.0.0.3:7343", "127.0.0.3:9190", "127.0.0.4:8180"}
USUAL = ("80", "8088", "5432", "7233", "7243", "9090", "8080", "3000")
CONTAINERS = {"acme-db", "acme-frontend", "acme-tools", "acme-ui"}

BILLING: dict[str, Any] = {
    "name": "acme-billing",
    "user": "billing",
    "runtime": "pm2",
    "artifact": str(PACKAGES["acme-billing"][0]),
    "namespace": "billing",
    "task_queues": ["bills"],
    "port": 3300,
    "health_url": "http://127.0.0.1:3300/health",
    "temporal_address_variables": ["TEMPORAL_ADDRESS", "TEMPORAL_SERVER_URL"],
    "environment": {
        "CASE_STORE_DIR": "/srv/acme/platform/workflow/shared/cases",
        "COSMOS_ENDPOINT": "https://orders.documents.azure.com:443/",
        "COSMOS_DATABASE_ID": "orders",
        "COSMOS_KEY": "a-key",
        "BLOB_STORAGE_CONNECTION_STRING": "a-connection",
        **{f"{name}_SERVICE_URL": "https://service.example" for name in ("PARSER", "COMMITTEE", "ZOHO", "TEAMS_BOT")},
    },
    "processes": [
        {"name": "bill-worker", "script": "dist/worker.js", "min_uptime": "5s"},
        {
            "name": "bill-api",
            "script": "dist/api/server.js",
            "exec_mode": "cluster",
            "instances": 2,
            "min_uptime": "5s",
        },
    ],
}
# Under systemd, and without a root or an address of its own.
APPROVALS: dict[str, Any] = {
    "name": "approvals",
    "user": "approvals",
    "runtime": "systemd",
    "dependencies": "wheels",
    "artifact": str(PACKAGES["approvals"][0]),
    "namespace": "signatures",
    "task_queues": ["signatures"],
    "port": 3400,
    "server_name": "approvals.example",
    "health_url": "http://127.0.0.1:3400/health",
    "processes": [
        {"name": "worker", "command": ["venv/bin/python", "-m", "approvals.worker"], "notify": True},
        {"name": "api", "command": ["venv/bin/python", "-m", "approvals.api"], "notify": True, "socket": True},
    ],
}
RENAMED: dict[str, Any] = {
    "topology_name": "acme-billing",
    "topology_root": "/srv/acme/platform",
    "topology_size": "medium",
    "topology_deploy_user": "acme",
    "topology_docker_network": "acme-network",
    "topology_namespaces": [{"name": "billing", "retention": "5d"}, {"name": "signatures", "retention": "3d"}],
    "topology_applications": [BILLING, APPROVALS],
    "postgres_container": "acme-db",
    "postgres_bind_address": "127.0.0.2",
    "postgres_port": 5433,
    "temporal_container": "acme-frontend",
    "temporal_admin_tools_container": "acme-tools",
    "temporal_bind_address": "127.0.0.3",
    "temporal_grpc_port": 7333,
    "temporal_http_port": 7343,
    "temporal_metrics_port": 9190,
    "temporal_database_user": "acme",
    "temporal_database_name": "acme_main",
    "temporal_visibility_database_name": "acme_search",
    "temporal_ui_container": "acme-ui",
    "temporal_ui_bind_address": "127.0.0.4",
    "temporal_ui_port": 8180,
    "nginx_port": 8000,
    "nginx_ui_port": 8099,
}
# Neither an address nor an answer: whatever is done to it fails.
BASTION = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_user": "nobody"}


@dataclass(frozen=True)
class Platform:
    inventory: Path
    first: Run
    deployed: Run

    @staticmethod
    def run(command: str, check: bool = True) -> str:
        done = subprocess.run(["docker", "exec", VM, "sh", "-c", command], capture_output=True, text=True, timeout=120)
        assert not check or done.returncode == 0, f"{command!r} exited {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("renamed")
    for package, script in PACKAGES.values():
        if not package.exists():
            subprocess.run([ROOT / "scripts" / script], check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DURABLE_RUN_DIR", str(folder))
        patch.setenv("DURABLE_CHECKOUT", str(ROOT))
        try:
            yield set_up(folder)
        finally:
            subprocess.run([ROOT / "scripts" / "vm", "down", VM], check=True)


def set_up(folder: Path) -> Platform:
    published = ["-p", f"127.0.0.1:{API_PORT}:8000"]
    subprocess.run([ROOT / "scripts" / "vm", "new", VM, "debian13", *published], check=True)
    ours = {"hosts": {"acme1": {}}}
    inventory = {
        "all": {
            "hosts": {
                "acme1": {"ansible_connection": "community.docker.docker", "ansible_host": VM, **RENAMED},
                "bastion": BASTION,
            },
            "children": dict.fromkeys(("postgres", "temporal", "temporal_ui", "app", "edge"), ours),
        }
    }
    place = folder / "inventory"
    place.mkdir()
    (place / "hosts.yml").write_text(json.dumps(inventory))
    (place / "group_vars").symlink_to(ROOT / "inventories" / "local" / "group_vars")
    site = play("site", place)
    assert site.rc == 0, site.failure
    deploy = play("deploy", place)
    assert deploy.rc == 0, deploy.failure
    return Platform(place, site, deploy)


def listening(run: Callable[..., str]) -> set[str]:
    """``address:port`` of all sockets that listen on the host."""
    return {line.split()[3] for line in run("ss -Hltn").splitlines()}


def environment(run: Callable[..., str], user: str) -> list[dict[str, str]]:
    """The variables of the workers of a user. PM2 hands its cluster's processes theirs in another way."""
    shells = run(f"pgrep -u {user} -f 'dist/worker|approvals[.]worker' || :").split()
    found = [run(f"tr '\\0' '\\n' </proc/{pid}/environ", check=False) for pid in shells]
    return [dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE)) for text in found if text]


def test_a_host_that_is_none_of_ours_is_left_alone(platform: Platform) -> None:
    for run in (platform.first, platform.deployed, play("status", platform.inventory)):
        assert run.rc == 0, run.failure
        assert {task.host for task in run.tasks} <= {"acme1", "localhost"}


def test_containers_have_their_names_and_are_healthy(platform: Platform) -> None:
    names = platform.run("docker ps --format '{{.Names}} {{.Status}}'").splitlines()
    assert {line.split()[0] for line in names} == CONTAINERS
    assert all("(healthy)" in line for line in names), names
    assert platform.run("docker network ls --format '{{.Name}}'").split().count("acme-network") == 1
    assert platform.run("cd /srv/acme/platform/temporal && docker compose ps -q").count("\n") == len(CONTAINERS)
    assert "SERVING" in platform.run("docker exec acme-tools temporal operator cluster health")


def test_ports_are_open_where_they_were_put_and_nowhere_else(platform: Platform) -> None:
    open_ = listening(platform.run)
    assert open_ >= PUBLISHED
    assert not [one for one in open_ if one.rpartition(":")[2] in USUAL], open_
    assert '"serverVersion"' in platform.run("curl -fsS http://127.0.0.3:7343/api/v1/system-info")
    assert "service_requests" in platform.run("curl -fsS http://127.0.0.3:9190/metrics")
    # The UI asks the server under its new name, and the edge the UI at its new place.
    for ui in ("127.0.0.4:8180", "127.0.0.1:8099"):
        assert "billing" in platform.run(f"curl -fsS http://{ui}/api/v1/namespaces")


def test_databases_and_users_have_their_names(platform: Platform) -> None:
    query = "docker exec acme-db psql -U postgres -Atc"
    databases = set(platform.run(f"{query} 'SELECT datname FROM pg_database'").split())
    assert {"acme_main", "acme_search"} <= databases
    assert not {"temporal", "temporal_visibility"} & databases
    connected = platform.run(
        f"{query} \"SELECT DISTINCT usename, datname FROM pg_stat_activity WHERE usename = 'acme'\""
    )
    assert {"acme|acme_main", "acme|acme_search"} <= set(connected.split())
    assert platform.run(f"{query} 'SHOW max_connections'").strip() == "150"


def test_applications_lie_below_the_root_and_know_where_temporal_is(platform: Platform) -> None:
    assert set(platform.run("ls /srv/acme/platform").split()) == {"temporal", "workflow", "approvals"}
    assert platform.run("ls -A /opt | grep -v -e pm2 -e durable-temporal -e containerd || :") == ""
    eventually("processes run", lambda: bool(environment(platform.run, "billing")), 30)
    for user, variables in (
        ("billing", ("TEMPORAL_ADDRESS", "TEMPORAL_SERVER_URL")),
        ("approvals", ("TEMPORAL_ADDRESS",)),
    ):
        found = environment(platform.run, user)
        assert found, user
        for each in found:
            assert {each.get(name) for name in variables} == {"127.0.0.3:7333"}, user
    shell = platform.run("sh -lc 'temporal operator namespace list --output json'")
    assert "signatures" in shell


def test_the_deployment_says_what_is_live_in_two_lines_for_each_application(platform: Platform) -> None:
    (said,) = [task.message for task in platform.deployed.tasks if task.name.endswith("how to go back")]
    lines = said.splitlines()
    assert [line.partition(":")[0] for line in lines[::2]] == ["acme-billing", "approvals"]
    assert all("is live; before it none was" in line for line in lines[::2]), lines
    assert [line.strip() for line in lines[1::2]] == ["There is no earlier release to go back to"] * 2


def test_an_order_goes_through_the_edge(platform: Platform) -> None:
    orders = Orders(f"http://127.0.0.1:{API_PORT}")
    eventually("the API answers", orders.healthy, 60)
    orders.start("renamed-1")
    eventually("the order completes", lambda: orders.completed("renamed-1"), 60)
    rows = 'docker exec acme-db psql -U postgres -Atc "SELECT count(*) FROM executions_visibility" acme_search'
    eventually("it can be found", lambda: int(platform.run(rows)) >= 1, 30)
    approvals = platform.run("curl -fsS -H 'Host: approvals.example' http://127.0.0.1:8000/health")
    assert json.loads(approvals)


def test_the_report_is_healthy_and_again_changes_nothing(platform: Platform) -> None:
    status = play("status", platform.inventory)
    assert status.rc == 0, status.failure
    for playbook in ("site", "deploy"):
        again = play(playbook, platform.inventory)
        assert again.rc == 0, again.failure
        assert again.changed == []
    checked = play("site", platform.inventory, "--check")
    assert checked.rc == 0, checked.failure
    assert checked.changed == []


def test_a_server_that_cannot_start_says_why_and_the_next_run_repairs_it(platform: Platform) -> None:
    broken = play("site", platform.inventory, extra={"temporal_database_host": "nowhere.invalid"})
    assert broken.rc != 0
    assert "nowhere.invalid" in broken.failure, broken.failure
    repaired = play("site", platform.inventory)
    assert repaired.rc == 0, repaired.failure
    assert play("status", platform.inventory).rc == 0
    assert play("site", platform.inventory).changed == []
