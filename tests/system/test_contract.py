# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scripts, clients and fingers of operators expect, to the letter: names, shapes and commands.

Nothing here may become nicer than it is: what differs breaks somebody who was here before. May run at any time against a
platform in use: it only adds orders.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from api import Api, new_case_id
from vm import CommandError, Vm
from waiting import eventually

QUEUE = "order-processing-queue"


def order(**more: Any) -> dict[str, Any]:
    """The request that existing clients send."""
    case = new_case_id("contract")
    return {
        "caseId": case,
        "blobUrl": f"https://example.blob.core.windows.net/orders/{case}.pdf?sig=abc%3D",
        "tenantId": "0f4dbb1c-1111-2222-3333-444455556666",
        "userId": "ann@example.com",
        "teams": {
            "chatId": "19:meeting_MjdhNjM4YzUtYzExZi00OTFkLTkzZTAtNTVlNmZmMDhkNGU2@thread.v2",
            "messageId": "1700000000000",
            "activityId": "f:5cde6f2c-3f3e-4b0e-a7b7-5a8c2f8ef6f1",
        },
        **more,
    }


# ---- the API


def test_the_request_of_existing_clients_starts_an_order(api: Api) -> None:
    body = order()
    answer = api.request("POST", "/api/workflow/start", body)
    assert 200 <= answer.code < 300, answer
    assert answer.body["caseId"] == body["caseId"]
    assert api.request("GET", f"/api/workflow/{body['caseId']}/status").body["caseId"] == body["caseId"]


def test_what_is_optional_may_be_absent(api: Api) -> None:
    body = order()
    del body["teams"]
    assert 200 <= api.request("POST", "/api/workflow/start", body).code < 300


@pytest.mark.parametrize("more", [{"surprise": 1}, {"surprise": {"deep": [None]}}, {"__proto__": {"teams": 1}}])
def test_an_unknown_field_is_never_a_failure_of_ours(api: Api, more: Mapping[str, Any]) -> None:
    code = api.request("POST", "/api/workflow/start", order(**more)).code
    assert code == 400 or 200 <= code < 300


TEAMS = order()["teams"]


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        *((field, wrong) for field in ("caseId", "blobUrl", "tenantId", "userId") for wrong in (7, {}, [], True)),
        ("blobUrl", "http://example.com/plain"),
        ("blobUrl", "ftp://example.com/x"),
        ("teams", ["sales"]),
        ("teams", "sales"),
        ("teams", {**TEAMS, "chatId": 7}),
        ("teams", {**TEAMS, "messageId": ["1"]}),
        ("teams", {**TEAMS, "activityId": {}}),
    ],
)
def test_a_wrong_type_is_refused_with_the_name_of_the_field(api: Api, field: str, wrong: Any) -> None:
    answer = api.request("POST", "/api/workflow/start", order(**{field: wrong}))
    assert answer.code == 400, answer
    assert field in answer.text
    inside = [name for name, value in wrong.items() if TEAMS[name] != value] if isinstance(wrong, dict) else []
    assert all(name in answer.text for name in inside)


def test_health_is_exactly_this(api: Api) -> None:
    answer = api.health()
    assert answer.code == 200
    shape = r'\{"status":"healthy","temporal":"connected","timestamp":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"\}'
    assert re.fullmatch(shape, answer.text.strip()), answer.text


# ---- names


def test_workers_poll_the_task_queue(vm: Vm) -> None:
    seen = vm.temporal("task-queue", "describe", "--namespace", "order-processing", "--task-queue", QUEUE)
    assert seen["pollers"]


def test_the_namespace_is_described_and_keeps_seven_days(vm: Vm) -> None:
    seen = vm.temporal("operator", "namespace", "describe", "--namespace", "order-processing")
    assert seen["namespaceInfo"]["description"] == "Order Processing Workflow Namespace"
    assert seen["config"]["workflowExecutionRetentionTtl"] == "604800s"


def test_containers_and_their_network_have_their_names(vm: Vm) -> None:
    containers = vm.containers()
    assert set(containers) >= {"temporal-postgres", "temporal-server", "temporal-admin-tools", "temporal-ui"}
    assert "temporal-network" in vm.run("docker", "network", "ls", "--format", "{{.Name}}").splitlines()
    for container in containers.values():
        assert "temporal-network" in container.inspected["NetworkSettings"]["Networks"]


def test_directories_are_where_they_were(vm: Vm) -> None:
    for directory in ("temporal", "workflow"):
        vm.run("test", "-d", f"/opt/order-processing/{directory}")


ENVIRONMENT = {
    "TEMPORAL_ADDRESS": r".+:7233",
    "TEMPORAL_NAMESPACE": r"order-processing",
    "TEMPORAL_TASK_QUEUE": QUEUE,
    "PARSER_SERVICE_URL": r"https?://.+",
    "COMMITTEE_SERVICE_URL": r"https?://.+",
    "ZOHO_SERVICE_URL": r"https?://.+",
    "TEAMS_BOT_SERVICE_URL": r"https?://.+",
    "COSMOS_ENDPOINT": r"https://.+",
    "COSMOS_DATABASE_ID": r".+",
    "COSMOS_KEY": r"(?!@).+",
    "BLOB_STORAGE_CONNECTION_STRING": r"(?!@).+",
    "APPLICATIONINSIGHTS_CONNECTION_STRING": r"(?!@).+",
    "LOG_LEVEL": r"info",
    "NODE_ENV": r"production",
    "WORKER_MAX_CONCURRENT_ACTIVITIES": r"50",
    "WORKER_MAX_CACHED_WORKFLOWS": r"500",
}


