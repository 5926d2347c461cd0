# SPDX-License-Identifier: GPL-3.0-or-later
"""What an approval is. Knows neither Temporal nor HTTP: API, activities and workflows all use it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

_T = TypeVar("_T")

Kind = Literal["escalation", "simple"]
Stage = Literal["requested", "waiting", "approved", "rejected", "expired"]

KINDS: Final[tuple[Kind, ...]] = ("escalation", "simple")
ACTIVITIES: Final = ("notify", "audit")
MONTH_SECONDS: Final = 30 * 24 * 3600

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PRIORITY: Final = re.compile(r"[A-Z][A-Z_]{0,31}")
ID_EXPECTED: Final = "1 to 100 letters, digits, '.', '_' or '-', starting with a letter or digit"


@dataclass(frozen=True)
class Rehearsal:
    """Bad days on a live system, asked for by the request itself."""

    fail_times: dict[str, int] = field(default_factory=dict)
    """Activity name -> how many first attempts of each of its steps fail."""
    slow_seconds: dict[str, int] = field(default_factory=dict)
    """Activity name -> how much longer each attempt takes."""


@dataclass(frozen=True)
class Request:
    """What somebody wants to have approved."""

    id: str
    kind: Kind
    subject: str
    requested_by: str
    approvers: list[str]
    """Asked in this order; a ``simple`` approval has exactly one."""
    wait_seconds: int
    """How long an approver has before the next one is asked, or the request expires."""
    rehearsal: Rehearsal = field(default_factory=Rehearsal)
    module: str = ""
    entity_type: str = ""
    entity_id: str = ""
    priority: str = ""


@dataclass(frozen=True)
class Decision:
    """What an approver says."""

    by: str
    approved: bool
    comment: str = ""


@dataclass
class State:
    """What the query ``state`` answers and what a finished workflow returns."""

    id: str
    kind: Kind
    stage: Stage = "requested"
    asked: list[str] = field(default_factory=list)
    decision: Decision | None = None


@dataclass(frozen=True)
class Step:
    """One thing that happens exactly once in a workflow, however often its activity is tried."""

    name: str
    """Unique in the workflow, such as ``asked-2``; with the workflow id it is the key of what is written."""
    to: str
    text: str
    rehearsal: Rehearsal = field(default_factory=Rehearsal)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with what somebody sent."""

    field: str
    found: Any
    expected: str


class Invalid(ValueError):
    """What was sent cannot be taken; carries every problem, not only the first."""

    def __init__(self, what: str, problems: list[Problem]) -> None:
        super().__init__(f"The {what} is not valid")
        self.problems = problems


def is_id(value: object) -> bool:
    """Whether ``value`` may name an approval; it becomes a workflow id."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def objection(state: State, decision: Decision) -> str | None:
    """Why ``decision`` cannot be taken in ``state``, in words for the one who sent it; None when it can.

    The decision that was taken already is welcome again: whoever got no answer may send it once more.
    """
    if state.decision is not None:
        if state.decision == decision:
            return None
        word = "approved" if state.decision.approved else "rejected"
        return f"{state.id} is {word} by {state.decision.by} already"
    if state.stage == "expired":
        return f"{state.id} is expired: nobody decided in time"
    if decision.by not in state.asked:
        return f"{decision.by} was not asked; asked so far: {', '.join(state.asked) or 'nobody'}"
    return None


def parse_request(body: object, initiator: str) -> Request:
    """The body of ``POST /api/approvals``; raises :class:`Invalid`.

    :param initiator: who is logged in.
    """
    found = _Fields("request", body)
    kind = found.choice("kind", KINDS, default="escalation")
    identity, approver = found.text("requestId", ID_EXPECTED, is_id), found.text("approverId")
    module, entity_type, entity_id = (found.text(name) for name in ("module", "entityType", "entityId"))
    request = Request(
        id=identity,
        kind=kind,
        subject=f"{module}: {entity_type} {entity_id}",
        requested_by=initiator,
        approvers=[approver, *found.names("escalateTo", 0 if kind == "simple" else 19, besides=approver)],
        wait_seconds=found.integer("waitSeconds", 1, MONTH_SECONDS, default=24 * 3600),
        rehearsal=Rehearsal(
            fail_times=found.per_activity("failTimes", 20),
            slow_seconds=found.per_activity("slowSeconds", 120),
        ),
        module=module,
        entity_type=entity_type,
        entity_id=entity_id,
        priority=found.text("priority", "a word in capitals, such as LOW, MEDIUM or HIGH", _is_priority),
    )
    found.complain()
    return request


def parse_decision(body: object) -> Decision:
    """The body of ``POST /api/approvals/{workflowId}/decision``; raises :class:`Invalid`."""
    found = _Fields("decision", body)
    decision = Decision(by=found.text("by"), approved=found.flag("approved"), comment=found.text("comment", default=""))
    found.complain()
    return decision


class _Fields:
    """Takes values out of a JSON object and collects what is wrong with them."""

    def __init__(self, what: str, body: object) -> None:
        self._what = what
        self._problems: list[Problem] = []
        if not isinstance(body, dict):
            raise Invalid(what, [Problem("", _shown(body), "a JSON object")])
        self._body: dict[str, Any] = body

    def complain(self) -> None:
        if self._problems:
            raise Invalid(self._what, self._problems)

    def text(
        self, name: str, expected: str = "a text of 1 to 200 characters", valid: Any = None, default: str | None = None
    ) -> str:
        value = self._body.get(name, default)
        if isinstance(value, str) and (value == default or (valid or _is_text)(value)):
            return value
        return self._wrong(name, value, expected, "")

    def flag(self, name: str) -> bool:
        value = self._body.get(name)
        return value if isinstance(value, bool) else self._wrong(name, value, "true or false", False)

    def choice(self, name: str, choices: tuple[Kind, ...], default: Kind) -> Kind:
        value = self._body.get(name, default)
        return value if value in choices else self._wrong(name, value, f"one of {', '.join(choices)}", default)

    def integer(self, name: str, low: int, high: int, default: int) -> int:
        value = self._body.get(name, default)
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        return self._wrong(name, value, f"a whole number from {low} to {high}", default)

    def names(self, name: str, most: int, besides: str) -> list[str]:
        value = self._body.get(name, [])
        if isinstance(value, list) and len(value) <= most and all(map(_is_text, value)):
            if len({*value, besides}) == len(value) + 1:
                return value
            return self._wrong(name, value, "names that differ", [])
        return self._wrong(name, value, f"a list of at most {most} names" if most else "nothing", [])

    def per_activity(self, name: str, high: int) -> dict[str, int]:
        value = self._body.get(name, {})
        numbers = isinstance(value, dict) and all(
            key in ACTIVITIES and isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= high
            for key, number in value.items()
        )
        expected = f"an object from {' or '.join(ACTIVITIES)} to a whole number from 0 to {high}"
        return dict(value) if numbers else self._wrong(name, value, expected, {})

    def _wrong(self, name: str, found: object, expected: str, instead: _T) -> _T:
        self._problems.append(Problem(name, _shown(found), expected))
        return instead


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value.strip() != "" and len(value) <= 200


def _is_priority(value: str) -> bool:
    return _PRIORITY.fullmatch(value) is not None


def _shown(value: object) -> Any:
    """A value as it may be shown to the one who sent it: short."""
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return value if len(value) <= 80 else f"{value[:80]}…"
    if isinstance(value, bool | int | float):
        return value
    return "an object" if isinstance(value, dict) else "a list" if isinstance(value, list) else type(value).__name__
