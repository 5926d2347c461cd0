# SPDX-License-Identifier: GPL-3.0-or-later
"""Temporal's dynamic configuration, judged before anything is changed.

What fits and what does not was compared with ``temporal-server validate-dynamic-config`` of 1.32.2.
"""

from __future__ import annotations

import typing as t

import pytest
import yaml
from ansible_collections.durable.temporal.plugins.module_utils import _versions as versions
from ansible_collections.durable.temporal.plugins.plugin_utils import _dynamic_config_keys as keys
from ansible_collections.durable.temporal.plugins.plugin_utils import _preflight_dynamic_config as dynamic
from ansible_collections.durable.temporal.plugins.plugin_utils._preflight_roles import COLLECTION

INT, BOOL, FLOAT = (
    "frontend.rps",
    "history.enableHostLevelEventsCache",
    "admin.matchingNamespaceToPartitionDispatchRate",
)
DURATION, TEXT, MAP = (
    "matching.longPollExpirationInterval",
    "history.defaultEventEncoding",
    "frontend.activityAPIsEnabled",
)
QUEUES = "matching.numTaskqueueReadPartitions"


def check(config: t.Any, version: str = "1.32.2", ignored: t.Sequence[str] = ()) -> dict[str, tuple[str, str]]:
    """What is told, without the variable → level and sentence."""
    found = dynamic.check_dynamic_config(config, version, ignored)
    assert all(problem.text.startswith(problem.about) for problem in found)
    return {p.about.removeprefix("temporal_dynamic_config."): (p.level, p.text) for p in found}


@pytest.mark.parametrize(
    "config",
    [
        {},
        {INT: 2400, "limit.maxIDLength": 255, BOOL: True, FLOAT: 1, DURATION: "10s"},
        {FLOAT: 1.5, DURATION: 60, BOOL: "true"},
        {DURATION: "1h30m"},
        {DURATION: "7d"},
        {DURATION: "5"},
        {"frontend.namespaceRPS": [{"value": 100, "constraints": {"namespace": "orders"}}, {"value": 10}]},
        {QUEUES: [{"value": 1, "constraints": {"namespace": "a", "taskQueueName": "b", "taskType": "Workflow"}}]},
        {QUEUES: [{"value": 1, "constraints": {"TASKTYPE": 1}}, {"value": 4, "constraints": None}]},
        # Whatever a structure of the server's takes.
        {"callback.allowedAddresses": [{"Pattern": "*", "AllowInsecure": True}]},
        None,
        "x",
    ],
    ids=str,
)
def test_what_the_server_takes_is_no_problem(config: t.Any) -> None:
    assert check(config) == {}


@pytest.mark.parametrize(
    ("config", "about", "says"),
    [
        (
            {"frontend.rsp": 1},
            "frontend.rsp",
            "is not a key of Temporal 1.32; expected one of its dynamic configuration. Did you",
        ),
        ({"frontend.rsp": 1}, "frontend.rsp", "Did you mean frontend.rps?"),
        (
            {"company.own": 1},
            "company.own",
            "Take it out, or list temporal_dynamic_config.company.own in preflight_ignored",
        ),
        (
            {"frontend.RPS": 1},
            "frontend.RPS",
            "is spelt otherwise than the server does; expected frontend.rps. Correct it.",
        ),
        ({INT: "many"}, INT, "is 'many'; expected a whole number."),
        ({INT: 1.0}, INT, "is 1.0; expected a whole number."),
        ({INT: True}, INT, "is true; expected a whole number."),
        ({INT: None}, INT, "is not set; expected a whole number. Take it out to have the server's own."),
        ({INT: [1]}, INT, "is a list of 1; expected a whole number."),
        ({BOOL: "yes"}, BOOL, "is 'yes'; expected true or false."),
        ({BOOL: 1}, BOOL, "is 1; expected true or false."),
        ({FLOAT: "1"}, FLOAT, "is '1'; expected a number."),
        ({DURATION: "10 s"}, DURATION, "is '10 s'; expected a duration such as 10s, or seconds."),
        ({DURATION: True}, DURATION, "is true; expected a duration"),
        (
            {INT: [{"vlaue": 1, "constraints": {}}]},
            f"{INT}[0].value",
            "is not set; expected a value for these constraints.",
        ),
        ({INT: [{"value": 1, "constraint": {}}]}, f"{INT}[0].constraint", "Did you mean constraints?"),
        ({INT: [{"value": 1}, {"value": "x"}]}, f"{INT}[1].value", "is 'x'; expected a whole number."),
        ({INT: [{"value": 1, "constraints": "orders"}]}, f"{INT}[0].constraints", "expected a mapping such as"),
        (
            {INT: [{"value": 1, "constraints": {"namespace": "a"}}]},
            f"{INT}[0].constraints.namespace",
            "is not a constraint of this key; expected no constraint, as this holds for the whole server.",
        ),
        (
            {QUEUES: [{"value": 1, "constraints": {"taskQueue": "a"}}]},
            f"{QUEUES}[0].constraints.taskQueue",
            "expected one of namespace, taskQueueName, taskType. Did you mean taskQueueName?",
        ),
        (
            {QUEUES: [{"value": 1, "constraints": {"taskType": "workflow"}}]},
            f"{QUEUES}[0].constraints.taskType",
            "is 'workflow'; expected one of Workflow, Activity, Nexus.",
        ),
        (
            {QUEUES: [{"value": 1, "constraints": {"namespace": 5}}]},
            f"{QUEUES}[0].constraints.namespace",
            "is 5; expected text.",
        ),
    ],
)
def test_what_the_server_would_only_log_is_refused(config: t.Any, about: str, says: str) -> None:
    told = check(config)
    assert told[about][0] == "error"
    assert says in told[about][1]


