# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes under PM2: ecosystems, listings, plans and what PM2 is told."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.durable.temporal.plugins.module_utils._application import normalise
from ansible_collections.durable.temporal.plugins.module_utils._pm2 import (
    Instance,
    Pm2Error,
    actions,
    additional,
    checks,
    crashed,
    ecosystem,
    instances,
    parse,
    plan,
    processes,
    trouble,
)
from hypothesis import given
from hypothesis import strategies as st

WORKER = {"name": "worker", "script": "dist/worker.js", "instances": 2}
API = {"name": "api", "script": "dist/api.js", "exec_mode": "cluster", "instances": 2, "environment": {"PORT": 3000}}


def entries(base: dict[str, t.Any] | None = None, **fields: t.Any) -> dict[str, dict[str, t.Any]]:
    application = normalise({"name": "orders", "processes": [WORKER, API], **fields})
    return {e["name"]: e for e in ecosystem(application, base or {})["apps"]}


def wanted(**fields: t.Any) -> list[dict[str, t.Any]]:
    return processes({"apps": list(entries(**fields).values())})


def running(want: dict[str, t.Any], number: int = 0, **fields: t.Any) -> Instance:
    values = {
        "name": want["name"],
        "number": str(number),
        "pid": 100 + number,
        "status": "online",
        "restarts": 0,
        "started_ms": 1,
        "definition": want["definition"],
        "release": "r1",
    }
    return Instance(**{**values, **fields})


def everything(wants: list[dict[str, t.Any]]) -> list[Instance]:
    rows = [w for w in wants for _instance in range(w["instances"])]
    return [running(w, number) for number, w in enumerate(rows)]


# --- Ecosystems


def test_processes_start_in_the_link_and_outside_of_the_release() -> None:
    entry = entries()["api"]
    assert entry["cwd"] == "/opt/orders/workflow/current"
    assert entry["out_file"] == "/var/log/pm2/orders/api-out.log"
    assert (entry["exec_mode"], entry["instances"], entry["wait_ready"]) == ("cluster", 2, True)


def test_clustered_processes_log_why_they_crash() -> None:
    assert "--require=/etc/durable-temporal/orders/crash-log.cjs" in entries()["api"]["node_args"]
    assert "node_args" not in entries()["worker"]


def test_no_process_reads_source_maps_at_its_start() -> None:
    assert {entry["disable_source_map_support"] for entry in entries().values()} == {True}


@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        ({}, "NODE_ENV", "production"),
        ({"namespace": "orders"}, "TEMPORAL_NAMESPACE", "orders"),
        ({"task_queues": ["a", "b"]}, "TEMPORAL_TASK_QUEUE", "a"),
        ({"environment": {"FLAG": True, "N": 5}}, "FLAG", "true"),
        ({"environment": {"FLAG": True, "N": 5}}, "N", "5"),
        ({"port": 1, "environment": {"PORT": 2}}, "PORT", "3000"),
        ({"base": {"NODE_ENV": "test"}}, "NODE_ENV", "production"),
        ({"base": {"CA": "/ca"}}, "CA", "/ca"),
        ({"environment": {"NODE_ENV": None}}, "NODE_ENV", None),
        ({}, "TEMPORAL_NAMESPACE", None),
    ],
)
def test_variables(fields: dict[str, t.Any], name: str, value: str | None) -> None:
    assert entries(**fields)["api"]["env"].get(name) == value


@pytest.mark.parametrize("fields", [{"environment": {"A": "2"}}, {"environment": {}}, {"root": "/srv/x"}])
def test_a_changed_declaration_has_another_digest(fields: dict[str, t.Any]) -> None:
    before = wanted(environment={"A": "1"})
    assert before == wanted(environment={"A": "1"})
    assert all(x["definition"] != y["definition"] for x, y in zip(before, wanted(**fields), strict=True))


# --- Listings


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        ">>>> In-memory PM2 is out-of-date, do:\n>>>> $ pm2 update\n[]\n",
        "[PM2] Spawning PM2 daemon\n[]",
        "[]\nbye",
    ],
)
def test_notices_around_a_listing_are_skipped(text: str) -> None:
    assert parse(text) == []


@pytest.mark.parametrize("text", ["", "Error", "[PM2][ERROR] no", '{"a": 1}', "[1, 2]", "[{"])
def test_anything_else_is_an_error(text: str) -> None:
    with pytest.raises(Pm2Error, match="did not list"):
        parse(text)


def test_a_listing_tells_the_real_release_and_leaves_out_modules() -> None:
    listing = [
        {
            "name": "api",
            "pid": 7,
            "pm_id": 3,
            "pm2_env": {
                "status": "online",
                "restart_time": 2,
                "pm_uptime": 5,
                "DURABLE_DEFINITION": "x",
                "NODE_APP_INSTANCE": 1,
            },
        },
        {"name": "worker", "pid": 0, "pm_id": 4, "pm2_env": {"status": "errored"}},
        {"name": "pm2-logrotate", "pid": 9, "pm_id": 5, "pm2_env": {"pmx_module": True}},
    ]
    api, worker = instances(parse(json.dumps(listing)), lambda pid: f"r{pid}")
    assert (api.number, api.release, api.restarts, api.definition, api.index) == ("3", "r7", 2, "x", "1")
    assert (worker.status, worker.release, worker.definition) == ("errored", "", "")


# --- Plans


def test_nothing_to_do() -> None:
    wants = wanted()
    assert not plan(wants, everything(wants), "r1")
    assert not trouble(wants, everything(wants), "r1")


def test_first_start() -> None:
    assert actions(wanted(), [], "r1").start == {"worker": 2, "api": 2}


