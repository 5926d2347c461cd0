# SPDX-License-Identifier: GPL-3.0-or-later
"""The API alone: Temporal's side is a stand-in."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from approvals.api import MAX_BODY_BYTES, create_app
from approvals.model import Decision, Request
from approvals.server import Edge
from approvals.service import Refused, Unavailable, UnknownApproval


class StandIn:
    """Answers as told."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.seen: list[object] = []

    def _answer(self, seen: object) -> dict[str, Any]:
        self.seen.append(seen)
        if self.error:
            raise self.error
        return {"workflowId": "approval-a-1", "runId": "r-1"}

    async def check(self) -> None:
        self._answer("check")

    async def start(self, request: Request) -> dict[str, Any]:
        return self._answer(request)

    async def describe(self, approval: str) -> dict[str, Any]:
        return self._answer(approval)

    async def decide(self, approval: str, decision: Decision) -> dict[str, Any]:
        return self._answer((approval, decision))


def call(
    method: str,
    path: str,
    body: bytes = b"",
    error: Exception | None = None,
    draining: bool = False,
    login: str = "",
) -> tuple[int, dict[str, Any], dict[bytes, bytes], StandIn]:
    """One request through the application, as the server would hand it over."""
    stand_in = StandIn(error)
    edge = Edge(create_app(stand_in), "r7")
    edge.draining = draining
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"x-forwarded-user", login.encode())] if login else []
    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": headers, "root_path": ""}
    try:
        asyncio.run(edge(scope, receive, send))
    except RuntimeError:
        assert error is not None  # Starlette answers 500 and raises what nobody expected, for the server's log
    return sent[0]["status"], json.loads(sent[1]["body"]), dict(sent[0]["headers"]), stand_in


FIELDS = {
    "requestId": "a-1",
    "approverId": "bob",
    "module": "purchasing",
    "entityType": "order",
    "entityId": "4711",
    "priority": "HIGH",
}
GOOD = json.dumps(FIELDS).encode()
YES = b'{"by": "bob", "approved": true}'


def test_a_request_is_started() -> None:
    status, body, headers, stand_in = call("POST", "/api/approvals", GOOD, login="ann")
    assert status == 201
    assert body == {
        "statusCode": 201,
        "message": "Approval workflow started successfully",
        "data": {"workflowId": "approval-a-1", "runId": "r-1", "status": "STARTED"},
    }
    assert headers[b"x-release"] == b"r7"
    assert b"connection" not in headers
    (request,) = stand_in.seen
    assert isinstance(request, Request)
    assert (request.id, request.requested_by, request.approvers, request.priority) == ("a-1", "ann", ["bob"], "HIGH")


def test_without_a_login_in_front_the_initiator_is_nobody() -> None:
    (request,) = call("POST", "/api/approvals", GOOD)[3].seen
    assert isinstance(request, Request)
    assert request.requested_by == "anonymous"


def test_the_status_of_a_workflow_is_told() -> None:
    status, body, _headers, stand_in = call("GET", "/api/approvals/approval-a-1/status")
    assert (status, body["statusCode"], body["data"]["workflowId"]) == (200, 200, "approval-a-1")
    assert stand_in.seen == ["a-1"]


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_that_is_wrong_is_named(field: str) -> None:
    status, body, _headers, stand_in = call("POST", "/api/approvals", json.dumps({**FIELDS, field: 7}).encode())
    assert (status, stand_in.seen) == (400, [])
    assert field in json.dumps(body)


def test_a_decision_is_handed_over() -> None:
    status, _answer, headers, stand_in = call("POST", "/api/approvals/approval-a-1/decision", YES, draining=True)
    assert (status, headers[b"connection"]) == (200, b"close")
    assert stand_in.seen == [("a-1", Decision("bob", True))]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "text"),
    [
        ("POST", "/api/approvals", b"{", 400, "The body is not JSON"),
        ("POST", "/api/approvals", b"{}", 400, "The request is not valid"),
        ("POST", "/api/approvals", b" " * (MAX_BODY_BYTES + 1), 413, "longer than 65536 bytes"),
        ("GET", "/api/approvals/a-1/status", b"", 400, "'a-1' is not the workflow id"),
        ("GET", "/nothing", b"", 404, "There is nothing at /nothing"),
        ("PUT", "/health", b"", 405, "/health does not take PUT; use"),
    ],
)
def test_what_cannot_be_taken_is_refused_in_words(method: str, path: str, body: bytes, status: int, text: str) -> None:
    found, answer, headers, stand_in = call(method, path, body)
    assert found == status
    assert text in answer["error"]
    assert headers[b"x-release"] == b"r7"
    assert stand_in.seen == []


@pytest.mark.parametrize(
    ("error", "status"), [(UnknownApproval("no"), 404), (Refused("no"), 409), (Unavailable("no"), 503)]
)
def test_what_goes_wrong_behind_it_is_told(error: Exception, status: int) -> None:
    found, answer, headers, _stand_in = call("POST", "/api/approvals/approval-a-1/decision", YES, error)
    assert (found, answer) == (status, {"error": "no"})
    assert (headers.get(b"retry-after") == b"5") == (status == 503)


def test_what_nobody_expected_keeps_its_secrets() -> None:
    status, answer, _headers, _stand_in = call(
        "GET", "/api/approvals/approval-a-1/status", error=RuntimeError("password is hunter2")
    )
    assert status == 500
    assert "hunter2" not in str(answer)


def test_health_is_temporals() -> None:
    assert call("GET", "/health")[:2][0] == 200
    status, answer, _headers, _stand_in = call("GET", "/health", error=Unavailable("away"))
    assert (status, answer["status"], answer["temporal"]) == (503, "unhealthy", "disconnected")
