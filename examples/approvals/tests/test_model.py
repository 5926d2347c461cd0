# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from approvals.model import Decision, Invalid, Request, State, objection, parse_decision, parse_request

GOOD: dict[str, Any] = {
    "requestId": "a-1",
    "approverId": "bob",
    "module": "purchasing",
    "entityType": "order",
    "entityId": "4711",
    "priority": "HIGH",
}


def test_a_request_needs_no_more_than_this() -> None:
    about = {"module": "purchasing", "entity_type": "order", "entity_id": "4711", "priority": "HIGH"}
    wanted = Request("a-1", "escalation", "purchasing: order 4711", "ann", ["bob"], 86400, **about)
    assert parse_request(GOOD, "ann") == wanted
    assert parse_request({**GOOD, "surprise": {}}, "ann") == wanted
    assert parse_request({**GOOD, "escalateTo": ["cy"]}, "ann").approvers == ["bob", "cy"]


@pytest.mark.parametrize("field", GOOD)
@pytest.mark.parametrize("wrong", [None, 7, {}, ["x"], "", True])
def test_each_field_is_there_and_a_text(field: str, wrong: Any) -> None:
    for body in ({**GOOD, field: wrong}, {name: value for name, value in GOOD.items() if name != field}):
        with pytest.raises(Invalid) as error:
            parse_request(body, "ann")
        assert [problem.field for problem in error.value.problems] == [field]


@pytest.mark.parametrize("priority", ["LOW", "MEDIUM", "HIGH", "URGENT", "VERY_HIGH"])
def test_priorities_are_words(priority: str) -> None:
    assert parse_request({**GOOD, "priority": priority}, "ann").priority == priority


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"requestId": "a/1"}, "requestId"),
        ({"priority": "high"}, "priority"),
        ({"kind": "complex"}, "kind"),
        ({"kind": []}, "kind"),
        ({"kind": "simple", "escalateTo": ["cy"]}, "escalateTo"),
        ({"escalateTo": "cy"}, "escalateTo"),
        ({"escalateTo": ["bob"]}, "escalateTo"),
        ({"escalateTo": ["cy", "cy"]}, "escalateTo"),
        ({"waitSeconds": 0}, "waitSeconds"),
        ({"waitSeconds": True}, "waitSeconds"),
        ({"failTimes": {"pay": 1}}, "failTimes"),
        ({"slowSeconds": {"audit": 121}}, "slowSeconds"),
    ],
)
def test_each_mistake_is_named(change: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as error:
        parse_request({**GOOD, **change}, "ann")
    assert [problem.field for problem in error.value.problems] == [field]


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(Invalid) as error:
        parse_decision({"by": "", "approved": "yes"})
    assert [problem.field for problem in error.value.problems] == ["by", "approved"]
    with pytest.raises(Invalid, match="The decision is not valid"):
        parse_decision([])


def test_who_was_asked_may_decide_once_and_may_say_it_again() -> None:
    state = State("a-1", "escalation", "waiting", ["bob"])
    bob = Decision("bob", True)
    assert objection(state, bob) is None
    assert objection(state, Decision("cy", True)) == "cy was not asked; asked so far: bob"
    decided = replace(state, decision=bob)
    assert objection(decided, bob) is None
    assert objection(decided, Decision("bob", False)) == "a-1 is approved by bob already"
    assert objection(replace(state, stage="expired"), bob) == "a-1 is expired: nobody decided in time"
