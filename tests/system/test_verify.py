# SPDX-License-Identifier: GPL-3.0-or-later
"""A platform on one VM, verified from outside. May run at any time against a platform in use: it only adds orders."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from api import Api, Order, new_case_id, order_body
from page import see_workflow
from vm import CommandError, Vm
from waiting import eventually

CONTAINERS = ["temporal-admin-tools", "temporal-postgres", "temporal-server", "temporal-ui"]
PUBLIC_PORTS = {22, 80, 443, 8088}


@pytest.fixture(scope="module")
def completed(api: Api) -> Order:
    """One order that went all the way, for the tests that look where it has left traces."""
    order = api.start(new_case_id("verify"))
    assert api.result(order).status == "completed"
    return order


# ---- the API


def test_health_answers_as_agreed(api: Api) -> None:
    answer = api.health()
    assert answer.code == 200
    assert set(answer.body) == {"status", "temporal", "timestamp"}
    assert answer.body["status"] == "healthy"
    assert answer.body["temporal"] == "connected"
    told = datetime.fromisoformat(answer.body["timestamp"].replace("Z", "+00:00"))
    assert abs(datetime.now(timezone.utc) - told) < timedelta(minutes=1)


def test_an_order_completes(api: Api, completed: Order) -> None:
    seen = api.status(completed)
    assert (seen.status, seen.stage) == ("completed", "completed")
    assert seen.order["trackingId"]


def test_the_same_case_twice_is_one_workflow(api: Api) -> None:
    first = api.start(wait_for_signal=True)
    assert api.start(first.case_id, wait_for_signal=True) == first
    api.signal(first, "approve", by="verify")
    assert api.result(first).stage == "completed"
    again = api.request("POST", "/api/workflow/start", order_body(first.case_id))
    assert again.code == 409


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["caseId", "blobUrl", "tenantId", "userId"]),
        (order_body("no spaces allowed"), ["caseId"]),
        (order_body("case-1", blob_url="not a URL"), ["blobUrl"]),
        (order_body("case-1", user_id=7), ["userId"]),
        (order_body("case-1", teams="sales"), ["teams"]),
    ],
)
def test_a_bad_order_is_refused_with_its_mistakes(api: Api, body: dict[str, Any], fields: list[str]) -> None:
    answer = api.request("POST", "/api/workflow/start", body)
    assert answer.code == 400
    assert [problem["field"] for problem in answer.body["details"]] == fields
    assert all(problem["expected"] for problem in answer.body["details"])


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("POST", "/api/workflow/start", b"{", 400),
        ("POST", "/api/workflow/start", b"x" * 300_000, 413),
        ("GET", "/api/workflow/start", None, 405),
        ("GET", "/api/workflow/there-is-no-such-case/status", None, 404),
        ("POST", "/api/workflow/there-is-no-such-case/signal/approve", {}, 404),
        ("GET", "/nothing-here", None, 404),
    ],
)
def test_other_bad_requests_are_refused(api: Api, method: str, path: str, body: Any, code: int) -> None:
    answer = api.request(method, path, body)
    assert answer.code == code
    assert answer.body["error"], "every refusal says why"


# ---- traces of an order


def test_the_workflow_is_visible_to_temporals_command_line(vm: Vm, completed: Order, namespace: str) -> None:
    seen = vm.temporal("workflow", "describe", "--namespace", namespace, "--workflow-id", completed.id)
    info = seen["workflowExecutionInfo"]
    assert info["execution"] == {"workflowId": completed.id, "runId": completed.run_id}
    assert info["status"].endswith("COMPLETED")


def test_the_workflow_is_in_the_visibility_database(vm: Vm, completed: Order) -> None:
    query = "select count(*) from executions_visibility where workflow_id = %s and run_id = %s"
    eventually(
        "the visibility database has the workflow",
        lambda: vm.psql("temporal_visibility", query, completed.id, completed.run_id) == 1,
    )


def test_the_workflow_is_visible_in_a_browser(
    ui_url: str, completed: Order, namespace: str, artifacts_dir: Path
) -> None:
    seen = see_workflow(ui_url, namespace, completed.id, "Completed", artifacts_dir / "ui-workflow.png")
    assert not seen.failure, f"{seen.failure} at {seen.url}"
    assert completed.run_id in seen.url
    assert completed.id in seen.title
    assert not seen.errors


def test_case_state_and_audit_trail_are_stored(vm: Vm, completed: Order, case_store: str) -> None:
    case = json.loads(vm.read(f"{case_store}/{completed.case_id}.json"))
    assert case["stage"] == "completed"
    steps = [(line["event"], line["outcome"]) for line in audit(vm, case_store, completed)]
    for step in ("validateOrder", "reserveStock", "chargePayment", "shipOrder", "notifyUser", "saveCase"):
        assert (step, "succeeded") in steps
    assert all(line["tenantId"] == "tenant-1" for line in audit(vm, case_store, completed))


def test_a_signal_reaches_a_waiting_workflow(api: Api) -> None:
    order = api.start(wait_for_signal=True)
    api.wait_stage(order, "waiting_for_approval")
    api.signal(order, "approve", by="ann", comment="fine")
    seen = api.result(order)
    assert seen.status == "completed"
    assert seen.order["approvedBy"] == {"by": "ann", "comment": "fine"}


def test_a_cancelled_order_is_not_charged(api: Api, vm: Vm, case_store: str) -> None:
    order = api.start(wait_for_signal=True)
    api.signal(order, "cancel", by="bob")
    assert api.result(order).stage == "rejected"
    steps = {line["event"] for line in audit(vm, case_store, order)}
    assert "releaseStock" in steps
    assert "chargePayment" not in steps


def test_failures_are_retried_and_each_attempt_is_recorded(api: Api, vm: Vm, namespace: str, case_store: str) -> None:
    order = api.start(fail_activity_times={"chargePayment": 2})
    assert api.result(order).status == "completed"
    attempts = [
        (line["attempt"], line["outcome"]) for line in audit(vm, case_store, order) if line["event"] == "chargePayment"
    ]
    assert attempts == [(1, "failed"), (2, "failed"), (3, "succeeded")]
    # The server counted the same.
    events = vm.temporal("workflow", "show", "--namespace", namespace, "--workflow-id", order.id)["events"]
    scheduled = next(
        event["eventId"]
        for event in events
        if event.get("activityTaskScheduledEventAttributes", {}).get("activityType", {}).get("name") == "chargePayment"
    )
    started = [event.get("activityTaskStartedEventAttributes", {}) for event in events]
    assert next(each["attempt"] for each in started if each.get("scheduledEventId") == scheduled) == 3


def audit(vm: Vm, case_store: str, order: Order) -> list[dict[str, Any]]:
    lines = vm.sh('grep -h -F -- "$1" "$2"/audit-*.jsonl', f'"{order.case_id}"', case_store).splitlines()
    return [json.loads(line) for line in lines]


# ---- Temporal


def test_the_namespace_keeps_seven_days(vm: Vm, namespace: str) -> None:
    seen = vm.temporal("operator", "namespace", "describe", "--namespace", namespace)
    assert seen["config"]["workflowExecutionRetentionTtl"] == "604800s"


def test_there_are_512_history_shards(vm: Vm) -> None:
    assert vm.psql("temporal", "select count(*) from shards") == 512


def test_the_history_caches_have_one_bound_for_all_shards(vm: Vm) -> None:
    """The server's own bounds, one for each shard, let a steady load fill its memory until it is killed."""
    metrics = vm.run("curl", "--silent", "--show-error", "--fail", "http://127.0.0.1:9090/metrics")
    found = re.findall(r'^cache_size\{cache_type="(events|mutablestate)".* (\S+)$', metrics, re.MULTILINE)
    sizes = {kind: float(size) for kind, size in found}
    memory = vm.containers()["temporal-server"].inspected["HostConfig"]["Memory"]
    assert sizes == {"events": memory / 32, "mutablestate": memory / 2**20 * 8}


