# SPDX-License-Identifier: GPL-3.0-or-later
"""The example application's API, as a client over HTTP sees it."""

from __future__ import annotations

import http.client
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from waiting import eventually


@dataclass(frozen=True)
class Answer:
    """One answer; ``code`` 0 means that none came, and ``text`` says why."""

    code: int
    headers: Mapping[str, str]
    text: str

    @property
    def body(self) -> dict[str, Any]:
        """The JSON object in it; an empty one when there is none."""
        try:
            value = json.loads(self.text)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


@dataclass(frozen=True)
class Order:
    case_id: str
    id: str  # the workflow's id
    run_id: str


@dataclass(frozen=True)
class Status:
    status: str  # running, completed, failed, cancelled, terminated, timed_out
    stage: str | None
    run_id: str
    order: Mapping[str, Any]


class Api:
    """``Api("http://127.0.0.1:8000")``; https URLs work too."""

    def __init__(self, base: str) -> None:
        self.base = urlsplit(base)

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = 30,
    ) -> Answer:
        """Send one request on a connection of its own; bytes go as they are, anything else as JSON."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        kind = http.client.HTTPSConnection if self.base.scheme == "https" else http.client.HTTPConnection
        connection = kind(self.base.hostname or "", self.base.port, timeout=timeout)
        try:
            connection.request(method, path, body=data, headers={"content-type": "application/json", **(headers or {})})
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read().decode(errors="replace"))
        except (OSError, http.client.HTTPException) as error:
            return Answer(0, {}, repr(error))
        finally:
            connection.close()

    def health(self) -> Answer:
        return self.request("GET", "/health", timeout=5)

    def wait_healthy(self, within: float = 60) -> None:
        def look() -> bool:
            answer = self.health()
            return answer.code == 200 and answer.body.get("status") == "healthy"

        eventually("the API says that it is healthy", look, within)

    def start(self, case_id: str | None = None, **more: Any) -> Order:
        """Start an order; options as in ``wait_for_signal=True`` or ``fail_activity_times={"chargePayment": 2}``."""
        body = order_body(case_id or new_case_id(), **more)
        answer = self.request("POST", "/api/workflow/start", body)
        assert answer.code == 202, f"{answer.code} {answer.text}"
        return Order(body["caseId"], answer.body["workflowId"], answer.body["runId"])

    def status(self, order: Order) -> Status:
        answer = self.request("GET", f"/api/workflow/{quote(order.case_id)}/status")
        assert answer.code == 200, f"{answer.code} {answer.text}"
        seen = answer.body
        return Status(seen["status"], seen["stage"], seen["runId"], seen["order"] or {})

    def signal(self, order: Order, name: str, **body: Any) -> None:
        answer = self.request("POST", f"/api/workflow/{quote(order.case_id)}/signal/{name}", body)
        assert answer.code == 202, f"{answer.code} {answer.text}"

    def wait_stage(self, order: Order, stage: str, within: float = 30) -> Status:
        def look() -> Status | None:
            seen = self.status(order)
            return seen if seen.stage == stage else None

        return eventually(f"{order.id} is {stage}", look, within)

    def result(self, order: Order, within: float = 30) -> Status:
        """The status once the order is closed, however it ended."""

        def look() -> Status | None:
            seen = self.status(order)
            return seen if seen.status != "running" else None

        return eventually(f"{order.id} is closed", look, within)


def new_case_id(prefix: str = "test") -> str:
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def order_body(case_id: str, **more: Any) -> dict[str, Any]:
    """A complete order; ``more`` in snake case becomes fields in camel case."""
    return {
        "caseId": case_id,
        "blobUrl": f"https://blobs.example/orders/{case_id}.json",
        "tenantId": "tenant-1",
        "userId": "user-1",
        "teams": {"chatId": "19:orders@thread.v2", "messageId": "1700000000000", "activityId": "f:4711"},
        **{_camel(name): value for name, value in more.items()},
    }


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
