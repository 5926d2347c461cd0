# SPDX-License-Identifier: GPL-3.0-or-later
"""Namespaces: the comparison, and the module against a frontend in memory."""

from __future__ import annotations

import copy
import typing as t

import pytest
from ansible_collections.durable.temporal.plugins.module_utils._duration import format_duration
from ansible_collections.durable.temporal.plugins.modules import namespace
from ansible_collections.durable.temporal.tests.unit.plugins.modules.fake_temporal import EMPTY, FakeTemporal, Json, run
from hypothesis import given
from hypothesis import strategies as st

WEEK = 604800


def declared(name: str, **fields: t.Any) -> Json:
    """An item of the option as AnsibleModule hands it over."""
    return {**dict.fromkeys(namespace.NAMESPACE), "state": "present", "name": name, **fields}


names = st.sampled_from(["orders", "billing", "shop.eu", "a"])
texts = st.sampled_from(["", "one", "two"])
retentions = st.integers(min_value=1, max_value=90).map(lambda hours: f"{hours}h")
datas = st.dictionaries(st.sampled_from(["tier", "team"]), st.sampled_from(["gold", 1, True]), max_size=2)
fields = st.fixed_dictionaries(
    {"state": st.sampled_from(["present", "absent"])},
    optional={
        "retention": retentions,
        "description": texts,
        "owner_email": texts,
        "data": datas,
        "history_archival_state": st.sampled_from(["enabled", "disabled"]),
    },
)
declarations = st.dictionaries(names, fields).map(
    lambda items: [declared(name, **item) for name, item in items.items()]
)
servers = st.dictionaries(
    names,
    st.fixed_dictionaries(
        {"retention": st.integers(3600, 10**7), "description": texts, "owner_email": texts},
        optional={"data": st.dictionaries(st.sampled_from(["tier", "other"]), st.just("x"))},
    ),
)


@given(declarations, servers)
def test_applying_a_plan_and_comparing_again_finds_nothing(items: list[Json], present: dict[str, Json]) -> None:
    server = FakeTemporal(**copy.deepcopy(present))
    plan = namespace.plan_for(items, server.namespaces())
    predicted = namespace.outcome(items, server.namespaces(), plan)
    namespace.apply(plan, server, 0)
    again = namespace.plan_for(items, server.namespaces())
    assert not again
    for row in predicted:
        fields = server.present.get(row["name"])
        assert (row["state"] == "present") == (fields is not None)
        if fields:
            assert row["retention"] == format_duration(fields["retention"])


@given(declarations, servers)
def test_what_is_not_declared_is_left_alone(items: list[Json], present: dict[str, Json]) -> None:
    server = FakeTemporal(**copy.deepcopy(present))
    before = server.namespaces()
    namespace.apply(namespace.plan_for(items, server.namespaces()), server, 0)
    for name in set(before) - {item["name"] for item in items}:
        assert server.present[name] == before[name]


def test_create_again_change_again_absent_again() -> None:
    server = FakeTemporal()
    wanted = [{"name": "orders", "description": "Orders", "data": {"tier": "gold"}}]
    created = run(namespace.main, server, namespaces=wanted)
    assert created["changed"]
    assert created["changes"] == [
        {"name": "orders", "action": "create", "fields": ["data", "description", "retention"]}
    ]
    assert server.present["orders"]["retention"] == WEEK
    assert not run(namespace.main, server, namespaces=wanted)["changed"]

    wanted[0].update(retention="3d", data={"team": "shop", "critical": True})
    changed = run(namespace.main, server, namespaces=wanted)
    assert changed["diff"]["before"]["orders"] == {"retention": "7d", "data": {"tier": "gold"}}
    assert changed["diff"]["after"]["orders"] == {
        "retention": "3d",
        "data": {"tier": "gold", "team": "shop", "critical": "true"},
    }
    assert not run(namespace.main, server, namespaces=wanted)["changed"]

    gone = [{"name": "orders", "state": "absent"}]
    assert run(namespace.main, server, namespaces=gone, allow_delete=True)["changed"]
    assert server.present == {}
    again = run(namespace.main, server, namespaces=gone)
    assert not again["changed"]
    assert again["namespaces"] == [{"name": "orders", "state": "absent"}]


def test_only_what_differs_is_sent() -> None:
    server = FakeTemporal(orders={"retention": WEEK, "description": "Orders"}, other={"retention": 3600})
    run(namespace.main, server, namespaces=[{"name": "orders", "retention": "168h0m0s"}, {"name": "other"}])
    assert server.calls == ["namespaces"]