def test_the_server_sees_pollers_of_the_live_release(vm: Vm, api: Api, namespace: str) -> None:
    release = api.health().headers["x-release"]
    seen = vm.temporal("task-queue", "describe", "--namespace", namespace, "--task-queue", "order-processing-queue")
    identities = {poller["identity"] for poller in seen["pollers"]}
    live = {identity for identity in identities if identity.endswith(f"#{release}")}
    assert len(live) >= 2, identities


# ---- the host


def test_only_the_edge_listens_beyond_loopback(vm: Vm) -> None:
    beyond = [each for each in vm.listeners() if not each.loopback]
    assert {each.port for each in beyond} <= PUBLIC_PORTS, beyond
    assert {80, 8088} <= {each.port for each in beyond}


@pytest.mark.parametrize("port", [3000, 5432, 7233, 7243, 8080, 9090])
def test_nothing_else_is_reached_from_another_host(vm: Vm, port: int) -> None:
    with pytest.raises(OSError, match=r"refused|timed out"), socket.create_connection((vm.address(), port), 2):
        pass


def test_the_edge_is_reached_from_another_host(vm: Vm) -> None:
    assert Api(f"http://{vm.address()}").health().code == 200


def test_the_packaged_site_is_gone(vm: Vm, api: Api) -> None:
    answer = api.request("GET", "/", headers={"host": "some.other.name"})
    assert "Welcome to nginx" not in answer.text
    assert not vm.succeeds("test", "-e", "/etc/nginx/sites-enabled/default")


