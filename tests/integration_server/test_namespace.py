# SPDX-License-Identifier: GPL-3.0-or-later
"""Namespaces on a real server: create, again, change, again, check, absent, again."""

from __future__ import annotations

from collections.abc import Callable

from ansible_collections.durable.temporal.tests.integration_server.host import Host, Json, seconds


def described(host: Host, name: str) -> Json:
    found: Json = host.temporal("operator", "namespace", "describe", "-n", name)
    return found


def names(host: Host) -> set[str]:
    return {each["namespaceInfo"]["name"] for each in host.temporal("operator", "namespace", "list")}


def test_the_life_of_a_namespace(host: Host, unique: str) -> None:
    wanted: Json = {"name": unique, "retention": "72h", "description": "Orders", "data": {"tier": "gold"}}

    predicted = host.module("namespace", check=True, namespaces=[wanted])
    assert predicted["changed"]
    assert not predicted["predicted"]
    assert unique not in names(host)

    created = host.module("namespace", namespaces=[wanted])
    assert created["changed"]
    assert created["changes"] == predicted["changes"]
    found = described(host, unique)
    assert found["namespaceInfo"]["description"] == "Orders"
    assert found["namespaceInfo"]["data"] == {"tier": "gold"}
    assert found["config"]["workflowExecutionRetentionTtl"] == "259200s"
    # It can be used at once.
    host.run("temporal", "workflow", "start", "-n", unique, "--task-queue", "q", "--type", "T", "--workflow-id", "one")

    assert not host.module("namespace", namespaces=[wanted])["changed"]
    assert not host.module("namespace", check=True, namespaces=[wanted])["changed"]

    wanted.update(retention="7d", owner_email="orders@example.com", data={"team": "shop"})
    changed = host.module("namespace", namespaces=[wanted])
    assert changed["changes"] == [{"name": unique, "action": "update", "fields": ["data", "owner_email", "retention"]}]
    found = described(host, unique)
    assert found["namespaceInfo"]["data"] == {"tier": "gold", "team": "shop"}
    assert found["namespaceInfo"]["description"] == "Orders"
    assert found["namespaceInfo"]["ownerEmail"] == "orders@example.com"
    assert found["config"]["workflowExecutionRetentionTtl"] == "604800s"
    assert not host.module("namespace", namespaces=[wanted])["changed"]
    assert not host.module("namespace", namespaces=[{"name": unique, "description": ""}])["changed"]

    gone = [{"name": unique, "state": "absent"}]
    refused = host.module("namespace", namespaces=gone)
    assert refused["failed"]
    assert "Set allow_delete to true" in refused["msg"]
    assert unique in names(host)
    assert host.module("namespace", check=True, namespaces=gone, allow_delete=True)["changed"]
    assert unique in names(host)
    assert host.module("namespace", namespaces=gone, allow_delete=True)["changed"]
    assert unique not in names(host)
    assert not host.module("namespace", namespaces=gone, allow_delete=True)["changed"]
    assert not host.module("namespace", namespaces=gone)["changed"]

    again = host.module("namespace", namespaces=[{"name": unique}])
    assert again["changed"], "a name can be used again after its deletion"
    assert host.module("namespace", namespaces=gone, allow_delete=True)["changed"]


def test_a_hundred_namespaces_unchanged(
    host: Host, unique: str, record_property: Callable[[str, object], None]
) -> None:
    wanted = [{"name": f"{unique}-{number}", "retention": "3d", "data": {"n": number}} for number in range(100)]
    with seconds() as creating:
        created = host.module("namespace", namespaces=wanted)
    assert len(created["changes"]) == 100
    with seconds() as comparing:
        again = host.module("namespace", namespaces=wanted)
    assert again["changes"] == []
    with seconds() as deleting:
        host.module("namespace", namespaces=[{**each, "state": "absent"} for each in wanted], allow_delete=True)
    note = f"100 namespaces: create {creating[0]} s, unchanged {comparing[0]} s, delete {deleting[0]} s"
    record_property("timing", note)
    print(note)


def test_the_server_has_the_last_word(host: Host, unique: str) -> None:
    refused = host.module("namespace", namespaces=[{"name": unique, "retention": "1m"}])
    assert refused["failed"]
    assert refused["kind"] == "invalid"
    assert f"cannot create namespace {unique}" in refused["msg"]
    assert "Traceback" not in refused["output"]


def test_all_problems_at_once_and_before_any_change(host: Host, unique: str) -> None:
    refused = host.module("namespace", namespaces=[{"name": unique}, {"name": "a b"}, {"name": "x", "retention": "1"}])
    assert refused["failed"]
    assert len(refused["problems"]) == 2
    assert unique not in names(host)


def test_nobody_listens(host: Host, unique: str) -> None:
    nowhere: Json = {"address": "127.0.0.1:1", "namespaces": [{"name": unique}]}
    failed = host.module("namespace", **nowhere)
    assert failed["kind"] == "unreachable"
    assert "Temporal at 127.0.0.1:1: cannot connect: nothing listens there" in failed["msg"]
    assert host.module("namespace", check=True, **nowhere)["predicted"]


def test_tls_to_a_server_without(host: Host, unique: str) -> None:
    failed = host.module("namespace", tls=True, namespaces=[{"name": unique}])
    assert failed["kind"] == "tls"
    assert "Set tls to false" in failed["msg"]


def test_nothing_is_left_on_the_host(host: Host, unique: str) -> None:
    before = {*host.run("ls", "/tmp").split()}
    host.module("namespace", check=True, namespaces=[{"name": unique}])
    # The health checks of the containers put files of their own there for a moment.
    after = {name for name in host.run("ls", "/tmp").split() if not name.startswith("runc-process")}
    assert after <= before