def test_check_mode_predicts_what_then_happens() -> None:
    server = FakeTemporal(orders={"retention": WEEK})
    wanted = [{"name": "orders", "retention": "1d"}, {"name": "new"}]
    predicted = run(namespace.main, server, check=True, namespaces=wanted)
    assert server.calls == ["namespaces"]
    done = run(namespace.main, server, namespaces=wanted)
    for part in ("changed", "diff", "changes"):
        assert predicted[part] == done[part]


@pytest.mark.parametrize("reason", ["sdk_missing", "unreachable"])
def test_check_mode_predicts_on_a_bare_host(reason: t.Literal["sdk_missing", "unreachable"]) -> None:
    wanted = [{"name": "orders"}, {"name": "old", "state": "absent"}]
    predicted = run(namespace.main, reason, check=True, namespaces=wanted)
    assert predicted["changed"]
    assert predicted["predicted"]
    assert predicted["changes"] == [{"name": "orders", "action": "create", "fields": ["retention"]}]
    assert "warnings" not in predicted


def test_check_mode_does_not_hide_wrong_credentials() -> None:
    assert run(namespace.main, "unauthenticated", check=True, namespaces=[{"name": "orders"}])["failed"]


@pytest.mark.parametrize("reason", ["sdk_missing", "unreachable", "tls"])
def test_without_a_server_it_fails(reason: t.Literal["sdk_missing", "unreachable", "tls"]) -> None:
    failed = run(namespace.main, reason, namespaces=[{"name": "orders"}])
    assert failed["failed"]
    assert failed["kind"] == reason


def test_all_problems_are_reported_together_before_any_change() -> None:
    server = FakeTemporal()
    failed = run(
        namespace.main,
        server,
        namespaces=[
            {"name": "good"},
            {"name": "a b"},
            {"name": "x", "retention": "week"},
            {"name": "zero", "retention": "0s"},
            {"name": "good"},
            {"name": "temporal-system"},
        ],
    )
    assert failed["failed"]
    assert len(failed["problems"]) == 5
    for part in ("namespace 'a b'", "retention 'week'", "retention is 0", "more than once", "belongs to the server"):
        assert part in failed["msg"]
    assert server.calls == []


def test_deletion_must_be_asked_for_twice() -> None:
    server = FakeTemporal(orders={"retention": WEEK})
    wanted = [{"name": "new"}, {"name": "orders", "state": "absent"}]
    failed = run(namespace.main, server, namespaces=wanted)
    assert "Set allow_delete to true" in failed["msg"]
    assert server.calls == ["namespaces"]
    assert run(namespace.main, server, check=True, namespaces=wanted)["failed"]


def test_an_empty_text_leaves_what_is_there() -> None:
    server = FakeTemporal(orders={"retention": WEEK, "description": "Orders"})
    assert not run(namespace.main, server, namespaces=[{"name": "orders", "description": ""}])["changed"]


def test_an_error_in_the_middle_says_what_was_done() -> None:
    server = FakeTemporal()
    server.failing["register b"] = "permission_denied"
    failed = run(namespace.main, server, namespaces=[{"name": "a"}, {"name": "b"}, {"name": "c"}])
    assert failed["kind"] == "permission_denied"
    assert failed["msg"].endswith("Done before that: create a.")
    assert set(server.present) == {"a"}


def test_a_new_namespace_that_never_becomes_usable_fails() -> None:
    server = FakeTemporal()
    server.failing["wait"] = "deadline"
    failed = run(namespace.main, server, namespaces=[{"name": "a"}], wait_seconds=1)
    assert "not usable within 1 s: a" in failed["msg"]


def test_the_fields_of_the_server_are_those_that_are_compared() -> None:
    assert {*namespace.TEXTS, *namespace.STATES, "data"} == set(EMPTY)


def test_a_cluster_that_is_not_as_expected_gets_no_namespaces() -> None:
    server = FakeTemporal()
    wanted = [{"name": "orders"}]
    failed = run(
        namespace.main, server, namespaces=wanted, wait_for="usable", expected_version="1.0.0", wait_for_seconds=0
    )
    assert "expected 1.0.0" in failed["msg"]
    assert server.present == {}
    assert run(namespace.main, server, namespaces=wanted, wait_for="usable")["changed"]
    assert run(namespace.main, "unreachable", check=True, namespaces=wanted, wait_for="usable")["predicted"]
