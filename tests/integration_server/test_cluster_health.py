# SPDX-License-Identifier: GPL-3.0-or-later
"""The health of a real cluster."""

from __future__ import annotations

import json

from ansible_collections.durable.temporal.tests.integration_server.host import Host, Json, needed

ONE_EACH = {"frontend": 1, "history": 1, "matching": 1, "worker": 1}


def database() -> Json:
    options: Json = json.loads(needed("TEMPORAL_TEST_DATABASE"))
    return options


def statuses(result: Json) -> dict[str, str]:
    return {f"{check['component']} {check['name']}": check["status"] for check in result["checks"]}


def test_a_good_cluster(host: Host, namespace: str) -> None:
    cluster = host.temporal("operator", "cluster", "describe", "--detail")
    result = host.module(
        "cluster_health",
        wait_seconds=30,
        wait_for="healthy",
        expected_version=cluster["serverVersion"],
        expected_history_shards=cluster["historyShardCount"],
        expected_members=ONE_EACH,
        namespaces=[namespace],
        database=database(),
    )
    assert result["status"] == "healthy", result["output"]
    assert set(statuses(result).values()) == {"healthy"}
    assert result["versions"]["temporal"] == cluster["serverVersion"]
    assert result["versions"]["postgresql"] == host.psql("temporal", "SHOW server_version").split()[0]
    assert result["versions"]["schema"]["default"] == host.psql("temporal", "SELECT curr_version FROM schema_version")
    assert {role: len(found) for role, found in result["members"].items()} == ONE_EACH
    assert not result["changed"]


def test_what_is_not_as_expected(host: Host, namespace: str, unique: str) -> None:
    result = host.module(
        "cluster_health",
        fail_on="never",
        expected_version="1.30.6",
        expected_history_shards=7,
        expected_members={"history": 2, "internal-frontend": 1},
        namespaces=[namespace, f"{unique}-missing"],
        database=database(),
    )
    assert result["status"] == "failed"
    found = statuses(result)
    assert found["temporal version"] == "failed"
    assert found["temporal history shards"] == "failed"
    assert found["temporal namespaces"] == "failed"
    assert found["temporal history members"] == "degraded"
    assert found["temporal internal-frontend members"] == "failed"
    assert found["temporal frontend serving"] == found["postgresql default schema"] == "healthy"


def test_a_wrong_password_shows_nowhere(host: Host) -> None:
    result = host.module("cluster_health", database={**database(), "password": "canary-3f9a"})
    assert result["failed"]
    assert "the password of user" in result["msg"]
    del result["output"]  # which begins with the options, as they were typed on the command line
    assert "canary-3f9a" not in json.dumps(result)


def test_a_server_that_is_not_there(host: Host) -> None:
    nowhere: Json = {"address": "127.0.0.1:1", "wait_seconds": 2}
    failed = host.module("cluster_health", **nowhere)
    assert "frontend serving: found not reachable, expected SERVING" in failed["msg"]
    assert failed["waited_seconds"] >= 2
    checked = host.module("cluster_health", check=True, **nowhere)
    assert not checked["failed"]
    assert checked["waited_seconds"] < 2
