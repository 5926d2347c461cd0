# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said before and after an application is removed."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.durable.temporal.plugins.plugin_utils._removal import check, outcome, silent

Json = dict[str, t.Any]


def host(state: str = "unknown", changed: bool = False, kept: tuple[str, ...] = ()) -> Json:
    return {"state": state, "applications": ["orders", "shop"], "kept": list(kept), "changed": changed}


@pytest.mark.parametrize(
    ("name", "hosts", "more", "said"),
    [
        (
            "odrers",
            {"vm": host()},
            {},
            "remove_application is 'odrers'; expected one of approvals, orders, shop. Did you mean orders?",
        ),
        ("", {"vm": host()}, {}, "remove_application is empty; expected one of approvals, orders, shop."),
        ("approvals", {"vm": host()}, {}, "remove_application is 'approvals', which is on none of these hosts"),
        (
            "orders",
            {"vm": host("declared"), "db": host()},
            {},
            "remove_application is 'orders', which is declared for vm; ",
        ),
        (
            "orders",
            {"vm": host("present")},
            {"data": True},
            "remove_confirm is empty; expected 'orders', because remove_data",
        ),
        (
            "orders",
            {"vm": host("present")},
            {"data": True, "confirm": "shop"},
            "remove_confirm is 'shop'; expected 'orders'",
        ),
        ("orders", {"vm": host("present")}, {"confirm": "orders"}, "remove_confirm is 'orders'; expected nothing"),
    ],
)
def test_what_must_not_go_is_told(name: str, hosts: Json, more: Json, said: str) -> None:
    (problem,) = check(name, hosts, ["approvals"], **more)
    assert problem.text.startswith(said)


def test_what_would_be_lost_is_told_with_the_question() -> None:
    (problem,) = check("orders", {"vm": host("present", kept=("/opt/orders/releases",))}, [], data=True)
    assert problem.text.endswith("It removes /opt/orders/releases for good.")


def test_without_any_application_there_is_nothing_to_choose_from() -> None:
    (problem,) = check("orders", {"vm": {**host(), "applications": []}}, [])
    assert "there is none on these hosts" in problem.text


@pytest.mark.parametrize("state", ["present", "removed"])
def test_what_may_go_is_no_problem(state: str) -> None:
    assert check("orders", {"vm": host(state), "other": host("declared")}, ["orders"]) == []
    assert check("orders", {"vm": host(state)}, [], data=True, confirm="orders") == []


@pytest.mark.parametrize(
    ("result", "ours", "level", "said"),
    [
        (
            {"unreachable": True, "msg": "Connection refused"},
            ["vm"],
            "error",
            "vm is out of reach (Connection refused); expected an answer, as it may have orders. Make sure that it answers "
            "and this user may become root there, or leave it out: --limit 'all:!vm'.",
        ),
        (
            {"unreachable": True, "msg": "Connection refused"},
            [],
            "warning",
            "vm is out of reach (Connection refused), is in none of our groups, and is left out. What it may have of orders "
            "stays.",
        ),
        # A deployment that is at work there, say.
        ({"msg": "orders: a deployment holds its lock."}, [], "error", "vm could not be asked (orders: a deployment holds"),
        ({}, ["vm"], "error", "vm could not be asked (no answer); expected an answer"),
    ],
)  # fmt: skip
def test_a_host_that_could_not_be_asked_is_told(result: Json, ours: list[str], level: str, said: str) -> None:
    (problem,) = silent("orders", {"vm": result, "other": host()}, ours)
    assert problem.level == level
    assert problem.text.startswith(said)


def test_the_outcome_is_told_for_each_host_that_had_it() -> None:
    before = {"a": host("present"), "b": host("declared"), "c": host("removed"), "d": host()}
    after = {
        "a": host("present", True, ("/opt/orders/shared",)),
        "b": host("declared"),
        "c": host("removed"),
        "d": host(),
    }
    assert outcome("orders", before, after) == [
        "a: orders is removed. These stay: /opt/orders/shared. To remove them: remove.yml -e remove_application=orders "
        "-e remove_data=true -e remove_confirm=orders",
        "b: orders is declared here, and stays.",
        "c: orders was removed earlier.",
    ]
    # Without the entry point find, which has looked before.
    assert outcome("orders", {}, after) == outcome("orders", before, after)
    (line, *_others) = outcome("orders", before, after, data=True, dry=True)
    assert line == "a: orders would be removed."