def test_a_key_of_another_release_is_a_warning() -> None:
    told = check({TEXT: "proto3"})
    assert told[TEXT][0] == "warning"
    assert "is a key that Temporal 1.32 does not read; expected one that it has; this is of 1.30." in told[TEXT][1]
    assert check({TEXT: "proto3"}, "v1.30.6") == {}
    # A value of the wrong type is refused all the same.
    assert [level for level, _text in check({TEXT: "proto3", INT: "x"}).values()] == ["warning", "error"]


def test_of_a_release_that_is_newer_it_is_not_known_what_it_has() -> None:
    assert check({"company.own": 1}, "1.40.0")["company.own"][0] == "warning"
    assert check({"frontend.rsp": 1}, "1.40.0")["frontend.rsp"][0] == "error"
    assert check({TEXT: "proto3"}, "1.40.0") == {}


def test_keys_of_a_server_of_ones_own_may_be_listed() -> None:
    assert check({"company.own": "x"}, ignored=["temporal_dynamic_config.company.*"]) == {}


def test_the_keys_are_those_of_the_releases_that_are_known() -> None:
    newest = tuple(minor.newest for line, minor in versions.MINORS.items() if line >= (1, 30))
    assert newest == keys.RELEASES, "run scripts/dynamic-config"
    assert len(dynamic.settings()) == len(keys.KEYS.split("\n")) - 2
    assert {one.scope for one in dynamic.settings().values()} <= {*dynamic.SCOPES}
    assert {one.type for one in dynamic.settings().values()} == {*dynamic.TYPES, "typed", "any"}
    assert {name for names in dynamic.SCOPES.values() for name in names} == {*dynamic.CONSTRAINTS}


def test_what_the_role_writes_by_itself_fits() -> None:
    variables = yaml.safe_load((COLLECTION / "roles/temporal/vars/main.yml").read_text())
    own = {"limit.maxIDLength", *variables["__temporal_caches"]}
    assert {dynamic.settings()[key.lower()].key for key in own} == own


def test_a_namespace_that_nobody_declares_is_told() -> None:
    def found(namespace: t.Any, name: str = "namespace", known: t.Collection[str] = ("orders",)) -> list[str]:
        config = {"frontend.rps": [{"value": 1}, {"value": 2, "constraints": {name: namespace}}], "a": 1, "b": [1]}
        return [f"{p.level} {p.text}" for p in dynamic.check_namespaces(config, known)]

    assert found("ordres", "Namespace") == [
        "warning temporal_dynamic_config.frontend.rps[1].constraints.Namespace is 'ordres'; expected one that is declared: "
        "orders. Correct it."
    ]
    assert found("orders") == found("temporal-system") == found("x", "taskQueueName") == found(5) == []
    assert "none is" in found("orders", known=())[0]
    assert dynamic.check_namespaces(None, ()) == []


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("limit.maxIDLength", -1, "1 or more"),
        ("limit.maxIDLength", 0, "1 or more"),
        ("frontend.rps", 0, "1 or more"),
        ("frontend.globalNamespaceRPS", 0, ""),
        ("frontend.globalNamespaceRPS", -1, "0 or more"),
        ("system.operatorRPSRatio", -0.5, "0 or more"),
        ("history.shardUpdateMinInterval", "-5m", "0 or more"),
        ("history.shardUpdateMinInterval", "5m", ""),
        ("limit.maxIDLength", 1000, ""),
    ],
)
def test_numbers_with_which_the_server_refuses_everything_are_told(key: str, value: t.Any, said: str) -> None:
    found = [p.text for p in dynamic.check_dynamic_config({key: [{"value": value}]}, "1.32.2")]
    assert len(found) == bool(said)
    assert all(f"; expected {said}." in text for text in found)