@pytest.mark.parametrize(
    ("fields", "release"),
    [({}, "r2"), ({"environment": {"A": "2"}}, "r1"), ({"environment": {}}, "r1"), ({"root": "/x/y"}, "r1")],
)
def test_another_release_or_declaration_needs_new_instances(fields: dict[str, t.Any], release: str) -> None:
    found = everything(wanted(environment={"A": "1"}))
    told = actions(wanted(**{"environment": {"A": "1"}, **fields}), found, release)
    assert told.start == {"worker": 2, "api": 2}
    assert told.end == ("0", "1", "2", "3")
    assert plan(wanted(), everything(wanted()), "r2").as_diff()["after"]["api"] == {"release": "r2"}


def test_only_what_is_missing_is_started_and_only_what_is_superfluous_ends() -> None:
    wants = wanted()
    found = everything(wants)
    assert actions([{**w, "instances": 3} for w in wants], found, "r1").start == {"worker": 1, "api": 1}
    fewer = actions([{**w, "instances": 1} for w in wants], found, "r1")
    assert (fewer.start, fewer.end) == ({}, ("1", "3"))


@pytest.mark.parametrize("status", ["errored", "stopped", "waiting restart", "launching"])
def test_broken_instances_are_replaced(status: str) -> None:
    wants = wanted()[:1]
    found = [running(wants[0], 4), running(wants[0], 5, status=status, release="")]
    told = actions(wants, found, "r1")
    assert (told.start, told.end) == ({"worker": 1}, ("5",))


def test_what_nobody_wants_ends() -> None:
    wants = wanted()
    told = actions(wants[:1], everything(wants), "r1")
    assert (told.start, told.end) == ({}, ("2", "3"))


def test_force_replaces_what_does_not_differ() -> None:
    wants = wanted()[:1]
    told = actions([{**wants[0], "instances": 3}], everything(wants), "r1", force=True)
    assert (told.start, told.end) == ({"worker": 3}, ("0", "1"))


def test_each_started_instance_has_an_entry_and_the_lowest_free_number() -> None:
    file = {"apps": list(entries().values())}
    first, second = additional(file, {"api": 2}, [])["apps"]
    assert (first["name"], first["instances"]) == ("api", 1)
    assert [e["env"].pop("NODE_APP_INSTANCE") for e in (first, second)] == ["0", "1"]
    assert first["env"] == second["env"] == entries()["api"]["env"]
    stays = running(wanted()[1], 7, index="0")
    (other,) = additional(file, {"api": 1}, [stays])["apps"]
    assert other["env"]["NODE_APP_INSTANCE"] == "1"


STATUS = st.sampled_from(["online", "online", "errored", "stopped", "waiting restart"])
FOUND = st.lists(
    st.tuples(st.sampled_from(["worker", "api", "stranger"]), STATUS, st.sampled_from(["r1", "r2"]), st.booleans()),
    max_size=8,
)


@given(found=FOUND)
def test_doing_what_the_plan_says_leaves_nothing_to_do(found: list[tuple[str, str, str, bool]]) -> None:
    wants, old = wanted(environment={"A": "1"}), wanted(environment={"A": "0"})
    by_name = {w["name"]: w for w in wants} | {"stranger": {**wants[0], "name": "stranger"}}
    before = {w["name"]: w for w in old} | {"stranger": by_name["stranger"]}
    have = [
        running((by_name if new else before)[name], n, status=status, release=release if status == "online" else "")
        for n, (name, status, release, new) in enumerate(found)
    ]
    told = actions(wants, have, "r2")
    more = [(by_name[name], 100 + n) for name, count in told.start.items() for n in range(count)]
    after = [i for i in have if i.number not in told.end] + [running(w, n, release="r2") for w, n in more]
    assert not plan(wants, after, "r2")
    assert not actions(wants, after, "r2").start
    assert not actions(wants, after, "r2").end


# --- Watching


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"status": "errored", "release": ""}, "worker is 1 x errored, 1 x online: 1 of 2 online"),
        ({"release": "r0"}, "runs release 1 x r0, 1 x r1; expected r1"),
        ({"definition": "old-one"}, "earlier declaration"),
    ],
)
def test_trouble_is_named(change: dict[str, t.Any], says: str) -> None:
    wants = wanted()
    found = [running(wants[0], 0, **change), *everything(wants)[1:]]
    (sentence,) = trouble(wants, found, "r1")
    assert says in sentence
    assert "does not run" in trouble(wants, [], "r1")[0]


def test_crashes_since_a_listing() -> None:
    worker = wanted()[0]
    before = [running(worker, 1, restarts=5), running(worker, 2, restarts=5)]
    now = [running(worker, 1, restarts=7), running(worker, 2, restarts=0), running(worker, 3, restarts=1)]
    assert crashed(before, now) == {"worker": 3}
    assert crashed(before, before) == {}
    waiting = running(worker, 4, restarts=1, status="waiting restart")
    assert crashed([], [waiting]) == {"worker": 2}
    assert crashed([waiting], [running(worker, 4, restarts=2)]) == {}


def test_checks() -> None:
    wants = wanted()
    found = [running(wants[0], 0), running(wants[0], 1, status="errored", release="")]
    worker, api = checks("orders", wants, found, "r1")
    assert (worker["component"], worker["name"], worker["status"]) == ("orders", "process worker", "degraded")
    assert "errored" in worker["message"]
    assert api["status"] == "failed"
    assert [c["status"] for c in checks("orders", wants, everything(wants), "r1")] == ["healthy", "healthy"]
    assert checks("orders", wants, everything(wants), "r1")[0]["message"] == ""