@pytest.mark.parametrize("program", ["dist/worker.js", "dist/api/server.js"])
def test_worker_and_api_have_the_environment(vm: Vm, application: str, application_user: str, program: str) -> None:
    processes = [
        each for each in vm.pm2(application, application_user) if each["pm2_env"]["pm_exec_path"].endswith(program)
    ]
    assert processes
    for process in processes:
        text = vm.read(f"/proc/{process['pid']}/environ")
        seen = dict(line.split("=", 1) for line in text.split("\0") if "=" in line)
        seen |= json.loads(seen.get("pm2_env", "{}"))  # how PM2 tells a clustered process
        wrong = [name for name, pattern in ENVIRONMENT.items() if not re.fullmatch(pattern, seen.get(name, ""))]
        assert not wrong, wrong  # names only: some of the values are secrets


def test_the_name_of_each_secret_is_the_one_in_the_vault(vm: Vm, secrets_dir: Any) -> None:
    """The inventory's references, seen by what was generated for them."""
    names = {path.name for path in secrets_dir.iterdir()}
    assert names >= {"CosmosDbKey", "BlobStorageConnection", "AppInsightsConnectionString"}, names


# ---- what operators type, as the deploy user or as root


OPERATOR = "deploy"
TEMPORAL = "/opt/order-processing/temporal"
PROCESSES = {"workflow-worker", "workflow-api"}
both = pytest.mark.parametrize("user", [OPERATOR, "root"])


@both
def test_pm2_finds_the_daemon(vm: Vm, user: str) -> None:
    """Without PM2_HOME, and without another daemon being started."""
    listed = json.loads(vm.run("pm2", "jlist", user=user))
    assert {process["name"] for process in listed} == PROCESSES
    assert {process["pm2_env"]["status"] for process in listed} == {"online"}
    assert set(re.findall(r"workflow-\w+", vm.run("pm2", "status", user=user))) >= PROCESSES
    shown = vm.run("pm2", "show", "workflow-worker", user=user)
    assert "dist/worker.js" in shown
    said = vm.run("pm2", "logs", "--nostream", "--lines", "5", user=user)
    assert "workflow-api" in said
    daemons = [each for each in vm.processes() if "God Daemon" in each.name + each.command]
    assert len(daemons) == 1, daemons


def test_the_deploy_user_becomes_the_applications_user_and_nobody_else(vm: Vm, application_user: str) -> None:
    assert vm.run("sudo", "-n", "-u", application_user, "/usr/local/bin/order-processing-pm2", "ping", user=OPERATOR)
    for command in (
        ("sudo", "-n", "true"),
        ("sudo", "-n", "/usr/local/bin/order-processing-pm2", "ping"),
        ("sudo", "-n", "-u", application_user, "id"),
        ("sudo", "-n", "-u", application_user, "/usr/local/bin/pm2", "ping"),
    ):
        assert not vm.succeeds(*command, user=OPERATOR), command
    assert not vm.succeeds("sudo", "-n", "true", user=application_user)


def test_anybody_else_is_told_why_pm2_does_not_answer(vm: Vm) -> None:
    with pytest.raises(CommandError, match="nobody may not use PM2 of order-processing; put sudo before the command"):
        vm.run("pm2", "status", user="nobody")


def test_logs_are_where_they_were_and_dated_as_they_were(vm: Vm, api: Api) -> None:
    case = new_case_id("dated")
    api.start(case)
    for process in sorted(PROCESSES):
        for stream in ("error", "out"):
            vm.run("test", "-f", f"/var/log/pm2/{process}-{stream}.log")
    found = eventually("the order is in the log", lambda: vm.sh('cat "$1"', "/var/log/pm2/workflow-api-out.log"))
    lines = found.splitlines()
    assert lines
    undated = [line for line in lines[-20:] if not re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d\d:\d\d: ", line)]
    assert not undated


@both
def test_containers_answer(vm: Vm, user: str) -> None:
    listed = vm.sh(f"cd {TEMPORAL} && docker compose ps", user=user)
    for name in ("temporal-postgres", "temporal-server", "temporal-admin-tools", "temporal-ui"):
        assert name in listed
    inside = ("docker", "exec", "temporal-admin-tools", "temporal")
    health = vm.run(*inside, "operator", "cluster", "health", user=user)
    assert "SERVING" in health
    described = vm.run(*inside, "operator", "namespace", "describe", "-n", "order-processing", user=user)
    assert "Order Processing Workflow Namespace" in described
    ready = vm.run("docker", "exec", "temporal-postgres", "pg_isready", "-U", "temporal", user=user)
    assert "accepting connections" in ready


@both
def test_tools_of_the_host_answer(vm: Vm, user: str) -> None:
    arguments = ("--namespace", "order-processing", "--task-queue", QUEUE)
    assert "Pollers" in vm.run("temporal", "task-queue", "describe", *arguments, user=user)
    assert vm.sh("curl -s localhost:3000/health | jq -r .status", user=user).strip() == "healthy"
    assert "succeeded" in vm.sh("nc -zv localhost 7233 2>&1", user=user)


def test_tools_of_the_administrator_answer(vm: Vm) -> None:
    assert "syntax is ok" in vm.sh("nginx -t 2>&1")
    assert "5432" in vm.run("lsof", "-P", "-i", ":5432")
    assert "(LISTEN)" in vm.run("lsof", "-i", ":5432")
