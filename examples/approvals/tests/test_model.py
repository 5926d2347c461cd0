# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from approvals.model import Decision, Invalid, Request, State, objection, parse_decision, parse_request

GOOD: dict[str, Any] = {"id": "a-1", "subject": "a laptop", "requested_by": "ann", "approvers": ["bob", "cy"]}


def test_a_request_needs_no_more_than_this() -> None:
    assert parse_request(GOOD) == Request("a-1", "escalation", "a laptop", "ann", ["bob", "cy"], 86400)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"id": "a/1"}, "id"),
        ({"id": 1}, "id"),
        ({"kind": "complex"}, "kind"),
        ({"kind": []}, "kind"),
        ({"kind": "simple"}, "approvers"),
        ({"subject": " "}, "subject"),
        ({"approvers": []}, "approvers"),
        ({"approvers": ["bob", "bob"]}, "approvers"),
        ({"wait_seconds": 0}, "wait_seconds"),
        ({"wait_seconds": True}, "wait_seconds"),
        ({"fail_times": {"pay": 1}}, "fail_times"),
        ({"slow_seconds": {"audit": 121}}, "slow_seconds"),
    ],
)
def test_each_mistake_is_named(change: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as error:
        parse_request({**GOOD, **change})
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