@pytest.fixture
def foreign_address(vm: Vm) -> Iterator[str]:
    """An address outside of what the UI's site allows, on the host itself."""
    address = "192.0.2.77"
    vm.run("ip", "address", "add", f"{address}/32", "dev", "lo")
    yield address
    vm.run("ip", "address", "delete", f"{address}/32", "dev", "lo")


def test_the_ui_is_for_the_internal_network_only(vm: Vm, foreign_address: str) -> None:
    def code(url: str, *options: str) -> str:
        return vm.run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", *options, url)

    as_foreigner = ("--interface", foreign_address)
    assert code("http://127.0.0.1:8088/") == "200"
    assert code(f"http://{vm.address()}:8088/", *as_foreigner) == "403"
    # The API is for everybody, so it is not the address that fails.
    assert code(f"http://{vm.address()}/health", *as_foreigner) == "200"


def test_the_application_does_not_run_as_root(vm: Vm, application_user: str) -> None:
    node = [each for each in vm.processes() if each.name.startswith(("node", "PM2")) or "/pm2" in each.command]
    assert len(node) >= 5, "PM2, two workers and two APIs were expected"
    assert {each.user for each in node} == {application_user}


def test_pm2_has_everything_online(vm: Vm, application: str, application_user: str) -> None:
    listed = vm.pm2(application, application_user)
    names = sorted(each["name"] for each in listed)
    assert names == ["workflow-api", "workflow-api", "workflow-worker", "workflow-worker"]
    for each in listed:
        state = each["pm2_env"]
        assert state["status"] == "online", each["name"]
        assert state["unstable_restarts"] == 0, each["name"]


def test_all_of_pm2_runs_in_the_nodejs_of_the_host(vm: Vm) -> None:
    """Also after the host has got another one: a daemon that still runs in the one before would start processes in it."""
    wanted = vm.sh("readlink -f /opt/pm2/node/node").strip()
    node = [str(each.pid) for each in vm.processes() if each.name.startswith(("node", "PM2"))]
    assert len(node) >= 5, "PM2, two workers and two APIs were expected"
    assert {vm.sh("readlink /proc/$1/exe", pid).strip() for pid in node} == {wanted}


def test_containers_are_as_operators_know_them(vm: Vm) -> None:
    containers = vm.containers()
    assert sorted(containers) == CONTAINERS
    for name, container in containers.items():
        assert container.running, name
        assert container.health == "healthy", name
        assert container.restart_policy == "unless-stopped", name
        assert not container.inspected["HostConfig"]["Privileged"], name
        assert all(address == "127.0.0.1" for address, _port in container.published), name
        log = container.inspected["HostConfig"]["LogConfig"]
        assert "max-size" in log["Config"], f"the log of {name} grows without end"


def test_logs_are_rotated_and_closed_to_other_users(vm: Vm) -> None:
    assert vm.run("find", "/var/log/pm2", "-type", "f", "-perm", "/o+rwx") == ""
    said = vm.sh("logrotate --debug /etc/logrotate.conf 2>&1")
    assert "/var/log/pm2" in said
    assert "error:" not in said


def test_the_configuration_of_nginx_is_valid(vm: Vm) -> None:
    vm.run("nginx", "-t")


def test_systemd_has_no_failed_units(vm: Vm) -> None:
    assert vm.run("systemctl", "list-units", "--failed", "--plain", "--no-legend") == ""


def test_the_vm_itself_fails_as_expected(vm: Vm) -> None:
    """The helpers do not swallow failures, or every test above would be worth nothing."""
    with pytest.raises(CommandError):
        vm.run("false")
    with pytest.raises(CommandError):
        vm.psql("temporal", "select * from no_such_table")
