# SPDX-License-Identifier: GPL-3.0-or-later
"""Pollers as a real server sees them, with real workers."""

from __future__ import annotations

import time
from contextlib import ExitStack

from ansible_collections.durable.temporal.tests.integration_server.host import Host, Json


def look(host: Host, namespace: str, wait: float = 0, check: bool = False, **queue: object) -> Json:
    item = {"name": "orders", "namespace": namespace, "types": ["workflow"], **queue}
    return host.module("task_queue_info", check=check, task_queues=[item], wait_seconds=wait)


def test_nobody_polls(host: Host, namespace: str) -> None:
    failed = look(host, namespace, wait=1)
    assert failed["failed"]
    assert f"Task queue orders (workflow) in namespace {namespace}: found 0 pollers" in failed["msg"]
    assert look(host, namespace, min_pollers=0)["ready"]
    assert not look(host, namespace, check=True)["failed"]


def test_every_worker_is_seen(host: Host, namespace: str) -> None:
    with ExitStack() as stack:
        for number in range(6):
            stack.enter_context(host.worker(namespace, "orders", f"{number}@new"))
        found = look(host, namespace, wait=15, min_pollers=6, identity_pattern="@new$")
        assert found["ready"], found["output"]
        assert [p["identity"] for p in found["task_queues"][0]["pollers"]] == [f"{number}@new" for number in range(6)]
        assert look(host, namespace, wait=1, min_pollers=7)["failed"]
        assert look(host, namespace, wait=1, identity_pattern="@other$")["failed"]


def test_a_worker_that_is_gone_does_not_count_as_new(host: Host, namespace: str) -> None:
    with host.worker(namespace, "orders", "1@old"):
        assert look(host, namespace, wait=15)["ready"]
    reload_started = time.time()
    assert look(host, namespace)["ready"], "the server still lists it"
    failed = look(host, namespace, wait=1, newer_than=reload_started)
    assert failed["failed"]
    assert "1@old" in failed["msg"]
    with host.worker(namespace, "orders", "2@new"):
        assert look(host, namespace, wait=15, newer_than=reload_started)["ready"]


def test_a_namespace_that_does_not_exist(host: Host, unique: str) -> None:
    failed = look(host, unique)
    assert failed["kind"] == "namespace_not_found"
    assert f"Namespace {unique} is not found" in failed["msg"]
